/* SPDX-License-Identifier: Apache-2.0 */
#include "store/datasets.h"

#include "api/api_impl.h"
#include "api/pack_cache.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "job/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define UPLOAD_SIZE_MAX (100ull * 1000 * 1000 * 1000)

/* What is left free on the disk for everybody else while an upload arrives. */
#define FREE_SPACE_MIN (64ull << 20)

static const char *const domains[] = {"vision", "tabular", NULL};
static const char *const tasks[] = {"classification", NULL};
static const char *const readinesses[] = {"draft", "processing", "ready", "error", NULL};

static const struct dv_api_field fields[] = {
    {"name", DV_API_NAME, 200, NULL},
    {"description", DV_API_TEXT, 10000, NULL},
    {"domain", DV_API_TEXT, 20, domains},
    {"task", DV_API_TEXT, 20, tasks},
    {"metadata", DV_API_OBJECT, DV_API_METADATA_SIZE_MAX, NULL},
};

enum { FIELD_NAME, FIELD_TEXT_COUNT = 4 };

/* --- Reading ---------------------------------------------------------------------------------- */

void dv_api_datasets_list(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const struct dv_dataset_filter filter = {.domain = dv_http_request_query(request, "domain"),
        .readiness = dv_http_request_query(request, "readiness"),
        .search = dv_http_request_query(request, "search")};
    struct dv_page page;
    struct dv_json *list = NULL;
    struct dv_error error;

    if (!dv_api_page(request, &page) || !dv_api_check_choice(request, "domain", domains) ||
        !dv_api_check_choice(request, "readiness", readinesses)) {
        return;
    }
    enum dv_status status = dv_datasets_list(api->options.store, &filter, &page, &list, &error);
    dv_api_answer(request, status, 200, dv_api_place(api, list), &error);
}

void dv_api_datasets_get(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const char *id = dv_api_id(request, "data set");
    struct dv_json *row = NULL;
    struct dv_error error;

    if (id) {
        enum dv_status status = dv_datasets_get(api->options.store, id, &row, &error);
        dv_api_answer(request, status, 200, dv_api_place(api, row), &error);
    }
}

