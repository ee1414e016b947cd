/* SPDX-License-Identifier: Apache-2.0 */
#include "store/datasets.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/store_impl.h"

#include <assert.h>

#define NOUN "data set"
#define TOPIC "datasets"
#define COLUMNS                                                                                    \
    "id, name, description, domain, task, metadata, readiness, progress, total_samples, "          \
    "size_bytes, file_path, classes, findings, finding_counts, content_hash, source_hash, error, " \
    "created_at, updated_at"

static const struct dv_list_sort sorts[] = {
    {"created_at", DV_LIST_TIME},
    {"updated_at", DV_LIST_TIME},
    {"name", DV_LIST_TEXT},
    {0},
};

/* --- Reading ---------------------------------------------------------------------------------- */

enum dv_status dv_datasets_get(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};

    return dv_store_read_one(
        store, NOUN, "SELECT " COLUMNS " FROM datasets WHERE id = $1", values, 1, ret_row, reterr);
}

enum dv_status dv_datasets_list(struct dv_store *store, const struct dv_dataset_filter *filter,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr)
{
    struct dv_list list = {
        .columns = COLUMNS, .from = "datasets", .sorts = sorts, .id = "id", .default_sort = "-created_at"};
    char pattern[DV_LIST_PATTERN_SIZE];

    dv_list_add(&list, "domain = $$", dv_sql_text(filter->domain));
    dv_list_add(&list, "readiness = $$", dv_sql_text(filter->readiness));
    dv_list_add_search(
        &list, "name || ' ' || coalesce(description, '')", filter->search, pattern);
    return dv_list_run(store, &list, page, ret_list, reterr);
}

enum dv_status dv_datasets_to_ingest(
    struct dv_store *store, int64_t count_max, struct dv_json **ret_ids, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_integer(count_max)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_read(store,
        "SELECT id FROM datasets WHERE readiness = 'processing' ORDER BY created_at, id LIMIT $1",
        values, 1, &rows, reterr);
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

/* --- A person's changes ----------------------------------------------------------------------- */

static enum dv_status get_within(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};

    return dv_store_write_one(
        store, NOUN, "SELECT " COLUMNS " FROM datasets WHERE id = $1", values, 1, ret_row, reterr);
}

static struct dv_json *make_event(const char *readiness, const char *error)
{
    struct dv_json *data = dv_json_object();

    dv_json_set_string(data, "readiness", readiness);
    dv_json_set_string(data, "error", error);
    return data;
}

enum dv_status dv_datasets_create(struct dv_store *store, const char *id,
    const struct dv_dataset_fields *fields, const char *readiness, struct dv_json **ret_row,
    struct dv_error *reterr)
{
    struct dv_json *result = NULL;
    DV_CLEANUP(dv_freep) char *metadata = dv_store_json_text(fields->metadata);
    DV_CLEANUP(dv_freep) char *file_path = dv_strprintf("datasets/%s", id);
    char now[DV_TIME_TEXT_SIZE];

    assert(dv_uuid_is_valid(id));
    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(fields->name),
        dv_sql_text(fields->description), dv_sql_text(fields->domain), dv_sql_text(fields->task),
        dv_sql_text(metadata), dv_sql_text(readiness), dv_sql_text(now), dv_sql_text(file_path)};
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write(store,
        "INSERT INTO datasets (id, name, description, domain, task, metadata, readiness, "
        "created_at, updated_at, file_path) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
    if (status == DV_OK) {
        status = dv_store_event(store, TOPIC, id, "created", make_event(readiness, NULL), NULL, reterr);
    }
    if (status == DV_OK) {
        status = get_within(store, id, &result, reterr);
    }
    if (status == DV_OK) {
        status = dv_list_note_search(store, TOPIC, result, reterr);
    }
    return dv_store_end_row(store, status, result, ret_row, reterr);
}

