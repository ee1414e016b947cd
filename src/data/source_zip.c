/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/hash.h"
#include "data/source_impl.h"
#include "data/source_refusal.h"
#include "data/zip_end.h"
#include "data/zip_format.h"
#include "data/zip_table.h"
#include "data/zip_window.h"

#include <assert.h>
#include <string.h>
#include <zlib.h>

static const size_t part_size_max = 64 << 10; /* packed bytes asked for at once */

struct zip_source {
    struct dv_source base;
    struct dv_zip_window window;
    struct dv_zip_table table;
    z_stream inflater;
    bool has_inflater;
};

static struct zip_source *zip_from_base(struct dv_source *source)
{
    assert(source->impl == &dv_source_zip);
    return (struct zip_source *)source;
}

static const struct zip_source *zip_from_const_base(const struct dv_source *source)
{
    assert(source->impl == &dv_source_zip);
    return (const struct zip_source *)source;
}

static bool zip_accepts(const char *path, bool is_folder)
{
    (void)path;
    return !is_folder;
}

static void *zlib_alloc(void *context, uInt count, uInt size)
{
    void *memory = NULL;

    (void)context;
    return dv_try_alloc(count, size, &memory, NULL) == DV_OK ? memory : NULL;
}

static void zlib_free(void *context, void *memory)
{
    (void)context;
    dv_free(memory);
}

static enum dv_status start_inflater(struct zip_source *zip, struct dv_error *reterr)
{
    zip->inflater = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
    if (inflateInit2(&zip->inflater, -MAX_WBITS) != Z_OK) { /* negative: no zlib header */
        return dv_fail(reterr, DV_NOMEM, "no memory to inflate with");
    }
    zip->has_inflater = true;
    return DV_OK;
}

static enum dv_status zip_init(struct dv_source *source, const char *path, struct dv_error *reterr)
{
    struct zip_source *zip = zip_from_base(source);
    struct dv_zip_end end;

    enum dv_status status = dv_zip_window_init(&zip->window, path, reterr);
    if (status == DV_OK) {
        status = dv_zip_end_read(&zip->window, &end, reterr);
    }
    if (status == DV_OK) {
        status = dv_zip_table_read_directory(&zip->table, &zip->window, &end, reterr);
    }
    if (status == DV_OK) {
        status = dv_zip_table_check_locals(&zip->table, &zip->window, &end, reterr);
    }
    if (status == DV_OK) {
        status = dv_zip_table_check_names(&zip->table, reterr);
    }
    return status == DV_OK ? start_inflater(zip, reterr) : status;
}

static void zip_finish(struct dv_source *source)
{
    struct zip_source *zip = zip_from_base(source);

    if (zip->has_inflater) {
        (void)inflateEnd(&zip->inflater);
    }
    dv_zip_table_finish(&zip->table);
    dv_zip_window_finish(&zip->window);
}

static uint64_t zip_count(const struct dv_source *source)
{
    return zip_from_const_base(source)->table.count;
}

static void zip_entry(
    const struct dv_source *source, uint64_t index, struct dv_source_entry *ret_entry)
{
    const struct dv_zip_table *table = &zip_from_const_base(source)->table;
    const struct dv_zip_entry *entry = &table->entries[index];

    *ret_entry = (struct dv_source_entry){.name = table->names + entry->name_at,
        .size = entry->size,
        .is_refused = entry->refusal != DV_REFUSAL_NONE};
    if (ret_entry->is_refused) {
        ret_entry->finding = dv_refusal_finding(entry->refusal);
        ret_entry->reason = dv_refusal_text(entry->refusal);
    }
}

static enum dv_status read_stored(struct zip_source *zip, const struct dv_zip_entry *entry,
    unsigned char *data, struct dv_error *reterr)
{
    const unsigned char *part;

    for (uint64_t at = 0; at < entry->size;) {
        uint64_t left = entry->size - at;
        size_t size = left < part_size_max ? (size_t)left : part_size_max;
        enum dv_status status =
            dv_zip_window_get(&zip->window, entry->offset + at, size, &part, reterr);
        if (status != DV_OK) {
            return status;
        }
        memcpy(data + at, part, size);
        at += size;
    }
    return DV_OK;
}

