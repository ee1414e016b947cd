/* SPDX-License-Identifier: Apache-2.0 */
#include "data/zip_end.h"

#include "base/macro.h"
#include "data/zip_format.h"
#include "data/zip_window.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* What people rename to .zip, by its first bytes. */
static const struct {
    const char *magic;
    size_t size;
    const char *name;
} strangers[] = {
    {"Rar!", 4, "a RAR archive"},
    {"7z\xbc\xaf", 4, "a 7z archive"},
    {"\x1f\x8b", 2, "a gzip file"},
    {"\x89PNG", 4, "a PNG picture"},
    {"\xff\xd8\xff", 3, "a JPEG picture"},
    {"%PDF", 4, "a PDF document"},
    {"MZ", 2, "a Windows program"},
    {"PK\x07\x08", 4, "one part of a split ZIP archive"},
    {"PK00", 4, "one part of a split ZIP archive"},
};

static enum dv_status check_start(struct dv_zip_window *window, struct dv_error *reterr)
{
    const unsigned char *start;

    if (window->file_size == 0) {
        return dv_fail(reterr, DV_UNSUPPORTED, "not a ZIP archive: the file is empty");
    }
    if (window->file_size < DV_ZIP_END_SIZE) {
        return dv_fail(reterr, DV_UNSUPPORTED, "not a ZIP archive: too short to be one");
    }
    enum dv_status status = dv_zip_window_get(window, 0, 4, &start, reterr);
    if (status != DV_OK) {
        return status;
    }
    uint32_t signature = dv_zip_u32(start);
    if (signature == DV_ZIP_LOCAL_SIGNATURE || signature == DV_ZIP_END_SIGNATURE) {
        return DV_OK;
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(strangers); i++) {
        if (memcmp(start, strangers[i].magic, strangers[i].size) == 0) {
            return dv_fail(reterr, DV_UNSUPPORTED, "not a ZIP archive: the file begins as %s",
                strangers[i].name);
        }
    }
    return dv_fail(
        reterr, DV_UNSUPPORTED, "not a ZIP archive: the file does not begin with an entry");
}

/*
 * The last place that has the end record's signature is the one that others would take; it must be
 * the right one, or two readers could see two archives in one file.
 */
static enum dv_status find_end(
    struct dv_zip_window *window, uint64_t *ret_offset, struct dv_error *reterr)
{
    const unsigned char *tail;
    size_t size = DV_ZIP_END_SIZE + DV_ZIP_MARK_16;

