/* SPDX-License-Identifier: Apache-2.0 */
/* What a graph costs: parameters, multiply-adds, as numbers and as a table. */
#include "spec/graph.h"

#include "base/json.h"

#include <assert.h>

static const char *const op_names[DV_NODE_OP_COUNT] = {
    [DV_NODE_INPUT] = "input",
    [DV_NODE_CONV] = "conv",
    [DV_NODE_BATCH_NORM] = "batch_norm",
    [DV_NODE_ACTIVATION] = "activation",
    [DV_NODE_POOL] = "pool",
    [DV_NODE_GLOBAL_POOL] = "global_pool",
    [DV_NODE_ADD] = "add",
    [DV_NODE_CONCAT] = "concat",
    [DV_NODE_DROPOUT] = "dropout",
    [DV_NODE_FLATTEN] = "flatten",
    [DV_NODE_LINEAR] = "linear",
    [DV_NODE_GROUP_NORM] = "group_norm",
    [DV_NODE_SCALE] = "scale",
    [DV_NODE_DROP_PATH] = "drop_path",
    [DV_NODE_PAD_SHORTCUT] = "pad_shortcut",
};

const char *dv_node_op_name(enum dv_node_op op)
{
    assert(op < DV_NODE_OP_COUNT);

    return op_names[op];
}

uint64_t dv_graph_flops(const struct dv_graph *graph)
{
    return graph->macs > UINT64_MAX / 2 ? UINT64_MAX : 2 * graph->macs;
}

static uint64_t node_macs(const struct dv_graph *graph, const struct dv_node *node)
{
    if (node->op != DV_NODE_CONV && node->op != DV_NODE_LINEAR) {
        return 0;
    }
    uint64_t weights = graph->tensors[node->tensors[DV_TENSOR_WEIGHT]].count;
    return weights * node->shape.rows * node->shape.columns; /* counted when it was built */
}

void dv_graph_row_cost(
    const struct dv_graph *graph, uint32_t row, uint64_t *ret_parameters, uint64_t *ret_macs)
{
    assert(graph);
    assert(row < graph->row_count);

    *ret_parameters = 0;
    *ret_macs = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct dv_node *node = &graph->nodes[i];
        if (node->row != row) {
            continue;
        }
        *ret_macs += node_macs(graph, node);
        for (int role = 0; role <= DV_TENSOR_BIAS; role++) {
            if (node->tensors[role] != DV_NO_TENSOR) {
                *ret_parameters += graph->tensors[node->tensors[role]].count;
            }
        }
    }
}

struct dv_json *dv_graph_table(const struct dv_graph *graph, const struct dv_arch *arch)
{
    struct dv_json *table = dv_json_array();

    assert(arch->row_count == graph->row_count);

    for (uint32_t r = 0; r < graph->row_count; r++) {
        struct dv_shape shape = graph->nodes[graph->row_nodes[r]].shape;
        struct dv_json *row = dv_json_object();
        struct dv_json *output = dv_json_array();
        uint64_t parameters;
        uint64_t macs;
        dv_graph_row_cost(graph, r, &parameters, &macs);
        dv_json_append(output, dv_json_integer(shape.channels));
        dv_json_append(output, dv_json_integer(shape.rows));
        dv_json_append(output, dv_json_integer(shape.columns));
        dv_json_set_string(row, "name", arch->rows[r].name);
        dv_json_set_string(row, "op", dv_arch_op_name(arch->rows[r].op));
        dv_json_set(row, "output", output);
        dv_json_set_integer(row, "parameters", (int64_t)parameters);
        dv_json_set_integer(row, "macs", (int64_t)macs);
        dv_json_append(table, row);
    }
    return table;
}
