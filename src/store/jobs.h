/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_JOBS_H
#define DV_STORE_JOBS_H

/*
 * Rows of `jobs`: the queue and its history. id, kind, status, model_id, dataset_id, strategy,
 * device, spec (the request, complete), priority, seed, timeout_seconds, max_restarts, restarts,
 * thread_count, owner, fence, cancel_requested, progress, iteration, epoch, epochs, accuracy,
 * best_accuracy, eta_seconds, images_per_second, hyperparameters, result, error, failure_reason,
 * queued_at, started_at, finished_at, created_at, updated_at.
 *
 * pending -> running -> completed | failed | cancelled; running -> pending when its worker or its
 * server died; failed | cancelled -> pending by dv_jobs_resume(). Every call of the supervisor
 * brings the fence it was given with the claim: DV_CONFLICT says that the job is another's now.
 */

#include "base/status.h"
#include "store/store.h"

struct dv_job_filter {
    const char *status;
    const char *dataset_id;
    const char *model_id;
    const char *strategy;
};

/* A new job. Members that are NULL or 0 are stored as such. */
struct dv_job_row {
    const char *id;
    const char *kind; /* "train" */
    const char *dataset_id;
    const char *model_id;   /* of the new model */
    const char *model_name;
    const char *strategy;   /* as chosen: never "auto" */
    const char *task;
    const char *device;
    const struct dv_json *spec;
    const struct dv_json *hyperparameters;
    int64_t priority, seed, timeout_seconds, max_restarts, thread_count;
};

/*
 * The job `pending` and its model `queued`, in one transaction.
 * DV_NOT_FOUND: no such data set; DV_CONFLICT: it is not ready; DV_UNAVAILABLE: too many wait.
 */
#define DV_JOBS_PENDING_MAX 10000
DV_MUST_CHECK enum dv_status dv_jobs_create(struct dv_store *store, const struct dv_job_row *job,
    struct dv_json **ret_row, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_jobs_get(struct dv_store *store, const char *id,
    struct dv_json **ret_row, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_jobs_list(struct dv_store *store,
    const struct dv_job_filter *filter, const struct dv_page *page, struct dv_json **ret_list,
    struct dv_error *reterr);

/*
 * Ask for its end: a pending one is `cancelled` at once (its model `draft`), a running one gets
 * cancel_requested, one that is over stays as it is. So does a pending one that may have trained
 * what no version of its model holds: who claims it makes a model of that. The row as it then is.
 */
DV_MUST_CHECK enum dv_status dv_jobs_request_cancel(struct dv_store *store, const char *id,
    struct dv_json **ret_row, struct dv_error *reterr);

/*
 * Back into the queue: of a failed or cancelled one, and of a pending one (queued_at is now, and
 * nobody wants its end any more).
 */
DV_MUST_CHECK enum dv_status dv_jobs_resume(struct dv_store *store, const char *id,
    struct dv_json **ret_row, struct dv_error *reterr);

/* --- The supervisor's side ---------------------------------------------------------------- */

/*
 * Take the pending job of highest priority that was queued first, and not before `queued_since`
 * (NULL: whenever): running, ours, fence raised; its model `training`. One that is to be cancelled
 * comes first and in any case; DV_JOBS_TO_END: only such a one. DV_NOT_FOUND: none waits.
 */
#define DV_JOBS_TO_END "9999-12-31T23:59:59.999Z"
DV_MUST_CHECK enum dv_status dv_jobs_claim(struct dv_store *store, const char *queued_since,
    struct dv_json **ret_row, struct dv_error *reterr);

/* What may change while it runs. NAN and negative numbers leave a column as it is. */
struct dv_job_progress {
    double progress, accuracy, best_accuracy, eta_seconds, images_per_second;
    int64_t iteration, epoch, epochs;
    const struct dv_json *event; /* data of the event, all figures; type "progress" or "metrics" */
    const char *event_type;
};
DV_MUST_CHECK enum dv_status dv_jobs_progress(struct dv_store *store, const char *id, int64_t fence,
    const struct dv_job_progress *progress, struct dv_error *reterr);

/*
 * The end: the job completed, its run written (store/runs.h), its model `ready` with `result`'s
 * figures and a new version whose files are at `model_path` already, whole and durable. The job's
 * result says in "llm" what was asked of a language model.
 */
DV_MUST_CHECK enum dv_status dv_jobs_complete(struct dv_store *store, const char *id, int64_t fence,
    const struct dv_json *result, const char *model_path, struct dv_error *reterr);

/* The other ends. `model_path` NULL: there is no best checkpoint; else the model is ready, partial. */
DV_MUST_CHECK enum dv_status dv_jobs_fail(struct dv_store *store, const char *id, int64_t fence,
    const char *reason, const char *error, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_jobs_cancel(struct dv_store *store, const char *id, int64_t fence,
    const struct dv_json *result, const char *model_path, struct dv_error *reterr);

/* Why a job goes back into the queue. */
struct dv_job_setback {
    const char *reason;
    bool is_charged;      /* it counts as a restart of the job; of the server's it does not */
    int64_t run;          /* the candidate that ended the worker, by its iteration; 0: none */
    int64_t run_restarts; /* how often in a row that one has now done so */
};

/*
 * Its worker has died: back to pending with the reason, for the same supervisor to claim again.
 */
DV_MUST_CHECK enum dv_status dv_jobs_requeue(struct dv_store *store, const char *id, int64_t fence,
    const struct dv_job_setback *setback, struct dv_error *reterr);

/*
 * At start: all running jobs of other instances back to pending, uncharged. How many there were.
 * One that was to be cancelled is so still when it is claimed: what it leaves is for its claimer
 * to see to.
 */
DV_MUST_CHECK enum dv_status dv_jobs_recover(
    struct dv_store *store, int64_t *ret_count, struct dv_error *reterr);

/* Ids of running jobs with cancel_requested. */
DV_MUST_CHECK enum dv_status dv_jobs_to_cancel(
    struct dv_store *store, struct dv_json **ret_ids, struct dv_error *reterr);

#endif
