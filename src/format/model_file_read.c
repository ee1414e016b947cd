/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model_file.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "format/archive.h"
#include "format/safetensors.h"
#include "spec/arch.h"
#include "spec/graph.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <string.h>

#define DESCRIPTION_SIZE_MAX (16u << 20)
#define HASH_BLOCK_SIZE (1u << 20)

/* One file of a model: a file of the folder, or a part of the archive. */
struct part {
    int fd;
    struct dv_archive_part place;
    bool has_crc;
};

static void part_close(struct part *part)
{
    dv_file_closep(&part->fd);
}

static enum dv_status part_open(
    const char *path, const char *name, struct part *part, struct dv_error *reterr)
{
    char file[DV_PATH_SIZE];
    bool is_folder = dv_path_is_folder(path);

    enum dv_status status = is_folder ? dv_path_format(file, reterr, "%s/%s", path, name)
                                      : dv_path_format(file, reterr, "%s", path);
    if (status == DV_OK) {
        status = dv_file_open_read(file, &part->fd, reterr);
    }
    if (status == DV_NOT_FOUND && is_folder) {
        return dv_fail(reterr, DV_CORRUPT, "%s is no model: %s is missing", path, name);
    }
    if (status != DV_OK) {
        return status;
    }
    part->has_crc = !is_folder;
    status = is_folder ? dv_file_size(part->fd, &part->place.size, reterr)
                       : dv_archive_find(part->fd, name, &part->place, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "%s", file);
    }
    return status == DV_NOT_FOUND ? DV_CORRUPT : status;
}

/* The whole part as JSON. */
static enum dv_status read_json(
    const char *path, const char *name, struct dv_json **ret_json, struct dv_error *reterr)
{
    DV_CLEANUP(part_close) struct part part = {.fd = -1};
    DV_CLEANUP(dv_freep) char *text = NULL;
    void *memory;

    enum dv_status status = part_open(path, name, &part, reterr);
    if (status != DV_OK) {
        return status;
    }
    size_t size = (size_t)part.place.size;
    if (size > DESCRIPTION_SIZE_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "%s has %zu bytes, the limit is %u", name, size,
            DESCRIPTION_SIZE_MAX);
    }
    status = dv_try_alloc(size + 1, 1, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    text = memory;
    status = dv_file_pread(part.fd, text, size, part.place.offset, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (part.has_crc && dv_crc32(0, text, size) != part.place.crc32) {
        return dv_fail(
            reterr, DV_CORRUPT, "%s in %s is damaged: its check sum differs", name, path);
    }
    if (dv_json_parse(text, size, ret_json, reterr) != DV_OK) {
        dv_error_prefix(reterr, "%s in %s is damaged", name, path);
        return DV_CORRUPT;
    }
    return DV_OK;
}

/* --- model.json ----------------------------------------------------------------------------- */

static enum dv_status check_version(const struct dv_json *json, struct dv_error *reterr)
{
    int64_t version = dv_json_get_integer(json, "format_version", 0);

    if (!dv_text_equal(dv_json_get_string(json, "format", NULL), "deepvariance-model") ||
        version < 1) {
        return dv_fail(reterr, DV_CORRUPT, "%s does not describe a model", DV_MODEL_DESCRIPTION);
    }
    if (version > DV_MODEL_FORMAT_VERSION) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "the model has format version %lld, this program reads up to %d", (long long)version,
            DV_MODEL_FORMAT_VERSION);
    }
    return DV_OK;
}

static enum dv_status read_description(const struct dv_json *json, struct dv_arena *arena,
    struct dv_model *model, struct dv_error *reterr)
{
    struct dv_problems problems;
    struct dv_shape input;

    enum dv_status status = check_version(json, reterr);
    if (status != DV_OK) {
        return status;
    }
    dv_problems_init(&problems, arena, DV_ARCH_PROBLEMS_MAX);
    status = dv_preprocessing_parse(
        dv_json_get(json, "preprocessing"), arena, &problems, &model->preprocessing, reterr);
    if (status == DV_OK) {
        status = dv_arch_parse(
            dv_json_get(json, "architecture"), arena, &problems, &model->arch, reterr);
    }
    if (status == DV_OK) {
        input = (struct dv_shape){
            model->preprocessing.channels, model->preprocessing.rows, model->preprocessing.columns};
        status = dv_graph_build(model->arch, input, model->preprocessing.class_count, arena,
            &problems, &model->graph, reterr);
    }
    if (status == DV_INVALID) {
        dv_error_prefix(reterr, "%s is damaged", DV_MODEL_DESCRIPTION);
        return DV_CORRUPT;
    }
    model->name = dv_arena_strdup(arena, dv_json_get_string(json, "name", ""));
    model->created_at = dv_arena_strdup(arena, dv_json_get_string(json, "created_at", ""));
    return status;
}

/* --- The weights ---------------------------------------------------------------------------- */

