/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_WATCHDOG_H
#define DV_JOB_WATCHDOG_H

/*
 * Is a child that says nothing at work, or stuck? A role speaks twice a second when all goes well,
 * but may be silent for long over one large thing. So silence alone is only remarked on; one that
 * is silent and, for half as long again, uses no processor either is stuck.
 */

#include <stdint.h>
#include <sys/types.h>

struct dv_watchdog {
    uint32_t silence_seconds; /* set by the owner */
    uint64_t window_ns; /* when its silence was remarked on, or looked at last; 0: it speaks */
    double cpu_seconds; /* used until then */
};

enum dv_watchdog_finding {
    DV_WATCHDOG_FINE,
    DV_WATCHDOG_SILENT, /* once, when the silence has lasted */
    DV_WATCHDOG_STUCK,
};

enum dv_watchdog_finding dv_watchdog_look(
    struct dv_watchdog *watchdog, pid_t pid, uint64_t last_heard_ns);

/* How long until it is worth looking again. */
int dv_watchdog_patience_ms(const struct dv_watchdog *watchdog, uint64_t last_heard_ns);

#endif
