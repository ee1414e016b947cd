/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

uint64_t dv_clock_monotonic_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double dv_clock_seconds_since(uint64_t start_ns)
{
    return (double)(dv_clock_monotonic_ns() - start_ns) * 1e-9;
}

int dv_clock_ms_left(uint64_t start_ns, int timeout_ms)
{
    if (timeout_ms < 0) {
        return -1;
    }
    uint64_t passed_ms = (dv_clock_monotonic_ns() - start_ns) / 1000000u;
    return passed_ms >= (uint64_t)timeout_ms ? 0 : timeout_ms - (int)passed_ms;
}

void dv_clock_now_text(char ret_text[static DV_TIME_TEXT_SIZE])
{
    struct timespec now;
    struct tm utc;
    char seconds[24];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(ret_text, DV_TIME_TEXT_SIZE, "%.19s.%03uZ", seconds,
        (unsigned)now.tv_nsec / 1000000u % 1000u);
}
