/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder as a source: walked once when opened, no link followed, sorted by name so that the same
 * folder gives the same data set on every file system.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "data/source_impl.h"
#include "data/source_refusal.h"
#include "spec/limits.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = DV_ZIP_NAME_SIZE_MAX + 257 }; /* one segment more than is allowed, and a NUL */

struct folder_entry {
    char *name;
    uint64_t size;
    enum dv_refusal refusal;
};

struct folder_source {
    struct dv_source base;
    int root_fd;
    struct folder_entry *entries;
    size_t count;
    size_t capacity;
};

static struct folder_source *folder_from_base(struct dv_source *source)
{
    assert(source->impl == &dv_source_folder);
    return (struct folder_source *)source;
}

static const struct folder_source *folder_from_const_base(const struct dv_source *source)
{
    assert(source->impl == &dv_source_folder);
    return (const struct folder_source *)source;
}

static bool folder_accepts(const char *path, bool is_folder)
{
    (void)path;
    return is_folder;
}

static enum dv_status add_entry(struct folder_source *folder, const char *name, uint64_t size,
    enum dv_refusal refusal, struct dv_error *reterr)
{
    if (folder->count == DV_ZIP_ENTRIES_MAX) {
        return dv_fail(
            reterr, DV_TOO_LARGE, "the folder holds more than %u files", DV_ZIP_ENTRIES_MAX);
    }
    if (folder->count == folder->capacity) {
        folder->capacity = folder->capacity * 2 + 256;
        folder->entries = dv_realloc(folder->entries, folder->capacity * sizeof(*folder->entries));
    }
    char *kept = dv_strdup(name);
    if (!dv_text_is_utf8(kept, strlen(kept))) { /* refused, but it must be possible to show it */
        for (char *at = kept; *at; at++) {
            *at = (unsigned char)*at < 0x80 ? *at : '?';
        }
    }
    folder->entries[folder->count++] =
        (struct folder_entry){.name = kept, .size = size, .refusal = refusal};
    return DV_OK;
}

static enum dv_refusal judge(const char *name, const struct stat *info)
{
    enum dv_refusal refusal = dv_source_name_check(name, strlen(name));

    if (refusal) {
        return refusal;
    }
    if (S_ISLNK(info->st_mode)) {
        return DV_REFUSAL_LINK;
    }
    if (!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode)) {
        return DV_REFUSAL_SPECIAL;
    }
    if (S_ISREG(info->st_mode) && (uint64_t)info->st_size > DV_ZIP_ENTRY_SIZE_MAX) {
        return DV_REFUSAL_SIZE;
    }
    return DV_REFUSAL_NONE;
}

static enum dv_status walk(struct folder_source *folder, int parent_fd, const char *segment,
    char name[static NAME_SIZE], struct dv_error *reterr);

/* One thing in a folder; `name` is its whole name below the root. */
static enum dv_status visit(struct folder_source *folder, int folder_fd, const char *segment,
    char name[static NAME_SIZE], struct dv_error *reterr)
{
    struct stat info;

    if (fstatat(folder_fd, segment, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return add_entry(folder, name, 0, DV_REFUSAL_UNREADABLE, reterr);
    }
    enum dv_refusal refusal = judge(name, &info);
    if (S_ISDIR(info.st_mode) && !refusal) {
        return walk(folder, folder_fd, segment, name, reterr);
    }
    uint64_t size = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
    return add_entry(folder, name, size, refusal, reterr);
}

/* The files below one folder. It nests as deep as names may, 16 segments. */
static enum dv_status walk(struct folder_source *folder, int parent_fd, const char *segment,
    char name[static NAME_SIZE], struct dv_error *reterr)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    size_t length = strlen(name);
    enum dv_status status = DV_OK;

    int fd = openat(parent_fd, segment, flags);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        dv_file_closep(&fd);
        return add_entry(folder, name, 0, DV_REFUSAL_UNREADABLE, reterr);
    }
    while (status == DV_OK) {
        errno = 0;
        const struct dirent *item = readdir(stream);
        if (!item) {
            status =
                errno ? dv_fail_errno(reterr, errno, "cannot list the folder %s", name) : DV_OK;
            break;
        }
        if (dv_text_equal(item->d_name, ".") || dv_text_equal(item->d_name, "..")) {
            continue;
        }
        /* Fits: a folder's name has at most DV_ZIP_NAME_SIZE_MAX bytes, a segment 255. */
        (void)snprintf(
            name + length, NAME_SIZE - length, "%s%s", length > 0 ? "/" : "", item->d_name);
        status = visit(folder, fd, item->d_name, name, reterr);
        name[length] = '\0';
    }
    (void)closedir(stream);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct folder_entry *)a)->name, ((const struct folder_entry *)b)->name);
}

