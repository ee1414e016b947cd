/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_SECRET_H
#define DV_BASE_SECRET_H

/*
 * A secret that the operator put into the environment, moved to where only this process and the
 * one child that needs it can read it: a sealed file in memory. The variable is overwritten where
 * the kernel shows it (/proc/PID/environ), not only forgotten.
 *
 * Threads: take secrets at the start of the program, before others could read the environment.
 */

#include "base/status.h"

#include <stddef.h>

/*
 * Move the variable's value; the descriptor is the caller's. DV_NOT_FOUND: there is none, or it is
 * empty. DV_INVALID: it is over `size_max` bytes, or holds what no key does (blanks, quotes,
 * control characters); it is gone from the environment all the same, and the message does not
 * hold it.
 */
DV_MUST_CHECK enum dv_status dv_secret_take(
    const char *variable, size_t size_max, int *ret_fd, struct dv_error *reterr);

/* Overwrite the variable's value and forget it; one that is not there is fine. */
void dv_secret_forget(const char *variable);

/* No core dumps, and no other process of this user may look into this one. */
void dv_secret_hide_process(void);

/* Overwrite and dv_free(); NULL is fine. For DV_CLEANUP on a secret that was read. */
void dv_secret_freep(char **text);

#endif
