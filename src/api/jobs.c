/* SPDX-License-Identifier: Apache-2.0 */
#include "store/jobs.h"

#include "api/api_impl.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "job/admission.h"
#include "job/supervisor.h"
#include "spec/job_spec.h"
#include "spec/problem.h"
#include "store/datasets.h"
#include "store/runs.h"

#include <stdio.h>

#define PROBLEMS_MAX 20
#define ARENA_SIZE_MAX (64u << 20)
#define NAME_SIZE 240

static const char *const statuses[] = {
    "pending", "running", "completed", "failed", "cancelled", NULL};

/* --- The network ------------------------------------------------------------------------------ */

/* What is wrong between network and pictures is said at once, not when the job's turn comes. */
static enum dv_status check_network(struct dv_api *api, const struct dv_job_spec *spec,
    const struct dv_json *complete, const struct dv_json *dataset, struct dv_problems *problems,
    struct dv_error *reterr)
{
    char folder[DV_PATH_SIZE];

    if (!spec->architecture ||
        !dv_text_equal(dv_json_get_string(dataset, "readiness", ""), "ready")) {
        return DV_OK;
    }
    enum dv_status status = dv_path_format(
        folder, reterr, "%s/datasets/%s", api->options.data_folder, spec->dataset_id);
    return status == DV_OK ? dv_admission_check_network(complete, folder, problems, reterr)
                           : status;
}

/* --- Replays ---------------------------------------------------------------------------------- */

static enum dv_status refuse_replay(
    struct dv_problems *problems, const char *fix, const char *why, struct dv_error *reterr)
{
    dv_problems_add(problems, "E_REPLAY", "/replay_of", fix, "replay_of: %s", why);
    return dv_fail(reterr, DV_INVALID, "%s", why);
}

static enum dv_status check_replayed(struct dv_api *api, const struct dv_json *request,
    const struct dv_json *job, struct dv_problems *problems, struct dv_error *reterr)
{
    const char *dataset_id = dv_json_get_string(job, "dataset_id", "");
    const struct dv_page page = {.limit = 1};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *runs = NULL;

    if (!dv_text_equal(dv_json_get_string(request, "dataset_id", ""), dataset_id)) {
        return refuse_replay(problems, "train on the data set of that job",
            "that job had another data set.", reterr);
    }
    enum dv_status status =
        dv_runs_list(api->options.store, dv_json_get_string(job, "id", ""), &page, &runs, reterr);
    if (status != DV_OK) {
        return status;
    }
    const struct dv_json *first = dv_json_at(dv_json_get(runs, "items"), 0);
    if (!dv_json_is_string(dv_json_get(first, "operator"))) {
        return refuse_replay(problems, "name a job of strategy \"search\" or \"llm\"",
            "that job has not searched.", reterr);
    }
    return DV_OK;
}

/* A request with what it leaves out as the replayed job had it; the caller's. */
static struct dv_json *fill_in(const struct dv_json *request, const struct dv_json *job)
{
    static const char *const members[] = {
        "seed", "max_iterations", "target_accuracy", "hyperparameters", "architecture"};
    struct dv_json *filled = dv_json_copy(request);

    for (size_t i = 0; i < DV_ARRAY_SIZE(members); i++) {
        const struct dv_json *value = dv_json_get(dv_json_get(job, "spec"), members[i]);
        if (value && !dv_json_get(filled, members[i])) {
            dv_json_set(filled, members[i], dv_json_copy(value));
        }
    }
    return filled;
}

/* What is to be parsed; a request that replays nothing, or cannot, is as it is. The caller's. */
static enum dv_status complete_request(struct dv_api *api, const struct dv_json *request,
    struct dv_problems *problems, struct dv_json **ret_request, struct dv_error *reterr)
{
    const char *id = dv_json_get_string(request, "replay_of", "");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;

