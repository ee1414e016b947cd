/* SPDX-License-Identifier: Apache-2.0 */
#include "app/data_folder.h"

#include "base/alloc.h"
#include "base/text.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWNER_SIZE 256u
#define LOCK_TRIES 20 /* a tenth of a second apart: one that was just killed may linger */

static const char *const kinds[] = {"datasets", "models", "jobs", "cache"};

/* Its true path, if it is there; else it stays as it was given. */
static enum dv_status resolve(struct dv_data_folder *folder, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    _Static_assert(sizeof(path) >= PATH_MAX, "realpath() writes up to PATH_MAX bytes");
    if (!realpath(folder->path, path)) {
        return errno == ENOENT ? DV_OK
                               : dv_fail_errno(reterr, errno, "cannot resolve %s", folder->path);
    }
    if (!dv_path_is_folder(path)) {
        return dv_fail(reterr, DV_CONFLICT, "%s is no folder", folder->path);
    }
    if (!dv_text_is_utf8(path, strlen(path))) {
        return dv_fail(reterr, DV_INVALID,
            "the path of the data folder is not UTF-8: choose another with --data");
    }
    memcpy(folder->path, path, sizeof(path));
    return DV_OK;
}

enum dv_status dv_data_folder_open(
    const char *path, struct dv_data_folder *ret_folder, struct dv_error *reterr)
{
    struct dv_data_folder folder = {.lock_fd = -1};

    assert(ret_folder);
    enum dv_status status = dv_path_format(folder.path, reterr, "%s", path);
    if (status == DV_OK) {
        status = resolve(&folder, reterr);
    }
    if (status == DV_OK) {
        *ret_folder = folder;
    }
    return status;
}

void dv_data_folder_close(struct dv_data_folder *folder)
{
    dv_file_closep(&folder->lock_fd);
}

/* --- The lock --------------------------------------------------------------------------- */

/* What the holder wrote: "pid 123", and from the second line on where it serves. */
struct owner {
    char text[OWNER_SIZE];
    char *url; /* in the text; "" when there is none yet */
};

static void read_owner(int fd, struct owner *ret_owner)
{
    ssize_t size = pread(fd, ret_owner->text, sizeof(ret_owner->text) - 1, 0);

    ret_owner->text[size > 0 ? size : 0] = '\0';
    char *end = ret_owner->text + strcspn(ret_owner->text, "\n");
    ret_owner->url = *end ? end + 1 : end;
    *end = '\0';
    ret_owner->url[strcspn(ret_owner->url, "\n")] = '\0';
}

static enum dv_status say_who_holds(int fd, const char *path, struct dv_error *reterr)
{
    struct owner owner;

