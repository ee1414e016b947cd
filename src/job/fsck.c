/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from dv_fsck_run(): the rows of each kind with what they ask of their files, then the names
 * in each folder with the row that they ask for.
 */

#include "job/fsck.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "job/fsck_impl.h"
#include "job/sweeper.h"
#include "store/datasets.h"
#include "store/jobs.h"
#include "store/models.h"
#include "store/tokens.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ITEMS_MAX 1000u /* of each kind of finding, in the report */
#define LOOKS_MAX 5     /* at a row that moves while its files are read */
#define PAGE_ROWS 100
#define ADVICE_REMOVE "if you do not know what it is for, move it out of the data folder"

/* --- The report ------------------------------------------------------------------------- */

void dv_fsck_find(
    struct dv_fsck *fsck, const struct dv_fsck_finding *finding, const char *format, ...)
{
    struct dv_json *item = dv_json_object();
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    dv_json_set_string(item, "code", finding->code);
    dv_json_set_text(item, "path", finding->path);
    dv_json_set_text(item, "id", finding->id);
    dv_json_set_text(item, "message", text);
    dv_json_set_string(item, "advice", finding->advice);
    dv_json_append(fsck->fresh, item);
}

void dv_fsck_leave(struct dv_fsck *fsck, const char *path, const char *message)
{
    struct dv_json *item = dv_json_object();

    dv_json_set_text(item, "path", path);
    dv_json_set_text(item, "message", message);
    dv_json_append(fsck->fresh_left, item);
}

static void move_items(struct dv_json **from, struct dv_json *to, int64_t *ret_over)
{
    for (size_t i = 0; i < dv_json_count(*from); i++) {
        if (dv_json_count(to) < ITEMS_MAX) {
            dv_json_append(to, dv_json_ref(dv_json_at(*from, i)));
        } else {
            ++*ret_over;
        }
    }
    dv_json_unref(*from);
    *from = dv_json_array();
}

static void keep_fresh(struct dv_fsck *fsck)
{
    move_items(&fsck->fresh, fsck->findings, &fsck->findings_over);
    move_items(&fsck->fresh_left, fsck->left_overs, &fsck->left_overs_over);
}

static void drop_fresh(struct dv_fsck *fsck)
{
    dv_json_unref(fsck->fresh);
    dv_json_unref(fsck->fresh_left);
    fsck->fresh = dv_json_array();
    fsck->fresh_left = dv_json_array();
}

/* --- Rows ------------------------------------------------------------------------------- */

static enum dv_status list_datasets(struct dv_store *store, const struct dv_page *page,
    struct dv_json **ret_list, struct dv_error *reterr)
{
    const struct dv_dataset_filter all = {0};

    return dv_datasets_list(store, &all, page, ret_list, reterr);
}

static enum dv_status list_models(struct dv_store *store, const struct dv_page *page,
    struct dv_json **ret_list, struct dv_error *reterr)
{
    const struct dv_model_filter all = {0};

    return dv_models_list(store, &all, page, ret_list, reterr);
}

static enum dv_status list_jobs(struct dv_store *store, const struct dv_page *page,
    struct dv_json **ret_list, struct dv_error *reterr)
{
    const struct dv_job_filter all = {0};

    return dv_jobs_list(store, &all, page, ret_list, reterr);
}

static const struct {
    const char *folder;
    enum dv_status (*list)(struct dv_store *store, const struct dv_page *page,
        struct dv_json **ret_list, struct dv_error *reterr);
    enum dv_status (*get)(
        struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr);
    enum dv_status (*check)(
        struct dv_fsck *fsck, const struct dv_json *row, struct dv_error *reterr);
} kinds[DV_FSCK_KIND_COUNT] = {
    [DV_FSCK_DATASET] = {"datasets", list_datasets, dv_datasets_get, dv_fsck_dataset_row},
    [DV_FSCK_MODEL] = {"models", list_models, dv_models_get, dv_fsck_model_row},
    [DV_FSCK_JOB] = {"jobs", list_jobs, dv_jobs_get, dv_fsck_job_row},
};