static enum dv_status folder_init(
    struct dv_source *source, const char *path, struct dv_error *reterr)
{
    struct folder_source *folder = folder_from_base(source);
    char name[NAME_SIZE] = "";

    folder->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->root_fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot open the folder %s", path);
    }
    enum dv_status status = walk(folder, folder->root_fd, ".", name, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (folder->count == 0) {
        return dv_fail(reterr, DV_INVALID, "the folder %s holds no files", path);
    }
    qsort(folder->entries, folder->count, sizeof(*folder->entries), compare_entries);
    return DV_OK;
}

static void folder_finish(struct dv_source *source)
{
    struct folder_source *folder = folder_from_base(source);

    for (size_t i = 0; i < folder->count; i++) {
        dv_free(folder->entries[i].name);
    }
    dv_free(folder->entries);
    dv_file_closep(&folder->root_fd);
}

static uint64_t folder_count(const struct dv_source *source)
{
    return folder_from_const_base(source)->count;
}

static void folder_entry(
    const struct dv_source *source, uint64_t index, struct dv_source_entry *ret_entry)
{
    const struct folder_entry *entry = &folder_from_const_base(source)->entries[index];

    *ret_entry = (struct dv_source_entry){
        .name = entry->name, .size = entry->size, .is_refused = entry->refusal != DV_REFUSAL_NONE};
    if (ret_entry->is_refused) {
        ret_entry->finding = dv_refusal_finding(entry->refusal);
        ret_entry->reason = dv_refusal_text(entry->refusal);
    }
}

/* Open segment by segment: a link put in the way since the walk is not followed. */
static int open_beneath(int root_fd, const char *name)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    char segment[NAME_SIZE];
    int at_fd = root_fd;

    for (;;) {
        size_t length = strcspn(name, "/");
        bool is_last = name[length] == '\0';
        /* Not blocking: a pipe put in its place must not hold us; fstat tells afterwards. */
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (is_last ? 0 : O_DIRECTORY);
        assert(length < sizeof(segment));
        memcpy(segment, name, length);
        segment[length] = '\0';
        int next_fd = openat(at_fd, segment, flags);
        if (next_fd < 0 || is_last) {
            return next_fd;
        }
        dv_file_closep(&fd);
        fd = next_fd;
        at_fd = fd;
        name += length + 1;
    }
}

static enum dv_status folder_read(
    struct dv_source *source, uint64_t index, void *data, struct dv_error *reterr)
{
    struct folder_source *folder = folder_from_base(source);
    const struct folder_entry *entry = &folder->entries[index];
    DV_CLEANUP(dv_file_closep) int fd = open_beneath(folder->root_fd, entry->name);
    struct stat info;

    if (fd < 0) {
        return dv_fail(reterr, DV_CORRUPT, "cannot be opened: %s", strerrordesc_np(errno));
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || (uint64_t)info.st_size != entry->size) {
        return dv_fail(reterr, DV_CORRUPT, "changed while it was being read");
    }
    return dv_file_pread(fd, data, (size_t)entry->size, 0, reterr);
}

const struct dv_source_impl dv_source_folder = {
    .name = "folder",
    .object_size = sizeof(struct folder_source),
    .accepts = folder_accepts,
    .init = folder_init,
    .finish = folder_finish,
    .count = folder_count,
    .entry = folder_entry,
    .read = folder_read,
};
