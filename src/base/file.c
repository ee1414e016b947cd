/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include "base/alloc.h"
#include "base/fault.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum dv_status dv_path_format(
    char ret_path[static DV_PATH_SIZE], struct dv_error *reterr, const char *format, ...)
{
    char path[DV_PATH_SIZE];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return dv_fail(reterr, DV_TOO_LARGE, "a path is longer than %d bytes", DV_PATH_SIZE - 1);
    }
    memcpy(ret_path, path, (size_t)length + 1);
    return DV_OK;
}

bool dv_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool dv_path_is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static enum dv_status read_rest(
    int fd, const char *path, size_t size, char **ret_data, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *data = NULL;
    void *memory;

    enum dv_status status = dv_try_alloc(size + 1, 1, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    data = memory;
    status = dv_file_pread(fd, data, size, 0, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "%s", path);
        return status;
    }
    *ret_data = data;
    data = NULL;
    return DV_OK;
}

enum dv_status dv_file_read(
    const char *path, size_t size_max, char **ret_data, size_t *ret_size, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    uint64_t size;

    assert(ret_data);
    assert(ret_size);
    enum dv_status status = dv_file_open_read(path, &fd, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_file_size(fd, &size, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (size > size_max) {
        return dv_fail(reterr, DV_TOO_LARGE, "%s has %llu bytes, the limit is %zu", path,
            (unsigned long long)size, size_max);
    }
    status = read_rest(fd, path, (size_t)size, ret_data, reterr);
    if (status == DV_OK) {
        *ret_size = (size_t)size;
    }
    return status;
}

static enum dv_status write_and_sync(
    const char *path, const void *data, size_t size, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;

    enum dv_status status = dv_file_create(path, &fd, reterr);
    if (status == DV_OK) {
        status = dv_file_write_all(fd, data, size, reterr);
    }
    if (status == DV_OK) {
        status = dv_file_sync(fd, reterr);
    }
    return status;
}

enum dv_status dv_file_write(
    const char *path, const void *data, size_t size, struct dv_error *reterr)
{
    char temporary[DV_PATH_SIZE];

    assert(path);
    enum dv_status status = dv_path_format(temporary, reterr, "%s.tmp", path);
    if (status != DV_OK) {
        return status;
    }
    status = write_and_sync(temporary, data, size, reterr);
    if (status == DV_OK) {
        status = dv_file_rename(temporary, path, reterr);
    }
    if (status != DV_OK) {
        (void)unlink(temporary);
        dv_error_prefix(reterr, "%s", path);
    }
    return status;
}

enum dv_status dv_file_open_read(const char *path, int *ret_fd, struct dv_error *reterr)
{
    /* Not blocking: a named pipe without a writer would hold us up before we see what it is. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    DV_CLEANUP(dv_file_closep)
    int fd = dv_fault_hits("open") ? (errno = EMFILE, -1) : open(path, flags);
    uint64_t size;

    if (fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot open %s", path);
    }
    enum dv_status status = dv_file_size(fd, &size, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "%s", path);
        return status;
    }
    *ret_fd = fd;
    fd = -1;
    return DV_OK;
}

enum dv_status dv_file_create(const char *path, int *ret_fd, struct dv_error *reterr)
{
    int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    int fd = dv_fault_hits("open") ? (errno = EMFILE, -1) : open(path, flags, 0600);

    if (fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot create %s", path);
    }
    *ret_fd = fd;
    return DV_OK;
}

enum dv_status dv_file_pread(
    int fd, void *data, size_t size, uint64_t offset, struct dv_error *reterr)
{
    char *at = data;

    while (size > 0) {
        ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return dv_fail_errno(reterr, errno, "cannot read");
        }
        if (got == 0) {
            return dv_fail(reterr, DV_CORRUPT, "the file ends %zu bytes too early", size);
        }
        at += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return DV_OK;
}

enum dv_status dv_file_write_all(int fd, const void *data, size_t size, struct dv_error *reterr)
{
    const char *at = data;

    while (size > 0) {
        ssize_t put = dv_fault_hits("write") ? (errno = ENOSPC, -1) : write(fd, at, size);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return dv_fail_errno(reterr, errno, "cannot write");
        }
        at += put;
        size -= (size_t)put;
    }
    return DV_OK;
}

enum dv_status dv_file_size(int fd, uint64_t *ret_size, struct dv_error *reterr)
{
    struct stat info;

    if (fstat(fd, &info) != 0) {
        return dv_fail_errno(reterr, errno, "cannot stat");
    }
    if (!S_ISREG(info.st_mode)) {
        return dv_fail(reterr, DV_INVALID, "not a regular file");
    }
    *ret_size = (uint64_t)info.st_size;
    return DV_OK;
}

enum dv_status dv_file_sync(int fd, struct dv_error *reterr)
{
    int result;

    do {
        result = dv_fault_hits("sync") ? (errno = EIO, -1) : fsync(fd);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return dv_fail_errno(reterr, errno, "cannot make the file durable");
    }
    return DV_OK;
}

enum dv_status dv_file_let_go(int fd, uint64_t offset, uint64_t size, struct dv_error *reterr)
{
    const unsigned flags =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    int result;

    do {
        result = dv_fault_hits("let_go") ? (errno = EIO, -1)
                                         : sync_file_range(fd, (off_t)offset, (off_t)size, flags);
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return dv_fail_errno(reterr, errno, "cannot write the file out");
    }
    (void)posix_fadvise(fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED); /* only a hint */
    return DV_OK;
}

void dv_file_closep(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* The folder a path lies in: "." for a bare name, "/" for what lies in the root. */
static void parent_of(const char *path, char ret_folder[static DV_PATH_SIZE])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    if (!slash) {
        memcpy(ret_folder, ".", 2);
    } else if (length == 0) {
        memcpy(ret_folder, "/", 2);
    } else {
        assert(length < DV_PATH_SIZE);
        memcpy(ret_folder, path, length);
        ret_folder[length] = '\0';
    }
}

enum dv_status dv_file_rename(const char *from, const char *to, struct dv_error *reterr)
{
    char folder[DV_PATH_SIZE];

    if (dv_fault_hits("rename") ? (errno = EIO, true) : rename(from, to) != 0) {
        return dv_fail_errno(reterr, errno, "cannot rename %s to %s", from, to);
    }
    parent_of(to, folder);
    return dv_folder_sync(folder, reterr);
}

/* One that is there is fine; a new one is there after a crash too, or not at all. */
static enum dv_status make_one(const char *path, struct dv_error *reterr)
{
    char parent[DV_PATH_SIZE];

    if (mkdir(path, 0700) != 0) {
        return errno == EEXIST ? DV_OK
                               : dv_fail_errno(reterr, errno, "cannot make the folder %s", path);
    }
    parent_of(path, parent);
    enum dv_status status = dv_folder_sync(parent, reterr);
    if (status != DV_OK) {
        (void)rmdir(path);
    }
    return status;
}

enum dv_status dv_folder_make(const char *path, struct dv_error *reterr)
{
    char part[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(part, reterr, "%s", path);
    if (status != DV_OK) {
        return status;
    }
    for (char *slash = part + (part[0] != '\0');; slash++) {
        slash += strcspn(slash, "/");
        char end = *slash;
        *slash = '\0';
        status = make_one(part, reterr);
        if (status != DV_OK) {
            return status;
        }
        if (end == '\0') {
            break;
        }
        *slash = end;
    }
    if (!dv_path_is_folder(path)) {
        return dv_fail(reterr, DV_CONFLICT, "%s is no folder", path);
    }
    return DV_OK;
}

/* --- Removing ---------------------------------------------------------------------------- */

#define REMOVE_DEPTH_MAX 64

static enum dv_status remove_entry(
    int parent, const char *name, unsigned depth, unsigned *count_left, struct dv_error *reterr);

/* What a folder holds; the stream is closed by the caller. */
static enum dv_status remove_entries(
    DIR *stream, unsigned depth, unsigned *count_left, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;
    struct dirent *entry;

    while (status == DV_OK && *count_left > 0 && (entry = readdir(stream))) {
        bool is_itself = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!is_itself) {
            status = remove_entry(dirfd(stream), entry->d_name, depth, count_left, reterr);
        }
    }
    return status;
}

/* A folder is opened without following a link, so that nothing outside is ever touched. */
static enum dv_status remove_folder(
    int parent, const char *name, unsigned depth, unsigned *count_left, struct dv_error *reterr)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;

    if (!stream) {
        int error = errno;
        dv_file_closep(&fd);
        return error == ENOENT ? DV_OK : dv_fail_errno(reterr, error, "cannot open %s", name);
    }
    enum dv_status status = depth < REMOVE_DEPTH_MAX
                                ? remove_entries(stream, depth + 1, count_left, reterr)
                                : dv_fail(reterr, DV_TOO_LARGE, "folders lie too deep in %s", name);
    (void)closedir(stream);
    if (status != DV_OK || *count_left == 0) {
        return status;
    }
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return dv_fail_errno(reterr, errno, "cannot remove the folder %s", name);
    }
    (*count_left)--;
    return DV_OK;
}

