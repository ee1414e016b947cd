/* SPDX-License-Identifier: Apache-2.0 */
#include "format/safetensors.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie");

#define LENGTH_SIZE 8u /* of the header's length, at the start of the file */

struct entry {
    struct dv_safetensor tensor; /* first: what users hold points here */
    uint64_t begin, end;         /* bytes, from the start of the values */
};

struct dv_safetensors {
    int fd; /* borrowed */
    uint64_t values_offset;
    uint64_t values_size;
    struct dv_json *header; /* owns the names */
    const struct dv_json *metadata;
    struct entry *entries;        /* in the order of their bytes */
    const struct entry **by_name; /* in the order of their names */
    size_t count;
};

static const struct {
    const char *name;
    uint32_t size; /* bytes of one value */
} types[] = {
    {"F32", 4},
    {"F16", 2},
    {"BF16", 2},
    {"F64", 8},
    {"I8", 1},
    {"U8", 1},
    {"BOOL", 1},
    {"I16", 2},
    {"U16", 2},
    {"I32", 4},
    {"U32", 4},
    {"I64", 8},
    {"U64", 8},
    {"F8_E4M3", 1},
    {"F8_E5M2", 1},
};

/* Bytes of one value of that type, and its name for good; 0 for a type that is unknown. */
static uint32_t find_type(const char *name, const char **ret_name)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(types); i++) {
        if (name && strcmp(types[i].name, name) == 0) {
            *ret_name = types[i].name;
            return types[i].size;
        }
    }
    return 0;
}

/* An integer that is there and not negative. */
static bool read_unsigned(const struct dv_json *json, uint64_t *ret_value)
{
    int64_t value = dv_json_to_integer(json, -1);

    *ret_value = (uint64_t)value;
    return dv_json_is_integer(json) && value >= 0;
}

/* The shape of one tensor; `ret_size` is what its bytes must come to. */
static enum dv_status parse_shape(const struct dv_json *shape, uint32_t value_size,
    struct dv_safetensor *tensor, uint64_t *ret_size, struct dv_error *reterr)
{
    size_t rank = dv_json_count(shape);
    size_t size = value_size;

    if (!dv_json_is_array(shape)) {
        return dv_fail(reterr, DV_CORRUPT, "it has no shape");
    }
    if (rank > DV_SAFETENSORS_RANK_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "it has %zu dimensions, the limit is %u", rank,
            DV_SAFETENSORS_RANK_MAX);
    }
    for (size_t i = 0; i < rank; i++) {
        if (!read_unsigned(dv_json_at(shape, i), &tensor->shape[i])) {
            return dv_fail(reterr, DV_CORRUPT, "dimension %zu is not a size", i);
        }
        if (!dv_size_mul(size, tensor->shape[i], &size)) {
            return dv_fail(reterr, DV_CORRUPT, "its size does not fit 64 bits");
        }
    }
    tensor->rank = (uint32_t)rank;
    *ret_size = size;
    return DV_OK;
}

static enum dv_status parse_entry(
    const struct dv_json *json, struct entry *entry, struct dv_error *reterr)
{
    const struct dv_json *offsets = dv_json_get(json, "data_offsets");
    const char *type = dv_json_get_string(json, "dtype", NULL);
    uint64_t size = 0;

    if (!dv_json_is_object(json) || dv_json_count(json) != 3) {
        return dv_fail(reterr, DV_CORRUPT, "it is not {dtype, shape, data_offsets}");
    }
    uint32_t value_size = find_type(type, &entry->tensor.type);
    if (value_size == 0) {
        return dv_fail(reterr, DV_CORRUPT, "its type '%.16s' is unknown", type ? type : "");
    }
    enum dv_status status =
        parse_shape(dv_json_get(json, "shape"), value_size, &entry->tensor, &size, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (dv_json_count(offsets) != 2 || !read_unsigned(dv_json_at(offsets, 0), &entry->begin) ||
        !read_unsigned(dv_json_at(offsets, 1), &entry->end)) {
        return dv_fail(reterr, DV_CORRUPT, "its data_offsets are not two positions");
    }
    if (entry->end < entry->begin || entry->end - entry->begin != size) {
        return dv_fail(reterr, DV_CORRUPT, "its bytes do not come to its shape");
    }
    return DV_OK;
}

/* All members of the header into entries, in the order of the file. */
static enum dv_status parse_entries(struct dv_safetensors *file, struct dv_error *reterr)
{
    for (void *i = dv_json_first(file->header); i; i = dv_json_next(file->header, i)) {
        const struct dv_json *value = dv_json_value(i);
        struct entry *entry = &file->entries[file->count];

        if (strcmp(dv_json_key(i), "__metadata__") == 0) {
            if (!dv_json_is_object(value)) {
                return dv_fail(reterr, DV_CORRUPT, "__metadata__ is not an object");
            }
            file->metadata = value;
            continue;
        }
        entry->tensor.name = dv_json_key(i);
        enum dv_status status = parse_entry(value, entry, reterr);
        if (status != DV_OK) {
            dv_error_prefix(reterr, "tensor '%.100s'", entry->tensor.name);
            return status;
        }
        file->count++;
    }
    return DV_OK;
}

static int compare_bytes(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;

    if (left->begin != right->begin) {
        return left->begin < right->begin ? -1 : 1;
    }
    return (left->end > right->end) - (left->end < right->end);
}

static int compare_names(const void *a, const void *b)
{
    const struct entry *const *left = a;
    const struct entry *const *right = b;

    return strcmp((*left)->tensor.name, (*right)->tensor.name);
}

/* Every byte of the values belongs to exactly one tensor: no overlap, no gap, no rest. */
static enum dv_status check_cover(const struct dv_safetensors *file, struct dv_error *reterr)
{
    uint64_t at = 0;

    for (size_t i = 0; i < file->count; i++) {
        const struct entry *entry = &file->entries[i];
        if (entry->begin != at) {
            return dv_fail(reterr, DV_CORRUPT, "tensor '%.100s' %s", entry->tensor.name,
                entry->begin < at ? "overlaps another" : "leaves a gap before it");
        }
        at = entry->end;
    }
    if (at != file->values_size) {
        return dv_fail(reterr, DV_CORRUPT, "the tensors come to %llu bytes, the file has %llu",
            (unsigned long long)at, (unsigned long long)file->values_size);
    }
    return DV_OK;
}

static enum dv_status index_entries(struct dv_safetensors *file, struct dv_error *reterr)
{
    size_t members = dv_json_count(file->header);

    if (members > DV_SAFETENSORS_COUNT_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "the header has %zu tensors, the limit is %u", members,
            DV_SAFETENSORS_COUNT_MAX);
    }
    file->entries = dv_alloc((members + 1) * sizeof(*file->entries));
    file->by_name = dv_alloc((members + 1) * sizeof(*file->by_name));
    enum dv_status status = parse_entries(file, reterr);
    if (status != DV_OK) {
        return status;
    }
    qsort(file->entries, file->count, sizeof(*file->entries), compare_bytes);
    for (size_t i = 0; i < file->count; i++) {
        file->by_name[i] = &file->entries[i];
    }
    qsort(file->by_name, file->count, sizeof(const struct entry *), compare_names);
    return check_cover(file, reterr);
}

