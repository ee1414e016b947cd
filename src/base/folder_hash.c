/* SPDX-License-Identifier: Apache-2.0 */
#include "base/folder_hash.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#define BLOCK_SIZE (256u << 10)
#define FILES_MAX 10000u

static int is_no_dot(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* By bytes: alphasort() asks the locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* In a fixed order of bytes, whatever the machine's is. */
static void hash_size(struct dv_sha256 *hash, uint64_t size)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(size >> (8 * i));
    }
    dv_sha256_update(hash, bytes, sizeof(bytes));
}

static enum dv_status hash_bytes(
    struct dv_sha256 *hash, int fd, uint64_t size, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) unsigned char *block = dv_alloc(BLOCK_SIZE);
    enum dv_status status = DV_OK;

    for (uint64_t done = 0; status == DV_OK && done < size;) {
        size_t part = size - done < BLOCK_SIZE ? (size_t)(size - done) : BLOCK_SIZE;
        status = dv_file_pread(fd, block, part, done, reterr);
        if (status == DV_OK) {
            dv_sha256_update(hash, block, part);
            done += part;
        }
    }
    return status;
}

static enum dv_status hash_file(struct dv_sha256 *hash, const char *folder, const char *name,
    uint64_t *ret_size, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder, name);
    if (status == DV_OK) {
        status = dv_file_open_read(path, &fd, reterr);
    }
    if (status == DV_INVALID) {
        return dv_fail(reterr, DV_CORRUPT, "%s is no file", path);
    }
    if (status == DV_OK) {
        status = dv_file_size(fd, ret_size, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    dv_sha256_update(hash, name, strlen(name) + 1);
    hash_size(hash, *ret_size);
    return hash_bytes(hash, fd, *ret_size, reterr);
}

static enum dv_status hash_all(struct dv_sha256 *hash, const char *folder, struct dirent **names,
    int count, uint64_t *ret_size, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    for (int i = 0; i < count && status == DV_OK; i++) {
        uint64_t size = 0;
        status = hash_file(hash, folder, names[i]->d_name, &size, reterr);
        *ret_size += size;
    }
    return status;
}

enum dv_status dv_folder_hash(const char *folder, char ret_text[static DV_SHA256_TEXT_SIZE],
    uint64_t *ret_size_bytes, struct dv_error *reterr)
{
    unsigned char digest[DV_SHA256_SIZE];
    struct dirent **names = NULL;
    struct dv_sha256 hash;
    uint64_t size = 0;

    assert(folder);
    int count = scandir(folder, &names, is_no_dot, compare_names);
    if (count < 0) {
        return dv_fail_errno(reterr, errno, "cannot list %s", folder);
    }
    dv_sha256_init(&hash);
    enum dv_status status =
        (unsigned)count > FILES_MAX
            ? dv_fail(reterr, DV_CORRUPT, "%s holds more than %u files", folder, FILES_MAX)
            : hash_all(&hash, folder, names, count, &size, reterr);
    for (int i = 0; i < count; i++) {
        dv_free(names[i]);
    }
    dv_free(names);
    if (status != DV_OK) {
        return status;
    }
    dv_sha256_finish(&hash, digest);
    dv_text_hex(digest, sizeof(digest), ret_text);
    if (ret_size_bytes) {
        *ret_size_bytes = size;
    }
    return DV_OK;
}
