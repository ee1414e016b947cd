/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 1 of the audit: the central directory (4.3.12), from its first byte to its last, into the
 * table. Read in this order: dv_zip_table_read_directory, take_entry, judge_entry, check_budgets.
 */
#include "base/alloc.h"
#include "data/source_refusal.h"
#include "data/zip_end.h"
#include "data/zip_format.h"
#include "data/zip_table.h"
#include "data/zip_window.h"
#include "spec/limits.h"

#include <assert.h>
#include <sys/stat.h>

/* DEFLATE cannot do better: 258 bytes from two bits (zlib's own figure). */
static const uint64_t deflate_ratio_max = 1032;
static const uint16_t central_extra_max = 8 << 10;
/* A directory may not be out of all proportion to its entries, else reading it is an attack. */
static const uint64_t directory_base_max = 64 << 20;
static const uint64_t directory_entry_max = 4 << 10;

struct totals {
    uint64_t size;
    uint64_t packed;
};

/* The ZIP64 field holds, in this order, only what is marked in the header (4.5.3). */
static bool take_zip64(struct dv_zip_entry *entry, const unsigned char *extra, size_t extra_size)
{
    uint64_t *const values[] = {&entry->size, &entry->packed_size, &entry->offset};
    const unsigned char *field;
    size_t field_size;

    if (!dv_zip_extra_find(extra, extra_size, DV_ZIP_EXTRA_ZIP64, &field, &field_size)) {
        return false;
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(values); i++) {
        if (*values[i] != DV_ZIP_MARK_32) {
            continue;
        }
        if (!field || field_size < 8) {
            return false;
        }
        *values[i] = dv_zip_u64(field);
        field += 8;
        field_size -= 8;
    }
    return true;
}

/* What the attributes say the entry is; most makers leave the Unix type 0 for a plain file. */
static enum dv_refusal judge_type(uint16_t host, uint32_t attributes, struct dv_zip_entry *entry)
{
    mode_t type = (attributes >> 16) & S_IFMT;
    bool is_unix = host == 3 || host == 19;

    if (S_ISLNK(type)) {
        return DV_REFUSAL_LINK; /* whatever the host: some makers write Unix modes as MS-DOS */
    }
    if (is_unix && type != 0 && !S_ISREG(type) && !S_ISDIR(type)) {
        return DV_REFUSAL_SPECIAL;
    }
    bool says_folder = is_unix ? S_ISDIR(type) : (attributes & 0x10) != 0;
    if (says_folder && entry->size == 0) {
        entry->is_folder = true;
    }
    return DV_REFUSAL_NONE;
}

static enum dv_refusal judge_content(const struct dv_zip_entry *entry)
{
    if (entry->flags & (DV_ZIP_FLAG_ENCRYPTED | DV_ZIP_FLAG_STRONG | DV_ZIP_FLAG_MASKED) ||
        entry->method == DV_ZIP_AES) {
        return DV_REFUSAL_ENCRYPTED;
    }
    if (entry->flags & DV_ZIP_FLAG_PATCH) {
        return DV_REFUSAL_PATCH;
    }
    if (entry->method != DV_ZIP_STORED && entry->method != DV_ZIP_DEFLATED) {
        return DV_REFUSAL_METHOD;
    }
    /* An empty folder may have been "deflated" to the two bytes of an empty stream. */
    if (entry->is_folder && (entry->size != 0 || entry->packed_size > 2)) {
        return DV_REFUSAL_FOLDER_DATA;
    }
    if (entry->size > DV_ZIP_ENTRY_SIZE_MAX) {
        return DV_REFUSAL_SIZE;
    }
    if (entry->size > DV_ZIP_RATIO_FROM_SIZE &&
        entry->size / DV_ZIP_RATIO_MAX >= entry->packed_size) {
        return DV_REFUSAL_RATIO;
    }
    return DV_REFUSAL_NONE;
}

