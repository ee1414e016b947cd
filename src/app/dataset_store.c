/* SPDX-License-Identifier: Apache-2.0 */
#include "app/dataset_store.h"

#include "app/session.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/limits.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_BLOCK_SIZE (1u << 20)
#define KIND "datasets"
#define RECORD_NAME "dataset.json"

enum dv_status dv_dataset_find(struct dv_session *session, const char *id,
    struct dv_stored *ret_dataset, struct dv_error *reterr)
{
    struct dv_json *record;

    enum dv_status status =
        dv_data_folder_record(&session->folder, KIND, id, RECORD_NAME, &record, reterr);
    return status == DV_OK
               ? dv_data_folder_adopt(&session->folder, KIND, record, ret_dataset, reterr)
               : status;
}

/* --- Finding one that is there already -------------------------------------------------- */

/* Of a file, in blocks; "" for a folder, which has no bytes of its own. */
static enum dv_status hash_source(struct dv_session *session, const char *path,
    char ret_text[static DV_SHA256_TEXT_SIZE], struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    DV_CLEANUP(dv_freep) char *block = dv_alloc(HASH_BLOCK_SIZE);
    unsigned char digest[DV_SHA256_SIZE];
    struct dv_sha256 hash;

    ret_text[0] = '\0';
    if (dv_path_is_folder(path)) {
        return DV_OK;
    }
    enum dv_status status = dv_file_open_read(path, &fd, reterr);
    if (status != DV_OK) {
        return status;
    }
    dv_sha256_init(&hash);
    for (;;) {
        ssize_t got = read(fd, block, HASH_BLOCK_SIZE);
        if (got < 0 && errno != EINTR) {
            return dv_fail_errno(reterr, errno, "cannot read %s", path);
        }
        if (dv_session_is_interrupted(session)) {
            return dv_fail(reterr, DV_CANCELLED, "interrupted");
        }
        if (got == 0) {
            break;
        }
        dv_sha256_update(&hash, block, got > 0 ? (size_t)got : 0);
    }
    dv_sha256_finish(&hash, digest);
    dv_text_hex(digest, sizeof(digest), ret_text);
    return DV_OK;
}

/* The oldest data set whose member `key` is `value` and whose id is another; borrowed, or NULL. */
static struct dv_json *find_like(
    const struct dv_json *records, const char *key, const char *value, const char *not_id)
{
    for (size_t i = 0; i < dv_json_count(records); i++) {
        struct dv_json *record = dv_json_at(records, i);
        if (value[0] && dv_text_equal(dv_json_get_string(record, key, ""), value) &&
            !dv_text_equal(dv_json_get_string(record, "id", ""), not_id)) {
            return record;
        }
    }
    return NULL;
}

/* DV_NOT_FOUND without a message: there is none. */
static enum dv_status reuse(struct dv_session *session, const char *key, const char *value,
    const char *not_id, struct dv_stored *ret_dataset, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *records = NULL;

    enum dv_status status =
        dv_data_folder_records(&session->folder, KIND, RECORD_NAME, &records, reterr);
    if (status != DV_OK) {
        return status;
    }
    struct dv_json *record = find_like(records, key, value, not_id);
    return record ? dv_data_folder_adopt(
                        &session->folder, KIND, dv_json_ref(record), ret_dataset, reterr)
                  : DV_NOT_FOUND;
}

/* --- Making one ------------------------------------------------------------------------- */

struct creation {
    struct dv_session *session;
    struct dv_json *findings; /* counts by code */
};

static void on_progress(void *user, const struct dv_message_progress *progress)
{
    struct creation *creation = user;

    dv_progress_view_ingest(&creation->session->view, progress);
}

static void on_findings(void *user, const struct dv_json *counts)
{
    struct creation *creation = user;

    dv_json_unref(creation->findings);
    creation->findings = dv_json_copy(counts);
}

/* The file's name without folders and without ".zip"; the caller's. */
static char *make_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = dv_strdup(slash ? slash + 1 : path);

    if (dv_text_has_suffix_nocase(name, ".zip") && strlen(name) > 4) {
        name[strlen(name) - 4] = '\0';
    }
    return name;
}

static enum dv_status check_name(const char *name, struct dv_error *reterr)
{
    size_t size = name ? strlen(name) : 1;

    if (size == 0 || size > DV_NAME_SIZE_MAX) {
        return dv_fail(reterr, DV_INVALID, "the name of a data set has 1 to %u bytes, not %zu",
            DV_NAME_SIZE_MAX, size);
    }
    if (name && !dv_text_is_utf8(name, size)) {
        return dv_fail(reterr, DV_INVALID, "the name '%s' is not UTF-8", name);
    }
    return DV_OK;
}

static void report_findings(struct dv_session *session, const struct dv_json *findings)
{
    struct dv_buffer text = DV_BUFFER_INIT(4096);

    if (dv_json_count(findings) == 0) {
        return;
    }
    dv_buffer_append_text(&text, "findings:");
    for (void *at = dv_json_first(findings); at; at = dv_json_next(findings, at)) {
        dv_buffer_printf(&text, " %s %lld", dv_json_key(at),
            (long long)dv_json_to_integer(dv_json_value(at), 0));
    }
    dv_session_say(session, "info", dv_buffer_text(&text));
    dv_buffer_finish(&text);
}

