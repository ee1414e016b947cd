/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The supervisor's side of jobs: the claim, progress, the ends, and back into the queue. Each end
 * is one transaction: the job, its run, its model, the model's version, their events.
 */

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "store/exchanges.h"
#include "store/job_move.h"
#include "store/jobs.h"
#include "store/runs.h"
#include "store/store_impl.h"

#include <assert.h>

/* --- Claims ----------------------------------------------------------------------------------- */

/* The one that waits and comes first; NULL: none does. */
static enum dv_status find_waiting(struct dv_store *store, const char *queued_since,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {
        dv_sql_text(queued_since ? queued_since : "1970-01-01T00:00:00.000Z"), dv_sql_bool(true)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_write(store,
        "SELECT id, model_id, fence FROM jobs WHERE status = 'pending' AND "
        "(queued_at >= $1 OR cancel_requested = $2) "
        "ORDER BY cancel_requested DESC, priority DESC, queued_at, id LIMIT 1",
        values, DV_ARRAY_SIZE(values), &rows, NULL, reterr);
    if (status == DV_OK && dv_json_count(rows) > 0) {
        *ret_row = dv_json_ref(dv_json_at(rows, 0));
    }
    return status;
}

static enum dv_status claim(struct dv_store *store, const char *queued_since,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value owner[] = {dv_sql_text(dv_store_instance(store))};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *waiting = NULL;

    enum dv_status status = find_waiting(store, queued_since, &waiting, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (!waiting) {
        return dv_fail(reterr, DV_NOT_FOUND, "no job waits");
    }
    const struct dv_job_move move = {.id = dv_json_get_string(waiting, "id", ""),
        .from = "pending",
        .to = "running",
        .fence = dv_json_get_integer(waiting, "fence", -1)};
    status = dv_job_move(store, &move,
        "owner = $6, fence = fence + 1, started_at = coalesce(started_at, $5)", owner, 1, reterr);
    if (status == DV_OK) {
        status = dv_job_move_model(
            store, dv_job_model_of(waiting), "queued", "training", NULL, reterr);
    }
    return status == DV_OK ? dv_job_get_within(store, move.id, ret_row, reterr) : status;
}

enum dv_status dv_jobs_claim(struct dv_store *store, const char *queued_since,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    struct dv_json *result = NULL;
    enum dv_status status = dv_store_begin(store, reterr);

    if (status != DV_OK) {
        return status;
    }
    status = claim(store, queued_since, &result, reterr);
    return dv_store_end_row(store, status, result, ret_row, reterr);
}

/* --- Progress --------------------------------------------------------------------------------- */

static struct dv_sql_value integer_or_null(int64_t value)
{
    return value < 0 ? dv_sql_null() : dv_sql_integer(value);
}

enum dv_status dv_jobs_progress(struct dv_store *store, const char *id, int64_t fence,
    const struct dv_job_progress *progress, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];
    int64_t changes = 0;

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_integer(fence),
        dv_sql_real(progress->progress), dv_sql_real(progress->accuracy),
        dv_sql_real(progress->best_accuracy), dv_sql_real(progress->eta_seconds),
        dv_sql_real(progress->images_per_second), integer_or_null(progress->iteration),
        integer_or_null(progress->epoch), integer_or_null(progress->epochs), dv_sql_text(now)};
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write(store,
        "UPDATE jobs SET progress = coalesce($3, progress), accuracy = coalesce($4, accuracy), "
        "best_accuracy = coalesce($5, best_accuracy), eta_seconds = coalesce($6, eta_seconds), "
        "images_per_second = coalesce($7, images_per_second), "
        "iteration = coalesce($8, iteration), epoch = coalesce($9, epoch), "
        "epochs = coalesce($10, epochs), updated_at = $11 "
        "WHERE id = $1 AND status = 'running' AND fence = $2",
        values, DV_ARRAY_SIZE(values), NULL, &changes, reterr);
    if (status == DV_OK && changes != 1) {
        status = dv_fail(reterr, DV_CONFLICT, "the job is no longer this worker's");
    }
    if (status == DV_OK && progress->event) {
        status = dv_store_event(store, "jobs", id, progress->event_type,
            dv_json_ref(progress->event), NULL, reterr);
    }
    return dv_store_end(store, status, reterr);
}