static enum dv_status read_header(
    struct dv_safetensors *file, uint64_t offset, uint64_t size, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    uint64_t length;
    void *memory;

    if (size < LENGTH_SIZE + 2) {
        return dv_fail(reterr, DV_CORRUPT, "the file is too short for a header");
    }
    enum dv_status status = dv_file_pread(file->fd, &length, sizeof(length), offset, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (length < 2 || length > size - LENGTH_SIZE) {
        return dv_fail(reterr, DV_CORRUPT, "the header's length does not fit the file");
    }
    if (length > DV_SAFETENSORS_HEADER_SIZE_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "the header has %llu bytes, the limit is %u",
            (unsigned long long)length, DV_SAFETENSORS_HEADER_SIZE_MAX);
    }
    status = dv_try_alloc((size_t)length, 1, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    text = memory;
    status = dv_file_pread(file->fd, text, (size_t)length, offset + LENGTH_SIZE, reterr);
    if (status != DV_OK) {
        return status;
    }
    file->values_offset = offset + LENGTH_SIZE + length;
    file->values_size = size - LENGTH_SIZE - length;
    /* What is not JSON at all is damage here, not bad input. */
    status = dv_json_parse(text, (size_t)length, &file->header, reterr);
    if (status != DV_OK || text[0] != '{') {
        return dv_fail(reterr, DV_CORRUPT, "the header is not a JSON object");
    }
    return DV_OK;
}

enum dv_status dv_safetensors_open(int fd, uint64_t offset, uint64_t size,
    struct dv_safetensors **ret_file, struct dv_error *reterr)
{
    DV_CLEANUP(dv_safetensors_closep) struct dv_safetensors *file = dv_alloc(sizeof(*file));

    assert(fd >= 0);
    assert(ret_file);
    file->fd = fd;
    enum dv_status status = read_header(file, offset, size, reterr);
    if (status == DV_OK) {
        status = index_entries(file, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    *ret_file = file;
    file = NULL;
    return DV_OK;
}

struct dv_safetensors *dv_safetensors_close(struct dv_safetensors *file)
{
    if (file) {
        dv_json_unref(file->header);
        dv_free(file->entries);
        dv_free(file->by_name);
        dv_free(file);
    }
    return NULL;
}

void dv_safetensors_closep(struct dv_safetensors **file)
{
    *file = dv_safetensors_close(*file);
}

size_t dv_safetensors_count(const struct dv_safetensors *file)
{
    return file->count;
}

const struct dv_safetensor *dv_safetensors_at(const struct dv_safetensors *file, size_t index)
{
    assert(index < file->count);
    return &file->entries[index].tensor;
}

const struct dv_safetensor *dv_safetensors_find(const struct dv_safetensors *file, const char *name)
{
    struct entry wanted = {.tensor.name = name};
    const struct entry *key = &wanted;

    const struct entry *const *found =
        bsearch(&key, file->by_name, file->count, sizeof(key), compare_names);
    return found ? &(*found)->tensor : NULL;
}

const struct dv_json *dv_safetensors_metadata(const struct dv_safetensors *file)
{
    return file->metadata;
}

enum dv_status dv_safetensors_read(const struct dv_safetensors *file,
    const struct dv_safetensor *tensor, float *ret_values, struct dv_error *reterr)
{
    const struct entry *entry = (const struct entry *)tensor;

    assert(entry >= file->entries);
    assert(entry < file->entries + file->count);
    if (strcmp(tensor->type, "F32") != 0) {
        return dv_fail(reterr, DV_UNSUPPORTED, "tensor '%.100s' has the type %s, not F32",
            tensor->name, tensor->type);
    }
    return dv_file_pread(file->fd, ret_values, (size_t)(entry->end - entry->begin),
        file->values_offset + entry->begin, reterr);
}
