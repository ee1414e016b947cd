/* SPDX-License-Identifier: Apache-2.0 */
#include "store/models.h"

#include "api/api_impl.h"
#include "base/text.h"
#include "job/supervisor.h"
#include "store/runs.h"

static const char *const statuses[] = {
    "draft", "queued", "training", "ready", "active", "failed", NULL};

static const struct dv_api_field fields[] = {
    {"name", DV_API_NAME, 200, NULL},
    {"description", DV_API_TEXT, 10000, NULL},
    {"metadata", DV_API_OBJECT, 0, NULL},
};

enum { FIELD_NAME };

void dv_api_models_list(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const struct dv_model_filter filter = {.task = dv_http_request_query(request, "task"),
        .status = dv_http_request_query(request, "status"),
        .search = dv_http_request_query(request, "search"),
        .dataset_id = dv_http_request_query(request, "dataset_id"),
        .strategy = dv_http_request_query(request, "strategy")};
    struct dv_page page;
    struct dv_json *list = NULL;
    struct dv_error error;

    if (!dv_api_page(request, &page) || !dv_api_check_choice(request, "status", statuses) ||
        !dv_api_check_query_id(request, "dataset_id")) {
        return;
    }
    enum dv_status status = dv_models_list(api->options.store, &filter, &page, &list, &error);
    dv_api_answer(request, status, 200, dv_api_place(api, list), &error);
}

void dv_api_models_get(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const char *id = dv_api_id(request, "model");
    struct dv_json *row = NULL;
    struct dv_error error;

    if (id) {
        enum dv_status status = dv_models_get(api->options.store, id, &row, &error);
        dv_api_answer(request, status, 200, dv_api_place(api, row), &error);
    }
}

static void update(struct dv_http_request *request, struct dv_api *api, const char *id)
{
    const struct dv_json *body = dv_http_request_json(request);
    const struct dv_model_fields changes = {.name = dv_json_get_string(body, "name", NULL),
        .description = dv_json_get_string(body, "description", NULL),
        .metadata = dv_json_get(body, "metadata")};
    struct dv_json *row = NULL;
    struct dv_error error;

    enum dv_status status = dv_models_update(api->options.store, id, &changes, &row, &error);
    dv_api_answer(request, status, 200, dv_api_place(api, row), &error);
}

void dv_api_models_update(struct dv_http_request *request, void *user)
{
    const char *id = dv_api_id(request, "model");

    if (id && dv_api_check_body(request, fields, DV_ARRAY_SIZE(fields))) {
        update(request, user, id);
    }
}

void dv_api_models_rename(struct dv_http_request *request, void *user)
{
    const char *id = dv_api_id(request, "model");

    if (!id || !dv_api_check_body(request, &fields[FIELD_NAME], 1)) {
        return;
    }
    if (!dv_json_get(dv_http_request_json(request), "name")) {
        dv_api_refuse(request, 422, "/name", "name is missing");
        return;
    }
    update(request, user, id);
}

void dv_api_models_delete(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const char *id = dv_api_id(request, "model");
    struct dv_error error;

    if (!id) {
        return;
    }
    if (dv_models_delete(api->options.store, id, &error) != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    dv_supervisor_wake(api->options.supervisor);
    dv_api_wait_removed(api, "models", id);
    dv_http_reply_bytes(request, 204, NULL, NULL, 0);
}

/* --- Metrics ---------------------------------------------------------------------------------- */

static struct dv_json *ref_or_null(const struct dv_json *value)
{
    return value ? dv_json_ref(value) : dv_json_null();
}

/* The runs of the job that made it; none where that is unknown. */
static enum dv_status list_runs(struct dv_api *api, const struct dv_json *model,
    struct dv_json **ret_runs, struct dv_error *reterr)
{
    const char *job_id = dv_json_get_string(model, "job_id", NULL);

    if (!job_id) {
        *ret_runs = dv_json_array();
        return DV_OK;
    }
    return dv_runs_all(api->options.store, job_id, ret_runs, reterr);
}

void dv_api_models_metrics(struct dv_http_request *request, void *user)
{
    static const char *const members[] = {"accuracy", "loss", "hyperparameters", "architecture",
        "parameters", "flops", "classes", "strategy", "status"};
    struct dv_api *api = user;
    const char *id = dv_api_id(request, "model");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *runs = NULL;
    struct dv_error error;

    if (!id) {
        return;
    }
    enum dv_status status = dv_models_get(api->options.store, id, &row, &error);
    if (status == DV_OK) {
        status = list_runs(api, row, &runs, &error);
    }
    if (status != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    /* The figures of model files' metrics.json, with what else tells how the model came about. */
    const struct dv_json *metrics = dv_json_get(row, "metrics");
    struct dv_json *answer =
        dv_json_is_object(metrics) ? dv_json_copy(metrics) : dv_json_object();
    for (size_t i = 0; i < DV_ARRAY_SIZE(members); i++) {
        dv_json_set(answer, members[i], ref_or_null(dv_json_get(row, members[i])));
    }
    dv_json_set_string(answer, "model_id", id);
    dv_json_set(answer, "iterations", dv_json_ref(runs));
    dv_http_reply_json(request, 200, answer);
}