/* Not by its time alone: two changes may come within a millisecond. */
static bool has_moved(const struct dv_json *before, const struct dv_json *after)
{
    DV_CLEANUP(dv_freep) char *text_before = dv_json_print(before);
    DV_CLEANUP(dv_freep) char *text_after = dv_json_print(after);

    return strcmp(text_before, text_after) != 0;
}

static bool is_well(const struct dv_fsck *fsck)
{
    return dv_json_count(fsck->fresh) == 0 && dv_json_count(fsck->fresh_left) == 0;
}

/* Look at one row until it stood still while its files were looked at. */
static enum dv_status check_row(
    struct dv_fsck *fsck, enum dv_fsck_kind kind, const char *id, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = kinds[kind].get(fsck->store, id, &row, reterr);
    for (int i = 0; status == DV_OK && i < LOOKS_MAX; i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *after = NULL;
        status = kinds[kind].check(fsck, row, reterr);
        if (status == DV_OK && !is_well(fsck)) {
            status = kinds[kind].get(fsck->store, id, &after, reterr);
        }
        if (status != DV_OK || !after || !has_moved(row, after)) {
            break;
        }
        drop_fresh(fsck);
        dv_json_unref(row);
        row = dv_json_ref(after);
    }
    if (status == DV_NOT_FOUND) { /* deleted meanwhile */
        drop_fresh(fsck);
        return DV_OK;
    }
    fsck->row_counts[kind]++;
    keep_fresh(fsck);
    return status;
}

static enum dv_status check_rows(
    struct dv_fsck *fsck, enum dv_fsck_kind kind, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *cursor = NULL;
    enum dv_status status = DV_OK;

    do {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *list = NULL;
        const struct dv_page page = {.limit = PAGE_ROWS, .cursor = cursor, .sort = "created_at"};
        status = kinds[kind].list(fsck->store, &page, &list, reterr);
        const struct dv_json *rows = dv_json_get(list, "items");
        for (size_t i = 0; status == DV_OK && i < dv_json_count(rows); i++) {
            status =
                check_row(fsck, kind, dv_json_get_string(dv_json_at(rows, i), "id", ""), reterr);
        }
        const char *next = dv_json_get_string(list, "next_cursor", NULL);
        dv_free(cursor);
        cursor = next ? dv_strdup(next) : NULL;
    } while (status == DV_OK && cursor);
    return status;
}

/* --- Notes in the trash ----------------------------------------------------------------- */

/* A note whose row is still there would have its files removed. */
static enum dv_status check_note(struct dv_fsck *fsck, const char *path, struct dv_error *reterr)
{
    const char *slash = strchr(path, '/');
    enum dv_status status = DV_NOT_FOUND;

    for (int kind = 0; slash && kind < DV_FSCK_KIND_COUNT; kind++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
        size_t length = strlen(kinds[kind].folder);
        if ((size_t)(slash - path) != length || !dv_text_has_prefix(path, kinds[kind].folder)) {
            continue;
        }
        status = kinds[kind].get(fsck->store, slash + 1, &row, reterr);
        if (status == DV_OK) {
            const struct dv_fsck_finding finding = {.code = "doomed",
                .path = path,
                .id = slash + 1,
                .advice = "do not start a server: keep a copy of the folder first"};
            dv_fsck_find(fsck, &finding, "it is noted for removal, but its row is still there");
        }
    }
    if (status == DV_NOT_FOUND) {
        dv_fsck_leave(fsck, path, "noted for removal: the server removes it");
        status = DV_OK;
    }
    return status;
}

static enum dv_status check_trash(struct dv_fsck *fsck, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *paths = NULL;

    enum dv_status status = dv_trash_list(fsck->store, &paths, reterr);
    for (size_t i = 0; status == DV_OK && i < dv_json_count(paths); i++) {
        const char *path = dv_json_to_string(dv_json_at(paths, i), "");
        const char *slash = strrchr(path, '/');
        if (slash && dv_uuid_is_valid(slash + 1)) {
            status = check_note(fsck, path, reterr);
        } else {
            dv_fsck_leave(fsck, path, "a note for removal that names no folder of ours");
        }
    }
    keep_fresh(fsck);
    return status;
}

