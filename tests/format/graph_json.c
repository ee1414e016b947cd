/* SPDX-License-Identifier: Apache-2.0 */
#include "graph_json.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/graph.h"

#include <assert.h>
#include <string.h>

/* The words of the architecture file, and those of gates. */
static const char *const activations[DV_ACT_COUNT] = {
    "none", "relu", "relu6", "leaky_relu", "silu", "gelu", "hardswish", "sigmoid", "hardsigmoid"};

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
    dv_json_set_string(json, "act", activations[node->act]);
    dv_json_set_number(json, "drop", node->drop);
    dv_json_set_integer(json, "out", node->shape.channels);
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

/* --- Reading --------------------------------------------------------------------------------- */

static uint32_t number(const struct dv_json *json, const char *key, uint32_t usual)
{
    return (uint32_t)dv_json_get_integer(json, key, usual);
}

static uint32_t find_word(const char *const *words, uint32_t count, const char *text)
{
    uint32_t i = 0;

    while (i < count && !dv_text_equal(words[i], text)) {
        i++;
    }
    assert(i < count);
    return i;
}

static enum dv_node_op find_op(const char *text)
{
    const char *names[DV_NODE_OP_COUNT];

    for (int op = 0; op < DV_NODE_OP_COUNT; op++) {
        names[op] = dv_node_op_name((enum dv_node_op)op);
    }
    return (enum dv_node_op)find_word(names, DV_NODE_OP_COUNT, text);
}

static struct dv_shape shape_of(
    const struct dv_graph *graph, const struct dv_node *node, uint32_t out)
{
    struct dv_shape shape = graph->nodes[node->inputs[0]].shape;

    switch (node->op) {
    case DV_NODE_CONV:
    case DV_NODE_POOL:
        shape.rows = (shape.rows + 2 * node->padding - node->kernel) / node->stride + 1;
        shape.columns = (shape.columns + 2 * node->padding - node->kernel) / node->stride + 1;
        shape.channels = node->op == DV_NODE_CONV ? out : shape.channels;
        return shape;
    case DV_NODE_PAD_SHORTCUT:
        return (struct dv_shape){
            out, (shape.rows - 1) / node->stride + 1, (shape.columns - 1) / node->stride + 1};
    case DV_NODE_GLOBAL_POOL:
        return (struct dv_shape){shape.channels, 1, 1};
    case DV_NODE_FLATTEN:
        return (struct dv_shape){shape.channels * shape.rows * shape.columns, 1, 1};
    case DV_NODE_LINEAR:
        return (struct dv_shape){out, 1, 1};
    case DV_NODE_CONCAT:
        for (uint32_t i = 1; i < node->input_count; i++) {
            shape.channels += graph->nodes[node->inputs[i]].shape.channels;
        }
        return shape;
    default:
        return shape;
    }
}

static void add_tensor(struct dv_graph *graph, struct dv_arena *arena, enum dv_tensor_role role,
    uint32_t rank, const uint32_t *shape)
{
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    struct dv_node *node = &graph->nodes[graph->node_count - 1];
    struct dv_graph_tensor *tensor = &graph->tensors[graph->tensor_count];

    *tensor = (struct dv_graph_tensor){
        .name = dv_arena_printf(arena, "%s.%s", node->name, names[role]),
        .node = graph->node_count - 1,
        .role = role,
        .rank = rank,
        .count = 1,
        .is_trained = role <= DV_TENSOR_BIAS,
        .has_decay = role == DV_TENSOR_WEIGHT && rank > 1,
    };
    for (uint32_t i = 0; i < rank; i++) {
        tensor->shape[i] = shape[i];
        tensor->count *= shape[i];
    }
    graph->parameter_count += tensor->is_trained ? tensor->count : 0;
    node->tensors[role] = graph->tensor_count++;
}

