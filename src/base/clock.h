/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_CLOCK_H
#define DV_BASE_CLOCK_H

/*
 * Time: a monotonic clock for measuring and deadlines, wall time as text for records.
 */

#include <stddef.h>
#include <stdint.h>

/* Length of "2026-01-31T23:59:59.999Z" and its NUL. */
#define DV_TIME_TEXT_SIZE 25

/* Nanoseconds since some fixed moment; never goes back. */
uint64_t dv_clock_monotonic_ns(void);

/* Seconds since a moment that dv_clock_monotonic_ns() gave. */
double dv_clock_seconds_since(uint64_t start_ns);

/*
 * What is left of `timeout_ms` that began at `start_ns`, as poll() takes it: 0 when it is over; a
 * timeout below 0 never is, and stays.
 */
int dv_clock_ms_left(uint64_t start_ns, int timeout_ms);

/* Now in RFC 3339, UTC, with milliseconds. */
void dv_clock_now_text(char ret_text[static DV_TIME_TEXT_SIZE]);

#endif
