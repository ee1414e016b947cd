/* SPDX-License-Identifier: Apache-2.0 */
#include "app/model_source.h"

#include "app/actions.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

static enum dv_status check_folder(const char *folder, struct dv_error *reterr)
{
    static const char *const names[] = {"model.json", "weights.safetensors"};
    char path[DV_PATH_SIZE];

    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder, names[i]);
        if (status != DV_OK) {
            return status;
        }
        if (!dv_path_exists(path)) {
            return dv_fail(reterr, DV_NOT_FOUND, "%s is no model: it has no %s", folder, names[i]);
        }
    }
    return DV_OK;
}

static enum dv_status resolve_path(
    const char *argument, char ret_folder[static DV_PATH_SIZE], struct dv_error *reterr)
{
    char folder[DV_PATH_SIZE];

    if (!realpath(argument, folder)) {
        return dv_fail_errno(reterr, errno, "cannot find %s", argument);
    }
    if (!dv_text_is_utf8(folder, strlen(folder))) {
        return dv_fail(reterr, DV_INVALID, "the path %s is not UTF-8: rename it", folder);
    }
    if (!dv_path_is_folder(folder)) {
        char *slash = strrchr(folder, '/');
        if (!dv_text_equal(slash + 1, "model.json") &&
            !dv_text_equal(slash + 1, "weights.safetensors")) {
            return dv_fail(reterr, DV_UNSUPPORTED,
                "%s cannot be used as a model yet: give a model's id or the folder that training "
                "left",
                argument);
        }
        *slash = '\0';
    }
    enum dv_status status = check_folder(folder, reterr);
    return status == DV_OK ? dv_path_format(ret_folder, reterr, "%s", folder) : status;
}

enum dv_status dv_model_resolve(struct dv_session *session, const char *argument,
    char ret_folder[static DV_PATH_SIZE], struct dv_error *reterr)
{
    if (dv_path_exists(argument)) {
        return resolve_path(argument, ret_folder, reterr);
    }
    if (!dv_uuid_is_valid(argument)) {
        return dv_fail(
            reterr, DV_NOT_FOUND, "there is no model, folder or file '%.200s'", argument);
    }
    if (session->server) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "the files of a model on another server are not at hand: `dv model download` gets "
            "them, as a ZIP to be unpacked");
    }
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    enum dv_status status = dv_action_get(session, "models", argument, &row, reterr);
    if (status != DV_OK) {
        return status;
    }
    const char *path = dv_json_get_string(row, "model_path", NULL);
    if (!path) {
        return dv_fail(reterr, DV_NOT_FOUND, "the model %s is '%s': it has no files yet", argument,
            dv_json_get_string(row, "status", ""));
    }
    status = check_folder(path, reterr);
    return status == DV_OK ? dv_path_format(ret_folder, reterr, "%s", path) : status;
}