static enum dv_status run_ingest(struct dv_session *session, const char *path, const char *name,
    const char *id, const char *staging, struct dv_error *reterr)
{
    struct creation creation = {.session = session};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *options = dv_json_object();
    struct dv_role_outcome outcome;

    dv_json_set_string(options, "id", id);
    dv_json_set_string(options, "name", name);
    dv_json_set_integer(options, "seed", 0);
    const struct dv_role_call call = {.role = "ingest",
        .job = {.kind = "ingest",
            .source = path,
            .job_folder = staging,
            .thread_count = session->thread_count,
            .options = options},
        .user = &creation,
        .on_progress = on_progress,
        .on_findings = on_findings};
    enum dv_status status = dv_role_call(session, &call, &outcome, reterr);
    dv_progress_view_end(&session->view);
    report_findings(session, creation.findings);
    dv_json_unref(creation.findings);
    return status;
}

/* Ingest into a staging folder and rename it into its place. */
static enum dv_status make(struct dv_session *session, const char *path, const char *name,
    struct dv_stored *ret_dataset, struct dv_error *reterr)
{
    char id[DV_UUID_TEXT_SIZE];
    char staging[DV_PATH_SIZE], place[DV_PATH_SIZE];
    const char *root = session->folder.path;

    dv_uuid_make(id);
    enum dv_status status = dv_path_format(staging, reterr, "%s/datasets/.%s", root, id);
    if (status == DV_OK) {
        status = dv_path_format(place, reterr, "%s/datasets/%s", root, id);
    }
    if (status == DV_OK) {
        status = dv_folder_make(staging, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    status = run_ingest(session, path, name, id, staging, reterr);
    if (status == DV_OK) {
        status = dv_file_rename(staging, place, reterr);
    }
    if (status != DV_OK) {
        enum dv_status removed = dv_folder_remove(staging, NULL);
        (void)removed; /* the next command that locks DATA sweeps it */
        return status;
    }
    return dv_dataset_find(session, id, ret_dataset, reterr);
}

/* A folder has no hash before it was read: if it turns out to be one we have, that one stays. */
static enum dv_status prefer_older(
    struct dv_session *session, struct dv_stored *dataset, struct dv_error *reterr)
{
    struct dv_stored older;
    const char *hash = dv_json_get_string(dataset->record, "content_hash", "");

    enum dv_status status = reuse(session, "content_hash", hash, dataset->id, &older, reterr);
    if (status == DV_NOT_FOUND) {
        return DV_OK;
    }
    if (status == DV_OK) {
        status = dv_data_folder_delete(&session->folder, KIND, dataset->id, reterr);
        dv_stored_finish(dataset);
        *dataset = older;
    }
    return status;
}

enum dv_status dv_dataset_create(struct dv_session *session, const char *path, const char *name,
    bool may_reuse, struct dv_stored *ret_dataset, struct dv_error *reterr)
{
    char resolved[DV_PATH_SIZE];
    char hash[DV_SHA256_TEXT_SIZE] = "";
    enum dv_status status = DV_OK;

    assert(session->folder.lock_fd >= 0);
    status = check_name(name, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (!realpath(path, resolved)) {
        return dv_fail_errno(reterr, errno, "cannot find %s", path);
    }
    if (!dv_text_is_utf8(resolved, strlen(resolved))) {
        return dv_fail(reterr, DV_INVALID, "the path %s is not UTF-8: rename it", resolved);
    }
    if (may_reuse) {
        status = hash_source(session, resolved, hash, reterr);
        if (status == DV_OK) {
            status = reuse(session, "source_hash", hash, "", ret_dataset, reterr);
        }
        if (status != DV_NOT_FOUND) {
            return status;
        }
    }
    DV_CLEANUP(dv_freep) char *own_name = name ? NULL : make_name(resolved);
    status = make(session, resolved, name ? name : own_name, ret_dataset, reterr);
    if (status == DV_OK && may_reuse && !hash[0]) {
        status = prefer_older(session, ret_dataset, reterr);
    }
    return status;
}

enum dv_status dv_dataset_resolve(struct dv_session *session, const char *argument,
    struct dv_stored *ret_dataset, struct dv_error *reterr)
{
    if (dv_uuid_is_valid(argument) && !dv_path_exists(argument)) {
        return dv_dataset_find(session, argument, ret_dataset, reterr);
    }
    if (!dv_path_exists(argument)) {
        return dv_fail(
            reterr, DV_NOT_FOUND, "there is no file, folder or data set '%.200s'", argument);
    }
    enum dv_status status = dv_data_folder_lock(&session->folder, reterr);
    if (status == DV_OK) {
        status = dv_dataset_create(session, argument, NULL, true, ret_dataset, reterr);
    }
    return status;
}

void dv_dataset_print(const struct dv_stored *dataset)
{
    dv_print_line("data set %s  \"%s\": %lld pictures in %zu classes", dataset->id,
        dv_json_get_string(dataset->record, "name", ""),
        (long long)dv_json_get_integer(dataset->record, "total_samples", 0),
        dv_json_count(dv_json_get(dataset->record, "classes")));
}
