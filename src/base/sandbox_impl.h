/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_SANDBOX_IMPL_H
#define DV_BASE_SANDBOX_IMPL_H

/*
 * The steps of dv_sandbox_enter(), one file each. Only base/sandbox*.c include this.
 */

#include "base/sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define DV_SANDBOX_UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DV_SANDBOX_UNDER_SANITIZER 1
#endif
#endif
#ifndef DV_SANDBOX_UNDER_SANITIZER
#define DV_SANDBOX_UNDER_SANITIZER 0
#endif

/* Add a line; those past the last are dropped. */
void dv_sandbox_note(struct dv_sandbox_report *report, const char *format, ...) DV_PRINTF(2, 3);

/* Only the paths that the options name, and the few of the system that every role reads. */
DV_MUST_CHECK enum dv_status dv_sandbox_landlock(const struct dv_sandbox_options *options,
    struct dv_sandbox_report *report, struct dv_error *reterr);

void dv_sandbox_seccomp(enum dv_sandbox_filter filter, struct dv_sandbox_report *report);

#endif
