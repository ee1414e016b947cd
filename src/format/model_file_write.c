/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model_file.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "format/python_source.h"
#include "format/python_train.h"
#include "format/safetensors.h"
#include "spec/arch.h"
#include "spec/graph.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Above what 10,000 classes with the longest names and 10,000 nodes come to. */
#define TEXT_SIZE_MAX (64u << 20)

static enum dv_status write_file(
    const char *folder, const char *name, const void *data, size_t size, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder, name);
    return status == DV_OK ? dv_file_write(path, data, size, reterr) : status;
}

static enum dv_status write_text(
    const char *folder, const char *name, const struct dv_buffer *buffer, struct dv_error *reterr)
{
    if (buffer->is_over) {
        return dv_fail(
            reterr, DV_TOO_LARGE, "%s would have more than %zu bytes", name, buffer->size_max);
    }
    return write_file(folder, name, dv_buffer_text(buffer), buffer->size, reterr);
}

static enum dv_status write_json(
    const char *folder, const char *name, const struct dv_json *json, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(json);

    return write_file(folder, name, text, strlen(text), reterr);
}

/* The tensors of the graph with their places in the concatenated values. */
static struct dv_safetensor *list_tensors(const struct dv_model_content *content)
{
    const struct dv_graph *graph = content->graph;
    struct dv_safetensor *tensors = dv_alloc((graph->tensor_count + 1u) * sizeof(*tensors));
    const float *values = content->values;

    for (uint32_t i = 0; i < graph->tensor_count; i++) {
        const struct dv_graph_tensor *tensor = &graph->tensors[i];
        tensors[i] =
            (struct dv_safetensor){.name = tensor->name, .rank = tensor->rank, .values = values};
        for (uint32_t d = 0; d < tensor->rank; d++) {
            tensors[i].shape[d] = tensor->shape[d];
        }
        values += tensor->count;
    }
    return tensors;
}

static enum dv_status write_weights(const struct dv_model_content *content, const char *folder,
    char ret_hash[static DV_SHA256_TEXT_SIZE], struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) struct dv_safetensor *tensors = list_tensors(content);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *metadata = dv_json_object();
    char path[DV_PATH_SIZE];

    dv_json_set_string(metadata, "format", "pt"); /* what readers of PyTorch's side expect */
    enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder, DV_MODEL_WEIGHTS);
    if (status != DV_OK) {
        return status;
    }
    return dv_safetensors_write(
        path, tensors, content->graph->tensor_count, metadata, ret_hash, reterr);
}

static struct dv_json *copy_or_null(const struct dv_json *json)
{
    return json ? dv_json_copy(json) : dv_json_null();
}

/* model.json. Classes stand in the preprocessing; the copy beside it is for people and scripts. */
static struct dv_json *describe(const struct dv_model_content *content, const char *hash)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *weights = dv_json_object();
    struct dv_json *preprocessing = dv_preprocessing_to_json(content->preprocessing);
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    dv_json_set_string(json, "format", "deepvariance-model");
    dv_json_set_integer(json, "format_version", DV_MODEL_FORMAT_VERSION);
    dv_json_set_string(json, "name", content->name);
    dv_json_set_string(json, "created_at", now);
    dv_json_set_string(json, "program", "dv " DV_VERSION);
    dv_json_set_string(json, "strategy", content->strategy);
    dv_json_set_integer(json, "parameters", (int64_t)content->graph->parameter_count);
    dv_json_set_integer(json, "flops", (int64_t)dv_graph_flops(content->graph));
    dv_json_set_string(weights, "file", DV_MODEL_WEIGHTS);
    dv_json_set_string(weights, "sha256", hash);
    dv_json_set(json, "weights", weights);
    dv_json_set(json, "classes", copy_or_null(dv_json_get(preprocessing, "classes")));
    dv_json_set(json, "preprocessing", preprocessing);
    dv_json_set(json, "architecture", dv_arch_to_json(content->arch));
    dv_json_set(json, "hyperparameters", copy_or_null(content->hyperparameters));
    dv_json_set(json, "dataset", copy_or_null(content->dataset));
    return json;
}

