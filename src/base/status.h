/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_STATUS_H
#define DV_BASE_STATUS_H

/*
 * The one way to fail: a function that can fail returns enum dv_status, puts its results into
 * `ret_` parameters (untouched on failure) and its message into `reterr`, always last, which may
 * be NULL. The message is written once, where the failure is understood.
 */

#include "base/macro.h"

#include <stdarg.h>

/* clang-format off */
#define DV_STATUS_MAP(X)                               \
    X(OK,          "ok")                               \
    X(INVALID,     "the input breaks a rule")          \
    X(NOT_FOUND,   "no such thing")                    \
    X(CONFLICT,    "the state does not allow it")      \
    X(TOO_LARGE,   "over a limit")                     \
    X(UNSUPPORTED, "not supported here")               \
    X(NOMEM,       "not enough memory")                \
    X(NO_SPACE,    "no space left on the disk")        \
    X(IO,          "input or output failed")           \
    X(CORRUPT,     "stored data is damaged")           \
    X(DIVERGED,    "the training diverged")            \
    X(TIMEOUT,     "out of time")                      \
    X(CANCELLED,   "stopped on request")               \
    X(DENIED,      "not allowed")                      \
    X(UNAVAILABLE, "cannot be reached now")
/* clang-format on */

enum dv_status {
#define X(code, text) DV_##code,
    DV_STATUS_MAP(X)
#undef X
};

/* The message that goes with a status: always well-formed UTF-8, cut where it is too long. */
struct dv_error {
    enum dv_status status;
    char text[512];
};

/*
 * Fill in `error` (which may be NULL) and return `status`, so that a failure is one line:
 *     return dv_fail(reterr, DV_INVALID, "batch size is 0");
 */
enum dv_status dv_fail(struct dv_error *error, enum dv_status status, const char *format, ...)
    DV_PRINTF(3, 4);

/*
 * The same for a failed system call: appends the text of `error_number` (a saved errno) and
 * chooses the status from it: NO_SPACE, NOMEM, NOT_FOUND, CONFLICT (exists) or IO.
 */
enum dv_status dv_fail_errno(struct dv_error *error, int error_number, const char *format, ...)
    DV_PRINTF(3, 4);

/* Put a clause in front of a message that a lower layer wrote. */
void dv_error_prefix(struct dv_error *error, const char *format, ...) DV_PRINTF(2, 3);

/* "the input breaks a rule"; never NULL. */
const char *dv_status_text(enum dv_status status);

/* "INVALID", for messages and logs; never NULL. */
const char *dv_status_name(enum dv_status status);

/* The status of a name that dv_status_name() gave; DV_IO for one that is unknown. */
enum dv_status dv_status_from_name(const char *name);

#endif
