/* SPDX-License-Identifier: Apache-2.0 */
#include "app/doctor_fsck.h"

#include "app/command.h"
#include "app/data_folder.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "job/fsck.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* --- The database ----------------------------------------------------------------------------- */

static char *make_url(const struct dv_data_folder *folder, const char *database)
{
    return database ? dv_strdup(database) : dv_strprintf("sqlite:%s/dv.db", folder->path);
}

/* The one in the data folder is made by its first server. */
static bool is_made(const struct dv_data_folder *folder, const char *database)
{
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("%s/dv.db", folder->path);

    return database || dv_path_exists(path);
}

struct dv_json *dv_doctor_database(const struct dv_common_options *common, const char *database)
{
    DV_CLEANUP(dv_store_closep) struct dv_store *store = NULL;
    struct dv_data_folder folder;
    struct dv_error error = {0};

    enum dv_status status = dv_data_folder_open(common->data_folder, &folder, &error);
    if (status == DV_OK && !is_made(&folder, database)) {
        dv_data_folder_close(&folder);
        return dv_json_null();
    }
    struct dv_json *json = dv_json_object();
    if (status == DV_OK) {
        DV_CLEANUP(dv_freep) char *url = make_url(&folder, database);
        status = dv_store_open_to_read(url, &store, &error);
        dv_data_folder_close(&folder);
    }
    dv_json_set_string(json, "kind", store ? dv_store_kind(store) : NULL);
    dv_json_set_bool(json, "is_reachable", status == DV_OK);
    if (status != DV_OK) {
        dv_json_set_text(json, "error", error.text);
    }
    return json;
}

/* --- The check -------------------------------------------------------------------------------- */

/* What the lock says of the one that holds it, the caller's; NULL: nobody does. */
static char *find_holder(const struct dv_data_folder *folder)
{
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("%s/lock", folder->path);
    DV_CLEANUP(dv_file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[256] = {0};

    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
        return NULL;
    }
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    for (char *end = strchr(text, '\n'); end; end = strchr(end, '\n')) {
        *end = end[1] ? ' ' : '\0';
    }
    dv_text_make_printable(text);
    return dv_strdup(text);
}

static void print_report(const struct dv_json *report)
{
    const struct dv_json *findings = dv_json_get(report, "findings");
    const struct dv_json *left_overs = dv_json_get(report, "left_overs");
    const struct dv_json *checked = dv_json_get(report, "checked");
    const char *holder = dv_json_get_string(report, "held_by", NULL);
    char size[16];

    for (size_t i = 0; i < dv_json_count(findings); i++) {
        const struct dv_json *item = dv_json_at(findings, i);
        const char *path = dv_json_get_string(item, "path", NULL);
        dv_print_line("%s: %s: %s (%s)", dv_json_get_string(item, "code", ""),
            path ? path : dv_json_get_string(item, "id", "the database"),
            dv_json_get_string(item, "message", ""), dv_json_get_string(item, "advice", ""));
    }
    for (size_t i = 0; i < dv_json_count(left_overs); i++) {
        const struct dv_json *item = dv_json_at(left_overs, i);
        dv_print_line("left over: %s: %s", dv_json_get_string(item, "path", ""),
            dv_json_get_string(item, "message", ""));
    }
    dv_text_size((uint64_t)dv_json_get_integer(checked, "bytes", 0), size);
    dv_print_line("%lld data sets, %lld models with %lld versions, %lld jobs, %s: findings: %lld, "
                  "left over: %lld%s%s",
        (long long)dv_json_get_integer(checked, "datasets", 0),
        (long long)dv_json_get_integer(checked, "models", 0),
        (long long)dv_json_get_integer(checked, "versions", 0),
        (long long)dv_json_get_integer(checked, "jobs", 0), size,
        (long long)dv_json_count(findings) +
            (long long)dv_json_get_integer(report, "more_findings", 0),
        (long long)dv_json_count(left_overs) +
            (long long)dv_json_get_integer(report, "more_left_overs", 0),
        holder ? "; checked beside " : "", holder ? holder : "");
}

static enum dv_status check(const struct dv_common_options *common, const char *database,
    struct dv_json **ret_report, struct dv_error *reterr)
{
    DV_CLEANUP(dv_store_closep) struct dv_store *store = NULL;
    struct dv_data_folder folder;

    enum dv_status status = dv_data_folder_open(common->data_folder, &folder, reterr);
    if (status == DV_OK && (!dv_path_is_folder(folder.path) || !is_made(&folder, database))) {
        status = dv_fail(reterr, DV_NOT_FOUND,
            "there is no database in %s: is this the data folder, or is its database elsewhere "
            "(--db)?",
            folder.path);
    }
    DV_CLEANUP(dv_freep) char *url = status == DV_OK ? make_url(&folder, database) : NULL;
    if (status == DV_OK) {
        status = dv_store_open_to_read(url, &store, reterr);
    }
    if (status == DV_OK) {
        status = dv_fsck_run(store, folder.path, ret_report, reterr);
    }
    if (status == DV_OK) {
        DV_CLEANUP(dv_freep) char *holder = find_holder(&folder);
        dv_json_set_string(*ret_report, "database", dv_store_kind(store));
        dv_json_set_text(*ret_report, "held_by", holder);
    }
    return status;
}

int dv_doctor_fsck(const struct dv_common_options *common, const char *database)
{
    struct dv_json *report = NULL;
    struct dv_error error = {0};

    if (check(common, database, &report, &error) != DV_OK) {
        return dv_command_fail(common->is_json, &error);
    }
    bool is_wrong = dv_json_count(dv_json_get(report, "findings")) > 0;
    if (common->is_json) {
        dv_print_json(report);
    } else {
        print_report(report);
        dv_json_unref(report);
    }
    return is_wrong ? DV_EXIT_FAILED : DV_EXIT_DONE;
}
