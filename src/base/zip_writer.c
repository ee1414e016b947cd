/* SPDX-License-Identifier: Apache-2.0 */
#include "base/zip_writer.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PENDING_SIZE = 256 << 10, /* bytes gathered before a write */
    NAME_SIZE_MAX = 65535,    /* by the format */
    VERSION_PLAIN = 20,
    VERSION_ZIP64 = 45,
    HOST_UNIX = 3 << 8,
    FLAG_UTF8 = 1 << 11,
    DATE_1980_01_01 = 0x21, /* the earliest the format can say: archives do not vary with the day */
    LOCAL_CRC_AT = 14,      /* offset of the CRC in a local header */
};

#define MARK_32 0xffffffffu /* "see the ZIP64 field" */
#define MARK_16 0xffffu

struct dv_zip_writer {
    char *path;
    char *temporary;
    int fd;
    bool is_finished;
    bool is_open_entry;
    struct dv_buffer directory; /* central records so far */
    uint64_t entry_count;
    uint64_t offset; /* bytes of the archive so far, pending ones included */
    size_t pending_size;
    /* The entry being written. */
    char *name;
    uint64_t entry_offset;
    uint64_t entry_size;
    uint64_t entry_written;
    uint32_t entry_crc;
    char pending[PENDING_SIZE];
};

/* Bytes of a header as it is put together; the longest fixed one has 56. */
struct record {
    unsigned char bytes[96];
    size_t size;
};

static void put(struct record *record, uint64_t value, size_t size)
{
    assert(record->size + size <= sizeof(record->bytes));
    for (size_t i = 0; i < size; i++) {
        record->bytes[record->size++] = (unsigned char)(value >> (8 * i));
    }
}

static uint64_t clip_32(uint64_t value)
{
    return value < MARK_32 ? value : MARK_32;
}

/* The rename at the end would put the archive in the place of a device just as well. */
static enum dv_status check_place(const char *path, struct dv_error *reterr)
{
    struct stat info;

    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        return dv_fail(reterr, DV_CONFLICT, "%s is there already, and is no file", path);
    }
    return DV_OK;
}

enum dv_status dv_zip_writer_open(
    const char *path, struct dv_zip_writer **ret_writer, struct dv_error *reterr)
{
    assert(path);
    assert(ret_writer);
    enum dv_status status = check_place(path, reterr);
    if (status != DV_OK) {
        return status;
    }

    struct dv_zip_writer *writer = dv_alloc(sizeof(*writer));
    writer->fd = -1;
    writer->directory = (struct dv_buffer)DV_BUFFER_INIT((size_t)1 << 40);
    writer->path = dv_strdup(path);
    char *temporary = dv_strprintf("%s.tmp", path);

    status = dv_file_create(temporary, &writer->fd, reterr);
    if (status != DV_OK) {
        dv_free(temporary);
        (void)dv_zip_writer_close(writer);
        return status;
    }
    writer->temporary = temporary; /* from here on it is ours to remove */
    *ret_writer = writer;
    return DV_OK;
}

struct dv_zip_writer *dv_zip_writer_close(struct dv_zip_writer *writer)
{
    if (writer) {
        dv_file_closep(&writer->fd);
        if (writer->temporary && !writer->is_finished) {
            (void)unlink(writer->temporary);
        }
        dv_buffer_finish(&writer->directory);
        dv_free(writer->name);
        dv_free(writer->temporary);
        dv_free(writer->path);
        dv_free(writer);
    }
    return NULL;
}

void dv_zip_writer_closep(struct dv_zip_writer **writer)
{
    *writer = dv_zip_writer_close(*writer);
}

static enum dv_status flush(struct dv_zip_writer *writer, struct dv_error *reterr)
{
    enum dv_status status =
        dv_file_write_all(writer->fd, writer->pending, writer->pending_size, reterr);

    if (status != DV_OK) {
        dv_error_prefix(reterr, "%s", writer->path);
        return status;
    }
    writer->pending_size = 0;
    return DV_OK;
}

static enum dv_status emit(
    struct dv_zip_writer *writer, const void *data, size_t size, struct dv_error *reterr)
{
    const char *at = data;

    writer->offset += size;
    while (size > 0) {
        size_t part = sizeof(writer->pending) - writer->pending_size;
        part = part < size ? part : size;
        memcpy(writer->pending + writer->pending_size, at, part);
        writer->pending_size += part;
        at += part;
        size -= part;
        if (writer->pending_size == sizeof(writer->pending)) {
            enum dv_status status = flush(writer, reterr);
            if (status != DV_OK) {
                return status;
            }
        }
    }
    return DV_OK;
}

static uint64_t name_flags(const char *name)
{
    for (const char *at = name; *at; at++) {
        if ((unsigned char)*at >= 0x80) {
            return FLAG_UTF8;
        }
    }
    return 0;
}