static void add_tensors(struct dv_graph *graph, struct dv_arena *arena, bool has_bias)
{
    const struct dv_node *node = &graph->nodes[graph->node_count - 1];
    struct dv_shape in = graph->nodes[node->inputs[0]].shape;
    uint32_t out = node->shape.channels;
    uint32_t conv[] = {out, in.channels / node->groups, node->kernel, node->kernel};
    uint32_t linear[] = {out, in.channels};

    if (node->op == DV_NODE_CONV || node->op == DV_NODE_LINEAR) {
        bool is_conv = node->op == DV_NODE_CONV;
        add_tensor(graph, arena, DV_TENSOR_WEIGHT, is_conv ? 4 : 2, is_conv ? conv : linear);
        graph->macs +=
            graph->tensors[graph->tensor_count - 1].count * node->shape.rows * node->shape.columns;
        if (has_bias) {
            add_tensor(graph, arena, DV_TENSOR_BIAS, 1, &out);
        }
    } else if (node->op == DV_NODE_BATCH_NORM || node->op == DV_NODE_GROUP_NORM) {
        int roles = node->op == DV_NODE_BATCH_NORM ? DV_TENSOR_ROLE_COUNT : DV_TENSOR_BIAS + 1;
        for (int role = 0; role < roles; role++) {
            add_tensor(graph, arena, (enum dv_tensor_role)role, 1, &out);
        }
    }
}

static void add_node(struct dv_graph *graph, struct dv_arena *arena, const struct dv_json *json)
{
    const struct dv_json *inputs = dv_json_get(json, "inputs");
    struct dv_node *node = &graph->nodes[graph->node_count++];

    *node = (struct dv_node){
        .op = find_op(dv_json_get_string(json, "op", "")),
        .name = dv_arena_strdup(arena, dv_json_get_string(json, "name", "")),
        .row = graph->row_count,
        .kernel = number(json, "kernel", 0),
        .stride = number(json, "stride", 1),
        .padding = number(json, "padding", 0),
        .groups = number(json, "groups", 1),
        .pooling = dv_json_get_bool(json, "is_max", false) ? DV_POOLING_MAX : DV_POOLING_AVG,
        .act = (enum dv_activation)find_word(
            activations, DV_ACT_COUNT, dv_json_get_string(json, "act", "none")),
        .drop = dv_json_get_number(json, "drop", 0),
        .input_count = (uint32_t)dv_json_count(inputs),
    };
    assert(node->input_count > 0);
    assert(node->input_count <= DV_ARCH_INPUTS_MAX);
    for (uint32_t i = 0; i < node->input_count; i++) {
        node->inputs[i] = (uint32_t)dv_json_to_integer(dv_json_at(inputs, i), 0);
        assert(node->inputs[i] + 1 < graph->node_count);
    }
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        node->tensors[role] = DV_NO_TENSOR;
    }
    node->shape = shape_of(graph, node, number(json, "out", 0));
    graph->row_nodes[graph->row_count++] = graph->node_count - 1;
    add_tensors(graph, arena, dv_json_get_bool(json, "bias", false));
}

struct dv_graph *graph_json_read(const struct dv_json *json, struct dv_arena *arena)
{
    const struct dv_json *nodes = dv_json_get(json, "nodes");
    const struct dv_json *input = dv_json_get(json, "input");
    struct dv_graph *graph = dv_arena_alloc(arena, sizeof(*graph));
    size_t count = dv_json_count(nodes);

    assert(count > 0);
    graph->nodes = dv_arena_array(arena, count + 1, sizeof(*graph->nodes));
    graph->row_nodes = dv_arena_array(arena, count, sizeof(*graph->row_nodes));
    graph->tensors = dv_arena_array(arena, count * DV_TENSOR_ROLE_COUNT, sizeof(*graph->tensors));
    graph->nodes[graph->node_count++] = (struct dv_node){.op = DV_NODE_INPUT,
        .name = "",
        .row = UINT32_MAX,
        .shape = {(uint32_t)dv_json_to_integer(dv_json_at(input, 0), 0),
            (uint32_t)dv_json_to_integer(dv_json_at(input, 1), 0),
            (uint32_t)dv_json_to_integer(dv_json_at(input, 2), 0)},
        .tensors = {DV_NO_TENSOR, DV_NO_TENSOR, DV_NO_TENSOR, DV_NO_TENSOR}};
    for (size_t i = 0; i < count; i++) {
        add_node(graph, arena, dv_json_at(nodes, i));
    }
    return graph;
}
