/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_SANDBOX_H
#define DV_BASE_SANDBOX_H

/*
 * Lock the process in before it reads any input: resource limits, no new privileges and few
 * capabilities, Landlock, system-call filter last. A machine that lacks one of these still gets
 * the others; what could not be applied is listed for `dv doctor` and for the parent.
 *
 * Life:    dv_sandbox_enter() once; there is no way back.
 * Threads: call it while the process has one thread; those started later inherit everything.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DV_SANDBOX_NOTES_MAX 8
#define DV_SANDBOX_NOTE_SIZE 160

enum dv_sandbox_filter {
    /*
     * For parsers of uploaded bytes: what is needed is allowed and the rest fails; exec, sockets,
     * ptrace and their like kill. No executable memory.
     */
    DV_SANDBOX_FILTER_STRICT,
    /*
     * For compute: oneDNN makes code at run time and drivers use many calls, so everything is
     * allowed but a list, which fails with EPERM: exec, fork, sockets, ptrace, mount, bpf, ...
     */
    DV_SANDBOX_FILTER_COMPUTE,
    /*
     * Strict, and the calls of one who connects to others: what a role that asks the network needs.
     * Listening and accepting kill all the same.
     */
    DV_SANDBOX_FILTER_NETWORK,
};

struct dv_sandbox_options {
    const char *const *readable; /* files and folders, NULL at the end, or NULL */
    const char *const *writable; /* folders, with read access, NULL at the end, or NULL */
    enum dv_sandbox_filter filter;
    uint64_t data_size_max;  /* bytes of private memory; 0: no limit */
    uint64_t file_size_max;  /* bytes of one file; 0: no limit */
    uint64_t file_count_max; /* open descriptors; 0: no limit */
};

/* What was not applied, each with its reason. */
struct dv_sandbox_report {
    char notes[DV_SANDBOX_NOTES_MAX][DV_SANDBOX_NOTE_SIZE];
    size_t note_count;
};

/*
 * Lock in. DV_NOT_FOUND, DV_IO: a readable or writable path that the caller named cannot be
 * opened; nothing should be read then. What this machine cannot do is in the report instead.
 */
DV_MUST_CHECK enum dv_status dv_sandbox_enter(const struct dv_sandbox_options *options,
    struct dv_sandbox_report *ret_report, struct dv_error *reterr);

/* Landlock's interface version on this machine; 0: there is none. */
int dv_sandbox_landlock_version(void);

/* Does the kernel take system-call filters? */
bool dv_sandbox_has_seccomp(void);

#endif
