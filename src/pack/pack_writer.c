/* SPDX-License-Identifier: Apache-2.0 */
#include "pack/pack_writer.h"

#include "base/alloc.h"
#include "base/file.h"
#include "pack/pack_format.h"
#include "spec/limits.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define FILE_SIZE_DEFAULT (1ull << 30)
#define BUFFER_SIZE (256u << 10)

_Static_assert(DV_PACK_AT_FINDING_TOTALS + 8 * DV_FINDING_CODE_COUNT <= DV_PACK_HEADER_SIZE,
    "the finding totals fit into the header");

/* A file that is written through a buffer, with a hash of what went through. */
struct stream {
    int fd;
    bool is_hashed;
    size_t used;
    uint64_t size;
    struct dv_sha256 hash;
    unsigned char buffer[BUFFER_SIZE];
};

struct dv_pack_writer {
    char *folder;
    uint64_t file_size_max;
    uint64_t *file_sizes;
    uint32_t file_count;
    struct stream out; /* the pack file that grows; fd -1 while there is none */
    bool is_finished;
};

static enum dv_status write_out(
    const struct stream *stream, const void *data, size_t size, struct dv_error *reterr)
{
    enum dv_status status = dv_file_write_all(stream->fd, data, size, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "the data set's folder");
    }
    return status;
}

static enum dv_status flush_stream(struct stream *stream, struct dv_error *reterr)
{
    enum dv_status status = write_out(stream, stream->buffer, stream->used, reterr);
    if (status == DV_OK) {
        stream->used = 0;
    }
    return status;
}

static enum dv_status put(
    struct stream *stream, const void *data, size_t size, struct dv_error *reterr)
{
    if (stream->is_hashed) {
        dv_sha256_update(&stream->hash, data, size);
    }
    stream->size += size;
    if (size > BUFFER_SIZE - stream->used) {
        enum dv_status status = flush_stream(stream, reterr);
        if (status != DV_OK) {
            return status;
        }
        if (size > BUFFER_SIZE) {
            return write_out(stream, data, size, reterr);
        }
    }
    if (size > 0) {
        memcpy(stream->buffer + stream->used, data, size);
        stream->used += size;
    }
    return DV_OK;
}

/* --- Pack files -------------------------------------------------------------------------- */

static enum dv_status close_file(struct dv_pack_writer *writer, struct dv_error *reterr)
{
    if (writer->out.fd < 0) {
        return DV_OK;
    }

    enum dv_status status = flush_stream(&writer->out, reterr);
    if (status == DV_OK) {
        status = dv_file_sync(writer->out.fd, reterr);
    }
    writer->file_sizes[writer->file_count - 1] = writer->out.size;
    dv_file_closep(&writer->out.fd);
    return status;
}

