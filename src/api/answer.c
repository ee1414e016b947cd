/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_impl.h"

#include "base/alloc.h"
#include "base/file.h"
#include "spec/problem.h"

#include <assert.h>
#include <unistd.h>

#define REMOVAL_LOOKS 250
#define REMOVAL_LOOK_US 2000u

static const struct {
    enum dv_status status;
    int code;
    const char *retry_after; /* seconds */
} codes[] = {
    {DV_INVALID, 422, NULL},
    {DV_NOT_FOUND, 404, NULL},
    {DV_CONFLICT, 409, NULL},
    {DV_TOO_LARGE, 413, NULL},
    {DV_UNSUPPORTED, 422, NULL},
    {DV_DENIED, 403, NULL},
    {DV_NOMEM, 503, "5"},
    {DV_UNAVAILABLE, 503, "1"},
    {DV_TIMEOUT, 503, "1"},
    {DV_NO_SPACE, 507, NULL},
};

void dv_api_fail(struct dv_http_request *request, const struct dv_error *error)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(codes); i++) {
        if (codes[i].status == error->status) {
            if (codes[i].retry_after) {
                dv_http_reply_header(request, "Retry-After", codes[i].retry_after);
            }
            dv_http_reply_problem(request, codes[i].code, error->text, NULL);
            return;
        }
    }
    dv_http_reply_problem(request, 500, error->text, NULL);
}

void dv_api_answer(struct dv_http_request *request, enum dv_status status, int code,
    struct dv_json *row, const struct dv_error *error)
{
    if (status != DV_OK) {
        dv_api_fail(request, error);
        return;
    }
    dv_http_reply_json(request, code, row);
}

static void append_error(struct dv_json *errors, const char *pointer, const char *message)
{
    struct dv_json *item = dv_json_object();

    dv_json_set_string(item, "pointer", pointer);
    dv_json_set_string(item, "message", message);
    dv_json_append(errors, item);
}

void dv_api_refuse(
    struct dv_http_request *request, int code, const char *pointer, const char *message)
{
    struct dv_json *errors = dv_json_array();

    append_error(errors, pointer, message);
    dv_http_reply_problem(request, code, message, errors);
}

void dv_api_refuse_problems(struct dv_http_request *request, const struct dv_problems *problems)
{
    struct dv_json *errors = dv_json_array();

    assert(problems->count > 0);
    for (size_t i = 0; i < problems->count; i++) {
        append_error(errors, problems->items[i].pointer, problems->items[i].message);
        struct dv_json *item = dv_json_at(errors, i);
        dv_json_set_string(item, "code", problems->items[i].code);
        dv_json_set_string(item, "fix", problems->items[i].fix);
    }
    dv_http_reply_problem(request, 422, problems->items[0].message, errors);
}

/* --- Places ------------------------------------------------------------------------------------ */

static void place_member(const struct dv_api *api, struct dv_json *object, const char *key)
{
    const char *path = dv_json_get_string(object, key, NULL);

    if (path && path[0] && path[0] != '/') {
        DV_CLEANUP(dv_freep) char *whole = dv_strprintf("%s/%s", api->options.data_folder, path);
        dv_json_set_string(object, key, whole);
    }
}

static void place_row(const struct dv_api *api, struct dv_json *row)
{
    const struct dv_json *versions = dv_json_get(row, "versions");
    struct dv_json *result = dv_json_get(row, "result");

    place_member(api, row, "file_path");
    place_member(api, row, "model_path");
    for (size_t i = 0; i < dv_json_count(versions); i++) {
        place_member(api, dv_json_at(versions, i), "path");
    }
    if (dv_json_is_object(result)) {
        place_member(api, result, "model_path");
    }
}

struct dv_json *dv_api_place(const struct dv_api *api, struct dv_json *row)
{
    const struct dv_json *items = dv_json_get(row, "items");

    if (!row) {
        return NULL;
    }
    for (size_t i = 0; i < dv_json_count(items); i++) {
        place_row(api, dv_json_at(items, i));
    }
    place_row(api, row);
    return row;
}

void dv_api_wait_removed(const struct dv_api *api, const char *kind, const char *id)
{
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("%s/%s/%s", api->options.data_folder, kind, id);

    for (int i = 0; i < REMOVAL_LOOKS && dv_path_exists(path); i++) {
        (void)usleep(REMOVAL_LOOK_US);
    }
}
