/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_RECOVERY_H
#define DV_JOB_RECOVERY_H

/*
 * What a dead server left in DATA. Staging folders and hidden ones go; so do uploads and job
 * folders that no row needs any more. A data set or a model without a row that is whole is never of
 * our making (rows come first and go first), so it is spoken of and left where it is.
 *
 * Only what is there when the recovery is created is looked at, so that nothing of this server's
 * is ever taken for a dead one's.
 *
 * Life: dv_recovery_create() before anything else writes to DATA, dv_recovery_step() until it is
 *       done, dv_recovery_destroy().
 */

#include "base/status.h"

#include <stdbool.h>

struct dv_job_context;
struct dv_recovery;

/* Makes the folders that are missing, and hands what is hidden to the context's sweeper. */
DV_MUST_CHECK enum dv_status dv_recovery_create(
    struct dv_job_context *context, struct dv_recovery **ret_recovery, struct dv_error *reterr);

/* Judge a few names. False: all are judged, or the store is away for now. */
bool dv_recovery_step(struct dv_recovery *recovery);
bool dv_recovery_is_done(const struct dv_recovery *recovery);

/* NULL is fine; returns NULL. */
struct dv_recovery *dv_recovery_destroy(struct dv_recovery *recovery);

#endif
