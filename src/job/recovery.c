/* SPDX-License-Identifier: Apache-2.0 */

/* Read from dv_recovery_create(), then judge_name() with its table of kinds. */

#include "job/recovery.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "job/context.h"
#include "job/sweeper.h"
#include "store/datasets.h"
#include "store/jobs.h"
#include "store/models.h"
#include "store/tokens.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#define NAMES_A_STEP 32 /* each costs a query */

enum kind { KIND_DATASET, KIND_MODEL, KIND_JOB, KIND_UPLOAD, KIND_COUNT };

static const char *const folders[KIND_COUNT] = {
    [KIND_DATASET] = "datasets",
    [KIND_MODEL] = "models",
    [KIND_JOB] = "jobs",
    [KIND_UPLOAD] = "uploads",
};

struct found {
    enum kind kind;
    char name[DV_UUID_TEXT_SIZE + sizeof(".zip")];
};

struct dv_recovery {
    struct dv_job_context *context;
    struct found *found;
    size_t count, capacity;
};

/* --- Looking around --------------------------------------------------------------------- */

static void take_name(struct dv_recovery *recovery, enum kind kind, const char *name)
{
    struct found found = {.kind = kind};

    if (!dv_text_copy(found.name, sizeof(found.name), name)) {
        return; /* no name of ours is so long */
    }
    if (recovery->count == recovery->capacity) {
        recovery->capacity = recovery->capacity ? 2 * recovery->capacity : 64;
        recovery->found =
            dv_realloc(recovery->found, recovery->capacity * sizeof(*recovery->found));
    }
    recovery->found[recovery->count++] = found;
}

