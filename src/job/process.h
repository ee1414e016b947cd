/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_PROCESS_H
#define DV_JOB_PROCESS_H

/* What the kernel says about a process and about this machine's memory. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct dv_process_usage {
    double cpu_seconds; /* of all its threads, user and system */
    uint64_t rss_bytes;
};

/* False: there is no such process any more. */
bool dv_process_read(pid_t pid, struct dv_process_usage *ret_usage);

/* Bytes that processes may use here: the machine's memory, or what the control group allows. */
uint64_t dv_process_memory_total(void);

#endif