/*
 * Inflate what `stream` has as input. One byte of room more than the declared size is offered at
 * the end: an entry that fills it is longer than it said.
 */
static int inflate_part(z_stream *stream, bool *is_in_spare, unsigned char *spare)
{
    for (;;) {
        if (stream->avail_out == 0) {
            if (*is_in_spare) {
                return Z_OK;
            }
            stream->next_out = spare;
            stream->avail_out = 1;
            *is_in_spare = true;
        }
        int result = inflate(stream, Z_NO_FLUSH);
        if (result != Z_OK || (stream->avail_in == 0 && stream->avail_out > 0)) {
            return result;
        }
    }
}

static enum dv_status read_deflated(struct zip_source *zip, const struct dv_zip_entry *entry,
    unsigned char *data, struct dv_error *reterr)
{
    z_stream *stream = &zip->inflater;
    unsigned char spare;
    bool is_in_spare = entry->size == 0;
    int result = Z_OK;
    uint64_t at = 0;

    (void)inflateReset(stream);
    stream->next_out = is_in_spare ? &spare : data;
    stream->avail_out = is_in_spare ? 1 : (uInt)entry->size; /* at most DV_ZIP_ENTRY_SIZE_MAX */
    while (at < entry->packed_size && (result == Z_OK || result == Z_BUF_ERROR)) {
        uint64_t left = entry->packed_size - at;
        size_t size = left < part_size_max ? (size_t)left : part_size_max;
        const unsigned char *part;
        enum dv_status status =
            dv_zip_window_get(&zip->window, entry->offset + at, size, &part, reterr);
        if (status != DV_OK) {
            return status;
        }
        stream->next_in = (unsigned char *)part;
        stream->avail_in = (uInt)size;
        result = inflate_part(stream, &is_in_spare, &spare);
        if (is_in_spare && stream->avail_out == 0) {
            return dv_fail(reterr, DV_CORRUPT, "inflates to more than its declared %llu bytes",
                (unsigned long long)entry->size);
        }
        at += size;
    }
    if (result == Z_MEM_ERROR) {
        return dv_fail(reterr, DV_NOMEM, "no memory to inflate with");
    }
    if (result != Z_STREAM_END) {
        return dv_fail(reterr, DV_CORRUPT, "its compressed data is damaged");
    }
    if (stream->total_out != entry->size) {
        return dv_fail(reterr, DV_CORRUPT, "inflates to %lu bytes, not the declared %llu",
            stream->total_out, (unsigned long long)entry->size);
    }
    if (at != entry->packed_size || stream->avail_in != 0) {
        return dv_fail(reterr, DV_CORRUPT, "bytes follow its compressed data");
    }
    return DV_OK;
}

static enum dv_status zip_read(
    struct dv_source *source, uint64_t index, void *data, struct dv_error *reterr)
{
    struct zip_source *zip = zip_from_base(source);
    const struct dv_zip_entry *entry = &zip->table.entries[index];

    enum dv_status status = entry->method == DV_ZIP_STORED
                                ? read_stored(zip, entry, data, reterr)
                                : read_deflated(zip, entry, data, reterr);
    if (status != DV_OK) {
        return status;
    }
    uint32_t crc = entry->size > 0 ? dv_crc32(0, data, (size_t)entry->size) : 0;
    if (crc != entry->crc) {
        return dv_fail(reterr, DV_CORRUPT, "its checksum is wrong");
    }
    return DV_OK;
}

const struct dv_source_impl dv_source_zip = {
    .name = "ZIP archive",
    .object_size = sizeof(struct zip_source),
    .accepts = zip_accepts,
    .init = zip_init,
    .finish = zip_finish,
    .count = zip_count,
    .entry = zip_entry,
    .read = zip_read,
};