/* --- Names ------------------------------------------------------------------------------ */

/* A folder without a row: the row, then the note, then the folder goes, and so it is looked at. */
static enum dv_status check_orphan(
    struct dv_fsck *fsck, const char *path, const char *id, struct dv_error *reterr)
{
    const struct dv_fsck_finding finding = {.code = "no_row",
        .path = path,
        .id = id,
        .advice = "see whether this data folder belongs to another database (--db), else remove it"};
    char whole[DV_PATH_SIZE];
    bool has_note = false;

    enum dv_status status = dv_trash_has(fsck->store, path, &has_note, reterr);
    if (status == DV_OK) {
        status = dv_path_format(whole, reterr, "%s/%s", fsck->data_folder, path);
    }
    if (status == DV_OK && !has_note && dv_path_exists(whole)) {
        dv_fsck_find(fsck, &finding, "there is no row for it in the database");
    }
    return status;
}

static enum dv_status check_name(
    struct dv_fsck *fsck, enum dv_fsck_kind kind, const char *name, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("%s/%s", kinds[kind].folder, name);

    if (dv_sweeper_is_hidden_name(name)) {
        dv_fsck_leave(fsck, path, "being made or removed, or left by one that was killed");
        return DV_OK;
    }
    if (!dv_uuid_is_valid(name)) {
        const struct dv_fsck_finding finding = {
            .code = "unknown_file", .path = path, .advice = ADVICE_REMOVE};
        dv_fsck_find(fsck, &finding, "nothing of this name is kept here");
        return DV_OK;
    }
    enum dv_status status = kinds[kind].get(fsck->store, name, &row, reterr);
    return status == DV_NOT_FOUND ? check_orphan(fsck, path, name, reterr) : status;
}

/* Whatever the row says of its upload was asked for with the row: here, whether there is one. */
static enum dv_status check_upload(struct dv_fsck *fsck, const char *name, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("uploads/%s", name);
    char id[DV_UUID_TEXT_SIZE];
    enum dv_status status = DV_NOT_FOUND;

    (void)dv_text_copy(id, sizeof(id), name);
    if (dv_uuid_is_valid(id) && (!name[strlen(id)] || dv_text_equal(name + strlen(id), ".zip"))) {
        status = dv_datasets_get(fsck->store, id, &row, reterr);
    } else if (!dv_sweeper_is_hidden_name(name)) {
        const struct dv_fsck_finding finding = {
            .code = "unknown_file", .path = path, .advice = ADVICE_REMOVE};
        dv_fsck_find(fsck, &finding, "nothing of this name is kept here");
        return DV_OK;
    }
    if (status == DV_NOT_FOUND) {
        dv_fsck_leave(fsck, path, "an upload that is under way, or was never acknowledged");
        status = DV_OK;
    }
    return status;
}

static enum dv_status check_entry(
    struct dv_fsck *fsck, int kind, const char *name, struct dv_error *reterr)
{
    return kind < DV_FSCK_KIND_COUNT ? check_name(fsck, (enum dv_fsck_kind)kind, name, reterr)
                                     : check_upload(fsck, name, reterr);
}

/* DV_FSCK_KIND_COUNT stands for the uploads. */
static enum dv_status check_names(struct dv_fsck *fsck, int kind, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    struct dirent *entry;

    enum dv_status status = dv_path_format(path, reterr, "%s/%s", fsck->data_folder,
        kind < DV_FSCK_KIND_COUNT ? kinds[kind].folder : "uploads");
    DIR *stream = status == DV_OK ? opendir(path) : NULL;
    if (status == DV_OK && !stream && errno != ENOENT) {
        status = dv_fail_errno(reterr, errno, "cannot list %s", path);
    }
    while (status == DV_OK && stream && (entry = readdir(stream))) {
        if (!dv_text_equal(entry->d_name, ".") && !dv_text_equal(entry->d_name, "..")) {
            status = check_entry(fsck, kind, entry->d_name, reterr);
        }
    }
    if (stream) {
        (void)closedir(stream);
    }
    keep_fresh(fsck);
    return status;
}

