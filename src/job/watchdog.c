/* SPDX-License-Identifier: Apache-2.0 */
#include "job/watchdog.h"

#include "base/clock.h"
#include "job/process.h"

#include <assert.h>
#include <stdbool.h>

#define IDLE_SHARE 0.01 /* of one processor: a process that waits for ever uses none */

static double cpu_seconds_of(pid_t pid)
{
    struct dv_process_usage usage = {0};

    (void)dv_process_read(
        pid, &usage); /* one that has gone used none; its end is noticed elsewhere */
    return usage.cpu_seconds;
}

static uint64_t window_size_ns(const struct dv_watchdog *watchdog)
{
    return (uint64_t)watchdog->silence_seconds * 500000000u;
}

enum dv_watchdog_finding dv_watchdog_look(
    struct dv_watchdog *watchdog, pid_t pid, uint64_t last_heard_ns)
{
    uint64_t now_ns = dv_clock_monotonic_ns();

    assert(watchdog->silence_seconds > 0);
    if (now_ns - last_heard_ns < (uint64_t)watchdog->silence_seconds * 1000000000u) {
        watchdog->window_ns = 0;
        return DV_WATCHDOG_FINE;
    }
    if (watchdog->window_ns != 0 && now_ns - watchdog->window_ns < window_size_ns(watchdog)) {
        return DV_WATCHDOG_FINE;
    }
    bool is_first = watchdog->window_ns == 0;
    double used = cpu_seconds_of(pid) - watchdog->cpu_seconds;
    double passed = (double)(now_ns - watchdog->window_ns) * 1e-9;
    watchdog->cpu_seconds += used;
    watchdog->window_ns = now_ns;
    if (is_first) {
        return DV_WATCHDOG_SILENT;
    }
    return used < IDLE_SHARE * passed ? DV_WATCHDOG_STUCK : DV_WATCHDOG_FINE;
}

int dv_watchdog_patience_ms(const struct dv_watchdog *watchdog, uint64_t last_heard_ns)
{
    uint64_t now_ns = dv_clock_monotonic_ns();
    uint64_t due_ns = watchdog->window_ns != 0
                          ? watchdog->window_ns + window_size_ns(watchdog)
                          : last_heard_ns + (uint64_t)watchdog->silence_seconds * 1000000000u;

    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / 1000000u) + 1;
}
