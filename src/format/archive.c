/* SPDX-License-Identifier: Apache-2.0 */
#include "format/archive.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/zip_writer.h"
#include "format/model_file.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* Sizes and signatures of the ZIP format (PKWARE APPNOTE 4.3); all numbers are little-endian. */
#define LOCAL_SIZE 30u
#define CENTRAL_SIZE 46u
#define END_SIZE 22u
#define LOCAL_SIGNATURE 0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define END_SIGNATURE 0x06054b50u

#define DIRECTORY_SIZE_MAX (64u << 10)
#define ENTRIES_MAX 64u

/* --- Writing ------------------------------------------------------------------------------- */

enum dv_status dv_archive_write(const char *folder, const char *path, struct dv_error *reterr)
{
    static const char *const names[] = {DV_MODEL_DESCRIPTION, DV_MODEL_WEIGHTS, DV_MODEL_PYTHON,
        DV_MODEL_METRICS, DV_MODEL_HISTORY, DV_MODEL_CARD};
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;
    char file[DV_PATH_SIZE];

    assert(folder);
    assert(path);
    enum dv_status status = dv_zip_writer_open(path, &writer, reterr);
    for (size_t i = 0; i < DV_ARRAY_SIZE(names) && status == DV_OK; i++) {
        status = dv_path_format(file, reterr, "%s/%s", folder, names[i]);
        if (status == DV_OK && dv_path_exists(file)) {
            status = dv_zip_writer_add_file(writer, names[i], file, reterr);
        }
    }
    if (status == DV_OK) {
        status = dv_zip_writer_finish(writer, reterr);
    }
    return status;
}

/* --- Reading ------------------------------------------------------------------------------- */

struct directory {
    unsigned char *bytes;
    uint32_t size;
    uint32_t offset; /* in the file; entries end before it */
    uint32_t count;
};

/* What the directory says of one entry. */
struct entry {
    const char *name; /* `name_size` bytes, no NUL */
    uint32_t name_size;
    uint32_t method, flags, crc32, packed, size, offset;
};

static uint32_t u16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const unsigned char *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static enum dv_status read_directory(int fd, struct directory *directory, struct dv_error *reterr)
{
    unsigned char end[END_SIZE];
    uint64_t file_size;
    void *memory;

    enum dv_status status = dv_file_size(fd, &file_size, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (file_size < END_SIZE) {
        return dv_fail(reterr, DV_CORRUPT, "too short for a model archive");
    }
    status = dv_file_pread(fd, end, sizeof(end), file_size - END_SIZE, reterr);
    if (status != DV_OK) {
        return status;
    }
    directory->count = u16(end + 10);
    directory->size = u32(end + 12);
    directory->offset = u32(end + 16);
    if (u32(end) != END_SIGNATURE || u16(end + 20) != 0) {
        return dv_fail(reterr, DV_CORRUPT, "no model archive: it does not end as a ZIP");
    }
    if (directory->offset == UINT32_MAX || directory->count == UINT16_MAX) {
        return dv_fail(reterr, DV_UNSUPPORTED, "a model archive of more than 4 GiB");
    }
    if ((uint64_t)directory->offset + directory->size != file_size - END_SIZE) {
        return dv_fail(reterr, DV_CORRUPT, "the directory of the archive is not at its end");
    }
    if (directory->size > DIRECTORY_SIZE_MAX || directory->count > ENTRIES_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "no model archive: more than %u entries", ENTRIES_MAX);
    }
    status = dv_try_alloc(directory->size + 1u, 1, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    directory->bytes = memory;
    return dv_file_pread(fd, directory->bytes, directory->size, directory->offset, reterr);
}

/* The entry at *at of the directory; moves *at behind it. False: it is cut off or no entry. */
static bool next_entry(const struct directory *directory, uint32_t *at, struct entry *ret_entry)
{
    const unsigned char *p = directory->bytes + *at;

    if (directory->size - *at < CENTRAL_SIZE || u32(p) != CENTRAL_SIGNATURE) {
        return false;
    }
    uint32_t name_size = u16(p + 28);
    uint32_t size = CENTRAL_SIZE + name_size + u16(p + 30) + u16(p + 32);
    if (directory->size - *at < size) {
        return false;
    }
    *ret_entry = (struct entry){.name = (const char *)p + CENTRAL_SIZE,
        .name_size = name_size,
        .flags = u16(p + 8),
        .method = u16(p + 10),
        .crc32 = u32(p + 16),
        .packed = u32(p + 20),
        .size = u32(p + 24),
        .offset = u32(p + 42)};
    *at += size;
    return true;
}

/* The directory's word for an entry against the header in front of its bytes. */
static enum dv_status locate(int fd, const struct directory *directory, const struct entry *entry,
    struct dv_archive_part *ret_part, struct dv_error *reterr)
{
    unsigned char local[LOCAL_SIZE];
    char name[64];
    uint64_t start = entry->offset + (uint64_t)LOCAL_SIZE + entry->name_size;

    if (entry->method != 0 || entry->packed != entry->size || (entry->flags & 1u) != 0) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "%.*s is compressed or encrypted; a model archive stores its files as they are",
            (int)entry->name_size, entry->name);
    }
    assert(entry->name_size < sizeof(name));
    if (start > directory->offset) {
        return dv_fail(reterr, DV_CORRUPT, "an entry of the archive lies outside it");
    }
    enum dv_status status = dv_file_pread(fd, local, sizeof(local), entry->offset, reterr);
    if (status == DV_OK) {
        status = dv_file_pread(fd, name, entry->name_size, entry->offset + LOCAL_SIZE, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    start += u16(local + 28);
    if (u32(local) != LOCAL_SIGNATURE || u16(local + 8) != 0 ||
        u16(local + 26) != entry->name_size || memcmp(name, entry->name, entry->name_size) != 0 ||
        start + entry->size > directory->offset) {
        return dv_fail(reterr, DV_CORRUPT, "the archive's directory does not fit its entries");
    }
    *ret_part = (struct dv_archive_part){start, entry->size, entry->crc32};
    return DV_OK;
}

static enum dv_status find_entry(const struct directory *directory, const char *name,
    struct entry *ret_entry, struct dv_error *reterr)
{
    uint32_t found = 0;
    uint32_t at = 0;
    struct entry entry = {0};

    for (uint32_t i = 0; i < directory->count; i++) {
        if (!next_entry(directory, &at, &entry)) {
            return dv_fail(reterr, DV_CORRUPT, "the directory of the archive is damaged");
        }
        if (entry.name_size == strlen(name) && memcmp(entry.name, name, entry.name_size) == 0) {
            *ret_entry = entry;
            found++;
        }
    }
    if (at != directory->size || found > 1) {
        return dv_fail(reterr, DV_CORRUPT, "the directory of the archive is damaged");
    }
    if (found == 0) {
        return dv_fail(reterr, DV_NOT_FOUND, "no %s in the archive: it is no model archive", name);
    }
    return DV_OK;
}

enum dv_status dv_archive_find(
    int fd, const char *name, struct dv_archive_part *ret_part, struct dv_error *reterr)
{
    struct directory directory = {0};
    struct entry entry = {0};

    assert(name);
    assert(ret_part);
    enum dv_status status = read_directory(fd, &directory, reterr);
    if (status == DV_OK) {
        status = find_entry(&directory, name, &entry, reterr);
    }
    if (status == DV_OK) {
        status = locate(fd, &directory, &entry, ret_part, reterr);
    }
    dv_free(directory.bytes);
    return status;
}