static enum dv_status look_into(
    struct dv_recovery *recovery, enum kind kind, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE], hidden[DV_PATH_SIZE];
    struct dirent *entry;

    enum dv_status status =
        dv_path_format(path, reterr, "%s/%s", recovery->context->data_folder, folders[kind]);
    if (status == DV_OK) {
        status = dv_folder_make(path, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    DIR *stream = opendir(path);
    if (!stream) {
        return dv_fail_errno(reterr, errno, "cannot list %s", path);
    }
    while (status == DV_OK && (entry = readdir(stream))) {
        if (dv_sweeper_is_hidden_name(entry->d_name)) {
            status = dv_path_format(hidden, reterr, "%s/%s", path, entry->d_name);
            if (status == DV_OK) {
                dv_sweeper_add(recovery->context->sweeper, hidden);
            }
        } else if (entry->d_name[0] != '.') {
            take_name(recovery, kind, entry->d_name);
        }
    }
    (void)closedir(stream);
    return status;
}

enum dv_status dv_recovery_create(
    struct dv_job_context *context, struct dv_recovery **ret_recovery, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    assert(context);
    assert(ret_recovery);
    struct dv_recovery *recovery = dv_alloc(sizeof(*recovery));
    recovery->context = context;
    for (int kind = 0; kind < KIND_COUNT && status == DV_OK; kind++) {
        status = look_into(recovery, (enum kind)kind, reterr);
    }
    if (status != DV_OK) {
        recovery = dv_recovery_destroy(recovery);
        return status;
    }
    *ret_recovery = recovery;
    return DV_OK;
}

struct dv_recovery *dv_recovery_destroy(struct dv_recovery *recovery)
{
    if (!recovery) {
        return NULL;
    }
    dv_free(recovery->found);
    return dv_free(recovery);
}

/* --- Judging ---------------------------------------------------------------------------- */

enum verdict { VERDICT_KEEP, VERDICT_REMOVE, VERDICT_SPEAK_OF };

static bool is_one_of(const struct dv_json *row, const char *key, const char *a, const char *b)
{
    const char *value = dv_json_get_string(row, key, "");

    return dv_text_equal(value, a) || dv_text_equal(value, b);
}

/* Once a data set is made, or was refused, nobody will read its upload again. */
static enum verdict judge_upload(const struct dv_json *row, const char *path)
{
    (void)path;
    return row && is_one_of(row, "readiness", "draft", "processing") ? VERDICT_KEEP
                                                                     : VERDICT_REMOVE;
}

/* A job that is not completed can be gone on with. */
static enum verdict judge_job(const struct dv_json *row, const char *path)
{
    (void)path;
    return row && !is_one_of(row, "status", "completed", NULL) ? VERDICT_KEEP : VERDICT_REMOVE;
}

static enum verdict judge_dataset(const struct dv_json *row, const char *path)
{
    DV_CLEANUP(dv_freep) char *summary = dv_strprintf("%s/dataset.json", path);

    return row ? VERDICT_KEEP : dv_path_exists(summary) ? VERDICT_SPEAK_OF : VERDICT_REMOVE;
}

static enum verdict judge_model(const struct dv_json *row, const char *path)
{
    DV_CLEANUP(dv_freep) char *versions = dv_strprintf("%s/versions", path);

    return row ? VERDICT_KEEP : dv_path_exists(versions) ? VERDICT_SPEAK_OF : VERDICT_REMOVE;
}

static const struct {
    enum dv_status (*get)(
        struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr);
    enum verdict (*judge)(const struct dv_json *row, const char *path);
} kinds[KIND_COUNT] = {
    [KIND_DATASET] = {dv_datasets_get, judge_dataset},
    [KIND_MODEL] = {dv_models_get, judge_model},
    [KIND_JOB] = {dv_jobs_get, judge_job},
    [KIND_UPLOAD] = {dv_datasets_get, judge_upload},
};

/* The id in a name, or false: then it is not ours to judge. */
static bool read_id(const struct found *found, char ret_id[static DV_UUID_TEXT_SIZE])
{
    size_t length = strlen(found->name);

    if (found->kind == KIND_UPLOAD && dv_text_has_suffix_nocase(found->name, ".zip")) {
        length -= strlen(".zip");
    }
    if (length != DV_UUID_TEXT_SIZE - 1) {
        return false;
    }
    memcpy(ret_id, found->name, length);
    ret_id[length] = '\0';
    return dv_uuid_is_valid(ret_id);
}

/* It was deleted since the names were read: its note is seen to, or was. */
static bool is_on_its_way_out(struct dv_recovery *recovery, const char *path)
{
    bool has_note = false;

    enum dv_status status = dv_trash_has(recovery->context->store,
        path + strlen(recovery->context->data_folder) + 1, &has_note, NULL);
    return (status == DV_OK && has_note) || !dv_path_exists(path);
}

static void carry_out(struct dv_recovery *recovery, enum verdict verdict, const char *path)
{
    struct dv_error error = {0};

    if (verdict == VERDICT_SPEAK_OF && !is_on_its_way_out(recovery, path)) {
        dv_log(DV_LOG_WARNING,
            "%s is in no row of the database, and is left as it is: is this another database's "
            "data folder?",
            path);
    }
    if (verdict == VERDICT_REMOVE &&
        dv_sweeper_hide(recovery->context->sweeper, path, &error) != DV_OK) {
        dv_log(DV_LOG_WARNING, "%s is left until the next start: %s", path, error.text);
    }
}

/* False: the store is away. */
static bool judge_name(struct dv_recovery *recovery, const struct found *found)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    struct dv_job_context *context = recovery->context;
    char id[DV_UUID_TEXT_SIZE], path[DV_PATH_SIZE];
    struct dv_error error = {0};

    if (!read_id(found, id)) {
        return true;
    }
    enum dv_status status = kinds[found->kind].get(context->store, id, &row, &error);
    if (dv_gate_must_wait(&context->gate, status, &error)) {
        return false;
    }
    if (status == DV_OK || status == DV_NOT_FOUND) {
        status = dv_path_format(
            path, &error, "%s/%s/%s", context->data_folder, folders[found->kind], found->name);
    }
    if (status != DV_OK) {
        dv_log(DV_LOG_WARNING, "%s/%s cannot be judged: %s", folders[found->kind], found->name,
            error.text);
        return true;
    }
    carry_out(recovery, kinds[found->kind].judge(row, path), path);
    return true;
}

bool dv_recovery_step(struct dv_recovery *recovery)
{
    assert(recovery);
    for (int i = 0; i < NAMES_A_STEP && recovery->count > 0; i++) {
        if (!dv_gate_is_open(&recovery->context->gate) ||
            !judge_name(recovery, &recovery->found[recovery->count - 1])) {
            return false;
        }
        recovery->count--;
    }
    return recovery->count > 0;
}

bool dv_recovery_is_done(const struct dv_recovery *recovery)
{
    assert(recovery);
    return recovery->count == 0;
}
