/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sandbox.h"

#include "base/sandbox_impl.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void dv_sandbox_note(struct dv_sandbox_report *report, const char *format, ...)
{
    va_list arguments;

    if (report->note_count == DV_SANDBOX_NOTES_MAX) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(report->notes[report->note_count++], DV_SANDBOX_NOTE_SIZE, format, arguments);
    va_end(arguments);
}

/* Never above the hard limit that is there: raising one takes privileges. */
static void limit(int resource, uint64_t value, const char *name, struct dv_sandbox_report *report)
{
    struct rlimit old;

    if (getrlimit((__rlimit_resource_t)resource, &old) == 0 && old.rlim_max != RLIM_INFINITY &&
        old.rlim_max < value) {
        value = old.rlim_max;
    }
    struct rlimit new = {.rlim_cur = value, .rlim_max = value};
    if (setrlimit((__rlimit_resource_t)resource, &new) != 0) {
        dv_sandbox_note(report, "limit %s: %s", name, strerror(errno));
    }
}

static void set_limits(const struct dv_sandbox_options *options, struct dv_sandbox_report *report)
{
    limit(RLIMIT_CORE, 0, "core", report);
    if (options->file_count_max > 0) {
        limit(RLIMIT_NOFILE, options->file_count_max, "nofile", report);
    }
    if (options->file_size_max > 0) {
        /* Going over is then an error of write() like any other. */
        (void)signal(SIGXFSZ, SIG_IGN);
        limit(RLIMIT_FSIZE, options->file_size_max, "fsize", report);
    }
    if (options->data_size_max > 0 && !DV_SANDBOX_UNDER_SANITIZER) {
        limit(RLIMIT_DATA, options->data_size_max, "data", report);
    }
}

/*
 * What root may do beyond an ordinary user goes, but reading and writing files whatever their
 * mode: the data may lie in a folder of somebody else, and Landlock says which files count.
 */
static void drop_capabilities(struct dv_sandbox_report *report)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    const uint32_t kept = (1u << CAP_DAC_OVERRIDE) | (1u << CAP_DAC_READ_SEARCH);

    if (syscall(SYS_capget, &header, data) != 0) {
        dv_sandbox_note(report, "capabilities: %s", strerror(errno));
        return;
    }
    data[0].effective &= kept;
    data[0].permitted &= kept;
    data[0].inheritable = 0;
    memset(&data[1], 0, sizeof(data[1]));
    if (syscall(SYS_capset, &header, data) != 0) {
        dv_sandbox_note(report, "capabilities: %s", strerror(errno));
    }
}

static void drop_privileges(struct dv_sandbox_report *report)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        dv_sandbox_note(report, "no new privileges: %s", strerror(errno));
    }
    /* The leak checker of a sanitizer build traces its own process. */
    if (!DV_SANDBOX_UNDER_SANITIZER && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        dv_sandbox_note(report, "not dumpable: %s", strerror(errno));
    }
    drop_capabilities(report);
}

enum dv_status dv_sandbox_enter(const struct dv_sandbox_options *options,
    struct dv_sandbox_report *ret_report, struct dv_error *reterr)
{
    struct dv_sandbox_report report = {0};

    assert(options);
    assert(ret_report);
    set_limits(options, &report);
    drop_privileges(&report);
    enum dv_status status = dv_sandbox_landlock(options, &report, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (DV_SANDBOX_UNDER_SANITIZER) {
        dv_sandbox_note(&report, "system-call filter: left out of sanitizer builds");
    } else {
        dv_sandbox_seccomp(options->filter, &report);
    }
    *ret_report = report;
    return DV_OK;
}
