/* SPDX-License-Identifier: Apache-2.0 */
/*
 * make_model FOLDER ARCH ROWS COLUMNS CHANNELS RESIZE: a model with made-up weights, and beside
 * it FOLDER/graph.json, the primitive graph node by node. For tests/python, which runs that graph
 * and model.py and compares.
 */
#include "toy_model.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "format/archive.h"
#include "spec/arch.h"
#include "spec/graph.h"

#include <stdio.h>
#include <string.h>

static struct dv_json *node_to_json(const struct dv_node *node)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *inputs = dv_json_array();

    for (uint32_t i = 0; i < node->input_count; i++) {
        dv_json_append(inputs, dv_json_integer(node->inputs[i]));
    }
    dv_json_set_string(json, "op", dv_node_op_name(node->op));
    dv_json_set_string(json, "name", node->name);
    dv_json_set(json, "inputs", inputs);
    dv_json_set_integer(json, "kernel", node->kernel);
    dv_json_set_integer(json, "stride", node->stride);
    dv_json_set_integer(json, "padding", node->padding);
    dv_json_set_integer(json, "groups", node->groups);
    dv_json_set_bool(json, "is_max", node->pooling == DV_POOLING_MAX);
    dv_json_set_bool(json, "is_relu", node->act == DV_ACT_RELU);
    return json;
}

static struct dv_json *graph_to_json(const struct dv_graph *graph)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *nodes = dv_json_array();
    struct dv_json *tensors = dv_json_object();

    for (uint32_t i = 0; i < graph->node_count; i++) {
        dv_json_append(nodes, node_to_json(&graph->nodes[i]));
    }
    for (uint32_t i = 0; i < graph->tensor_count; i++) {
        struct dv_json *shape = dv_json_array();
        for (uint32_t d = 0; d < graph->tensors[i].rank; d++) {
            dv_json_append(shape, dv_json_integer(graph->tensors[i].shape[d]));
        }
        dv_json_set(tensors, graph->tensors[i].name, shape);
    }
    dv_json_set(json, "nodes", nodes);
    dv_json_set(json, "tensors", tensors);
    return json;
}

static enum dv_status write_all(
    const struct toy_model *model, const char *folder, struct dv_error *error)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = graph_to_json(model->content.graph);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_model_write(&model->content, folder, error);
    if (status == DV_OK) {
        status = dv_path_format(path, error, "%s/model.zip", folder);
    }
    if (status == DV_OK) {
        status = dv_archive_write(folder, path, error);
    }
    if (status == DV_OK) {
        status = dv_path_format(path, error, "%s/graph.json", folder);
    }
    return status == DV_OK ? dv_file_write(path, text, strlen(text), error) : status;
}

int main(int argc, char **argv)
{
    static const char *const resizes[] = {"stretch", "crop", "pad"};
    struct toy_model_options options = {0};
    struct toy_model model;
    struct dv_error error;
    uint64_t sizes[3] = {0};

    if (argc != 7) {
        (void)fputs("usage: make_model FOLDER ARCH ROWS COLUMNS CHANNELS RESIZE\n", stderr);
        return 2;
    }
    for (int i = 0; i < 3; i++) {
        if (!dv_text_to_uint64(argv[3 + i], &sizes[i])) {
            return 2;
        }
    }
    for (unsigned i = 0; i < DV_ARRAY_SIZE(resizes); i++) {
        if (strcmp(argv[6], resizes[i]) == 0) {
            options.resize = (enum dv_resize)i;
        }
    }
    options.arch = argv[2];
    options.rows = (uint32_t)sizes[0];
    options.columns = (uint32_t)sizes[1];
    options.channels = (uint32_t)sizes[2];
    toy_model_init(&model, &options);
    enum dv_status status = write_all(&model, argv[1], &error);
    if (status != DV_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
    }
    toy_model_finish(&model);
    return status == DV_OK ? 0 : 1;
}