    *ret_request = NULL;
    if (!dv_uuid_is_valid(id)) {
        *ret_request = request ? dv_json_ref(request) : dv_json_null();
        return DV_OK;
    }
    enum dv_status status = dv_jobs_get(api->options.store, id, &job, reterr);
    if (status == DV_NOT_FOUND) {
        return refuse_replay(problems, "", "there is no such job.", reterr);
    }
    if (status == DV_OK) {
        status = check_replayed(api, request, job, problems, reterr);
    }
    if (status == DV_OK) {
        *ret_request = fill_in(request, job);
    }
    return status;
}

/* --- Creating --------------------------------------------------------------------------------- */

static enum dv_status create_job(struct dv_api *api, const struct dv_job_spec *spec,
    struct dv_problems *problems, struct dv_json **ret_row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *dataset = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *complete = dv_job_spec_to_json(spec);
    char id[DV_UUID_TEXT_SIZE], model_id[DV_UUID_TEXT_SIZE], name[NAME_SIZE];

    enum dv_status status = dv_datasets_get(api->options.store, spec->dataset_id, &dataset, reterr);
    if (status == DV_OK) {
        status = check_network(api, spec, complete, dataset, problems, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    const char *strategy = dv_job_spec_strategy(spec, &api->capabilities);
    (void)snprintf(name, sizeof(name), "%s", dv_json_get_string(dataset, "name", "model"));
    dv_uuid_make(id);
    dv_uuid_make(model_id);
    const struct dv_job_row job = {.id = id,
        .kind = "train",
        .dataset_id = spec->dataset_id,
        .model_id = model_id,
        .model_name = spec->name ? spec->name : name,
        .strategy = strategy,
        .task = dv_json_get_string(dataset, "task", "classification"),
        .device = "cpu", /* what `auto` comes to here */
        .spec = complete,
        .hyperparameters = spec->hyperparameters,
        .priority = spec->priority,
        .seed = spec->seed,
        .timeout_seconds = spec->timeout_seconds,
        .max_restarts = spec->max_restarts,
        .thread_count = api->options.thread_count};
    return dv_jobs_create(api->options.store, &job, ret_row, reterr);
}

void dv_api_jobs_create(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct dv_arena *arena = dv_arena_create(ARENA_SIZE_MAX);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_problems problems;
    struct dv_job_spec *spec;
    struct dv_json *row = NULL;
    struct dv_error error;

    dv_problems_init(&problems, arena, PROBLEMS_MAX);
    enum dv_status status =
        complete_request(api, dv_http_request_json(request), &problems, &json, &error);
    if (status == DV_OK) {
        status = dv_job_spec_parse(json, &api->capabilities, arena, &problems, &spec, &error);
    }
    if (status == DV_OK) {
        status = create_job(api, spec, &problems, &row, &error);
    }
    if (status != DV_OK && problems.count > 0) {
        dv_api_refuse_problems(request, &problems);
        (void)dv_arena_destroy(arena);
        return;
    }
    if (status == DV_OK) {
        dv_supervisor_wake(api->options.supervisor);
        DV_CLEANUP(dv_freep)
        char *location = dv_strprintf("/api/jobs/%s", dv_json_get_string(row, "id", ""));
        dv_http_reply_header(request, "Location", location);
    }
    (void)dv_arena_destroy(arena);
    dv_api_answer(request, status, 201, dv_api_place(api, row), &error);
}

/* --- Reading ---------------------------------------------------------------------------------- */

void dv_api_jobs_list(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const struct dv_job_filter filter = {.status = dv_http_request_query(request, "status"),
        .dataset_id = dv_http_request_query(request, "dataset_id"),
        .model_id = dv_http_request_query(request, "model_id"),
        .strategy = dv_http_request_query(request, "strategy")};
    struct dv_page page;
    struct dv_json *list = NULL;
    struct dv_error error;

    if (!dv_api_page(request, &page) || !dv_api_check_choice(request, "status", statuses) ||
        !dv_api_check_query_id(request, "dataset_id") ||
        !dv_api_check_query_id(request, "model_id")) {
        return;
    }
    enum dv_status status = dv_jobs_list(api->options.store, &filter, &page, &list, &error);
    dv_api_answer(request, status, 200, dv_api_place(api, list), &error);
}

/* The row, or NULL and an answer. */
static struct dv_json *get_job(struct dv_http_request *request, struct dv_api *api)
{
    const char *id = dv_api_id(request, "job");
    struct dv_json *row = NULL;
    struct dv_error error;

    if (id && dv_jobs_get(api->options.store, id, &row, &error) != DV_OK) {
        dv_api_fail(request, &error);
        return NULL;
    }
    return id ? row : NULL;
}

void dv_api_jobs_get(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct dv_json *runs = NULL;
    struct dv_error error;

    struct dv_json *row = get_job(request, api);
    if (!row) {
        return;
    }
    enum dv_status status =
        dv_runs_all(api->options.store, dv_json_get_string(row, "id", ""), &runs, &error);
    if (status == DV_OK) {
        dv_json_set(row, "runs", runs);
    } else {
        row = dv_json_unref(row);
    }
    dv_api_answer(request, status, 200, dv_api_place(api, row), &error);
}

void dv_api_jobs_runs(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    struct dv_page page;
    struct dv_json *list = NULL;
    struct dv_error error;

    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = get_job(request, api);
    if (!row || !dv_api_page(request, &page)) {
        return;
    }
    enum dv_status status =
        dv_runs_list(api->options.store, dv_json_get_string(row, "id", ""), &page, &list, &error);
    dv_api_answer(request, status, 200, dv_api_place(api, list), &error);
}

/* --- Changing --------------------------------------------------------------------------------- */

static void change(struct dv_http_request *request, struct dv_api *api,
    enum dv_status (*call)(
        struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr))
{
    const char *id = dv_api_id(request, "job");
    struct dv_json *row = NULL;
    struct dv_error error;

    if (!id) {
        return;
    }
    enum dv_status status = call(api->options.store, id, &row, &error);
    if (status == DV_OK) {
        dv_supervisor_wake(api->options.supervisor);
    }
    dv_api_answer(request, status, 200, dv_api_place(api, row), &error);
}

void dv_api_jobs_cancel(struct dv_http_request *request, void *user)
{
    change(request, user, dv_jobs_request_cancel);
}

void dv_api_jobs_resume(struct dv_http_request *request, void *user)
{
    change(request, user, dv_jobs_resume);
}

/* --- What it said ----------------------------------------------------------------------------- */

void dv_api_jobs_logs(struct dv_http_request *request, void *user)
{
    static const char *const levels[] = {"error", "warning", "info", "debug", NULL};
    struct dv_api *api = user;
    struct dv_log_filter filter = {.level = dv_http_request_query(request, "level"),
        .search = dv_http_request_query(request, "search")};
    struct dv_page page;
    struct dv_json *list = NULL;
    struct dv_error error;

    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = get_job(request, api);
    if (!row || !dv_api_page(request, &page) || !dv_api_check_choice(request, "level", levels) ||
        !dv_api_query_integer(request, "after", 0, INT64_MAX, &filter.after)) {
        return;
    }
    const char *id = dv_json_get_string(row, "id", "");
    const char *follow = dv_http_request_query(request, "follow");
    if (follow && !dv_text_equal(follow, "0")) {
        dv_api_stream_logs(api, request, id, &filter);
        return;
    }
    enum dv_status status = dv_logs_list(api->options.store, id, &filter, &page, &list, &error);
    dv_api_answer(request, status, 200, dv_api_place(api, list), &error);
}

void dv_api_jobs_events(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;

    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = get_job(request, api);
    if (row) {
        dv_api_stream_subject(api, request, dv_json_get_string(row, "id", ""));
    }
}