    read_owner(fd, &owner);
    return dv_fail(reterr, DV_CONFLICT,
        "%s is in use by another dv (%s): wait until it is done, or choose another folder with "
        "--data",
        path, owner.text[0] ? owner.text : "it has not said which");
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

/* Does whoever makes this still live? A scratch folder is locked for as long as it is used. */
static bool is_in_use(const char *path)
{
    DV_CLEANUP(dv_file_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
}

/*
 * Scratch folders of commands that no longer live. What was half made in the other kinds' folders is
 * the supervisor's to remove, a slice at a time: it may be as large as a data set.
 */
static enum dv_status sweep(const struct dv_data_folder *folder, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    enum dv_status status = dv_path_format(path, reterr, "%s/cache", folder->path);
    DIR *stream = status == DV_OK ? opendir(path) : NULL;
    struct dirent *entry;

    while (stream && status == DV_OK && (entry = readdir(stream))) {
        if (entry->d_name[0] != '.' || !dv_uuid_is_valid(entry->d_name + 1)) {
            continue;
        }
        status = dv_path_format(path, reterr, "%s/cache/%s", folder->path, entry->d_name);
        if (status == DV_OK && !is_in_use(path)) {
            status = dv_folder_remove(path, reterr);
        }
    }
    if (stream) {
        (void)closedir(stream);
    }
    return status;
}

static enum dv_status make_folders(struct dv_data_folder *folder, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_folder_make(folder->path, reterr);
    if (status == DV_OK) {
        status = resolve(folder, reterr);
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(kinds) && status == DV_OK; i++) {
        status = dv_path_format(path, reterr, "%s/%s", folder->path, kinds[i]);
        if (status == DV_OK) {
            status = dv_folder_make(path, reterr);
        }
    }
    return status;
}

/* Say in the lock's file who holds it, and where a server is to be found ("" for none). */
static enum dv_status write_owner(int fd, const char *url, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    char *text = dv_strprintf("pid %d\n%s%s", (int)getpid(), url, url[0] ? "\n" : "");

    if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0) {
        return dv_fail_errno(reterr, errno, "cannot write the lock of the data folder");
    }
    return dv_file_write_all(fd, text, strlen(text), reterr);
}

enum dv_status dv_data_folder_find_server(
    const struct dv_data_folder *folder, char **ret_url, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    char path[DV_PATH_SIZE];
    struct owner owner;

    enum dv_status status = dv_path_format(path, reterr, "%s/lock", folder->path);
    if (status != DV_OK) {
        return status;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR) {
        return dv_fail_errno(reterr, errno, "cannot open %s", path);
    }
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0) {
        return dv_fail(reterr, DV_NOT_FOUND, "nobody serves %s", folder->path);
    }
    read_owner(fd, &owner);
    if (!owner.url[0]) {
        return dv_fail(reterr, DV_UNAVAILABLE, "%s is in use by another dv (%s) that does not say "
                                               "where it serves",
            folder->path, owner.text);
    }
    *ret_url = dv_strdup(owner.url);
    return DV_OK;
}

enum dv_status dv_data_folder_name_server(
    struct dv_data_folder *folder, const char *url, struct dv_error *reterr)
{
    assert(folder->lock_fd >= 0);
    return write_owner(folder->lock_fd, url, reterr);
}

enum dv_status dv_data_folder_lock(struct dv_data_folder *folder, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    assert(folder);
    if (folder->lock_fd >= 0) {
        return DV_OK;
    }
    enum dv_status status = make_folders(folder, reterr);
    if (status == DV_OK) {
        status = dv_path_format(path, reterr, "%s/lock", folder->path);
    }
    if (status != DV_OK) {
        return status;
    }
    DV_CLEANUP(dv_file_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot open %s", path);
    }
    status = take_lock(fd, folder->path, reterr);
    if (status == DV_OK) {
        status = write_owner(fd, "", reterr);
    }
    if (status == DV_OK) {
        status = sweep(folder, reterr);
    }
    if (status == DV_OK) {
        folder->lock_fd = fd;
        fd = -1;
    }
    return status;
}

/* --- Scratch folders -------------------------------------------------------------------- */

/* False: somebody who swept was quicker than our lock. */
static bool lock_scratch(struct dv_scratch *scratch)
{
    struct stat info;

    scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return scratch->fd >= 0 && flock(scratch->fd, LOCK_EX | LOCK_NB) == 0 &&
           fstat(scratch->fd, &info) == 0 && info.st_nlink > 0;
}

enum dv_status dv_scratch_open(
    const char *parent, struct dv_scratch *ret_scratch, struct dv_error *reterr)
{
    struct dv_scratch scratch = {.fd = -1};
    char id[DV_UUID_TEXT_SIZE];

    dv_uuid_make(id);
    enum dv_status status = dv_path_format(scratch.path, reterr, "%s/.%s", parent, id);
    if (status == DV_OK) {
        status = dv_folder_make(scratch.path, reterr);
    }
    if (status == DV_OK && !lock_scratch(&scratch)) {
        dv_scratch_close(&scratch);
        status = dv_fail(reterr, DV_CONFLICT, "%s is gone: try again", scratch.path);
    }
    if (status == DV_OK) {
        *ret_scratch = scratch;
    }
    return status;
}

void dv_scratch_close(struct dv_scratch *scratch)
{
    enum dv_status status = dv_folder_remove(scratch->path, NULL);

    (void)status; /* the next command that locks DATA sweeps it */
    dv_file_closep(&scratch->fd);
}
