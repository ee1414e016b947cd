/* SPDX-License-Identifier: Apache-2.0 */
#include "job/trash.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "job/context.h"
#include "job/sweeper.h"
#include "store/tokens.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {"datasets", "models", "jobs", "uploads"};

struct noted {
    const char *kind;
    char id[DV_UUID_TEXT_SIZE];
};

/* Only DATA/{kind}/{id} is ever removed, however it is written in the row. */
static bool read_path(const char *data_folder, const char *path, struct noted *ret_noted)
{
    size_t length = strlen(data_folder);

    if (strncmp(path, data_folder, length) == 0 && path[length] == '/') {
        path += length + 1;
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(kinds); i++) {
        size_t kind_length = strlen(kinds[i]);
        if (dv_text_has_prefix(path, kinds[i]) && path[kind_length] == '/' &&
            dv_uuid_is_valid(path + kind_length + 1)) {
            ret_noted->kind = kinds[i];
            return dv_text_copy(ret_noted->id, sizeof(ret_noted->id), path + kind_length + 1);
        }
    }
    return false;
}

static enum dv_status hide(struct dv_job_context *context, const char *kind, const char *id,
    const char *suffix, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    enum dv_status status =
        dv_path_format(path, reterr, "%s/%s/%s%s", context->data_folder, kind, id, suffix);
    return status == DV_OK ? dv_sweeper_hide(context->sweeper, path, reterr) : status;
}

static enum dv_status hide_noted(
    struct dv_job_context *context, const struct noted *noted, struct dv_error *reterr)
{
    enum dv_status status = hide(context, noted->kind, noted->id, "", reterr);

    /* A data set that was deleted before it was made has left its upload. */
    if (status == DV_OK && dv_text_equal(noted->kind, "datasets")) {
        status = hide(context, "uploads", noted->id, "", reterr);
        if (status == DV_OK) {
            status = hide(context, "uploads", noted->id, ".zip", reterr);
        }
    }
    return status;
}

enum dv_status dv_trash_empty(struct dv_job_context *context,
    bool (*is_in_use)(void *user, const char *id), void *user, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *paths = NULL;

    assert(context);
    assert(is_in_use);
    enum dv_status status = dv_trash_list(context->store, &paths, reterr);
    for (size_t i = 0; status == DV_OK && i < dv_json_count(paths); i++) {
        const char *path = dv_json_to_string(dv_json_at(paths, i), "");
        struct noted noted;
        struct dv_error error = {0};
        bool is_ours = read_path(context->data_folder, path, &noted);
        if (is_ours && is_in_use(user, noted.id)) {
            continue;
        }
        if (!is_ours) {
            dv_log(DV_LOG_WARNING, "the note to remove '%.200s' is dropped: no such folder is ours",
                path);
        } else if (hide_noted(context, &noted, &error) != DV_OK) {
            dv_log(DV_LOG_WARNING, "%s is not removed yet: %s", path, error.text);
            continue;
        }
        status = dv_trash_remove(context->store, path, reterr);
    }
    return status;
}
