/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 2 of the audit: every local header (4.3.7) against the directory, in the order of storage,
 * each beginning exactly where the one before ended. Two entries on the same bytes, an entry that
 * the directory hides and a bomb of overlapping entries all break that one rule.
 */
#include "data/source_refusal.h"
#include "data/zip_end.h"
#include "data/zip_format.h"
#include "data/zip_table.h"
#include "data/zip_window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Bits 1 and 2 say how hard the compressor tried, which nobody needs to agree on. */
static const uint16_t flags_compared = (uint16_t)~6u;

static int compare_offsets(const void *a, const void *b)
{
    uint64_t first = ((const struct dv_zip_entry *)a)->offset;
    uint64_t second = ((const struct dv_zip_entry *)b)->offset;

    return (first > second) - (first < second);
}

static void sort_by_offset(struct dv_zip_table *table)
{
    for (size_t i = 1; i < table->count; i++) {
        if (table->entries[i].offset < table->entries[i - 1].offset) {
            qsort(table->entries, table->count, sizeof(*table->entries), compare_offsets);
            return;
        }
    }
}

static enum dv_status fail_entry(const struct dv_zip_table *table, const struct dv_zip_entry *entry,
    const char *what, struct dv_error *reterr)
{
    char label[DV_ZIP_LABEL_SIZE];

    dv_zip_entry_label(table, entry, label);
    return dv_fail(
        reterr, DV_CORRUPT, "the archive contradicts itself at the entry '%s': %s", label, what);
}

/* CRC and sizes of the local header; with a descriptor to follow they may be left 0. */
static const char *compare_sizes(const struct dv_zip_entry *entry, const unsigned char *at,
    const unsigned char *extra, size_t extra_size)
{
    bool has_descriptor = (entry->flags & DV_ZIP_FLAG_DESCRIPTOR) != 0;
    uint32_t crc = dv_zip_u32(at + 14);
    uint64_t packed_size = dv_zip_u32(at + 18);
    uint64_t size = dv_zip_u32(at + 22);
    const unsigned char *field;
    size_t field_size;

    if (!dv_zip_extra_find(extra, extra_size, DV_ZIP_EXTRA_ZIP64, &field, &field_size)) {
        return "its extra fields are damaged";
    }
    if (size == DV_ZIP_MARK_32 && field && field_size >= 8) {
        size = dv_zip_u64(field);
        field += 8;
        field_size -= 8;
    }
    if (packed_size == DV_ZIP_MARK_32 && field && field_size >= 8) {
        packed_size = dv_zip_u64(field);
    }
    if (crc != entry->crc && !(has_descriptor && crc == 0)) {
        return "two checksums";
    }
    /* With a descriptor to follow each may be left open: Info-ZIP often knows one of the two. */
    bool is_size_open = has_descriptor && (size == 0 || size == DV_ZIP_MARK_32);
    bool is_packed_open = has_descriptor && (packed_size == 0 || packed_size == DV_ZIP_MARK_32);
    bool agrees = (is_size_open || size == entry->size) &&
                  (is_packed_open || packed_size == entry->packed_size);
    return agrees ? NULL : "two sizes";
}

static const char *compare_header(
    const struct dv_zip_table *table, const struct dv_zip_entry *entry, const unsigned char *at)
{
    uint16_t name_size = dv_zip_u16(at + 26);
    const unsigned char *name = at + DV_ZIP_LOCAL_SIZE;

    if ((dv_zip_u16(at + 6) & flags_compared) != (entry->flags & flags_compared)) {
        return "two sets of flags";
    }
    if (dv_zip_u16(at + 8) != entry->method) {
        return "two compression methods";
    }
    if (name_size != entry->name_size ||
        memcmp(name, table->names + entry->name_at, dv_zip_name_kept(name_size)) != 0) {
        return "two names";
    }
    return compare_sizes(entry, at, name + name_size, dv_zip_u16(at + 28));
}

