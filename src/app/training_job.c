/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from dv_training_job_run(): train_with_restarts() until the worker's result is there, then
 * publish(), then the job's own result, then the record. Each step finds out whether an earlier,
 * killed command did it.
 */

#include "app/training_job.h"

#include "app/dataset_store.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/job_spec.h"

#include <assert.h>

#define KIND "jobs"

/* --- The record ------------------------------------------------------------------------- */

static enum dv_status save(const struct dv_stored *job, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/job.json", job->folder);
    return status == DV_OK ? dv_record_write(path, job->record, reterr) : status;
}

static enum dv_status set_status(
    struct dv_stored *job, const char *name, const char *reason, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    dv_json_set_string(job->record, "status", name);
    dv_json_set_string(job->record, "failure_reason", reason);
    dv_json_set_string(job->record, "updated_at", now);
    return save(job, reterr);
}

enum dv_status dv_training_job_create(struct dv_session *session, const struct dv_job_spec *spec,
    const struct dv_stored *dataset, struct dv_stored *ret_job, struct dv_error *reterr)
{
    char id[DV_UUID_TEXT_SIZE], model_id[DV_UUID_TEXT_SIZE], now[DV_TIME_TEXT_SIZE];
    char work[DV_PATH_SIZE];
    struct dv_json *record = dv_json_object();

    dv_uuid_make(id);
    dv_uuid_make(model_id);
    dv_clock_now_text(now);
    dv_json_set_string(record, "id", id);
    dv_json_set_string(record, "kind", "train");
    dv_json_set_string(record, "status", "running");
    dv_json_set_string(record, "created_at", now);
    dv_json_set_string(record, "dataset_id", dataset->id);
    dv_json_set_string(
        record, "content_hash", dv_json_get_string(dataset->record, "content_hash", ""));
    dv_json_set_string(record, "model_id", model_id);
    dv_json_set_integer(record, "thread_count", session->thread_count);
    dv_json_set_integer(record, "restarts", 0);
    dv_json_set(record, "spec", dv_job_spec_to_json(spec));
    enum dv_status status = dv_data_folder_adopt(&session->folder, KIND, record, ret_job, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_path_format(work, reterr, "%s/work", ret_job->folder);
    if (status == DV_OK) {
        status = dv_folder_make(work, reterr);
    }
    if (status == DV_OK) {
        status = save(ret_job, reterr);
    }
    if (status != DV_OK) {
        dv_stored_finish(ret_job);
    }
    return status;
}

/* A job has ended when its result is there, whatever its record says: that comes after. */
static bool has_result(const struct dv_session *session, const struct dv_json *record)
{
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf(
        "%s/jobs/%s/result.json", session->folder.path, dv_json_get_string(record, "id", ""));

    return dv_path_exists(path);
}

static bool has_model(const struct dv_session *session, const struct dv_json *record)
{
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("%s/models/%s/versions/1", session->folder.path,
        dv_json_get_string(record, "model_id", ""));

    return dv_path_is_folder(path);
}

/* One that is damaged equals none. */
static bool is_same_spec(const struct dv_json *a, const struct dv_json *b)
{
    if (!dv_json_is_object(a)) {
        return false;
    }
    DV_CLEANUP(dv_freep) char *text_a = dv_json_print_canonical(a);
    DV_CLEANUP(dv_freep) char *text_b = dv_json_print_canonical(b);

    return dv_text_equal(text_a, text_b);
}

enum dv_status dv_training_job_find(struct dv_session *session, const struct dv_job_spec *spec,
    struct dv_stored *ret_job, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *records = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *wanted = dv_job_spec_to_json(spec);

    enum dv_status status =
        dv_data_folder_records(&session->folder, KIND, "job.json", &records, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (size_t i = dv_json_count(records); i-- > 0;) {
        struct dv_json *record = dv_json_at(records, i);
        if ((!has_result(session, record) || has_model(session, record)) &&
            is_same_spec(dv_json_get(record, "spec"), wanted)) {
            return dv_data_folder_adopt(
                &session->folder, KIND, dv_json_ref(record), ret_job, reterr);
        }
    }
    return dv_fail(
        reterr, DV_NOT_FOUND, "there is no unfinished job with these arguments to go on with");
}

/* --- Training --------------------------------------------------------------------------- */

struct run {
    struct dv_session *session;
    struct dv_stored *job;
    const struct dv_stored *dataset;
    enum dv_failure_reason reason;
    char work[DV_PATH_SIZE];   /* the worker's folder */
    char found[DV_PATH_SIZE];  /* where it leaves its result */
    char result[DV_PATH_SIZE]; /* where the job's result is kept */
    char source[DV_PATH_SIZE]; /* job.json */
    char cache[DV_PATH_SIZE];
    char model[DV_PATH_SIZE]; /* DATA/models/{id} */
};

static enum dv_status prepare(struct run *run, struct dv_error *reterr)
{
    const char *root = run->session->folder.path;
    const char *folder = run->job->folder;
    const char *model_id = dv_json_get_string(run->job->record, "model_id", "");

    if (!dv_uuid_is_valid(model_id)) {
        return dv_fail(reterr, DV_CORRUPT, "the record of job %s is damaged", run->job->id);
    }
    enum dv_status status = dv_path_format(run->work, reterr, "%s/work", folder);
    if (status == DV_OK) {
        status = dv_path_format(run->found, reterr, "%s/work/result.json", folder);
    }
    if (status == DV_OK) {
        status = dv_path_format(run->result, reterr, "%s/result.json", folder);
    }
    if (status == DV_OK) {
        status = dv_path_format(run->source, reterr, "%s/job.json", folder);
    }
    if (status == DV_OK) {
        status = dv_path_format(run->cache, reterr, "%s/cache/plans", root);
    }
    if (status == DV_OK) {
        status = dv_path_format(run->model, reterr, "%s/models/%s", root, model_id);
    }
    if (status == DV_OK) {
        status = dv_folder_make(run->cache, reterr);
    }
    return status;
}

static void on_progress(void *user, const struct dv_message_progress *progress)
{
    struct run *run = user;

    dv_progress_view_train(&run->session->view, progress);
}

static enum dv_status call_worker(struct run *run, int64_t attempt, uint64_t deadline_ns,
    struct dv_role_outcome *ret_outcome, struct dv_error *reterr)
{
    const struct dv_role_call call = {.role = "worker",
        .job = {.kind = "train",
            .source = run->source,
            .dataset_folder = run->dataset->folder,
            .job_folder = run->work,
            .cache_folder = run->cache,
            .previous_failure = attempt > 0 ? dv_failure_reason_name(run->reason) : NULL,
            .attempt = dv_json_get_integer(run->job->record, "restarts", 0),
            .thread_count = dv_json_get_integer(run->job->record, "thread_count", 0),
            .memory_max = run->session->memory_max},
        .deadline_ns = deadline_ns,
        .user = run,
        .on_progress = on_progress};

    enum dv_status status = dv_role_call(run->session, &call, ret_outcome, reterr);
    dv_progress_view_end(&run->session->view);
    return status;
}

static void say_restart(struct run *run, int64_t restart, int64_t restarts_max, const char *why)
{
    DV_CLEANUP(dv_freep)
    char *text = dv_strprintf("%s; starting it again from its last checkpoint (%lld of %lld)", why,
        (long long)restart, (long long)restarts_max);

    dv_session_say(run->session, "warning", text);
}

static enum dv_status train_with_restarts(struct run *run, struct dv_error *reterr)
{
    const struct dv_json *spec = dv_json_get(run->job->record, "spec");
    int64_t restarts_max = dv_json_get_integer(spec, "max_restarts", DV_MAX_RESTARTS_DEFAULT);
    int64_t timeout_s = dv_json_get_integer(spec, "timeout_seconds", 0);
    uint64_t deadline_ns =
        timeout_s > 0 ? dv_clock_monotonic_ns() + (uint64_t)timeout_s * 1000000000u : 0;

    for (int64_t attempt = 0;; attempt++) {
        struct dv_role_outcome outcome;
        struct dv_error error = {0};
        enum dv_status status = call_worker(run, attempt, deadline_ns, &outcome, &error);
        run->reason = outcome.reason;
        if (status == DV_OK) {
            return DV_OK;
        }
        bool can_help = outcome.has_died || outcome.reason == DV_FAILURE_OOM;
        if (!can_help || attempt >= restarts_max) {
            return dv_fail(reterr, status, "%s", error.text);
        }
        dv_json_set_integer(
            run->job->record, "restarts", dv_json_get_integer(run->job->record, "restarts", 0) + 1);
        status = save(run->job, reterr);
        if (status != DV_OK) {
            return status;
        }
        say_restart(run, attempt + 1, restarts_max, error.text);
    }
}

/* --- The end ---------------------------------------------------------------------------- */

/* What `dv model list` shows; written last: a model is there once its record is. */
static enum dv_status write_model_record(
    const struct run *run, const struct dv_json *result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *record = dv_json_object();
    const struct dv_json *job = run->job->record;
    char path[DV_PATH_SIZE], now[DV_TIME_TEXT_SIZE];
    static const char *const copied[] = {
        "strategy", "accuracy", "loss", "parameters", "flops", "hyperparameters", "classes"};

    dv_clock_now_text(now);
    dv_json_set_string(record, "id", dv_json_get_string(job, "model_id", ""));
    const char *name = dv_json_get_string(dv_json_get(job, "spec"), "name", NULL);
    dv_json_set_string(
        record, "name", name ? name : dv_json_get_string(run->dataset->record, "name", ""));
    dv_json_set_string(record, "status", "ready");
    dv_json_set_string(record, "created_at", now);
    dv_json_set_string(record, "job_id", run->job->id);
    dv_json_set_string(record, "dataset_id", run->dataset->id);
    for (size_t i = 0; i < DV_ARRAY_SIZE(copied); i++) {
        struct dv_json *value = dv_json_get(result, copied[i]);
        dv_json_set(record, copied[i], value ? dv_json_ref(value) : dv_json_null());
    }
    enum dv_status status = dv_path_format(path, reterr, "%s/record.json", run->model);
    return status == DV_OK ? dv_record_write(path, record, reterr) : status;
}

/* Rename the worker's model into the registry, unless that was done already. */
static enum dv_status publish(
    const struct run *run, const struct dv_json *result, struct dv_error *reterr)
{
    char from[DV_PATH_SIZE], versions[DV_PATH_SIZE], to[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(from, reterr, "%s/model", run->work);
    if (status == DV_OK) {
        status = dv_path_format(versions, reterr, "%s/versions", run->model);
    }
    if (status == DV_OK) {
        status = dv_path_format(to, reterr, "%s/versions/1", run->model);
    }
    if (status == DV_OK) {
        status = dv_folder_make(versions, reterr);
    }
    if (status == DV_OK && !dv_path_is_folder(to)) {
        status = dv_file_rename(from, to, reterr);
    }
    if (status == DV_OK) {
        status = write_model_record(run, result, reterr);
    }
    return status;
}

/* The worker's result in our words: ids and the place where the model now is. */
static void describe(const struct run *run, struct dv_json *result)
{
    const struct dv_json *record = run->job->record;
    DV_CLEANUP(dv_freep) char *model_path = dv_strprintf("%s/versions/1", run->model);

    dv_json_set_string(result, "type", "result");
    dv_json_set_string(result, "model_id", dv_json_get_string(record, "model_id", ""));
    dv_json_set_string(result, "model_path", model_path);
    dv_json_set_string(result, "job_id", run->job->id);
    dv_json_set_string(result, "dataset_id", run->dataset->id);
    dv_json_set_integer(result, "restarts", dv_json_get_integer(record, "restarts", 0));
}

/* Publish what the worker made, then keep its result, by which the job has ended. */
static enum dv_status complete(const struct run *run, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *result = NULL;

    enum dv_status status = dv_json_read_file(run->found, DV_RECORD_SIZE_MAX, &result, reterr);
    if (status == DV_OK && !dv_json_is_object(result)) {
        status = dv_fail(reterr, DV_CORRUPT, "%s is no object", run->found);
    }
    if (status == DV_OK) {
        status = publish(run, result, reterr);
    }
    if (status == DV_OK) {
        describe(run, result);
        status = dv_record_write(run->result, result, reterr);
    }
    return status;
}

/* The figures are kept when the failure itself cannot be written down: that one was first. */
static void note_failure(struct run *run, enum dv_status status)
{
    const char *name = status == DV_CANCELLED ? "cancelled" : "failed";
    enum dv_status saved = set_status(run->job, name, dv_failure_reason_name(run->reason), NULL);

    (void)saved;
}

/* Train, unless a command that was killed later on had that done, and complete. */
static enum dv_status work_through(struct run *run, struct dv_error *reterr)
{
    enum dv_status status = set_status(run->job, "running", NULL, reterr);

    if (status == DV_OK && !dv_path_exists(run->found)) {
        status = train_with_restarts(run, reterr);
    }
    if (status == DV_OK) {
        status = complete(run, reterr);
        run->reason = dv_failure_reason_from_status(status);
    }
    if (status != DV_OK) {
        note_failure(run, status);
    }
    return status;
}

enum dv_status dv_training_job_run(struct dv_session *session, struct dv_stored *job,
    const struct dv_stored *dataset, struct dv_json **ret_result,
    enum dv_failure_reason *ret_reason, struct dv_error *reterr)
{
    struct run run = {.session = session, .job = job, .dataset = dataset};

    assert(session->folder.lock_fd >= 0);
    assert(ret_result);
    assert(ret_reason);
    enum dv_status status = prepare(&run, reterr);
    if (status == DV_OK && !dv_path_exists(run.result)) {
        status = work_through(&run, reterr);
    }
    if (status == DV_OK &&
        !dv_text_equal(dv_json_get_string(job->record, "status", NULL), "completed")) {
        status = set_status(job, "completed", NULL, reterr);
    }
    if (status == DV_OK && dv_path_exists(run.work)) {
        dv_data_folder_discard(&session->folder, run.work);
    }
    if (status == DV_OK) {
        status = dv_json_read_file(run.result, DV_RECORD_SIZE_MAX, ret_result, reterr);
    }
    if (status != DV_OK) {
        *ret_reason = run.reason;
    }
    return status;
}