/* Lies that condemn the archive, by the directory's own numbers. */
static enum dv_status check_sizes(
    const struct dv_zip_table *table, const struct dv_zip_entry *entry, struct dv_error *reterr)
{
    char label[DV_ZIP_LABEL_SIZE];

    dv_zip_entry_label(table, entry, label);
    if (entry->refusal == DV_REFUSAL_ENCRYPTED || entry->refusal == DV_REFUSAL_METHOD ||
        entry->refusal == DV_REFUSAL_PATCH) {
        return DV_OK; /* other rules for the sizes, and never read */
    }
    if (entry->method == DV_ZIP_STORED && entry->size != entry->packed_size) {
        return dv_fail(
            reterr, DV_CORRUPT, "the entry '%s' is stored but has two different sizes", label);
    }
    if (entry->method == DV_ZIP_DEFLATED && entry->packed_size < UINT64_MAX / deflate_ratio_max &&
        entry->size > entry->packed_size * deflate_ratio_max) {
        return dv_fail(
            reterr, DV_CORRUPT, "the entry '%s' claims to inflate further than is possible", label);
    }
    /* A flat bitmap of an ordinary size may compress like this; then only it is left out. */
    if (entry->refusal == DV_REFUSAL_RATIO && entry->size > DV_IMAGE_FILE_SIZE_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE,
            "the entry '%s' is a bomb: it inflates to more than %u times its stored size", label,
            DV_ZIP_RATIO_MAX);
    }
    return DV_OK;
}

/* The fields of one central header; `at` holds it with its name and extra fields. */
static enum dv_status take_entry(struct dv_zip_table *table, const unsigned char *at,
    struct dv_zip_entry *entry, struct dv_error *reterr)
{
    uint16_t name_size = dv_zip_u16(at + 28);
    uint16_t extra_size = dv_zip_u16(at + 30);
    uint16_t disk = dv_zip_u16(at + 34);
    const unsigned char *name = at + DV_ZIP_CENTRAL_SIZE;
    char label[DV_ZIP_LABEL_SIZE];

    *entry = (struct dv_zip_entry){.flags = dv_zip_u16(at + 8),
        .method = dv_zip_u16(at + 10),
        .crc = dv_zip_u32(at + 16),
        .packed_size = dv_zip_u32(at + 20),
        .size = dv_zip_u32(at + 24),
        .name_size = name_size,
        .offset = dv_zip_u32(at + 42)};
    enum dv_status status =
        dv_zip_table_add_name(table, name, dv_zip_name_kept(name_size), &entry->name_at, reterr);
    if (status != DV_OK) {
        return status;
    }
    dv_zip_entry_label(table, entry, label);
    if (disk != 0 && disk != DV_ZIP_MARK_16) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "the entry '%s' lies on another disk: the archive is split", label);
    }
    if (extra_size > central_extra_max) {
        return dv_fail(reterr, DV_CORRUPT, "the entry '%s' has extra fields of %u bytes", label,
            (unsigned)extra_size);
    }
    if (!take_zip64(entry, name + name_size, extra_size)) {
        return dv_fail(reterr, DV_CORRUPT, "the extra fields of the entry '%s' are damaged", label);
    }
    entry->is_folder = name_size > 0 && name[name_size - 1] == '/';
    enum dv_refusal type = judge_type(at[5], dv_zip_u32(at + 38), entry);
    entry->refusal = (uint8_t)(type ? type : judge_content(entry));
    return check_sizes(table, entry, reterr);
}

static enum dv_status check_budgets(const struct totals *totals, struct dv_error *reterr)
{
    if (totals->size > DV_ZIP_TOTAL_SIZE_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "the archive holds more than %llu GiB inflated",
            DV_ZIP_TOTAL_SIZE_MAX >> 30);
    }
    if (totals->size > DV_ZIP_TOTAL_RATIO_FROM_SIZE &&
        totals->size / DV_ZIP_TOTAL_RATIO_MAX >= totals->packed) {
        return dv_fail(reterr, DV_TOO_LARGE,
            "the archive is a bomb: it inflates to more than %u times its size",
            DV_ZIP_TOTAL_RATIO_MAX);
    }
    return DV_OK;
}