static enum dv_status open_file(struct dv_pack_writer *writer, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    enum dv_status status = close_file(writer, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (writer->file_count >= DV_PACK_FILES_MAX) {
        return dv_fail(
            reterr, DV_TOO_LARGE, "a data set has at most %u pack files", DV_PACK_FILES_MAX);
    }
    status = dv_path_format(
        path, reterr, "%s/packs/%03u.pack", writer->folder, (unsigned)writer->file_count);
    if (status != DV_OK) {
        return status;
    }
    status = dv_file_create(path, &writer->out.fd, reterr);
    if (status != DV_OK) {
        return status;
    }
    writer->out.used = 0;
    writer->out.size = 0;
    writer->file_sizes =
        dv_realloc(writer->file_sizes, (writer->file_count + 1) * sizeof(*writer->file_sizes));
    writer->file_sizes[writer->file_count++] = 0;
    return DV_OK;
}

enum dv_status dv_pack_writer_create(const char *folder, uint64_t file_size_max,
    struct dv_pack_writer **ret_writer, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    assert(folder);
    assert(ret_writer);

    enum dv_status status = dv_path_format(path, reterr, "%s/packs", folder);
    if (status != DV_OK) {
        return status;
    }
    status = dv_folder_make(path, reterr);
    if (status != DV_OK) {
        return status;
    }

    struct dv_pack_writer *writer = dv_alloc(sizeof(*writer));
    writer->folder = dv_strdup(folder);
    writer->file_size_max = file_size_max > 0 ? file_size_max : FILE_SIZE_DEFAULT;
    writer->out.fd = -1;
    *ret_writer = writer;
    return DV_OK;
}

struct dv_pack_writer *dv_pack_writer_destroy(struct dv_pack_writer *writer)
{
    if (writer) {
        dv_file_closep(&writer->out.fd);
        dv_free(writer->file_sizes);
        dv_free(writer->folder);
        dv_free(writer);
    }
    return NULL;
}

void dv_pack_writer_destroyp(struct dv_pack_writer **writer)
{
    *writer = dv_pack_writer_destroy(*writer);
}

enum dv_status dv_pack_writer_append(struct dv_pack_writer *writer, const void *data, size_t size,
    const struct dv_pack_bytes previews[DV_PACK_PREVIEW_COUNT], struct dv_pack_place *ret_place,
    struct dv_error *reterr)
{
    struct dv_pack_place place = {0};
    enum dv_status status = DV_OK;
    uint64_t total = size;

    assert(writer);
    assert(!writer->is_finished);
    assert(data);
    assert(ret_place);

    for (int i = 0; i < DV_PACK_PREVIEW_COUNT; i++) {
        assert(previews[i].size <= UINT32_MAX);
        total += previews[i].size;
    }
    if (writer->out.fd < 0 ||
        (writer->out.size > 0 && writer->out.size + total > writer->file_size_max)) {
        status = open_file(writer, reterr);
    }
    place.file = writer->file_count - 1;
    place.offset = writer->out.size;
    if (status == DV_OK) {
        status = put(&writer->out, data, size, reterr);
    }
    for (int i = 0; i < DV_PACK_PREVIEW_COUNT && status == DV_OK; i++) {
        place.preview_sizes[i] = (uint32_t)previews[i].size;
        place.preview_crcs[i] = dv_crc32(0, previews[i].data, previews[i].size);
        status = put(&writer->out, previews[i].data, previews[i].size, reterr);
    }
    if (status == DV_OK) {
        *ret_place = place;
    }
    return status;
}

/* --- The manifest ------------------------------------------------------------------------ */

static enum dv_status put_header(struct stream *out, const struct dv_pack_writer *writer,
    const struct dv_pack_manifest *manifest, uint64_t text_size, struct dv_error *reterr)
{
    unsigned char header[DV_PACK_HEADER_SIZE] = DV_PACK_MAGIC;
    uint64_t split_counts[DV_SPLIT_COUNT] = {0};

    for (uint64_t i = 0; i < manifest->sample_count; i++) {
        split_counts[manifest->samples[i]->sample.split]++;
    }
    dv_pack_put32(header + DV_PACK_AT_VERSION, DV_PACK_VERSION);
    dv_pack_put32(header + DV_PACK_AT_CLASSES, manifest->class_count);
    dv_pack_put64(header + DV_PACK_AT_SAMPLES, manifest->sample_count);
    dv_pack_put64(header + DV_PACK_AT_FINDINGS, manifest->finding_count);
    dv_pack_put64(header + DV_PACK_AT_TEXT_SIZE, text_size);
    dv_pack_put32(header + DV_PACK_AT_FILES, writer->file_count);
    dv_pack_put32(header + DV_PACK_AT_CODES, DV_FINDING_CODE_COUNT);
    for (size_t i = 0; i < DV_SPLIT_COUNT; i++) {
        dv_pack_put64(header + DV_PACK_AT_SPLIT_COUNTS + 8 * i, split_counts[i]);
    }
    for (size_t i = 0; i < DV_FINDING_CODE_COUNT; i++) {
        dv_pack_put64(header + DV_PACK_AT_FINDING_TOTALS + 8 * i, manifest->finding_totals[i]);
    }
    return put(out, header, sizeof(header), reterr);
}

static enum dv_status put_u64(struct stream *out, uint64_t value, struct dv_error *reterr)
{
    unsigned char bytes[8];

    dv_pack_put64(bytes, value);
    return put(out, bytes, sizeof(bytes), reterr);
}

static enum dv_status put_record(struct stream *out, const struct dv_pack_record *record,
    uint64_t name_offset, struct dv_error *reterr)
{
    const struct dv_pack_sample *sample = &record->sample;
    const struct dv_pack_place *place = &record->place;
    unsigned char bytes[DV_PACK_RECORD_SIZE] = {0};

    dv_pack_put64(bytes + DV_PACK_RECORD_NAME, name_offset);
    dv_pack_put64(bytes + DV_PACK_RECORD_OFFSET, place->offset);
    dv_pack_put64(bytes + DV_PACK_RECORD_SIZE_BYTES, sample->size);
    dv_pack_put32(bytes + DV_PACK_RECORD_FILE, place->file);
    dv_pack_put32(bytes + DV_PACK_RECORD_CLASS, sample->class_index);
    dv_pack_put32(bytes + DV_PACK_RECORD_SPLIT, (uint32_t)sample->split);
    dv_pack_put32(bytes + DV_PACK_RECORD_ROWS, sample->rows);
    dv_pack_put32(bytes + DV_PACK_RECORD_COLUMNS, sample->columns);
    dv_pack_put32(bytes + DV_PACK_RECORD_CHANNELS, sample->channels);
    dv_pack_put32(bytes + DV_PACK_RECORD_GROUP, sample->group);
    for (size_t i = 0; i < DV_PACK_PREVIEW_COUNT; i++) {
        dv_pack_put32(bytes + DV_PACK_RECORD_PREVIEW_SIZES + 4 * i, place->preview_sizes[i]);
        dv_pack_put32(bytes + DV_PACK_RECORD_PREVIEW_CRCS + 4 * i, place->preview_crcs[i]);
    }
    memcpy(bytes + DV_PACK_RECORD_HASH, sample->hash, DV_SHA256_SIZE);
    return put(out, bytes, sizeof(bytes), reterr);
}

/*
 * The tables, with offsets into a text block that put_text() writes in the same order. A call
 * without `out` only measures the block.
 */
static enum dv_status put_tables(struct stream *out, const struct dv_pack_writer *writer,
    const struct dv_pack_manifest *manifest, uint64_t *ret_text_size, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;
    uint64_t text = 0;

    for (uint32_t i = 0; out && i < writer->file_count && status == DV_OK; i++) {
        status = put_u64(out, writer->file_sizes[i], reterr);
    }
    for (uint32_t i = 0; i < manifest->class_count && status == DV_OK; i++) {
        status = out ? put_u64(out, text, reterr) : DV_OK;
        text += strlen(manifest->classes[i]) + 1;
    }
    for (uint64_t i = 0; i < manifest->sample_count && status == DV_OK; i++) {
        status = out ? put_record(out, manifest->samples[i], text, reterr) : DV_OK;
        text += strlen(manifest->samples[i]->sample.name) + 1;
    }
    for (uint64_t i = 0; i < manifest->finding_count && status == DV_OK; i++) {
        const struct dv_pack_finding *finding = &manifest->findings[i];
        unsigned char bytes[DV_PACK_FINDING_SIZE] = {0};
        dv_pack_put64(bytes + DV_PACK_FINDING_PATH, text);
        text += strlen(finding->path) + 1;
        dv_pack_put64(bytes + DV_PACK_FINDING_MESSAGE, text);
        text += strlen(finding->message) + 1;
        dv_pack_put32(bytes + DV_PACK_FINDING_CODE, (uint32_t)finding->code);
        status = out ? put(out, bytes, sizeof(bytes), reterr) : DV_OK;
    }
    if (status == DV_OK) {
        *ret_text_size = text;
    }
    return status;
}

static enum dv_status put_string(struct stream *out, const char *text, struct dv_error *reterr)
{
    return put(out, text, strlen(text) + 1, reterr);
}

static enum dv_status put_text(
    struct stream *out, const struct dv_pack_manifest *manifest, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    for (uint32_t i = 0; i < manifest->class_count && status == DV_OK; i++) {
        status = put_string(out, manifest->classes[i], reterr);
    }
    for (uint64_t i = 0; i < manifest->sample_count && status == DV_OK; i++) {
        status = put_string(out, manifest->samples[i]->sample.name, reterr);
    }
    for (uint64_t i = 0; i < manifest->finding_count && status == DV_OK; i++) {
        status = put_string(out, manifest->findings[i].path, reterr);
        if (status == DV_OK) {
            status = put_string(out, manifest->findings[i].message, reterr);
        }
    }
    return status;
}

static enum dv_status put_manifest(struct stream *out, const struct dv_pack_writer *writer,
    const struct dv_pack_manifest *manifest, struct dv_error *reterr)
{
    unsigned char digest[DV_SHA256_SIZE];
    uint64_t text_size;

    enum dv_status status = put_tables(NULL, writer, manifest, &text_size, reterr);
    if (status == DV_OK) {
        status = put_header(out, writer, manifest, text_size, reterr);
    }
    if (status == DV_OK) {
        status = put_tables(out, writer, manifest, &text_size, reterr);
    }
    if (status == DV_OK) {
        status = put_text(out, manifest, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    out->is_hashed = false;
    dv_sha256_finish(&out->hash, digest);
    status = put(out, digest, sizeof(digest), reterr);
    if (status == DV_OK) {
        status = flush_stream(out, reterr);
    }
    return status == DV_OK ? dv_file_sync(out->fd, reterr) : status;
}

static enum dv_status write_manifest(
    struct dv_pack_writer *writer, const struct dv_pack_manifest *manifest, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];
    char path_new[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/manifest.bin", writer->folder);
    if (status == DV_OK) {
        status = dv_path_format(path_new, reterr, "%s/manifest.bin.new", writer->folder);
    }
    if (status == DV_OK) {
        status = dv_file_create(path_new, &writer->out.fd, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    writer->out.used = 0;
    writer->out.is_hashed = true;
    dv_sha256_init(&writer->out.hash);
    status = put_manifest(&writer->out, writer, manifest, reterr);
    dv_file_closep(&writer->out.fd);
    return status == DV_OK ? dv_file_rename(path_new, path, reterr) : status;
}

enum dv_status dv_pack_writer_finish(
    struct dv_pack_writer *writer, const struct dv_pack_manifest *manifest, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    assert(writer);
    assert(!writer->is_finished);
    assert(manifest);
    assert(manifest->finding_count <= DV_FINDINGS_MAX);
    assert(manifest->sample_count <= DV_PACK_SAMPLES_MAX);

    writer->is_finished = true;
    enum dv_status status = close_file(writer, reterr);
    if (status == DV_OK) {
        status = dv_path_format(path, reterr, "%s/packs", writer->folder);
    }
    if (status == DV_OK) {
        status = dv_folder_sync(path, reterr);
    }
    return status == DV_OK ? write_manifest(writer, manifest, reterr) : status;
}
