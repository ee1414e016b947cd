/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_TRASH_H
#define DV_JOB_TRASH_H

/*
 * The files of rows that were deleted: the row went first, and in the same transaction the name of
 * its folder was noted; here the folder goes, then the note.
 */

#include "base/status.h"

#include <stdbool.h>

struct dv_job_context;

/*
 * Hide every folder noted. One that `is_in_use` says yes to (a child still works there) is left
 * for the next call. DV_OK also when some could not be hidden, which is logged.
 */
DV_MUST_CHECK enum dv_status dv_trash_empty(struct dv_job_context *context,
    bool (*is_in_use)(void *user, const char *id), void *user, struct dv_error *reterr);

#endif