static enum dv_status remove_entry(
    int parent, const char *name, unsigned depth, unsigned *count_left, struct dv_error *reterr)
{
    if (unlinkat(parent, name, 0) == 0) {
        (*count_left)--;
        return DV_OK;
    }
    if (errno == EISDIR || errno == EPERM) {
        return remove_folder(parent, name, depth, count_left, reterr);
    }
    return errno == ENOENT ? DV_OK : dv_fail_errno(reterr, errno, "cannot remove %s", name);
}

enum dv_status dv_folder_remove_some(
    const char *path, unsigned count_max, bool *ret_is_gone, struct dv_error *reterr)
{
    unsigned count_left = count_max;
    struct stat info;

    assert(count_max > 0);
    assert(ret_is_gone);
    enum dv_status status = remove_entry(AT_FDCWD, path, 0, &count_left, reterr);
    if (status == DV_OK) {
        *ret_is_gone = lstat(path, &info) != 0;
    }
    return status;
}

enum dv_status dv_folder_remove(const char *path, struct dv_error *reterr)
{
    bool is_gone = false;

    return dv_folder_remove_some(path, UINT_MAX, &is_gone, reterr);
}

enum dv_status dv_folder_sync(const char *path, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot open the folder %s", path);
    }
    return dv_file_sync(fd, reterr);
}

enum dv_status dv_folder_free_space(const char *path, uint64_t *ret_size, struct dv_error *reterr)
{
    struct statvfs info;

    if (statvfs(path, &info) != 0) {
        return dv_fail_errno(reterr, errno, "cannot ask for the free space of %s", path);
    }
    *ret_size = (uint64_t)info.f_bavail * info.f_frsize;
    return DV_OK;
}