static enum dv_status check_hash(
    const struct part *part, const char *expected, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *block = dv_alloc(HASH_BLOCK_SIZE);
    unsigned char digest[DV_SHA256_SIZE];
    char text[DV_SHA256_TEXT_SIZE];
    struct dv_sha256 hash;

    dv_sha256_init(&hash);
    for (uint64_t at = 0; at < part->place.size;) {
        uint64_t rest = part->place.size - at;
        size_t size = rest < HASH_BLOCK_SIZE ? (size_t)rest : HASH_BLOCK_SIZE;
        enum dv_status status =
            dv_file_pread(part->fd, block, size, part->place.offset + at, reterr);
        if (status != DV_OK) {
            return status;
        }
        dv_sha256_update(&hash, block, size);
        at += size;
    }
    dv_sha256_finish(&hash, digest);
    dv_text_hex(digest, sizeof(digest), text);
    if (!dv_text_equal(text, expected)) {
        return dv_fail(reterr, DV_CORRUPT, "the weights are damaged: their SHA-256 is not %.64s",
            expected ? expected : "stored");
    }
    return DV_OK;
}

static enum dv_status read_tensor(const struct dv_safetensors *file,
    const struct dv_graph_tensor *wanted, float *ret_values, struct dv_error *reterr)
{
    const struct dv_safetensor *tensor = dv_safetensors_find(file, wanted->name);

    if (!tensor) {
        return dv_fail(reterr, DV_CORRUPT, "the weights lack the tensor '%s'", wanted->name);
    }
    bool is_same = tensor->rank == wanted->rank;
    for (uint32_t d = 0; is_same && d < wanted->rank; d++) {
        is_same = tensor->shape[d] == wanted->shape[d];
    }
    if (!is_same) {
        return dv_fail(reterr, DV_CORRUPT, "the tensor '%s' does not have its shape", wanted->name);
    }
    return dv_safetensors_read(file, tensor, ret_values, reterr);
}

/* Room is made only for what the file, by its size, can hold. */
static enum dv_status read_values(const struct dv_safetensors *file, uint64_t file_size,
    struct dv_arena *arena, struct dv_model *model, struct dv_error *reterr)
{
    const struct dv_graph *graph = model->graph;
    uint64_t count = 0;

    for (uint32_t i = 0; i < graph->tensor_count; i++) {
        uint64_t more = graph->tensors[i].count;
        if (more > file_size / sizeof(float) || count + more > file_size / sizeof(float)) {
            return dv_fail(reterr, DV_CORRUPT, "the weights are fewer than the architecture has");
        }
        count += more;
    }
    if (dv_safetensors_count(file) != graph->tensor_count) {
        return dv_fail(reterr, DV_CORRUPT, "the weights have %zu tensors, the architecture %u",
            dv_safetensors_count(file), graph->tensor_count);
    }
    float *values = dv_arena_array(arena, (size_t)count + 1, sizeof(*values));
    float *at = values;
    for (uint32_t i = 0; i < graph->tensor_count; i++) {
        enum dv_status status = read_tensor(file, &graph->tensors[i], at, reterr);
        if (status != DV_OK) {
            return status;
        }
        at += graph->tensors[i].count;
    }
    model->values = values;
    model->value_count = (size_t)count;
    return DV_OK;
}

static enum dv_status read_weights(const char *path, const struct dv_json *description,
    struct dv_arena *arena, struct dv_model *model, struct dv_error *reterr)
{
    DV_CLEANUP(part_close) struct part part = {.fd = -1};
    DV_CLEANUP(dv_safetensors_closep) struct dv_safetensors *file = NULL;
    const char *hash = dv_json_get_string(dv_json_get(description, "weights"), "sha256", NULL);

    enum dv_status status = part_open(path, DV_MODEL_WEIGHTS, &part, reterr);
    if (status == DV_OK) {
        status = check_hash(&part, hash, reterr);
    }
    if (status == DV_OK) {
        status = dv_safetensors_open(part.fd, part.place.offset, part.place.size, &file, reterr);
    }
    if (status == DV_OK) {
        status = read_values(file, part.place.size, arena, model, reterr);
    }
    return status;
}

enum dv_status dv_model_read(
    const char *path, struct dv_arena *arena, struct dv_model **ret_model, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *description = NULL;
    struct dv_model *model = dv_arena_alloc(arena, sizeof(*model));

    assert(path);
    assert(ret_model);
    if (!dv_path_exists(path)) {
        return dv_fail(reterr, DV_NOT_FOUND, "there is no model at %s", path);
    }
    enum dv_status status = read_json(path, DV_MODEL_DESCRIPTION, &description, reterr);
    if (status == DV_OK) {
        status = read_description(description, arena, model, reterr);
    }
    if (status == DV_OK) {
        status = read_weights(path, description, arena, model, reterr);
    }
    if (status == DV_OK) {
        *ret_model = model;
    }
    return status;
}