/* --- Ends ------------------------------------------------------------------------------------- */

struct end {
    const char *status, *reason, *error;
    const struct dv_json *result; /* NULL: there is none */
};

/* The job's result: the worker's, with what asking cost. NULL: there is none. */
static enum dv_status make_result(struct dv_store *store, const char *job_id,
    const struct dv_json *result, struct dv_json **ret_whole, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *bill = NULL;

    if (!result) {
        *ret_whole = NULL;
        return DV_OK;
    }
    enum dv_status status = dv_exchange_bill(store, job_id, &bill, reterr);
    if (status != DV_OK) {
        return status;
    }
    struct dv_json *whole = dv_json_copy(result);
    if (dv_json_get_integer(bill, "questions", 0) > 0) {
        dv_json_set(whole, "llm", dv_json_ref(bill));
    }
    *ret_whole = whole;
    return DV_OK;
}

static enum dv_status end_job(struct dv_store *store, const struct dv_json *job,
    const struct end *end, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *whole = NULL;
    const char *id = dv_json_get_string(job, "id", "");

    enum dv_status status = dv_run_end_all(store, id, end->status, reterr);
    if (status == DV_OK) {
        status = make_result(store, id, end->result, &whole, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    DV_CLEANUP(dv_freep) char *result = dv_store_json_text(whole);
    DV_CLEANUP(dv_freep)
    char *hyperparameters = dv_store_json_text(dv_json_get(end->result, "hyperparameters"));
    bool is_whole = dv_text_equal(end->status, "completed");
    const struct dv_job_move move = {.id = id,
        .from = "running",
        .to = end->status,
        .fence = dv_json_get_integer(job, "fence", -1),
        .reason = end->reason,
        .error = end->error};
    const struct dv_sql_value values[] = {dv_sql_text(end->reason), dv_sql_text(end->error),
        dv_sql_text(result), dv_sql_text(hyperparameters),
        is_whole ? dv_sql_real(1.0) : dv_sql_null()};

    return dv_job_move(store, &move,
        "failure_reason = $6, error = $7, result = $8, "
        "hyperparameters = coalesce($9, hyperparameters), progress = coalesce($10, progress), "
        "eta_seconds = NULL, finished_at = $5",
        values, DV_ARRAY_SIZE(values), reterr);
}

/* A model that was ready in part and is made whole has the whole one as its next version. */
static enum dv_status insert_version(struct dv_store *store, const char *model_id,
    const char *run_id, const struct dv_json *result, const char *path, const char *now,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    char *hyperparameters = dv_store_json_text(dv_json_get(result, "hyperparameters"));
    DV_CLEANUP(dv_freep) char *metrics = dv_store_json_text(dv_json_get(result, "metrics"));
    const struct dv_sql_value values[] = {dv_sql_text(model_id), dv_sql_text(run_id),
        dv_store_number(result, "accuracy"), dv_store_number(result, "loss"),
        dv_sql_text(hyperparameters), dv_sql_text(metrics), dv_sql_text(path),
        dv_sql_text(dv_json_get_string(result, "content_hash", NULL)), dv_sql_text(now)};

    return dv_store_write(store,
        "INSERT INTO model_versions (model_id, version, run_id, accuracy, loss, "
        "hyperparameters, metrics, path, content_hash, created_at) "
        "SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9 "
        "FROM model_versions WHERE model_id = $1",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

/* Metrics as the model shows them: the figures, with the history beside them. */
static char *make_metrics_text(const struct dv_json *result)
{
    const struct dv_json *metrics = dv_json_get(result, "metrics");
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *whole =
        dv_json_is_object(metrics) ? dv_json_copy(metrics) : dv_json_object();
    const struct dv_json *history = dv_json_get(result, "history");

    dv_json_set(whole, "history", history ? dv_json_ref(history) : dv_json_array());
    return dv_json_print(whole);
}

static enum dv_status fill_model(struct dv_store *store, const char *model_id,
    const struct dv_json *result, const char *path, bool is_partial, const char *now,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    char *hyperparameters = dv_store_json_text(dv_json_get(result, "hyperparameters"));
    DV_CLEANUP(dv_freep) char *metrics = make_metrics_text(result);
    DV_CLEANUP(dv_freep)
    char *architecture = dv_store_json_text(dv_json_get(result, "architecture"));
    DV_CLEANUP(dv_freep)
    char *preprocessing = dv_store_json_text(dv_json_get(result, "preprocessing"));
    DV_CLEANUP(dv_freep) char *classes = dv_store_json_text(dv_json_get(result, "classes"));
    const struct dv_sql_value values[] = {dv_sql_text(model_id),
        dv_store_number(result, "accuracy"), dv_store_number(result, "loss"),
        dv_sql_text(hyperparameters), dv_sql_text(metrics), dv_sql_text(architecture),
        dv_sql_text(preprocessing), dv_sql_text(classes), dv_store_count(result, "parameters"),
        dv_store_count(result, "flops"), dv_sql_text(path), dv_sql_bool(is_partial),
        dv_sql_text(dv_json_get_string(result, "strategy", NULL)), dv_sql_text(now)};

    enum dv_status status = dv_store_write(store,
        "UPDATE models SET accuracy = $2, loss = $3, hyperparameters = $4, "
        "metrics = $5, architecture = $6, preprocessing = $7, classes = $8, parameters = $9, "
        "flops = $10, model_path = $11, is_partial = $12, strategy = coalesce($13, strategy), "
        "current_version = (SELECT max(version) FROM model_versions WHERE model_id = $1), "
        "updated_at = $14 WHERE id = $1",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
    return status == DV_OK
               ? dv_job_move_model(store, model_id, "training", "ready", NULL, reterr)
               : status;
}

/* Run, version and model of a result whose files are in their place. */
static enum dv_status keep_result(struct dv_store *store, const struct dv_json *job,
    const struct end *end, const char *path, const char *now, struct dv_error *reterr)
{
    char run_id[DV_UUID_TEXT_SIZE];
    bool is_partial = !dv_text_equal(end->status, "completed");

    enum dv_status status = dv_run_keep_best(
        store, dv_json_get_string(job, "id", ""), end->status, end->result, run_id, reterr);
    if (status == DV_OK) {
        status = insert_version(store, dv_job_model_of(job), run_id, end->result, path, now, reterr);
    }
    if (status == DV_OK) {
        status = fill_model(store, dv_job_model_of(job), end->result, path, is_partial, now, reterr);
    }
    return status;
}

/* The model of a job that has no result. */
static enum dv_status leave_model(struct dv_store *store, const struct dv_json *job,
    const struct end *end, struct dv_error *reterr)
{
    return dv_text_equal(end->status, "failed")
               ? dv_job_move_model(
                     store, dv_job_model_of(job), "training", "failed", end->error, reterr)
               : dv_job_settle_model(store, dv_job_model_of(job), "training", reterr);
}

static enum dv_status end_with(struct dv_store *store, const char *id, int64_t fence,
    const struct end *end, const char *model_path, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_job_get_claimed(store, id, fence, &job, reterr);
    if (status == DV_OK && end->result && model_path) {
        status = keep_result(store, job, end, model_path, now, reterr);
    } else if (status == DV_OK) {
        status = leave_model(store, job, end, reterr);
    }
    if (status == DV_OK) {
        status = end_job(store, job, end, reterr);
    }
    return dv_store_end(store, status, reterr);
}

enum dv_status dv_jobs_complete(struct dv_store *store, const char *id, int64_t fence,
    const struct dv_json *result, const char *model_path, struct dv_error *reterr)
{
    const struct end end = {.status = "completed", .result = result};

    assert(result);
    assert(model_path);
    return end_with(store, id, fence, &end, model_path, reterr);
}

enum dv_status dv_jobs_fail(struct dv_store *store, const char *id, int64_t fence,
    const char *reason, const char *error, struct dv_error *reterr)
{
    const struct end end = {.status = "failed", .reason = reason, .error = error};

    return end_with(store, id, fence, &end, NULL, reterr);
}

enum dv_status dv_jobs_cancel(struct dv_store *store, const char *id, int64_t fence,
    const struct dv_json *result, const char *model_path, struct dv_error *reterr)
{
    const struct end end = {.status = "cancelled", .reason = "cancelled", .result = result};

    return end_with(store, id, fence, &end, model_path, reterr);
}

/* --- Back into the queue ---------------------------------------------------------------------- */

/* Its place in the queue is the old one: queued_at stays. The fence rises with the next claim. */
static enum dv_status put_back(struct dv_store *store, const struct dv_json *job,
    const struct dv_job_setback *setback, struct dv_error *reterr)
{
    const struct dv_job_move move = {.id = dv_json_get_string(job, "id", ""),
        .from = "running",
        .to = "pending",
        .fence = dv_json_get_integer(job, "fence", -1),
        .reason = setback->reason};
    const struct dv_sql_value values[] = {
        dv_sql_integer(setback->is_charged ? 1 : 0), dv_sql_text(setback->reason)};

    enum dv_status status = dv_job_move(store, &move,
        "owner = NULL, restarts = restarts + $6, failure_reason = $7, eta_seconds = NULL", values,
        DV_ARRAY_SIZE(values), reterr);
    if (status == DV_OK && setback->run > 0) {
        status =
            dv_run_note_restart(store, move.id, setback->run, setback->run_restarts, reterr);
    }
    return status == DV_OK ? dv_job_move_model(
                                 store, dv_job_model_of(job), "training", "queued", NULL, reterr)
                           : status;
}

enum dv_status dv_jobs_requeue(struct dv_store *store, const char *id, int64_t fence,
    const struct dv_job_setback *setback, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_job_get_claimed(store, id, fence, &job, reterr);
    if (status == DV_OK) {
        status = put_back(store, job, setback, reterr);
    }
    return dv_store_end(store, status, reterr);
}

enum dv_status dv_jobs_recover(struct dv_store *store, int64_t *ret_count, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(dv_store_instance(store))};
    const struct dv_job_setback setback = {.reason = "host_restart"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *jobs = NULL;

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write(store,
        "SELECT id, model_id, fence FROM jobs WHERE status = 'running' AND owner <> $1",
        values, 1, &jobs, NULL, reterr);
    for (size_t i = 0; status == DV_OK && i < dv_json_count(jobs); i++) {
        status = put_back(store, dv_json_at(jobs, i), &setback, reterr);
    }
    status = dv_store_end(store, status, reterr);
    if (status == DV_OK) {
        *ret_count = (int64_t)dv_json_count(jobs);
    }
    return status;
}

enum dv_status dv_jobs_to_cancel(
    struct dv_store *store, struct dv_json **ret_ids, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_bool(true)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_read(store,
        "SELECT id FROM jobs WHERE status = 'running' AND cancel_requested = $1", values, 1, &rows,
        reterr);
    if (status != DV_OK) {
        return status;
    }
    struct dv_json *ids = dv_json_array();
    for (size_t i = 0; i < dv_json_count(rows); i++) {
        dv_json_append(ids, dv_json_ref(dv_json_get(dv_json_at(rows, i), "id")));
    }
    *ret_ids = ids;
    return DV_OK;
}
