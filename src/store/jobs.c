/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Jobs as people see them: lists, creating, asking for an end or for another try. What the
 * supervisor does with them is in job_work.c.
 */

#include "store/jobs.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/job_move.h"
#include "store/store_impl.h"

#include <assert.h>

#define NOUN "job"

static const struct dv_list_sort sorts[] = {
    {"created_at", DV_LIST_TIME},
    {"queued_at", DV_LIST_TIME},
    {"updated_at", DV_LIST_TIME},
    {"priority", DV_LIST_INTEGER},
    {0},
};

/* --- Reading ---------------------------------------------------------------------------------- */

enum dv_status dv_jobs_get(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};

    return dv_store_read_one(
        store, NOUN, "SELECT " DV_JOB_COLUMNS " FROM jobs WHERE id = $1", values, 1, ret_row, reterr);
}

enum dv_status dv_jobs_list(struct dv_store *store, const struct dv_job_filter *filter,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr)
{
    struct dv_list list = {
        .columns = DV_JOB_COLUMNS, .from = "jobs", .sorts = sorts, .id = "id", .default_sort = "-created_at"};

    dv_list_add(&list, "status = $$", dv_sql_text(filter->status));
    dv_list_add(&list, "dataset_id = $$", dv_sql_text(filter->dataset_id));
    dv_list_add(&list, "model_id = $$", dv_sql_text(filter->model_id));
    dv_list_add(&list, "strategy = $$", dv_sql_text(filter->strategy));
    return dv_list_run(store, &list, page, ret_list, reterr);
}

/* --- Creating --------------------------------------------------------------------------------- */

static enum dv_status check_dataset(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_store_write_one(store, "data set",
        "SELECT readiness FROM datasets WHERE id = $1", values, 1, &row, reterr);
    const char *readiness = dv_json_get_string(row, "readiness", "");
    if (status == DV_OK && !dv_text_equal(readiness, "ready")) {
        return dv_fail(reterr, DV_CONFLICT, "the data set is not ready: it is '%s'", readiness);
    }
    return status;
}

static enum dv_status check_queue(struct dv_store *store, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_write(store,
        "SELECT count(*) AS count FROM jobs WHERE status = 'pending'", NULL, 0, &rows, NULL, reterr);
    int64_t count = dv_json_get_integer(dv_json_at(rows, 0), "count", 0);
    if (status == DV_OK && count >= DV_JOBS_PENDING_MAX) {
        return dv_fail(reterr, DV_UNAVAILABLE, "%lld jobs wait already: try again when some are done",
            (long long)count);
    }
    return status;
}

static enum dv_status insert_model(
    struct dv_store *store, const struct dv_job_row *job, const char *now, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(job->model_id), dv_sql_text(job->model_name),
        dv_sql_text(job->task), dv_sql_text(job->strategy), dv_sql_text(job->dataset_id),
        dv_sql_text(job->id), dv_sql_bool(false), dv_sql_text(now)};

    struct dv_json *data = dv_json_object();
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = dv_json_object();

    dv_json_set_string(row, "id", job->model_id);
    dv_json_set_string(row, "name", job->model_name);
    dv_json_set_string(data, "status", "queued");
    dv_json_set_string(data, "name", job->model_name);
    dv_json_set_string(data, "job_id", job->id);
    enum dv_status status = dv_store_write(store,
        "INSERT INTO models (id, name, task, status, strategy, dataset_id, job_id, is_partial, "
        "created_at, updated_at) VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $8)",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
    if (status == DV_OK) {
        status = dv_list_note_search(store, "models", row, reterr);
    }
    if (status != DV_OK) {
        dv_json_unref(data);
        return status;
    }
    return dv_store_event(store, "models", job->model_id, "created", data, NULL, reterr);
}

