/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_WIRE_FAILURE_H
#define DV_WIRE_FAILURE_H

/*
 * Why a child's work failed, in the words that jobs show as `failure_reason`. A child that can
 * still speak says so in its failure message; for one that cannot, its parent reads it from the
 * exit status (job/child.h).
 */

#include "base/status.h"

#include <stdbool.h>

/* clang-format off */
#define DV_FAILURE_MAP(X)                   \
    X(ERROR,           "error")             \
    X(OOM,             "oom")               \
    X(SIGNAL,          "signal")            \
    X(TIMEOUT,         "timeout")           \
    X(DISK_FULL,       "disk_full")         \
    X(DIVERGED,        "diverged")          \
    X(LLM_UNAVAILABLE, "llm_unavailable")   \
    X(BAD_DATA,        "bad_data")          \
    X(HOST_RESTART,    "host_restart")      \
    X(CANCELLED,       "cancelled")
/* clang-format on */

enum dv_failure_reason {
#define X(code, text) DV_FAILURE_##code,
    DV_FAILURE_MAP(X)
#undef X
        DV_FAILURE_COUNT,
};

/* "oom"; never NULL. */
const char *dv_failure_reason_name(enum dv_failure_reason reason);

/* False if there is no such reason. */
DV_MUST_CHECK bool dv_failure_reason_from_name(
    const char *name, enum dv_failure_reason *ret_reason);

/* The reason that a status stands for when it ends a whole job. */
enum dv_failure_reason dv_failure_reason_from_status(enum dv_status status);

#endif