static enum dv_status check_end(const struct dv_zip_end *end, struct dv_error *reterr)
{
    uint64_t count = end->entry_count;

    if (count > DV_ZIP_ENTRIES_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "the archive has %llu entries, the limit is %u",
            (unsigned long long)count, DV_ZIP_ENTRIES_MAX);
    }
    if (end->directory_size / DV_ZIP_CENTRAL_SIZE < count) {
        return dv_fail(reterr, DV_CORRUPT,
            "the archive's end record counts more entries than its directory can hold");
    }
    if (end->directory_size > directory_base_max + count * directory_entry_max) {
        return dv_fail(reterr, DV_TOO_LARGE,
            "the archive's directory is far too large for %llu "
            "entries",
            (unsigned long long)count);
    }
    if (count == 0 && end->directory_size == 0) {
        return dv_fail(reterr, DV_INVALID, "the archive is empty");
    }
    return DV_OK;
}

static enum dv_status take_entries(struct dv_zip_table *table, struct dv_zip_window *window,
    const struct dv_zip_end *end, struct dv_error *reterr)
{
    uint64_t at = end->directory_offset;
    uint64_t stop = at + end->directory_size;
    struct totals totals = {0};
    enum dv_status status = DV_OK;

    for (; status == DV_OK && table->count < end->entry_count; table->count++) {
        const unsigned char *bytes;
        struct dv_zip_entry *entry = &table->entries[table->count];

        if (stop - at < DV_ZIP_CENTRAL_SIZE) {
            return dv_fail(reterr, DV_CORRUPT,
                "the archive's directory holds %zu entries, its "
                "end record counts %llu",
                table->count, (unsigned long long)end->entry_count);
        }
        status = dv_zip_window_get(window, at, DV_ZIP_CENTRAL_SIZE, &bytes, reterr);
        if (status != DV_OK) {
            return status;
        }
        size_t size = (size_t)DV_ZIP_CENTRAL_SIZE + dv_zip_u16(bytes + 28) + dv_zip_u16(bytes + 30);
        size_t comment_size = dv_zip_u16(bytes + 32);
        if (dv_zip_u32(bytes) != DV_ZIP_CENTRAL_SIGNATURE || stop - at < size + comment_size) {
            return dv_fail(reterr, DV_CORRUPT,
                "the archive's directory is damaged or encrypted at entry %zu", table->count + 1);
        }
        status = dv_zip_window_get(window, at, size, &bytes, reterr);
        if (status == DV_OK) {
            status = take_entry(table, bytes, entry, reterr);
        }
        at += size + comment_size;
        /* Sums of entries that are each below 2^60 and fewer than 2^23 cannot wrap. */
        totals.size += entry->size < 1ull << 40 ? entry->size : 1ull << 40;
        totals.packed += entry->packed_size < 1ull << 40 ? entry->packed_size : 1ull << 40;
    }
    if (status == DV_OK && at != stop) {
        return dv_fail(reterr, DV_CORRUPT,
            "the archive's directory goes on after the %llu entries that its end record counts",
            (unsigned long long)end->entry_count);
    }
    return status == DV_OK ? check_budgets(&totals, reterr) : status;
}

enum dv_status dv_zip_table_read_directory(struct dv_zip_table *table, struct dv_zip_window *window,
    const struct dv_zip_end *end, struct dv_error *reterr)
{
    void *memory;

    assert(table);
    assert(table->count == 0);
    enum dv_status status = check_end(end, reterr);
    if (status == DV_OK) {
        status = dv_try_alloc((size_t)end->entry_count, sizeof(*table->entries), &memory, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    table->entries = memory;
    return take_entries(table, window, end, reterr);
}
