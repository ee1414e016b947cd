/* SPDX-License-Identifier: Apache-2.0 */
#include "app/dataset_source.h"

#include "app/connection.h"
#include "app/folder_zip.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "client/client.h"
#include "spec/limits.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_BLOCK_SIZE (1u << 20)

/* --- Names ------------------------------------------------------------------------------------ */

/* The file's name without folders and without ".zip"; the caller's. */
static char *make_name(const char *path)
{
    char resolved[DV_PATH_SIZE];
    const char *whole = realpath(path, resolved) ? resolved : path; /* of "." as well */
    const char *slash = strrchr(whole, '/');
    char *name = dv_strdup(slash ? slash + 1 : whole);

    if (dv_text_has_suffix_nocase(name, ".zip") && strlen(name) > 4) {
        name[strlen(name) - 4] = '\0';
    }
    return name;
}

static enum dv_status check_name(const char *name, struct dv_error *reterr)
{
    size_t size = strlen(name);

    if (size == 0 || size > DV_NAME_SIZE_MAX) {
        return dv_fail(reterr, DV_INVALID, "the name of a data set has 1 to %u bytes, not %zu",
            DV_NAME_SIZE_MAX, size);
    }
    if (!dv_text_is_utf8(name, size)) {
        return dv_fail(reterr, DV_INVALID, "the name '%s' is not UTF-8", name);
    }
    return DV_OK;
}

/* --- Finding one that is there already -------------------------------------------------------- */

