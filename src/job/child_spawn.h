/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_CHILD_SPAWN_H
#define DV_JOB_CHILD_SPAWN_H

/*
 * The fork and exec of job/child.c, by itself: what happens between the two may only be what is
 * safe there, and everything else is made ready before.
 */

#include "base/status.h"

#include <sys/types.h>

/* `channel_fd` becomes the child's 3, `output_fd` its 1 and 2; both stay the caller's too. */
DV_MUST_CHECK enum dv_status dv_child_spawn(const char *program, const char *role, int channel_fd,
    int output_fd, pid_t *ret_pid, struct dv_error *reterr);

#endif
