/* SPDX-License-Identifier: Apache-2.0 */
#include "app/data_folder.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_TRIES 20 /* a tenth of a second apart: one that was just killed may linger */

static const char *const kinds[] = {"datasets", "models", "jobs", "cache"};

enum dv_status dv_data_folder_open(
    const char *path, struct dv_data_folder *ret_folder, struct dv_error *reterr)
{
    struct dv_data_folder folder = {.lock_fd = -1};
    char part[DV_PATH_SIZE];

    assert(ret_folder);
    enum dv_status status = dv_folder_make(path, reterr);
    if (status != DV_OK) {
        return status;
    }
    _Static_assert(sizeof(folder.path) >= PATH_MAX, "realpath() writes up to PATH_MAX bytes");
    if (!realpath(path, folder.path)) {
        return dv_fail_errno(reterr, errno, "cannot resolve %s", path);
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(kinds); i++) {
        status = dv_path_format(part, reterr, "%s/%s", folder.path, kinds[i]);
        if (status == DV_OK) {
            status = dv_folder_make(part, reterr);
        }
        if (status != DV_OK) {
            return status;
        }
    }
    *ret_folder = folder;
    return DV_OK;
}

void dv_data_folder_close(struct dv_data_folder *folder)
{
    dv_file_closep(&folder->lock_fd);
}

/* --- The lock --------------------------------------------------------------------------- */

static enum dv_status say_who_holds(int fd, const char *path, struct dv_error *reterr)
{
    char owner[128] = {0};

    ssize_t size = pread(fd, owner, sizeof(owner) - 1, 0);
    owner[size > 0 ? strcspn(owner, "\n") : 0] = '\0';
    return dv_fail(reterr, DV_CONFLICT,
        "%s is in use by another dv (%s): wait until it is done, or choose another folder with "
        "--data",
        path, owner[0] ? owner : "it has not said which");
}

static enum dv_status take_lock(int fd, const char *path, struct dv_error *reterr)
{
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        if (errno != EWOULDBLOCK) {
            return dv_fail_errno(reterr, errno, "cannot lock %s", path);
        }
        if (i == LOCK_TRIES) {
            return say_who_holds(fd, path, reterr);
        }
        (void)usleep(100000);
    }
    return DV_OK;
}

/* What begins with a dot in a kind's folder was being made by one that no longer lives. */
static enum dv_status sweep(
    const struct dv_data_folder *folder, const char *kind, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder->path, kind);
    DIR *stream = status == DV_OK ? opendir(path) : NULL;
    struct dirent *entry;

    while (stream && status == DV_OK && (entry = readdir(stream))) {
        if (entry->d_name[0] != '.' || !dv_uuid_is_valid(entry->d_name + 1)) {
            continue;
        }
        status = dv_path_format(path, reterr, "%s/%s/%s", folder->path, kind, entry->d_name);
        if (status == DV_OK) {
            status = dv_folder_remove(path, reterr);
        }
    }
    if (stream) {
        (void)closedir(stream);
    }
    return status;
}

static enum dv_status write_owner(int fd, const char *text, struct dv_error *reterr)
{
    if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0) {
        return dv_fail_errno(reterr, errno, "cannot write the lock");
    }
    return dv_file_write_all(fd, text, strlen(text), reterr);
}

enum dv_status dv_data_folder_name_server(
    struct dv_data_folder *folder, const char *url, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = dv_strprintf("pid %d\n%s\n", (int)getpid(), url);

    assert(folder->lock_fd >= 0);
    return write_owner(folder->lock_fd, text, reterr);
}