/* Does a descriptor (4.3.9) of `gap` bytes, in any of its four forms, agree with the directory? */
static bool is_descriptor(const struct dv_zip_entry *entry, const unsigned char *at, uint64_t gap)
{
    if (gap == 16 || gap == 24) {
        if (dv_zip_u32(at) != DV_ZIP_DESCRIPTOR_SIGNATURE) {
            return false;
        }
        at += 4;
        gap -= 4;
    }
    if (dv_zip_u32(at) != entry->crc) {
        return false;
    }
    if (gap == 12) {
        return dv_zip_u32(at + 4) == (uint32_t)entry->packed_size &&
               dv_zip_u32(at + 8) == (uint32_t)entry->size;
    }
    return dv_zip_u64(at + 4) == entry->packed_size && dv_zip_u64(at + 12) == entry->size;
}

/* What lies between the end of an entry and `next`, where the following one or the directory
 * begins. */
static enum dv_status check_gap(const struct dv_zip_table *table, struct dv_zip_window *window,
    const struct dv_zip_entry *entry, uint64_t end, uint64_t next, struct dv_error *reterr)
{
    const unsigned char *at;

    if (next < end) {
        return fail_entry(table, entry, "it overlaps with what follows", reterr);
    }
    uint64_t gap = next - end;
    if (gap == 0) {
        return DV_OK; /* a promised descriptor that never came harms nobody */
    }
    bool can_be = (entry->flags & DV_ZIP_FLAG_DESCRIPTOR) != 0 &&
                  (gap == 12 || gap == 16 || gap == 20 || gap == 24);
    if (!can_be) {
        return fail_entry(table, entry, "bytes after it belong to no entry", reterr);
    }
    enum dv_status status = dv_zip_window_get(window, end, (size_t)gap, &at, reterr);
    if (status != DV_OK) {
        return status;
    }
    return is_descriptor(entry, at, gap)
               ? DV_OK
               : fail_entry(table, entry, "its data descriptor says something else", reterr);
}

static enum dv_status check_local(struct dv_zip_table *table, struct dv_zip_window *window,
    struct dv_zip_entry *entry, uint64_t next, struct dv_error *reterr)
{
    const unsigned char *at;

    if (entry->offset >= next || next - entry->offset < DV_ZIP_LOCAL_SIZE) {
        return fail_entry(table, entry, "it overlaps with what follows", reterr);
    }
    enum dv_status status =
        dv_zip_window_get(window, entry->offset, DV_ZIP_LOCAL_SIZE, &at, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (dv_zip_u32(at) != DV_ZIP_LOCAL_SIGNATURE) {
        return fail_entry(table, entry, "no entry begins where the directory says", reterr);
    }
    size_t name_size = dv_zip_u16(at + 26);
    size_t extra_size = dv_zip_u16(at + 28);
    size_t size = DV_ZIP_LOCAL_SIZE + name_size + extra_size;
    if (size > next - entry->offset) {
        return fail_entry(table, entry, "it overlaps with what follows", reterr);
    }
    status = dv_zip_window_get(window, entry->offset, size, &at, reterr);
    if (status != DV_OK) {
        return status;
    }
    const char *what = compare_header(table, entry, at);
    if (what) {
        return fail_entry(table, entry, what, reterr);
    }
    uint64_t data = entry->offset + size;
    if (next - data < entry->packed_size) {
        return fail_entry(table, entry, "it overlaps with what follows", reterr);
    }
    /* The name last: from here on it is no longer the archive's. `at` dies with the next read. */
    entry->offset = data;
    status =
        dv_zip_name_settle(table, entry, at + DV_ZIP_LOCAL_SIZE + name_size, extra_size, reterr);
    if (status != DV_OK) {
        return status;
    }
    return check_gap(table, window, entry, data + entry->packed_size, next, reterr);
}

enum dv_status dv_zip_table_check_locals(struct dv_zip_table *table, struct dv_zip_window *window,
    const struct dv_zip_end *end, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    assert(table);
    assert(table->count > 0);
    sort_by_offset(table);
    if (table->entries[0].offset != 0) {
        return dv_fail(reterr, DV_CORRUPT,
            "the first entry of the archive does not begin where the file begins");
    }
    if (table->entries[table->count - 1].offset >= end->directory_offset) {
        return fail_entry(table, &table->entries[table->count - 1],
            "it does not begin before the directory", reterr);
    }
    for (size_t i = 0; status == DV_OK && i < table->count; i++) {
        bool is_last = i + 1 == table->count;
        uint64_t next = is_last ? end->directory_offset : table->entries[i + 1].offset;
        status = check_local(table, window, &table->entries[i], next, reterr);
    }
    return status;
}