/* From "version needed" to the two sizes: the same fields in a local and a central header. */
static void put_common(struct record *record, const struct dv_zip_writer *writer, bool is_zip64)
{
    bool is_large = writer->entry_size >= MARK_32;

    put(record, is_zip64 ? VERSION_ZIP64 : VERSION_PLAIN, 2);
    put(record, name_flags(writer->name), 2);
    put(record, 0, 2); /* stored */
    put(record, 0, 2);
    put(record, DATE_1980_01_01, 2);
    put(record, writer->entry_crc, 4);
    put(record, is_large ? MARK_32 : writer->entry_size, 4);
    put(record, is_large ? MARK_32 : writer->entry_size, 4);
    put(record, strlen(writer->name), 2);
}

static enum dv_status emit_local(struct dv_zip_writer *writer, struct dv_error *reterr)
{
    struct record head = {0};
    struct record extra = {0};
    bool is_large = writer->entry_size >= MARK_32;

    if (is_large) {
        put(&extra, 1, 2);
        put(&extra, 16, 2);
        put(&extra, writer->entry_size, 8);
        put(&extra, writer->entry_size, 8);
    }
    put(&head, 0x04034b50, 4);
    put_common(&head, writer, is_large);
    put(&head, extra.size, 2);

    enum dv_status status = emit(writer, head.bytes, head.size, reterr);
    if (status == DV_OK) {
        status = emit(writer, writer->name, strlen(writer->name), reterr);
    }
    if (status == DV_OK) {
        status = emit(writer, extra.bytes, extra.size, reterr);
    }
    return status;
}

static void keep_central(struct dv_zip_writer *writer)
{
    struct record head = {0};
    struct record extra = {0};
    bool is_large = writer->entry_size >= MARK_32;
    bool is_far = writer->entry_offset >= MARK_32;

    if (is_large || is_far) {
        put(&extra, 1, 2);
        put(&extra, (is_large ? 16u : 0u) + (is_far ? 8u : 0u), 2);
    }
    if (is_large) {
        put(&extra, writer->entry_size, 8);
        put(&extra, writer->entry_size, 8);
    }
    if (is_far) {
        put(&extra, writer->entry_offset, 8);
    }
    put(&head, 0x02014b50, 4);
    put(&head, HOST_UNIX | VERSION_ZIP64, 2);
    put_common(&head, writer, is_large || is_far);
    put(&head, extra.size, 2);
    put(&head, 0, 2);                       /* comment */
    put(&head, 0, 2);                       /* disk */
    put(&head, 0, 2);                       /* internal attributes */
    put(&head, (uint64_t)0100644 << 16, 4); /* a regular file, rw-r--r-- */
    put(&head, clip_32(writer->entry_offset), 4);
    dv_buffer_append(&writer->directory, head.bytes, head.size);
    dv_buffer_append_text(&writer->directory, writer->name);
    dv_buffer_append(&writer->directory, extra.bytes, extra.size);
    writer->entry_count++;
}

static enum dv_status start_entry(struct dv_zip_writer *writer, const char *name, uint64_t size,
    uint32_t crc, struct dv_error *reterr)
{
    assert(writer);
    assert(name);
    assert(!writer->is_finished);
    assert(!writer->is_open_entry);

    size_t name_size = strlen(name);
    if (name_size == 0 || name_size > NAME_SIZE_MAX || !dv_text_is_utf8(name, name_size)) {
        return dv_fail(reterr, DV_INVALID,
            "the name of an archive entry is empty, too long or "
            "not UTF-8");
    }
    dv_free(writer->name);
    writer->name = dv_strdup(name);
    writer->entry_offset = writer->offset;
    writer->entry_size = size;
    writer->entry_written = 0;
    writer->entry_crc = crc;
    return emit_local(writer, reterr);
}

enum dv_status dv_zip_writer_add(struct dv_zip_writer *writer, const char *name, const void *data,
    size_t size, struct dv_error *reterr)
{
    enum dv_status status = start_entry(writer, name, size, dv_crc32(0, data, size), reterr);

    if (status == DV_OK) {
        status = emit(writer, data, size, reterr);
    }
    if (status == DV_OK) {
        keep_central(writer);
    }
    return status;
}

enum dv_status dv_zip_writer_begin(
    struct dv_zip_writer *writer, const char *name, uint64_t size, struct dv_error *reterr)
{
    enum dv_status status = start_entry(writer, name, size, 0, reterr);

    writer->is_open_entry = status == DV_OK;
    return status;
}

enum dv_status dv_zip_writer_append(
    struct dv_zip_writer *writer, const void *data, size_t size, struct dv_error *reterr)
{
    assert(writer);
    assert(writer->is_open_entry);

