/* SPDX-License-Identifier: Apache-2.0 */
#include "format/safetensors.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are written as they lie");

/* The values start at a multiple of this, so that a reader may map the file and use it in place. */
#define ALIGNMENT 64u

/* A file being written: everything that goes out is hashed on the way. */
struct output {
    int fd;
    struct dv_sha256 hash;
};

static enum dv_status output_write(
    struct output *output, const void *data, size_t size, struct dv_error *reterr)
{
    dv_sha256_update(&output->hash, data, size);
    return dv_file_write_all(output->fd, data, size, reterr);
}

uint64_t dv_safetensor_value_count(const struct dv_safetensor *tensor)
{
    uint64_t count = 1;

    for (uint32_t i = 0; i < tensor->rank; i++) {
        count *= tensor->shape[i];
    }
    return count;
}

/* {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]} */
static struct dv_json *describe(const struct dv_safetensor *tensor, uint64_t begin, uint64_t end)
{
    struct dv_json *entry = dv_json_object();
    struct dv_json *shape = dv_json_array();
    struct dv_json *offsets = dv_json_array();

    for (uint32_t i = 0; i < tensor->rank; i++) {
        dv_json_append(shape, dv_json_integer((int64_t)tensor->shape[i]));
    }
    dv_json_append(offsets, dv_json_integer((int64_t)begin));
    dv_json_append(offsets, dv_json_integer((int64_t)end));
    dv_json_set_string(entry, "dtype", "F32");
    dv_json_set(entry, "shape", shape);
    dv_json_set(entry, "data_offsets", offsets);
    return entry;
}

static enum dv_status make_header(const struct dv_safetensor *tensors, size_t count,
    const struct dv_json *metadata, char **ret_text, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *header = dv_json_object();
    uint64_t offset = 0;

    if (metadata) {
        dv_json_set(header, "__metadata__", dv_json_copy(metadata));
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = tensors[i].name;
        uint64_t end = offset + dv_safetensor_value_count(&tensors[i]) * sizeof(float);

        assert(tensors[i].rank <= DV_SAFETENSORS_RANK_MAX);
        if (!dv_text_is_utf8(name, strlen(name)) || dv_json_get(header, name)) {
            return dv_fail(
                reterr, DV_INVALID, "tensor %zu: its name is not UTF-8 or occurs twice", i);
        }
        dv_json_set(header, name, describe(&tensors[i], offset, end));
        offset = end;
    }
    *ret_text = dv_json_print(header);
    return DV_OK;
}

/* The length, the header, and the blanks that bring the values to their alignment. */
static enum dv_status write_header(struct output *output, const char *text, struct dv_error *reterr)
{
    char blanks[ALIGNMENT];
    size_t length = strlen(text);
    size_t blank_count = (ALIGNMENT - (sizeof(uint64_t) + length) % ALIGNMENT) % ALIGNMENT;
    uint64_t size = length + blank_count;

    if (size > DV_SAFETENSORS_HEADER_SIZE_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE,
            "the header of the weights would have %llu bytes, the limit is %u",
            (unsigned long long)size, DV_SAFETENSORS_HEADER_SIZE_MAX);
    }
    memset(blanks, ' ', sizeof(blanks));
    enum dv_status status = output_write(output, &size, sizeof(size), reterr);
    if (status == DV_OK) {
        status = output_write(output, text, length, reterr);
    }
    if (status == DV_OK) {
        status = output_write(output, blanks, blank_count, reterr);
    }
    return status;
}

static enum dv_status write_contents(const char *path, const char *header,
    const struct dv_safetensor *tensors, size_t count, char *ret_hash, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    unsigned char digest[DV_SHA256_SIZE];
    struct output output;

    enum dv_status status = dv_file_create(path, &fd, reterr);
    if (status != DV_OK) {
        return status;
    }
    output.fd = fd;
    dv_sha256_init(&output.hash);
    status = write_header(&output, header, reterr);
    for (size_t i = 0; i < count && status == DV_OK; i++) {
        size_t size = (size_t)dv_safetensor_value_count(&tensors[i]) * sizeof(float);
        status = output_write(&output, tensors[i].values, size, reterr);
    }
    if (status == DV_OK) {
        status = dv_file_sync(fd, reterr);
    }
    if (status == DV_OK && ret_hash) {
        dv_sha256_finish(&output.hash, digest);
        dv_text_hex(digest, sizeof(digest), ret_hash);
    }
    return status;
}

enum dv_status dv_safetensors_write(const char *path, const struct dv_safetensor *tensors,
    size_t count, const struct dv_json *metadata, char *ret_hash, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *header = NULL;
    char temporary[DV_PATH_SIZE];
    char hash[DV_SHA256_TEXT_SIZE];

    assert(path);
    assert(tensors || count == 0);
    assert(count <= DV_SAFETENSORS_COUNT_MAX);
    enum dv_status status = make_header(tensors, count, metadata, &header, reterr);
    if (status == DV_OK) {
        status = dv_path_format(temporary, reterr, "%s.tmp", path);
    }
    if (status != DV_OK) {
        return status;
    }
    status = write_contents(temporary, header, tensors, count, hash, reterr);
    if (status == DV_OK) {
        status = dv_file_rename(temporary, path, reterr);
    }
    if (status != DV_OK) {
        (void)unlink(temporary);
        dv_error_prefix(reterr, "%s", path);
        return status;
    }
    if (ret_hash) {
        memcpy(ret_hash, hash, sizeof(hash));
    }
    return DV_OK;
}