enum dv_status dv_data_folder_lock(struct dv_data_folder *folder, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    char owner[64];

    assert(folder);
    if (folder->lock_fd >= 0) {
        return DV_OK;
    }
    enum dv_status status = dv_path_format(path, reterr, "%s/lock", folder->path);
    if (status != DV_OK) {
        return status;
    }
    DV_CLEANUP(dv_file_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot open %s", path);
    }
    status = take_lock(fd, folder->path, reterr);
    if (status != DV_OK) {
        return status;
    }
    (void)snprintf(owner, sizeof(owner), "pid %d\n", (int)getpid());
    status = write_owner(fd, owner, reterr);
    for (size_t i = 0; i < DV_ARRAY_SIZE(kinds) && status == DV_OK; i++) {
        status = sweep(folder, kinds[i], reterr);
    }
    if (status == DV_OK) {
        folder->lock_fd = fd;
        fd = -1;
    }
    return status;
}

/* --- Records ---------------------------------------------------------------------------- */

enum dv_status dv_data_folder_record(const struct dv_data_folder *folder, const char *kind,
    const char *id, const char *name, struct dv_json **ret_record, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    int noun_size = (int)strlen(kind) - 1; /* "datasets" are many */

    if (!dv_uuid_is_valid(id)) {
        return dv_fail(reterr, DV_NOT_FOUND, "'%.80s' is no id of a %.*s", id, noun_size, kind);
    }
    enum dv_status status =
        dv_path_format(path, reterr, "%s/%s/%s/%s", folder->path, kind, id, name);
    if (status != DV_OK) {
        return status;
    }
    if (!dv_path_exists(path)) {
        return dv_fail(reterr, DV_NOT_FOUND, "there is no %.*s %s", noun_size, kind, id);
    }
    return dv_json_read_file(path, DV_RECORD_SIZE_MAX, ret_record, reterr);
}

struct record {
    struct dv_json *json;
    const char *created_at;
};

static int compare_records(const void *a, const void *b)
{
    return strcmp(((const struct record *)a)->created_at, ((const struct record *)b)->created_at);
}

static struct dv_json *sort_records(struct record *records, size_t count)
{
    struct dv_json *array = dv_json_array();

    if (count > 0) {
        qsort(records, count, sizeof(*records), compare_records);
    }
    for (size_t i = 0; i < count; i++) {
        dv_json_append(array, records[i].json);
    }
    return array;
}

enum dv_status dv_data_folder_records(const struct dv_data_folder *folder, const char *kind,
    const char *name, struct dv_json **ret_records, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) struct record *records = NULL;
    char path[DV_PATH_SIZE];
    struct dirent *entry;
    size_t count = 0;

    enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder->path, kind);
    if (status != DV_OK) {
        return status;
    }
    DIR *stream = opendir(path);
    if (!stream) {
        return dv_fail_errno(reterr, errno, "cannot list %s", path);
    }
    while ((entry = readdir(stream))) {
        struct dv_json *json;
        if (dv_data_folder_record(folder, kind, entry->d_name, name, &json, NULL) == DV_OK) {
            records = dv_realloc(records, (count + 1) * sizeof(*records));
            records[count++] = (struct record){json, dv_json_get_string(json, "created_at", "")};
        }
    }
    (void)closedir(stream);
    *ret_records = sort_records(records, count);
    return DV_OK;
}

enum dv_status dv_record_write(
    const char *path, const struct dv_json *record, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(record);

    return dv_file_write(path, text, strlen(text), reterr);
}

enum dv_status dv_data_folder_delete(
    const struct dv_data_folder *folder, const char *kind, const char *id, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE], doomed[DV_PATH_SIZE];

    assert(folder->lock_fd >= 0);
    assert(dv_uuid_is_valid(id));
    enum dv_status status = dv_path_format(path, reterr, "%s/%s/%s", folder->path, kind, id);
    if (status == DV_OK) {
        status = dv_path_format(doomed, reterr, "%s/%s/.%s", folder->path, kind, id);
    }
    if (status == DV_OK) {
        status = dv_file_rename(path, doomed, reterr);
    }
    if (status == DV_OK) {
        status = dv_folder_remove(doomed, reterr);
    }
    return status;
}