    size = window->file_size < size ? (size_t)window->file_size : size;
    uint64_t tail_at = window->file_size - size;
    enum dv_status status = dv_zip_window_get(window, tail_at, size, &tail, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (size_t at = size - DV_ZIP_END_SIZE + 1; at-- > 0;) {
        if (dv_zip_u32(tail + at) != DV_ZIP_END_SIGNATURE) {
            continue;
        }
        if (dv_zip_u16(tail + at + 20) != size - at - DV_ZIP_END_SIZE) {
            return dv_fail(reterr, DV_CORRUPT,
                "the archive does not end where its end record says: bytes were added or cut off");
        }
        *ret_offset = tail_at + at;
        return DV_OK;
    }
    return dv_fail(reterr, DV_CORRUPT, "the archive has no end record: it was cut off");
}

/* What the 32-bit record says is either the ZIP64 mark or the same. */
static bool agrees(uint64_t value, uint64_t mark, uint64_t value64)
{
    return value == mark || value == value64;
}

static enum dv_status take_end64(struct dv_zip_window *window, uint64_t locator_at,
    const struct dv_zip_end *plain, struct dv_zip_end *ret_end, struct dv_error *reterr)
{
    const unsigned char *at;

    enum dv_status status = dv_zip_window_get(window, locator_at, DV_ZIP_LOCATOR_SIZE, &at, reterr);
    if (status != DV_OK) {
        return status;
    }
    uint64_t record_at = dv_zip_u64(at + 8);
    if (dv_zip_u32(at + 4) != 0 || dv_zip_u32(at + 16) > 1) {
        return dv_fail(reterr, DV_UNSUPPORTED, "the archive is spread over several disks");
    }
    if (record_at > locator_at || locator_at - record_at < DV_ZIP_END64_SIZE) {
        return dv_fail(reterr, DV_CORRUPT, "the ZIP64 locator points to a wrong place");
    }
    status = dv_zip_window_get(window, record_at, DV_ZIP_END64_SIZE, &at, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (dv_zip_u32(at) != DV_ZIP_END64_SIGNATURE ||
        dv_zip_u64(at + 4) != locator_at - record_at - 12) {
        return dv_fail(reterr, DV_CORRUPT, "the ZIP64 end record is not where its locator says");
    }
    struct dv_zip_end end = {.entry_count = dv_zip_u64(at + 32),
        .directory_size = dv_zip_u64(at + 40),
        .directory_offset = dv_zip_u64(at + 48)};
    if (dv_zip_u32(at + 16) != 0 || dv_zip_u32(at + 20) != 0 ||
        dv_zip_u64(at + 24) != end.entry_count) {
        return dv_fail(reterr, DV_UNSUPPORTED, "the archive is spread over several disks");
    }
    if (!agrees(plain->entry_count, DV_ZIP_MARK_16, end.entry_count) ||
        !agrees(plain->directory_size, DV_ZIP_MARK_32, end.directory_size) ||
        !agrees(plain->directory_offset, DV_ZIP_MARK_32, end.directory_offset)) {
        return dv_fail(reterr, DV_CORRUPT, "the two end records of the archive contradict");
    }
    if (end.directory_offset > record_at ||
        end.directory_size != record_at - end.directory_offset) {
        return dv_fail(reterr, DV_CORRUPT,
            "the directory of the archive is not where its ZIP64 end record says");
    }
    *ret_end = end;
    return DV_OK;
}

static enum dv_status has_locator(
    struct dv_zip_window *window, uint64_t end_at, bool *ret_has, struct dv_error *reterr)
{
    const unsigned char *at;

    *ret_has = false;
    if (end_at < DV_ZIP_LOCATOR_SIZE) {
        return DV_OK;
    }
    enum dv_status status = dv_zip_window_get(window, end_at - DV_ZIP_LOCATOR_SIZE, 4, &at, reterr);
    if (status == DV_OK) {
        *ret_has = dv_zip_u32(at) == DV_ZIP_LOCATOR_SIGNATURE;
    }
    return status;
}

static enum dv_status take_end(struct dv_zip_window *window, uint64_t end_at,
    struct dv_zip_end *ret_end, struct dv_error *reterr)
{
    const unsigned char *at;
    bool is_zip64;

    enum dv_status status = dv_zip_window_get(window, end_at, DV_ZIP_END_SIZE, &at, reterr);
    if (status != DV_OK) {
        return status;
    }
    uint16_t disk = dv_zip_u16(at + 4);
    uint16_t directory_disk = dv_zip_u16(at + 6);
    uint16_t disk_count = dv_zip_u16(at + 8);
    struct dv_zip_end end = {.entry_count = dv_zip_u16(at + 10),
        .directory_size = dv_zip_u32(at + 12),
        .directory_offset = dv_zip_u32(at + 16)};

    status = has_locator(window, end_at, &is_zip64, reterr);
    if (status != DV_OK) {
        return status;
    }
    uint16_t mark = is_zip64 ? DV_ZIP_MARK_16 : 0;
    if ((disk != 0 && disk != mark) || (directory_disk != 0 && directory_disk != mark) ||
        disk_count != end.entry_count) {
        return dv_fail(reterr, DV_UNSUPPORTED, "the archive is spread over several disks");
    }
    if (is_zip64) {
        return take_end64(window, end_at - DV_ZIP_LOCATOR_SIZE, &end, ret_end, reterr);
    }
    if (end.directory_offset > end_at || end.directory_size != end_at - end.directory_offset) {
        return dv_fail(
            reterr, DV_CORRUPT, "the directory of the archive is not where its end record says");
    }
    *ret_end = end;
    return DV_OK;
}

enum dv_status dv_zip_end_read(
    struct dv_zip_window *window, struct dv_zip_end *ret_end, struct dv_error *reterr)
{
    uint64_t end_at = 0;

    assert(window);
    assert(ret_end);
    enum dv_status status = check_start(window, reterr);
    if (status == DV_OK) {
        status = find_end(window, &end_at, reterr);
    }
    if (status == DV_OK) {
        status = take_end(window, end_at, ret_end, reterr);
    }
    return status;
}
