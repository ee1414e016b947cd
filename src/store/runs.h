/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_RUNS_H
#define DV_STORE_RUNS_H

/*
 * Rows of `training_runs`, one for each candidate of a job: iteration, status, source, operator,
 * parents (a tree, by iteration), hypothesis, architecture, hyperparameters, metrics, history,
 * accuracy, loss, best_accuracy, parameters, flops, verdict, failure, repairs, restarts (how often
 * in a row it has ended its worker), created_at, finished_at. A strategy that trains one network
 * says nothing of it before its end, which writes it (store/jobs.h).
 */

#include "base/status.h"
#include "store/store.h"

/* Those of a job in order of iteration, as a list. */
DV_MUST_CHECK enum dv_status dv_runs_list(struct dv_store *store, const char *job_id,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr);

/* All of them in that order, an array; a job has at most so many. */
#define DV_RUNS_MAX 10000
DV_MUST_CHECK enum dv_status dv_runs_all(struct dv_store *store, const char *job_id,
    struct dv_json **ret_rows, struct dv_error *reterr);

/*
 * What the worker of the running job says of a candidate (train/worker.h), with an event "run" where
 * its status is another than before. Saying it again changes nothing.
 * DV_CONFLICT: the job is another's now. DV_INVALID: it has no iteration.
 */
DV_MUST_CHECK enum dv_status dv_runs_put(struct dv_store *store, const char *job_id, int64_t fence,
    const struct dv_json *run, struct dv_error *reterr);

/* How often in a row each run that has not ended has ended its worker: `*ret_rows` is {iteration, restarts}s. */
DV_MUST_CHECK enum dv_status dv_runs_restarts(struct dv_store *store, const char *job_id,
    struct dv_json **ret_rows, struct dv_error *reterr);

/* --- For those who end a job, within their transaction ------------------------------------ */

/* The run has ended its worker, now `restarts` times in a row. */
DV_MUST_CHECK enum dv_status dv_run_note_restart(struct dv_store *store, const char *job_id,
    int64_t iteration, int64_t restarts, struct dv_error *reterr);

/* What has begun and not ended ends as the job does. */
DV_MUST_CHECK enum dv_status dv_run_end_all(
    struct dv_store *store, const char *job_id, const char *status, struct dv_error *reterr);

/*
 * The run of a job's result, by its metrics' "best_iteration" (1 where they have none), becomes the
 * "best". `*ret_id` is its id. One of which nothing was said before has the figures of the result.
 */
DV_MUST_CHECK enum dv_status dv_run_keep_best(struct dv_store *store, const char *job_id,
    const char *job_status, const struct dv_json *result, char *ret_id, struct dv_error *reterr);

#endif