static enum dv_status write_history(
    const struct dv_model_content *content, const char *folder, struct dv_error *reterr)
{
    struct dv_buffer lines = DV_BUFFER_INIT(TEXT_SIZE_MAX);

    for (size_t i = 0; i < dv_json_count(content->history); i++) {
        char *line = dv_json_print(dv_json_at(content->history, i));
        dv_buffer_printf(&lines, "%s\n", line);
        dv_free(line);
    }
    enum dv_status status = write_text(folder, DV_MODEL_HISTORY, &lines, reterr);
    dv_buffer_finish(&lines);
    return status;
}

static enum dv_status write_python(
    const struct dv_model_content *content, const char *folder, struct dv_error *reterr)
{
    struct dv_buffer text = DV_BUFFER_INIT(TEXT_SIZE_MAX);
    struct dv_python_source source = {
        content->name, content->arch, content->graph, content->preprocessing};

    enum dv_status status = dv_python_source_write(&source, &text, reterr);
    if (status == DV_OK) {
        status = write_text(folder, DV_MODEL_PYTHON, &text, reterr);
    }
    dv_buffer_finish(&text);
    return status;
}

/* An imported model was trained nobody knows how. */
static enum dv_status write_training(
    const struct dv_model_content *content, const char *folder, struct dv_error *reterr)
{
    struct dv_buffer text = DV_BUFFER_INIT(TEXT_SIZE_MAX);

    if (!dv_json_is_object(content->hyperparameters)) {
        return DV_OK;
    }
    dv_python_train_write(content->hyperparameters, &text);
    enum dv_status status = write_text(folder, DV_MODEL_TRAINING, &text, reterr);
    dv_buffer_finish(&text);
    return status;
}

static enum dv_status write_card(
    const struct dv_model_content *content, const char *folder, struct dv_error *reterr)
{
    struct dv_buffer text = DV_BUFFER_INIT(TEXT_SIZE_MAX);

    dv_model_card(content, &text);
    enum dv_status status = write_text(folder, DV_MODEL_CARD, &text, reterr);
    dv_buffer_finish(&text);
    return status;
}

static enum dv_status write_files(
    const struct dv_model_content *content, const char *folder, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *description = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *metrics = copy_or_null(content->metrics);
    char hash[DV_SHA256_TEXT_SIZE];

    enum dv_status status = dv_folder_make(folder, reterr);
    if (status == DV_OK) {
        status = write_weights(content, folder, hash, reterr);
    }
    if (status == DV_OK) {
        description = describe(content, hash);
        status = write_json(folder, DV_MODEL_DESCRIPTION, description, reterr);
    }
    if (status == DV_OK) {
        status = write_python(content, folder, reterr);
    }
    if (status == DV_OK) {
        status = write_training(content, folder, reterr);
    }
    if (status == DV_OK) {
        status = write_json(folder, DV_MODEL_METRICS, metrics, reterr);
    }
    if (status == DV_OK) {
        status = write_history(content, folder, reterr);
    }
    if (status == DV_OK) {
        status = write_card(content, folder, reterr);
    }
    return status;
}

/* Put the staging folder in its place: by a rename, or an exchange with the one that is there. */
static enum dv_status publish(const char *staging, const char *folder, struct dv_error *reterr)
{
    if (!dv_path_exists(folder)) {
        return dv_file_rename(staging, folder, reterr);
    }
    if (renameat2(AT_FDCWD, staging, AT_FDCWD, folder, RENAME_EXCHANGE) != 0) {
        return dv_fail_errno(reterr, errno, "cannot replace %s", folder);
    }
    return dv_folder_remove(staging, reterr);
}

enum dv_status dv_model_write(
    const struct dv_model_content *content, const char *folder, struct dv_error *reterr)
{
    char staging[DV_PATH_SIZE];

    assert(content);
    assert(content->name);
    assert(content->values);
    enum dv_status status = dv_path_format(staging, reterr, "%s.staging", folder);
    if (status == DV_OK) {
        status = dv_folder_remove(staging, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    status = write_files(content, staging, reterr);
    if (status == DV_OK) {
        status = publish(staging, folder, reterr);
    }
    if (status != DV_OK) {
        enum dv_status left = dv_folder_remove(staging, NULL); /* the first failure is told */
        (void)left;
    }
    return status;
}
