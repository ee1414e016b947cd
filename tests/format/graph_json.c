/* SPDX-License-Identifier: Apache-2.0 */
#include "graph_json.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "spec/graph.h"

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

enum dv_status graph_json_write(
    const struct dv_graph *graph, const char *path, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = graph_to_json(graph);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);

    return dv_file_write(path, text, strlen(text), reterr);
}