enum dv_status dv_datasets_update(struct dv_store *store, const char *id,
    const struct dv_dataset_fields *fields, struct dv_json **ret_row, struct dv_error *reterr)
{
    struct dv_json *result = NULL;
    DV_CLEANUP(dv_freep) char *metadata = dv_store_json_text(fields->metadata);
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(fields->name),
        dv_sql_text(fields->description), dv_sql_text(fields->domain), dv_sql_text(fields->task),
        dv_sql_text(metadata), dv_sql_text(now)};
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write(store,
        "UPDATE datasets SET name = coalesce($2, name), description = coalesce($3, description), "
        "domain = coalesce($4, domain), task = coalesce($5, task), "
        "metadata = coalesce($6, metadata), updated_at = $7 WHERE id = $1",
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

/* --- Deleting --------------------------------------------------------------------------------- */

static enum dv_status check_unused(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_write(store,
        "SELECT id FROM jobs WHERE dataset_id = $1 AND status IN ('pending', 'running') LIMIT 1",
        values, 1, &rows, NULL, reterr);
    if (status == DV_OK && dv_json_count(rows) > 0) {
        return dv_fail(reterr, DV_CONFLICT, "job %s uses the data set: cancel it first",
            dv_json_get_string(dv_json_at(rows, 0), "id", ""));
    }
    return status;
}

/* Both its folder and what may still lie where uploads do. */
static enum dv_status discard_files(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *folder = dv_strprintf("datasets/%s", id);
    DV_CLEANUP(dv_freep) char *upload = dv_strprintf("uploads/%s", id);

    enum dv_status status = dv_store_discard(store, folder, reterr);
    return status == DV_OK ? dv_store_discard(store, upload, reterr) : status;
}

enum dv_status dv_datasets_delete(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = get_within(store, id, &row, reterr);
    if (status == DV_OK) {
        status = check_unused(store, id, reterr);
    }
    if (status == DV_OK) {
        status = discard_files(store, id, reterr);
    }
    if (status == DV_OK) {
        status = dv_store_write(
            store, "DELETE FROM datasets WHERE id = $1", values, 1, NULL, NULL, reterr);
    }
    if (status == DV_OK) {
        status = dv_store_event(store, TOPIC, id, "deleted", NULL, NULL, reterr);
    }
    return dv_store_end(store, status, reterr);
}

/* --- Ingest ----------------------------------------------------------------------------------- */

/* After an update that asked for a readiness: none changed means that it has another, or is gone. */
static enum dv_status check_moved(
    struct dv_store *store, const char *id, int64_t changes, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    if (changes == 1) {
        return DV_OK;
    }
    enum dv_status status = get_within(store, id, &row, reterr);
    return status == DV_OK ? dv_fail(reterr, DV_CONFLICT, "the data set is '%s'",
                                 dv_json_get_string(row, "readiness", ""))
                           : status;
}

/* One compare-and-set with its event. */
static enum dv_status move(struct dv_store *store, const char *id, const char *text,
    const struct dv_sql_value *values, size_t count, const char *event, struct dv_json *data,
    struct dv_error *reterr)
{
    int64_t changes = 0;

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        dv_json_unref(data);
        return status;
    }
    status = dv_store_write(store, text, values, count, NULL, &changes, reterr);
    if (status == DV_OK) {
        status = check_moved(store, id, changes, reterr);
    }
    if (status == DV_OK) {
        status = dv_store_event(store, TOPIC, id, event, data, NULL, reterr);
    } else {
        dv_json_unref(data);
    }
    return dv_store_end(store, status, reterr);
}

enum dv_status dv_datasets_start(struct dv_store *store, const char *id, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(now)};
    return move(store, id,
        "UPDATE datasets SET readiness = 'processing', updated_at = $2 "
        "WHERE id = $1 AND readiness = 'draft'",
        values, 2, "status", make_event("processing", NULL), reterr);
}

enum dv_status dv_datasets_progress(struct dv_store *store, const char *id, double progress,
    const struct dv_json *finding_counts, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *counts = dv_store_json_text(finding_counts);
    struct dv_json *data = dv_json_object();
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    dv_json_set_number(data, "progress", progress);
    dv_json_set(data, "finding_counts",
        finding_counts ? dv_json_ref(finding_counts) : dv_json_null());
    const struct dv_sql_value values[] = {
        dv_sql_text(id), dv_sql_real(progress), dv_sql_text(counts), dv_sql_text(now)};
    return move(store, id,
        "UPDATE datasets SET progress = coalesce($2, progress), "
        "finding_counts = coalesce($3, finding_counts), updated_at = $4 "
        "WHERE id = $1 AND readiness = 'processing'",
        values, DV_ARRAY_SIZE(values), "progress", data, reterr);
}

static enum dv_status finish(struct dv_store *store, const char *id, const char *readiness,
    const char *error, const struct dv_json *summary, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *classes = dv_store_json_text(dv_json_get(summary, "classes"));
    DV_CLEANUP(dv_freep) char *findings = dv_store_json_text(dv_json_get(summary, "findings"));
    DV_CLEANUP(dv_freep)
    char *counts = dv_store_json_text(dv_json_get(summary, "finding_counts"));
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(readiness),
        dv_sql_text(error), dv_store_count(summary, "total_samples"),
        dv_store_count(summary, "size_bytes"), dv_sql_text(classes), dv_sql_text(findings),
        dv_sql_text(counts), dv_sql_text(dv_json_get_string(summary, "content_hash", NULL)),
        dv_sql_text(dv_json_get_string(summary, "source_hash", NULL)), dv_sql_text(now)};
    return move(store, id,
        "UPDATE datasets SET readiness = $2, error = $3, progress = 1, total_samples = $4, "
        "size_bytes = $5, classes = $6, findings = $7, finding_counts = $8, content_hash = $9, "
        "source_hash = $10, updated_at = $11 WHERE id = $1 AND readiness = 'processing'",
        values, DV_ARRAY_SIZE(values), "status", make_event(readiness, error), reterr);
}

enum dv_status dv_datasets_finish(struct dv_store *store, const char *id,
    const struct dv_json *summary, struct dv_error *reterr)
{
    return finish(store, id, "ready", NULL, summary, reterr);
}

enum dv_status dv_datasets_fail(struct dv_store *store, const char *id, const char *error,
    const struct dv_json *summary, struct dv_error *reterr)
{
    return finish(store, id, "error", error, summary, reterr);
}
