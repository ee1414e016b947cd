/* SPDX-License-Identifier: Apache-2.0 */
#include "store/models.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "store/store_impl.h"

#define NOUN "model"
#define TOPIC "models"

/* Metrics are of a model, not of a list of them: they are large. */
#define LIST_COLUMNS                                                                               \
    "id, name, description, task, status, strategy, dataset_id, job_id, accuracy, loss, "          \
    "hyperparameters, architecture, preprocessing, classes, parameters, flops, model_path, "       \
    "current_version, is_partial, error, metadata, created_at, updated_at"
#define COLUMNS LIST_COLUMNS ", metrics"

static const struct dv_list_sort sorts[] = {
    {"created_at", DV_LIST_TIME},
    {"updated_at", DV_LIST_TIME},
    {"name", DV_LIST_TEXT},
    {0},
};

/* --- Reading ---------------------------------------------------------------------------------- */

static const char select_row[] = "SELECT " COLUMNS " FROM models WHERE id = $1";
static const char select_versions[] =
    "SELECT version, run_id, accuracy, loss, hyperparameters, metrics, path, content_hash, "
    "created_at FROM model_versions WHERE model_id = $1 ORDER BY version DESC";

/* The row first: whatever version it speaks of is among those that are read after it. */
enum dv_status dv_models_get(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    struct dv_json *versions;

    enum dv_status status = dv_store_read_one(store, NOUN, select_row, values, 1, &row, reterr);
    if (status == DV_OK) {
        status = dv_store_read(store, select_versions, values, 1, &versions, reterr);
    }
    if (status == DV_OK) {
        dv_json_set(row, "versions", versions);
        *ret_row = dv_json_ref(row);
    }
    return status;
}

static enum dv_status get_within(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    struct dv_json *versions;

    enum dv_status status = dv_store_write_one(store, NOUN, select_row, values, 1, &row, reterr);
    if (status == DV_OK) {
        status = dv_store_write(store, select_versions, values, 1, &versions, NULL, reterr);
    }
    if (status == DV_OK) {
        dv_json_set(row, "versions", versions);
        *ret_row = dv_json_ref(row);
    }
    return status;
}

enum dv_status dv_models_list(struct dv_store *store, const struct dv_model_filter *filter,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr)
{
    struct dv_list list = {
        .columns = LIST_COLUMNS,
        .from = "models",
        .sorts = sorts,
        .id = "id",
        .default_sort = "-created_at"};
    char pattern[DV_LIST_PATTERN_SIZE];

    dv_list_add(&list, "task = $$", dv_sql_text(filter->task));
    dv_list_add(&list, "status = $$", dv_sql_text(filter->status));
    dv_list_add(&list, "dataset_id = $$", dv_sql_text(filter->dataset_id));
    dv_list_add(&list, "strategy = $$", dv_sql_text(filter->strategy));
    dv_list_add_search(
        &list, "name || ' ' || coalesce(description, '')", filter->search, pattern);
    return dv_list_run(store, &list, page, ret_list, reterr);
}

/* --- Changing --------------------------------------------------------------------------------- */

enum dv_status dv_models_update(struct dv_store *store, const char *id,
    const struct dv_model_fields *fields, struct dv_json **ret_row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *metadata = dv_store_json_text(fields->metadata);
    struct dv_json *result = NULL;
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(fields->name),
        dv_sql_text(fields->description), dv_sql_text(metadata), dv_sql_text(now)};
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write(store,
        "UPDATE models SET name = coalesce($2, name), description = coalesce($3, description), "
        "metadata = coalesce($4, metadata), updated_at = $5 WHERE id = $1",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
    if (status == DV_OK) {
        status = get_within(store, id, &result, reterr);
    }
    if (status == DV_OK) {
        status = dv_list_note_search(store, TOPIC, result, reterr);
    }
    if (status == DV_OK) {
        status = dv_store_event(store, TOPIC, id, "updated", NULL, NULL, reterr);
    }
    return dv_store_end_row(store, status, result, ret_row, reterr);
}

/* Its jobs: none may be under way; the folders of all of them go. */
static enum dv_status discard_jobs(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *jobs = NULL;

    enum dv_status status = dv_store_write(store, "SELECT id, status FROM jobs WHERE model_id = $1",
        values, 1, &jobs, NULL, reterr);
    for (size_t i = 0; status == DV_OK && i < dv_json_count(jobs); i++) {
        const struct dv_json *job = dv_json_at(jobs, i);
        const char *job_id = dv_json_get_string(job, "id", "");
        const char *job_status = dv_json_get_string(job, "status", "");
        if (dv_text_equal(job_status, "pending") || dv_text_equal(job_status, "running")) {
            return dv_fail(reterr, DV_CONFLICT, "job %s makes this model: cancel it first", job_id);
        }
        DV_CLEANUP(dv_freep) char *path = dv_strprintf("jobs/%s", job_id);
        status = dv_store_discard(store, path, reterr);
    }
    return status;
}

static enum dv_status delete_rows(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    static const char *const statements[] = {
        "DELETE FROM events WHERE subject_id IN (SELECT id FROM jobs WHERE model_id = $1)",
        "DELETE FROM models WHERE id = $1", /* with versions, jobs, runs and logs */
    };
    const struct dv_sql_value values[] = {dv_sql_text(id)};
    enum dv_status status = DV_OK;

    for (size_t i = 0; status == DV_OK && i < DV_ARRAY_SIZE(statements); i++) {
        status = dv_store_write(store, statements[i], values, 1, NULL, NULL, reterr);
    }
    return status;
}

enum dv_status dv_models_delete(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("models/%s", id);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write_one(
        store, NOUN, "SELECT id FROM models WHERE id = $1", values, 1, &row, reterr);
    if (status == DV_OK) {
        status = discard_jobs(store, id, reterr);
    }
    if (status == DV_OK) {
        status = dv_store_discard(store, path, reterr);
    }
    if (status == DV_OK) {
        status = delete_rows(store, id, reterr);
    }
    if (status == DV_OK) {
        status = dv_store_event(store, TOPIC, id, "deleted", NULL, NULL, reterr);
    }
    return dv_store_end(store, status, reterr);
}
