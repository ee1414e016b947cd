/* SPDX-License-Identifier: Apache-2.0 */
#include "job/job_folder.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/json.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#define RECORD_SIZE_MAX (8u << 20)

static enum dv_status set_paths(struct dv_job_folder *folder, const char *data, const char *id,
    const char *model_id, const char *dataset_id, struct dv_error *reterr)
{
    const struct {
        char *path;
        const char *format;
        const char *base, *id;
    } paths[] = {
        {folder->path, "%s/jobs/%s", data, id},
        {folder->job_file, "%s/job.json%s", folder->path, ""},
        {folder->work, "%s/work%s", folder->path, ""},
        {folder->result, "%s/result.json%s", folder->work, ""},
        {folder->model, "%s/model%s", folder->work, ""},
        {folder->partial_result, "%s/partial.json%s", folder->work, ""},
        {folder->partial_model, "%s/partial%s", folder->work, ""},
        {folder->best, "%s/best%s", folder->work, ""},
        {folder->pictures, "%s/pictures.cache%s", folder->work, ""},
        {folder->dataset, "%s/datasets/%s", data, dataset_id},
        {folder->model_folder, "%s/models/%s", data, model_id},
        {folder->plans, "%s/cache/plans%s", data, ""},
    };
    enum dv_status status = DV_OK;

    for (size_t i = 0; i < DV_ARRAY_SIZE(paths) && status == DV_OK; i++) {
        status = dv_path_format(paths[i].path, reterr, paths[i].format, paths[i].base, paths[i].id);
    }
    return status;
}

enum dv_status dv_job_folder_create(const char *data_folder, const struct dv_json *row,
    struct dv_job_folder **ret_folder, struct dv_error *reterr)
{
    const char *id = dv_json_get_string(row, "id", "");
    const char *model_id = dv_json_get_string(row, "model_id", "");
    const char *dataset_id = dv_json_get_string(row, "dataset_id", "");

    assert(ret_folder);
    if (!dv_uuid_is_valid(id) || !dv_uuid_is_valid(model_id) || !dv_uuid_is_valid(dataset_id)) {
        return dv_fail(reterr, DV_CORRUPT, "the row of job '%.40s' is damaged", id);
    }
    struct dv_job_folder *folder = dv_alloc(sizeof(*folder));
    enum dv_status status = set_paths(folder, data_folder, id, model_id, dataset_id, reterr);
    if (status != DV_OK) {
        folder = dv_job_folder_destroy(folder);
        return status;
    }
    *ret_folder = folder;
    return DV_OK;
}

struct dv_job_folder *dv_job_folder_destroy(struct dv_job_folder *folder)
{
    if (!folder) {
        return NULL;
    }
    dv_json_unref(folder->record);
    return dv_free(folder);
}

/* --- job.json --------------------------------------------------------------------------- */

static enum dv_status write_record(const struct dv_job_folder *folder, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(folder->record);

    return dv_file_write(folder->job_file, text, strlen(text), reterr);
}

/*
 * The time limit is not for the worker: its parent keeps it, over all restarts, and a person who
 * has the job go on gives it the same time again.
 */
static struct dv_json *make_spec(const struct dv_json *row)
{
    struct dv_json *spec = dv_json_copy(dv_json_get(row, "spec"));

    if (dv_json_is_object(spec)) {
        dv_json_set_integer(spec, "timeout_seconds", 0);
    }
    return spec;
}

static struct dv_json *make_record(
    const struct dv_json *row, const struct dv_json *before, int64_t thread_count)
{
    static const char *const copied[] = {"id", "kind", "model_id", "dataset_id"};
    struct dv_json *record = dv_json_object();
    int64_t wanted = dv_json_get_integer(row, "thread_count", 0);
    int64_t usual = dv_json_get_integer(before, "thread_count", thread_count);

    for (size_t i = 0; i < DV_ARRAY_SIZE(copied); i++) {
        dv_json_set_string(record, copied[i], dv_json_get_string(row, copied[i], ""));
    }
    dv_json_set_integer(record, "thread_count", wanted > 0 ? wanted : usual);
    dv_json_set_number(record, "seconds", dv_json_get_number(before, "seconds", 0.0));
    dv_json_set(record, "spec", make_spec(row));
    return record;
}

enum dv_status dv_job_folder_prepare(struct dv_job_folder *folder, const struct dv_json *row,
    int64_t thread_count, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *before = NULL;

    assert(folder);
    assert(thread_count > 0);
    enum dv_status status = dv_folder_make(folder->work, reterr);
    if (status == DV_OK) {
        status = dv_folder_make(folder->plans, reterr);
    }
    if (status == DV_OK && dv_path_exists(folder->job_file)) {
        status = dv_json_read_file(folder->job_file, RECORD_SIZE_MAX, &before, reterr);
        status = status == DV_INVALID || status == DV_CORRUPT ? DV_OK : status; /* made anew */
    }
    if (status != DV_OK) {
        return status;
    }
    dv_json_unref(folder->record);
    folder->record = make_record(row, before, thread_count);
    return write_record(folder, reterr);
}

int64_t dv_job_folder_thread_count(const struct dv_job_folder *folder)
{
    return dv_json_get_integer(folder->record, "thread_count", 0);
}

double dv_job_folder_seconds(const struct dv_job_folder *folder)
{
    return dv_json_get_number(folder->record, "seconds", 0.0);
}

enum dv_status dv_job_folder_set_seconds(
    struct dv_job_folder *folder, double seconds, struct dv_error *reterr)
{
    assert(folder->record);
    dv_json_set_number(folder->record, "seconds", seconds);
    return write_record(folder, reterr);
}

void dv_job_folder_trim(const struct dv_job_folder *folder)
{
    /* What cannot be removed now costs room, and is removed with the job. */
    (void)unlink(folder->pictures);
    (void)unlink(folder->partial_result);
    enum dv_status status = dv_folder_remove(folder->partial_model, NULL);
    (void)status;
}