void dv_api_datasets_events(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const char *id = dv_api_id(request, "data set");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    struct dv_error error;

    if (!id) {
        return;
    }
    if (dv_datasets_get(api->options.store, id, &row, &error) != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    dv_api_stream_subject(api, request, id);
}

/* --- Changing --------------------------------------------------------------------------------- */

static bool refuse_tabular(struct dv_http_request *request, const char *domain)
{
    if (!dv_text_equal(domain, "tabular")) {
        return false;
    }
    dv_api_refuse(request, 422, "/domain",
        "domain \"tabular\" is not in this version yet: data sets are of domain \"vision\"");
    return true;
}

static void update(struct dv_http_request *request, struct dv_api *api, const char *id)
{
    const struct dv_json *body = dv_http_request_json(request);
    const struct dv_dataset_fields changes = {.name = dv_json_get_string(body, "name", NULL),
        .description = dv_json_get_string(body, "description", NULL),
        .domain = dv_json_get_string(body, "domain", NULL),
        .task = dv_json_get_string(body, "task", NULL),
        .metadata = dv_json_get(body, "metadata")};
    struct dv_json *row = NULL;
    struct dv_error error;

    if (refuse_tabular(request, changes.domain)) {
        return;
    }
    enum dv_status status = dv_datasets_update(api->options.store, id, &changes, &row, &error);
    dv_api_answer(request, status, 200, dv_api_place(api, row), &error);
}

void dv_api_datasets_update(struct dv_http_request *request, void *user)
{
    const char *id = dv_api_id(request, "data set");

    if (id && dv_api_check_body(request, fields, DV_ARRAY_SIZE(fields))) {
        update(request, user, id);
    }
}

void dv_api_datasets_rename(struct dv_http_request *request, void *user)
{
    const char *id = dv_api_id(request, "data set");

    if (!id || !dv_api_check_body(request, &fields[FIELD_NAME], 1)) {
        return;
    }
    if (!dv_json_get(dv_http_request_json(request), "name")) {
        dv_api_refuse(request, 422, "/name", "name is missing");
        return;
    }
    update(request, user, id);
}

void dv_api_datasets_delete(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const char *id = dv_api_id(request, "data set");
    struct dv_error error;

    if (!id) {
        return;
    }
    if (dv_datasets_delete(api->options.store, id, &error) != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    dv_pack_cache_forget(api->packs, id);
    dv_supervisor_wake(api->options.supervisor);
    dv_api_wait_removed(api, "datasets", id);
    dv_http_reply_bytes(request, 204, NULL, NULL, 0);
}

/* --- Uploading -------------------------------------------------------------------------------- */

/*
 * The archive goes to DATA/uploads/.{id} while it arrives, is renamed to {id} once it is whole and
 * durable, and then the row says so: a server that dies in between leaves a file that is swept.
 */
struct upload {
    char id[DV_UUID_TEXT_SIZE];
    char path[DV_PATH_SIZE];
    char whole_path[DV_PATH_SIZE];
};

static bool check_fields(struct dv_http_request *request)
{
    const char *name, *value;

    for (size_t i = 0; dv_http_request_field_at(request, i, &name, &value); i++) {
        const struct dv_api_field *field = NULL;
        for (size_t f = 0; f < FIELD_TEXT_COUNT; f++) {
            field = dv_text_equal(fields[f].name, name) ? &fields[f] : field;
        }
        if (!field) {
            DV_CLEANUP(dv_freep) char *message = dv_strprintf("there is no field '%s'", name);
            dv_api_refuse(request, 422, "", message);
            return false;
        }
        if (!dv_api_check_text(request, field, value)) {
            return false;
        }
    }
    if (!dv_http_request_field(request, "name")) {
        dv_api_refuse(request, 422, "/name", "name is missing: it must come before the file");
        return false;
    }
    return !refuse_tabular(request, dv_http_request_field(request, "domain"));
}

static enum dv_status open_upload(
    struct dv_api *api, struct upload *upload, struct dv_http_file *ret_file, struct dv_error *reterr)
{
    const char *data = api->options.data_folder;
    char folder[DV_PATH_SIZE];
    uint64_t free_space;

    dv_uuid_make(upload->id);
    enum dv_status status = dv_path_format(folder, reterr, "%s/uploads", data);
    if (status == DV_OK) {
        status = dv_path_format(upload->path, reterr, "%s/.%s", folder, upload->id);
    }
    if (status == DV_OK) {
        status = dv_path_format(upload->whole_path, reterr, "%s/%s", folder, upload->id);
    }
    if (status == DV_OK) {
        status = dv_folder_make(folder, reterr);
    }
    if (status == DV_OK) {
        status = dv_folder_free_space(folder, &free_space, reterr);
    }
    if (status == DV_OK && free_space < FREE_SPACE_MIN) {
        status = dv_fail(reterr, DV_NO_SPACE, "the server's disk is full");
    }
    if (status != DV_OK) {
        return status;
    }
    ret_file->fd = open(upload->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (ret_file->fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot keep the upload");
    }
    ret_file->size_max = UPLOAD_SIZE_MAX;
    ret_file->data = upload;
    return DV_OK;
}

enum dv_status dv_api_datasets_open_file(struct dv_http_request *request,
    const struct dv_http_part *part, struct dv_http_file *ret_file, void *user)
{
    struct dv_error error;

    if (!dv_text_equal(part->name, "file")) {
        dv_api_refuse(request, 422, "", "the archive must be in the field 'file'");
        return DV_INVALID;
    }
    if (!check_fields(request)) {
        return DV_INVALID;
    }
    struct upload *upload = dv_alloc(sizeof(*upload));
    enum dv_status status = open_upload(user, upload, ret_file, &error);
    if (status != DV_OK) {
        dv_free(upload);
        dv_api_fail(request, &error);
    }
    return status;
}

void dv_api_datasets_close_file(
    struct dv_http_request *request, struct dv_http_file *file, bool is_whole, void *user)
{
    struct upload *upload = file->data;

    (void)request;
    (void)user;
    if (!is_whole) {
        (void)unlink(upload->path); /* what stays is swept at the next start */
        dv_free(upload);
        file->data = NULL;
    }
}

static enum dv_status create(struct dv_http_request *request, struct dv_api *api,
    const struct upload *upload, struct dv_json **ret_row, struct dv_error *reterr)
{
    const char *domain = dv_http_request_field(request, "domain");
    const char *task = dv_http_request_field(request, "task");
    const struct dv_dataset_fields values = {.name = dv_http_request_field(request, "name"),
        .description = dv_http_request_field(request, "description"),
        .domain = domain ? domain : domains[0],
        .task = task ? task : tasks[0]};

    enum dv_status status = dv_file_rename(upload->path, upload->whole_path, reterr);
    if (status == DV_OK) {
        status = dv_datasets_create(
            api->options.store, upload->id, &values, "processing", ret_row, reterr);
    }
    return status;
}

void dv_api_datasets_create(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const struct dv_http_file *file = dv_http_request_file(request);
    struct dv_json *row = NULL;
    struct dv_error error;

    if (!file) {
        if (check_fields(request)) {
            dv_api_refuse(request, 422, "/file", "file is missing: a ZIP of class folders");
        }
        return;
    }
    struct upload *upload = file->data;
    enum dv_status status = create(request, api, upload, &row, &error);
    if (status == DV_OK) {
        dv_supervisor_wake(api->options.supervisor);
        DV_CLEANUP(dv_freep) char *location = dv_strprintf("/api/datasets/%s", upload->id);
        dv_http_reply_header(request, "Location", location);
    } else {
        (void)unlink(upload->path);
        /* A lost answer of the database may hide a row that is there: the sweep knows. */
        if (status != DV_UNAVAILABLE) {
            (void)unlink(upload->whole_path);
        }
    }
    dv_free(upload);
    dv_api_answer(request, status, 201, dv_api_place(api, row), &error);
}
