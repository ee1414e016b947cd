/* SPDX-License-Identifier: Apache-2.0 */
#include "format/archive.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/zip_writer.h"
#include "format/model_file.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Sizes and signatures of the ZIP format (PKWARE APPNOTE 4.3); all numbers are little-endian. */
#define LOCAL_SIZE 30u
#define CENTRAL_SIZE 46u
#define END_SIZE 22u
#define END64_SIZE 56u
#define LOCATOR_SIZE 20u
#define LOCAL_SIGNATURE 0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define END_SIGNATURE 0x06054b50u
#define END64_SIGNATURE 0x06064b50u
#define LOCATOR_SIGNATURE 0x07064b50u
#define ZIP64_FIELD 1u /* among an entry's extra fields: what does not fit its 32 bits */

#define DIRECTORY_SIZE_MAX (64u << 10)
#define ENTRIES_MAX 64u

/* --- Writing ------------------------------------------------------------------------------- */

enum dv_status dv_archive_write(const char *folder, const char *path, struct dv_error *reterr)
{
    static const char *const names[] = {DV_MODEL_DESCRIPTION, DV_MODEL_WEIGHTS, DV_MODEL_PYTHON,
        DV_MODEL_TRAINING, DV_MODEL_METRICS, DV_MODEL_HISTORY, DV_MODEL_CARD};
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
    uint64_t size;
    uint64_t offset; /* in the file; entries end before it */
    uint64_t end;    /* likewise; the end records begin there */
    uint64_t count;
};

/* What the directory says of one entry. */
struct entry {
    const char *name; /* `name_size` bytes, no NUL */
    uint32_t name_size;
    uint32_t method, flags, crc32;
    uint64_t packed, size, offset;
};

static uint32_t u16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t u32(const unsigned char *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const unsigned char *p)
{
    return u32(p) | (uint64_t)u32(p + 4) << 32;
}

/* The records of ZIP64 lie right before the end record, which then has no room for a number. */
static enum dv_status read_end64(int fd, struct directory *directory, struct dv_error *reterr)
{
    unsigned char both[END64_SIZE + LOCATOR_SIZE];
    const unsigned char *locator = both + END64_SIZE;

    if (directory->end < sizeof(both)) {
        return dv_fail(reterr, DV_CORRUPT, "the archive's ZIP64 record is cut off");
    }
    directory->end -= sizeof(both);
    enum dv_status status = dv_file_pread(fd, both, sizeof(both), directory->end, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (u32(both) != END64_SIGNATURE || u64(both + 4) != END64_SIZE - 12 ||
        u32(locator) != LOCATOR_SIGNATURE || u64(locator + 8) != directory->end) {
        return dv_fail(reterr, DV_CORRUPT, "the archive has no ZIP64 record where it belongs");
    }
    directory->count = u64(both + 32);
    directory->size = u64(both + 40);
    directory->offset = u64(both + 48);
    return DV_OK;
}

static enum dv_status read_end(int fd, struct directory *directory, struct dv_error *reterr)
{
    unsigned char end[END_SIZE];
    uint64_t file_size;