static enum dv_status hash_file(struct dv_session *session, const char *path,
    char ret_text[static DV_SHA256_TEXT_SIZE], struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    DV_CLEANUP(dv_freep) char *block = dv_alloc(HASH_BLOCK_SIZE);
    unsigned char digest[DV_SHA256_SIZE];
    struct dv_sha256 hash;

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

/* The oldest ready data set that was made of these bytes. DV_NOT_FOUND: there is none. */
static enum dv_status find_same(struct dv_session *session, const char *path,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;
    char hash[DV_SHA256_TEXT_SIZE];

    enum dv_status status = hash_file(session, path, hash, reterr);
    if (status == DV_OK) {
        status = dv_session_list(
            session, "/api/datasets?readiness=ready&sort=created_at", &rows, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    for (size_t i = 0; i < dv_json_count(rows); i++) {
        struct dv_json *row = dv_json_at(rows, i);
        if (dv_text_equal(dv_json_get_string(row, "source_hash", ""), hash)) {
            *ret_row = dv_json_ref(row);
            return DV_OK;
        }
    }
    return dv_fail(reterr, DV_NOT_FOUND, "no data set was made of %s", path);
}

/* --- Making one ------------------------------------------------------------------------------- */

static void on_sent(void *user, uint64_t sent, uint64_t total)
{
    struct dv_session *session = user;

    dv_progress_view_share(&session->view, "uploading",
        total > 0 ? fmin((double)sent / (double)total, 1.0) : 1.0);
}

static bool is_final(const struct dv_json *data)
{
    const char *readiness = dv_json_get_string(data, "readiness", "");

    return dv_text_equal(readiness, "ready") || dv_text_equal(readiness, "error");
}

static bool on_event(void *user, int64_t id, const char *type, const struct dv_json *event)
{
    struct dv_session *session = user;
    const struct dv_json *data = dv_json_get(event, "data");

    (void)id;
    if (dv_text_equal(type, "progress")) {
        dv_progress_view_share(
            &session->view, "reading", dv_json_get_number(data, "progress", 0.0));
    }
    /* After a `reset` the row tells; a data set that was deleted has none. */
    return !dv_text_equal(type, "reset") && !dv_text_equal(type, "deleted") && !is_final(data);
}

static void report_findings(struct dv_session *session, const struct dv_json *findings)
{
    struct dv_buffer text = DV_BUFFER_INIT(4096);

    if (dv_json_count(findings) == 0) {
        return;
    }
    for (void *at = dv_json_first(findings); at; at = dv_json_next(findings, at)) {
        dv_buffer_printf(&text, "%s %s %lld", text.size == 0 ? "findings:" : ",", dv_json_key(at),
            (long long)dv_json_to_integer(dv_json_value(at), 0));
    }
    dv_session_say(session, "info", dv_buffer_text(&text));
    dv_buffer_finish(&text);
}

/* Until it is ready; `*row` becomes what it is then. */
static enum dv_status wait_read(
    struct dv_session *session, struct dv_json **row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("/api/datasets/%s", dv_json_get_string(*row, "id", ""));
    DV_CLEANUP(dv_freep) char *events = dv_strprintf("%s/events", path);
    enum dv_status status = DV_OK;
    int64_t last_id = 0;

    while (status == DV_OK && !is_final(*row)) {
        status = dv_session_follow(session, events, &last_id, on_event, session, reterr);
        struct dv_json *newer = NULL;
        if (status == DV_OK) {
            status = dv_session_call(session, "GET", path, NULL, &newer, reterr);
        }
        if (status == DV_OK) {
            dv_json_unref(*row);
            *row = newer;
        }
    }
    dv_progress_view_end(&session->view);
    if (status != DV_OK) {
        return status;
    }
    report_findings(session, dv_json_get(*row, "finding_counts"));
    const char *error = dv_json_get_string(*row, "error", "it could not be read");
    return dv_text_equal(dv_json_get_string(*row, "readiness", ""), "ready")
               ? DV_OK
               : dv_fail(reterr, DV_INVALID, "%s (data set %s)", error,
                     dv_json_get_string(*row, "id", ""));
}

static enum dv_status upload(struct dv_session *session, const char *archive, const char *name,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *fields = dv_json_object();
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    dv_json_set_string(fields, "name", name);
    enum dv_status status = dv_client_upload(dv_connection_client(session->connection),
        "/api/datasets", fields, archive, on_sent, session, &row, reterr);
    dv_progress_view_end(&session->view);
    if (status == DV_OK) {
        status = wait_read(session, &row, reterr);
    }
    if (status == DV_OK) {
        *ret_row = dv_json_ref(row);
    }
    return status;
}

static enum dv_status create_of_archive(struct dv_session *session, const char *archive,
    const char *name, bool may_reuse, struct dv_json **ret_row, struct dv_error *reterr)
{
    if (may_reuse) {
        enum dv_status status = find_same(session, archive, ret_row, reterr);
        if (status != DV_NOT_FOUND) {
            return status;
        }
    }
    return upload(session, archive, name, ret_row, reterr);
}

static enum dv_status create_of_folder(struct dv_session *session, const char *folder,
    const char *name, bool may_reuse, struct dv_json **ret_row, struct dv_error *reterr)
{
    struct dv_scratch scratch;
    char archive[DV_PATH_SIZE];

    enum dv_status status = dv_session_scratch(session, &scratch, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_path_format(archive, reterr, "%s/folder.zip", scratch.path);
    if (status == DV_OK) {
        status = dv_folder_zip(session, folder, archive, reterr);
    }
    if (status == DV_OK) {
        status = create_of_archive(session, archive, name, may_reuse, ret_row, reterr);
    }
    dv_scratch_close(&scratch);
    return status;
}

enum dv_status dv_dataset_create(struct dv_session *session, const char *path, const char *name,
    bool may_reuse, struct dv_json **ret_row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *own_name = name ? NULL : make_name(path);
    DV_CLEANUP(dv_file_closep) int fd = -1;
    bool is_folder = dv_path_is_folder(path);

    assert(ret_row);
    name = name ? name : own_name;
    enum dv_status status = check_name(name, reterr);
    if (status == DV_OK && !is_folder) {
        status = dv_file_open_read(path, &fd, reterr); /* before a server is bothered */
    }
    if (status == DV_OK) {
        status = dv_session_connect(session, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    return is_folder ? create_of_folder(session, path, name, may_reuse, ret_row, reterr)
                     : create_of_archive(session, path, name, may_reuse, ret_row, reterr);
}

enum dv_status dv_dataset_resolve(struct dv_session *session, const char *argument,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    if (dv_path_exists(argument)) {
        return dv_dataset_create(session, argument, NULL, true, ret_row, reterr);
    }
    if (!dv_uuid_is_valid(argument)) {
        return dv_fail(
            reterr, DV_NOT_FOUND, "there is no file, folder or data set '%.200s'", argument);
    }
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("/api/datasets/%s", argument);
    return dv_session_call(session, "GET", path, NULL, ret_row, reterr);
}

void dv_dataset_print(const struct dv_json *row)
{
    dv_print_line("data set %s  \"%s\": %lld pictures in %zu classes",
        dv_json_get_string(row, "id", ""), dv_json_get_string(row, "name", ""),
        (long long)dv_json_get_integer(row, "total_samples", 0),
        dv_json_count(dv_json_get(row, "classes")));
}
