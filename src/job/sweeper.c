/* SPDX-License-Identifier: Apache-2.0 */
#include "job/sweeper.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

#include <assert.h>
#include <string.h>

#define SLICE_ENTRIES 256u /* files and folders removed in one step */

struct dv_sweeper {
    char **paths; /* hidden ones, ours */
    size_t count, capacity;
};

struct dv_sweeper *dv_sweeper_create(void)
{
    return dv_alloc(sizeof(struct dv_sweeper));
}

struct dv_sweeper *dv_sweeper_destroy(struct dv_sweeper *sweeper)
{
    if (!sweeper) {
        return NULL;
    }
    for (size_t i = 0; i < sweeper->count; i++) {
        dv_free(sweeper->paths[i]);
    }
    dv_free(sweeper->paths);
    return dv_free(sweeper);
}

bool dv_sweeper_is_hidden_name(const char *name)
{
    assert(name);
    return name[0] == '.' && dv_uuid_is_valid(name + 1);
}

void dv_sweeper_add(struct dv_sweeper *sweeper, const char *hidden_path)
{
    assert(sweeper);
    assert(hidden_path);
    if (sweeper->count == sweeper->capacity) {
        sweeper->capacity = sweeper->capacity ? 2 * sweeper->capacity : 16;
        sweeper->paths = dv_realloc(sweeper->paths, sweeper->capacity * sizeof(*sweeper->paths));
    }
    sweeper->paths[sweeper->count++] = dv_strdup(hidden_path);
}

enum dv_status dv_sweeper_hide_in(struct dv_sweeper *sweeper, const char *path,
    const char *folder, struct dv_error *reterr)
{
    char hidden[DV_PATH_SIZE], id[DV_UUID_TEXT_SIZE];

    assert(sweeper);
    assert(path);
    assert(folder);
    dv_uuid_make(id);
    enum dv_status status = dv_path_format(hidden, reterr, "%s/.%s", folder, id);
    if (status == DV_OK) {
        status = dv_file_rename(path, hidden, reterr);
    }
    if (status == DV_NOT_FOUND) {
        return DV_OK;
    }
    if (status == DV_OK) {
        dv_sweeper_add(sweeper, hidden);
    }
    return status;
}

enum dv_status dv_sweeper_hide(
    struct dv_sweeper *sweeper, const char *path, struct dv_error *reterr)
{
    char folder[DV_PATH_SIZE];
    const char *slash = strrchr(path, '/');

    assert(slash);
    enum dv_status status = dv_path_format(folder, reterr, "%.*s", (int)(slash - path), path);
    return status == DV_OK ? dv_sweeper_hide_in(sweeper, path, folder, reterr) : status;
}

bool dv_sweeper_step(struct dv_sweeper *sweeper)
{
    struct dv_error error = {0};
    bool is_gone = false;

    assert(sweeper);
    if (sweeper->count == 0) {
        return false;
    }
    char *path = sweeper->paths[sweeper->count - 1];
    enum dv_status status = dv_folder_remove_some(path, SLICE_ENTRIES, &is_gone, &error);
    if (status != DV_OK) {
        dv_log(DV_LOG_WARNING, "%s is left until the next start: %s", path, error.text);
    }
    if (is_gone || status != DV_OK) {
        sweeper->count--;
        dv_free(path);
    }
    return sweeper->count > 0;
}

bool dv_sweeper_is_idle(const struct dv_sweeper *sweeper)
{
    assert(sweeper);
    return sweeper->count == 0;
}