    enum dv_status status = dv_file_size(fd, &file_size, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (file_size < END_SIZE) {
        return dv_fail(reterr, DV_CORRUPT, "too short for a model archive");
    }
    directory->end = file_size - END_SIZE;
    status = dv_file_pread(fd, end, sizeof(end), directory->end, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (u32(end) != END_SIGNATURE || u16(end + 20) != 0) {
        return dv_fail(reterr, DV_CORRUPT, "no model archive: it does not end as a ZIP");
    }
    directory->count = u16(end + 10);
    directory->size = u32(end + 12);
    directory->offset = u32(end + 16);
    bool is_zip64 = directory->count == UINT16_MAX || directory->size == UINT32_MAX ||
                    directory->offset == UINT32_MAX;
    return is_zip64 ? read_end64(fd, directory, reterr) : DV_OK;
}

static enum dv_status read_directory(int fd, struct directory *directory, struct dv_error *reterr)
{
    void *memory;
    enum dv_status status = read_end(fd, directory, reterr);

    if (status != DV_OK) {
        return status;
    }
    if (directory->offset > directory->end ||
        directory->size != directory->end - directory->offset) {
        return dv_fail(reterr, DV_CORRUPT, "the directory of the archive is not at its end");
    }
    if (directory->size > DIRECTORY_SIZE_MAX || directory->count > ENTRIES_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "no model archive: more than %u entries", ENTRIES_MAX);
    }
    status = dv_try_alloc((size_t)directory->size + 1u, 1, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    directory->bytes = memory;
    return dv_file_pread(fd, directory->bytes, (size_t)directory->size, directory->offset, reterr);
}

/* The next eight bytes of the field, where the 32 bits say that the number is there. */
static bool take_u64(const unsigned char **at, const unsigned char *end, uint64_t *number)
{
    if (*number != UINT32_MAX) {
        return true;
    }
    if (end - *at < 8) {
        return false;
    }
    *number = u64(*at);
    *at += 8;
    return true;
}

/* Look for the ZIP64 field among the extra fields. False: they are cut off, or it lacks a number.
 */
static bool read_extra(const unsigned char *at, const unsigned char *end, struct entry *entry)
{
    while (end - at >= 4) {
        const unsigned char *field = at + 4;
        uint32_t kind = u16(at);
        uint32_t size = u16(at + 2);
        if (end - field < (ptrdiff_t)size) {
            return false;
        }
        at = field + size;
        if (kind == ZIP64_FIELD) {
            return take_u64(&field, at, &entry->size) && take_u64(&field, at, &entry->packed) &&
                   take_u64(&field, at, &entry->offset);
        }
    }
    return at == end && entry->size != UINT32_MAX && entry->packed != UINT32_MAX &&
           entry->offset != UINT32_MAX;
}

/* The entry at *at of the directory; moves *at behind it. False: it is cut off or no entry. */
static bool next_entry(const struct directory *directory, uint64_t *at, struct entry *ret_entry)
{
    const unsigned char *p = directory->bytes + *at;

    if (directory->size - *at < CENTRAL_SIZE || u32(p) != CENTRAL_SIGNATURE) {
        return false;
    }
    uint32_t name_size = u16(p + 28);
    uint32_t extra_size = u16(p + 30);
    uint32_t size = CENTRAL_SIZE + name_size + extra_size + u16(p + 32);
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
    const unsigned char *extra = p + CENTRAL_SIZE + name_size;
    return read_extra(extra, extra + extra_size, ret_entry);
}

/* The directory's word for an entry against the header in front of its bytes. */
static enum dv_status locate(int fd, const struct directory *directory, const struct entry *entry,
    struct dv_archive_part *ret_part, struct dv_error *reterr)
{
    unsigned char local[LOCAL_SIZE];
    char name[64];
    uint64_t before = LOCAL_SIZE + (uint64_t)entry->name_size; /* its bytes, but for extra fields */

    if (entry->method != 0 || entry->packed != entry->size || (entry->flags & 1u) != 0) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "%.*s is compressed or encrypted; a model archive stores its files as they are",
            (int)entry->name_size, entry->name);
    }
    assert(entry->name_size < sizeof(name));
    if (before > directory->offset || entry->offset > directory->offset - before) {
        return dv_fail(reterr, DV_CORRUPT, "an entry of the archive lies outside it");
    }
    enum dv_status status = dv_file_pread(fd, local, sizeof(local), entry->offset, reterr);
    if (status == DV_OK) {
        status = dv_file_pread(fd, name, entry->name_size, entry->offset + LOCAL_SIZE, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    uint64_t start = entry->offset + before + u16(local + 28);
    if (u32(local) != LOCAL_SIGNATURE || u16(local + 8) != 0 ||
        u16(local + 26) != entry->name_size || memcmp(name, entry->name, entry->name_size) != 0 ||
        start > directory->offset || entry->size > directory->offset - start) {
        return dv_fail(reterr, DV_CORRUPT, "the archive's directory does not fit its entries");
    }
    *ret_part = (struct dv_archive_part){start, entry->size, entry->crc32};
    return DV_OK;
}

static enum dv_status find_entry(const struct directory *directory, const char *name,
    struct entry *ret_entry, struct dv_error *reterr)
{
    uint32_t found = 0;
    uint64_t at = 0;
    struct entry entry = {0};

    for (uint64_t i = 0; i < directory->count; i++) {
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