    writer->entry_crc = dv_crc32(writer->entry_crc, data, size);
    writer->entry_written += size;
    return emit(writer, data, size, reterr);
}

enum dv_status dv_zip_writer_end(struct dv_zip_writer *writer, struct dv_error *reterr)
{
    struct record crc = {0};

    assert(writer);
    assert(writer->is_open_entry);
    writer->is_open_entry = false;
    if (writer->entry_written != writer->entry_size) {
        return dv_fail(reterr, DV_INVALID, "%s has %llu bytes, not the %llu that were announced",
            writer->name, (unsigned long long)writer->entry_written,
            (unsigned long long)writer->entry_size);
    }
    /* The CRC is known only now: go back for it. */
    enum dv_status status = flush(writer, reterr);
    if (status != DV_OK) {
        return status;
    }
    put(&crc, writer->entry_crc, 4);
    off_t at = (off_t)(writer->entry_offset + LOCAL_CRC_AT);
    if (pwrite(writer->fd, crc.bytes, crc.size, at) != (ssize_t)crc.size) {
        return dv_fail_errno(reterr, errno, "%s: cannot write", writer->path);
    }
    keep_central(writer);
    return DV_OK;
}

static enum dv_status copy_file(
    struct dv_zip_writer *writer, int fd, uint64_t size, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *part = dv_alloc(PENDING_SIZE);

    for (uint64_t at = 0; at < size;) {
        size_t part_size = size - at < PENDING_SIZE ? (size_t)(size - at) : PENDING_SIZE;
        enum dv_status status = dv_file_pread(fd, part, part_size, at, reterr);
        if (status == DV_OK) {
            status = dv_zip_writer_append(writer, part, part_size, reterr);
        }
        if (status != DV_OK) {
            return status;
        }
        at += part_size;
    }
    return DV_OK;
}

enum dv_status dv_zip_writer_add_file(
    struct dv_zip_writer *writer, const char *name, const char *path, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    uint64_t size = 0;

    enum dv_status status = dv_file_open_read(path, &fd, reterr);
    if (status == DV_OK) {
        status = dv_file_size(fd, &size, reterr);
    }
    if (status == DV_OK) {
        status = dv_zip_writer_begin(writer, name, size, reterr);
    }
    if (status == DV_OK) {
        status = copy_file(writer, fd, size, reterr);
    }
    if (status == DV_OK) {
        status = dv_zip_writer_end(writer, reterr);
    }
    return status;
}

/* The end record, with the ZIP64 record and its locator in front where a number does not fit. */
static enum dv_status emit_end(struct dv_zip_writer *writer, struct dv_error *reterr)
{
    struct record record = {0};
    struct record end = {0};
    uint64_t directory_size = writer->directory.size;
    uint64_t directory_at = writer->offset - directory_size;
    uint64_t count = writer->entry_count;

    if (count >= MARK_16 || directory_size >= MARK_32 || directory_at >= MARK_32) {
        put(&record, 0x06064b50, 4);
        put(&record, 44, 8); /* of the record, what follows */
        put(&record, HOST_UNIX | VERSION_ZIP64, 2);
        put(&record, VERSION_ZIP64, 2);
        put(&record, 0, 8); /* both disk numbers */
        put(&record, count, 8);
        put(&record, count, 8);
        put(&record, directory_size, 8);
        put(&record, directory_at, 8);
        put(&record, 0x07064b50, 4);
        put(&record, 0, 4);
        put(&record, writer->offset, 8);
        put(&record, 1, 4);
    }
    put(&end, 0x06054b50, 4);
    put(&end, 0, 4);
    put(&end, count < MARK_16 ? count : MARK_16, 2);
    put(&end, count < MARK_16 ? count : MARK_16, 2);
    put(&end, clip_32(directory_size), 4);
    put(&end, clip_32(directory_at), 4);
    put(&end, 0, 2);

    enum dv_status status = emit(writer, record.bytes, record.size, reterr);
    if (status == DV_OK) {
        status = emit(writer, end.bytes, end.size, reterr);
    }
    return status;
}

enum dv_status dv_zip_writer_finish(struct dv_zip_writer *writer, struct dv_error *reterr)
{
    assert(writer);
    assert(!writer->is_finished);
    assert(!writer->is_open_entry);

    enum dv_status status = emit(writer, writer->directory.data, writer->directory.size, reterr);
    if (status == DV_OK) {
        status = emit_end(writer, reterr);
    }
    if (status == DV_OK) {
        status = flush(writer, reterr);
    }
    if (status == DV_OK) {
        status = dv_file_sync(writer->fd, reterr);
        if (status != DV_OK) {
            dv_error_prefix(reterr, "%s", writer->path);
        }
    }
    if (status == DV_OK) {
        status = dv_file_rename(writer->temporary, writer->path, reterr);
    }
    writer->is_finished = status == DV_OK;
    return status;
}