static enum dv_status insert_job(
    struct dv_store *store, const struct dv_job_row *job, const char *now, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *spec = dv_json_print(job->spec);
    DV_CLEANUP(dv_freep) char *hyperparameters = dv_store_json_text(job->hyperparameters);
    const struct dv_sql_value values[] = {dv_sql_text(job->id), dv_sql_text(job->kind),
        dv_sql_text(job->model_id), dv_sql_text(job->dataset_id), dv_sql_text(job->strategy),
        dv_sql_text(job->device), dv_sql_text(spec), dv_sql_integer(job->priority),
        dv_sql_integer(job->seed), dv_sql_integer(job->timeout_seconds),
        dv_sql_integer(job->max_restarts), dv_sql_integer(job->thread_count), dv_sql_bool(false),
        dv_sql_text(hyperparameters), dv_sql_text(now)};

    return dv_store_write(store,
        "INSERT INTO jobs (id, kind, status, model_id, dataset_id, strategy, device, spec, "
        "priority, seed, timeout_seconds, max_restarts, thread_count, cancel_requested, "
        "hyperparameters, queued_at, created_at, updated_at) VALUES "
        "($1, $2, 'pending', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $15)",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

enum dv_status dv_jobs_create(struct dv_store *store, const struct dv_job_row *job,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_job_move beginning = {.id = job->id, .to = "pending"};
    struct dv_json *result = NULL;
    char now[DV_TIME_TEXT_SIZE];

    assert(dv_uuid_is_valid(job->id));
    assert(dv_uuid_is_valid(job->model_id));
    dv_clock_now_text(now);
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = check_dataset(store, job->dataset_id, reterr);
    if (status == DV_OK) {
        status = check_queue(store, reterr);
    }
    if (status == DV_OK) {
        status = insert_model(store, job, now, reterr);
    }
    if (status == DV_OK) {
        status = insert_job(store, job, now, reterr);
    }
    if (status == DV_OK) {
        status = dv_job_tell(store, &beginning, reterr);
    }
    if (status == DV_OK) {
        status = dv_job_get_within(store, job->id, &result, reterr);
    }
    return dv_store_end_row(store, status, result, ret_row, reterr);
}

/* --- What a person asks for ------------------------------------------------------------------- */

static enum dv_status cancel_pending(
    struct dv_store *store, const struct dv_json *row, struct dv_error *reterr)
{
    const struct dv_job_move move = {.id = dv_json_get_string(row, "id", ""),
        .from = "pending",
        .to = "cancelled",
        .fence = dv_json_get_integer(row, "fence", -1),
        .reason = "cancelled"};

    enum dv_status status = dv_job_move(
        store, &move, "failure_reason = 'cancelled', finished_at = $5", NULL, 0, reterr);
    return status == DV_OK ? dv_job_settle_model(store, dv_job_model_of(row), "queued", reterr)
                           : status;
}

static enum dv_status ask_to_cancel(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_bool(true)};

    return dv_store_write(store,
        "UPDATE jobs SET cancel_requested = $2 WHERE id = $1 AND status IN ('pending', 'running')",
        values, 2, NULL, NULL, reterr);
}

/*
 * May a pending job have trained what no version of its model holds? Yes where it waits because a
 * worker died over it, which says why; where it is gone on with, if no earlier end left a version.
 */
static enum dv_status find_unkept(struct dv_store *store, const struct dv_json *row,
    bool *ret_is_unkept, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(dv_job_model_of(row))};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *model = NULL;

    enum dv_status status = dv_store_write_one(store, "model",
        "SELECT current_version FROM models WHERE id = $1", values, 1, &model, reterr);
    if (status == DV_OK) {
        bool has_begun = !dv_json_is_null(dv_json_get(row, "started_at"));
        bool has_died = !dv_json_is_null(dv_json_get(row, "failure_reason"));
        bool has_version = !dv_json_is_null(dv_json_get(model, "current_version"));
        *ret_is_unkept = has_begun && (has_died || !has_version);
    }
    return status;
}

static enum dv_status end_pending(
    struct dv_store *store, const struct dv_json *row, struct dv_error *reterr)
{
    bool is_unkept = false;

    enum dv_status status = find_unkept(store, row, &is_unkept, reterr);
    if (status != DV_OK) {
        return status;
    }
    return is_unkept ? ask_to_cancel(store, dv_json_get_string(row, "id", ""), reterr)
                     : cancel_pending(store, row, reterr);
}

enum dv_status dv_jobs_request_cancel(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr)
{
    struct dv_json *result = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_job_get_within(store, id, &row, reterr);
    if (status == DV_OK && dv_text_equal(dv_job_status_of(row), "pending")) {
        status = end_pending(store, row, reterr);
    } else if (status == DV_OK && dv_text_equal(dv_job_status_of(row), "running")) {
        status = ask_to_cancel(store, id, reterr);
    }
    if (status == DV_OK) {
        status = dv_job_get_within(store, id, &result, reterr);
    }
    return dv_store_end_row(store, status, result, ret_row, reterr);
}

/* A model that was ready in part, or had failed, is made anew; its version stays until then. */
static enum dv_status queue_model(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    static const char *const from[] = {"draft", "failed", "ready"};
    enum dv_status status = DV_OK;

    for (size_t i = 0; status == DV_OK && i < DV_ARRAY_SIZE(from); i++) {
        status = dv_job_move_model(store, id, from[i], "queued", NULL, reterr);
    }
    return status;
}

static enum dv_status requeue_ended(
    struct dv_store *store, const struct dv_json *row, struct dv_error *reterr)
{
    const struct dv_job_move move = {.id = dv_json_get_string(row, "id", ""),
        .from = dv_job_status_of(row),
        .to = "pending",
        .fence = dv_json_get_integer(row, "fence", -1)};
    const struct dv_sql_value values[] = {dv_sql_bool(false)};

    if (dv_json_is_null(dv_json_get(row, "dataset_id"))) {
        return dv_fail(reterr, DV_CONFLICT, "the job's data set has been deleted");
    }
    enum dv_status status = dv_job_move(store, &move,
        "owner = NULL, cancel_requested = $6, restarts = 0, error = NULL, failure_reason = NULL, "
        "finished_at = NULL, queued_at = $5",
        values, DV_ARRAY_SIZE(values), reterr);
    return status == DV_OK ? queue_model(store, dv_job_model_of(row), reterr) : status;
}

static enum dv_status touch_queue(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(now), dv_sql_bool(false)};
    return dv_store_write(store,
        "UPDATE jobs SET queued_at = $2, updated_at = $2, cancel_requested = $3 WHERE id = $1",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

enum dv_status dv_jobs_resume(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr)
{
    struct dv_json *result = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_job_get_within(store, id, &row, reterr);
    if (status == DV_OK) {
        const char *from = dv_job_status_of(row);
        if (dv_text_equal(from, "pending")) {
            status = touch_queue(store, id, reterr);
        } else if (dv_text_equal(from, "failed") || dv_text_equal(from, "cancelled")) {
            status = requeue_ended(store, row, reterr);
        } else {
            status = dv_fail(reterr, DV_CONFLICT,
                "the job is '%s': only one that failed or was cancelled is resumed", from);
        }
    }
    if (status == DV_OK) {
        status = dv_job_get_within(store, id, &result, reterr);
    }
    return dv_store_end_row(store, status, result, ret_row, reterr);
}