static bool is_known_at_top(struct dv_fsck *fsck, const char *name, const void *user)
{
    static const char *const known[] = {"cache", "datasets", "dv.db", "dv.db-journal", "dv.db-shm",
        "dv.db-wal", "jobs", "lock", "lost+found", "models", "owner-token", "uploads"};

    (void)fsck;
    (void)user;
    for (size_t i = 0; i < DV_ARRAY_SIZE(known); i++) {
        if (dv_text_equal(known[i], name)) {
            return true;
        }
    }
    return false;
}

/* Plans are made again; a scratch folder is a command's while it lives. */
static bool is_known_in_cache(struct dv_fsck *fsck, const char *name, const void *user)
{
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("cache/%s", name);

    (void)user;
    if (dv_sweeper_is_hidden_name(name)) {
        dv_fsck_leave(fsck, path, "in use by a command, or left by one that was killed");
        return true;
    }
    return dv_text_equal(name, "plans");
}

/* --- All of it -------------------------------------------------------------------------- */

static enum dv_status check_database(struct dv_fsck *fsck, struct dv_error *reterr)
{
    const struct dv_fsck_finding finding = {.code = "database_damaged",
        .advice = "stop the server, copy the data folder, and restore the database from a backup"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *sentences = NULL;

    enum dv_status status = dv_store_find_damage(fsck->store, &sentences, reterr);
    for (size_t i = 0; i < dv_json_count(sentences); i++) {
        dv_fsck_find(fsck, &finding, "%s", dv_json_to_string(dv_json_at(sentences, i), ""));
    }
    keep_fresh(fsck);
    return status;
}

static enum dv_status check_all(struct dv_fsck *fsck, struct dv_error *reterr)
{
    enum dv_status status = check_database(fsck, reterr);

    for (int kind = 0; kind < DV_FSCK_KIND_COUNT && status == DV_OK; kind++) {
        status = check_rows(fsck, (enum dv_fsck_kind)kind, reterr);
    }
    if (status == DV_OK) {
        status = check_trash(fsck, reterr);
    }
    for (int kind = 0; kind <= DV_FSCK_KIND_COUNT && status == DV_OK; kind++) {
        status = check_names(fsck, kind, reterr);
    }
    dv_fsck_names(fsck, "", NULL, is_known_at_top, NULL);
    dv_fsck_names(fsck, "cache", NULL, is_known_in_cache, NULL);
    keep_fresh(fsck);
    return status;
}

static struct dv_json *make_report(const struct dv_fsck *fsck)
{
    struct dv_json *report = dv_json_object();
    struct dv_json *checked = dv_json_object();

    for (int kind = 0; kind < DV_FSCK_KIND_COUNT; kind++) {
        dv_json_set_integer(checked, kinds[kind].folder, fsck->row_counts[kind]);
    }
    dv_json_set_integer(checked, "versions", fsck->version_count);
    dv_json_set_integer(checked, "bytes", (int64_t)fsck->byte_count);
    dv_json_set(report, "checked", checked);
    dv_json_set(report, "findings", dv_json_ref(fsck->findings));
    dv_json_set(report, "left_overs", dv_json_ref(fsck->left_overs));
    dv_json_set_integer(report, "more_findings", fsck->findings_over);
    dv_json_set_integer(report, "more_left_overs", fsck->left_overs_over);
    return report;
}

enum dv_status dv_fsck_run(struct dv_store *store, const char *data_folder,
    struct dv_json **ret_report, struct dv_error *reterr)
{
    struct dv_fsck fsck = {.store = store,
        .data_folder = data_folder,
        .findings = dv_json_array(),
        .left_overs = dv_json_array(),
        .fresh = dv_json_array(),
        .fresh_left = dv_json_array()};

    assert(store);
    assert(data_folder);
    assert(ret_report);
    enum dv_status status = check_all(&fsck, reterr);
    if (status == DV_OK) {
        *ret_report = make_report(&fsck);
    }
    dv_json_unref(fsck.findings);
    dv_json_unref(fsck.left_overs);
    dv_json_unref(fsck.fresh);
    dv_json_unref(fsck.fresh_left);
    return status;
}
