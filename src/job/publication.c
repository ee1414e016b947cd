/* SPDX-License-Identifier: Apache-2.0 */
#include "job/publication.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define RESULT_SIZE_MAX (64u << 20)

void dv_publication_finish(struct dv_publication *publication)
{
    publication->result = dv_json_unref(publication->result);
}

static enum dv_status note_path(
    const char *job_folder, char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    return dv_path_format(ret_path, reterr, "%s/result.json", job_folder);
}

static enum dv_status write_note(
    const char *job_folder, const struct dv_publication *publication, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *note = dv_json_object();
    char path[DV_PATH_SIZE];

    dv_json_set_integer(note, "version", publication->version);
    dv_json_set_bool(note, "is_partial", publication->is_partial);
    dv_json_set(note, "result", dv_json_ref(publication->result));
    DV_CLEANUP(dv_freep) char *text = dv_json_print(note);
    enum dv_status status = note_path(job_folder, path, reterr);
    return status == DV_OK ? dv_file_write(path, text, strlen(text), reterr) : status;
}

/* Where version `version` of a model lies; told to the result too. */
static enum dv_status set_place(
    struct dv_publication *publication, const char *model_folder, struct dv_error *reterr)
{
    enum dv_status status = dv_path_format(publication->place, reterr, "%s/versions/%lld",
        model_folder, (long long)publication->version);

    if (status == DV_OK) {
        const char *slash = strrchr(model_folder, '/');
        DV_CLEANUP(dv_freep)
        char *path = dv_strprintf("models/%s/versions/%lld", slash ? slash + 1 : model_folder,
            (long long)publication->version);
        dv_json_set_string(publication->result, "model_path", path);
    }
    return status;
}

enum dv_status dv_publication_prepare(const char *job_folder, const char *model_folder,
    struct dv_json *result, int64_t version, bool is_partial,
    struct dv_publication *ret_publication, struct dv_error *reterr)
{
    struct dv_publication publication = {
        .result = result, .version = version, .is_partial = is_partial};

    assert(ret_publication);
    assert(version > 0);
    enum dv_status status = set_place(&publication, model_folder, reterr);
    if (status == DV_OK) {
        status = write_note(job_folder, &publication, reterr);
    }
    if (status != DV_OK) {
        dv_publication_finish(&publication);
        return status;
    }
    *ret_publication = publication;
    return DV_OK;
}

enum dv_status dv_publication_find(const char *job_folder, const char *model_folder,
    struct dv_publication *ret_publication, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *note = NULL;
    char path[DV_PATH_SIZE];
    struct dv_publication publication = {0};

    assert(ret_publication);
    enum dv_status status = note_path(job_folder, path, reterr);
    if (status == DV_OK) {
        status = dv_json_read_file(path, RESULT_SIZE_MAX, &note, reterr);
    }
    if (status != DV_OK) {
        return status == DV_INVALID ? DV_CORRUPT : status;
    }
    publication.version = dv_json_get_integer(note, "version", 0);
    publication.is_partial = dv_json_get_bool(note, "is_partial", false);
    if (publication.version <= 0 || !dv_json_is_object(dv_json_get(note, "result"))) {
        return dv_fail(reterr, DV_CORRUPT, "%s is no result of ours", path);
    }
    publication.result = dv_json_ref(dv_json_get(note, "result"));
    status = set_place(&publication, model_folder, reterr);
    if (status != DV_OK) {
        dv_publication_finish(&publication);
        return status;
    }
    *ret_publication = publication;
    return DV_OK;
}

/* DATA/models/{id}/versions, durably: a rename into it is worth no more than itself. */
static enum dv_status make_versions(
    const char *place, char ret_folder[static DV_PATH_SIZE], struct dv_error *reterr)
{
    char folder[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(folder, reterr, "%s", place);
    if (status != DV_OK) {
        return status;
    }
    *strrchr(folder, '/') = '\0';
    memcpy(ret_folder, folder, sizeof(folder));
    status = dv_folder_make(folder, reterr);
    for (int i = 0; i < 2 && status == DV_OK; i++) { /* models/{id}, then models */
        *strrchr(folder, '/') = '\0';
        status = dv_folder_sync(folder, reterr);
    }
    return status;
}

enum dv_status dv_publication_move(
    const struct dv_publication *publication, const char *made_folder, struct dv_error *reterr)
{
    char versions[DV_PATH_SIZE];

    enum dv_status status = make_versions(publication->place, versions, reterr);
    if (status != DV_OK) {
        return status;
    }
    return dv_path_is_folder(publication->place)
               ? dv_folder_sync(versions, reterr) /* who renamed it may not have come to this */
               : dv_file_rename(made_folder, publication->place, reterr);
}

enum dv_status dv_publication_forget(const char *job_folder, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    enum dv_status status = note_path(job_folder, path, reterr);
    if (status == DV_OK && unlink(path) != 0 && errno != ENOENT) {
        return dv_fail_errno(reterr, errno, "cannot remove %s", path);
    }
    return status;
}
