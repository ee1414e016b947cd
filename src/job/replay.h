/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_REPLAY_H
#define DV_JOB_REPLAY_H

/*
 * What a job tries that replays another's search: the other's candidates, from the store, as the
 * file that its worker looks for (train/search/search.h). Written once, so that every worker of
 * the job reads the same.
 */

#include "base/status.h"

struct dv_job_folder;
struct dv_json;
struct dv_store;

/*
 * Does nothing for a job that replays nothing, or has the file. DV_UNAVAILABLE: not now.
 * DV_NOT_FOUND: the other job is gone.
 */
DV_MUST_CHECK enum dv_status dv_replay_prepare(struct dv_store *store,
    const struct dv_job_folder *folder, const struct dv_json *row, struct dv_error *reterr);

#endif
