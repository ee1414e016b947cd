/* SPDX-License-Identifier: Apache-2.0 */
/* A graph's operations as a table of times knows them: what is trained, and what is fused. */
#include "spec/time_table.h"

#include "base/alloc.h"
#include "spec/fusion.h"

#include <assert.h>

struct timing {
    const struct dv_graph *graph;
    uint32_t *consumers;       /* per node */
    enum dv_activation *fused; /* per node: the activation that it applies itself */
    bool *is_free;             /* per node: nothing is run for it */
    bool *has_gradient;        /* per node: something at or before it is trained */
};

static bool is_one_place(struct dv_shape shape)
{
    return shape.rows == 1 && shape.columns == 1;
}

static void look_at_node(struct timing *timing, uint32_t index)
{
    const struct dv_node *node = &timing->graph->nodes[index];
    uint32_t input = node->inputs[0];
    enum dv_node_op before = timing->graph->nodes[input].op;

    timing->has_gradient[index] = node->tensors[DV_TENSOR_WEIGHT] != DV_NO_TENSOR;
    for (uint32_t k = 0; k < node->input_count; k++) {
        timing->has_gradient[index] |= timing->has_gradient[node->inputs[k]];
    }
    if (node->op == DV_NODE_INPUT) {
        timing->is_free[index] = true;
    } else if (node->op == DV_NODE_FLATTEN) {
        timing->is_free[index] = is_one_place(timing->graph->nodes[input].shape);
    } else if (node->op == DV_NODE_ACTIVATION && before != DV_NODE_ACTIVATION &&
               timing->consumers[input] == 1 && dv_node_can_activate(before, node->act, true)) {
        timing->is_free[index] = true;
        timing->fused[input] = node->act;
    }
}

static double node_seconds(const struct timing *timing, uint32_t index, uint32_t batch_size,
    const struct dv_time_table *table)
{
    const struct dv_node *node = &timing->graph->nodes[index];
    const struct dv_time_op op = {.op = node->op,
        .batch = batch_size,
        .input = timing->graph->nodes[node->inputs[0]].shape,
        .output = node->shape,
        .input_count = node->op == DV_NODE_SCALE ? 1 : node->input_count, /* the gate is small */
        .kernel = node->kernel,
        .stride = node->stride,
        .groups = node->groups,
        .act = node->op == DV_NODE_ACTIVATION ? node->act : timing->fused[index],
        .pooling = node->pooling,
        .is_first = !timing->has_gradient[node->inputs[0]]};

    return timing->is_free[index] ? 0.0 : dv_time_table_predict(table, &op);
}

double dv_graph_step_seconds(
    const struct dv_graph *graph, uint32_t batch_size, const struct dv_time_table *table)
{
    DV_CLEANUP(dv_freep) uint32_t *consumers = dv_alloc(graph->node_count * sizeof(*consumers));
    DV_CLEANUP(dv_freep)
    enum dv_activation *fused = dv_alloc(graph->node_count * sizeof(*fused));
    DV_CLEANUP(dv_freep) bool *is_free = dv_alloc(graph->node_count * sizeof(*is_free));
    DV_CLEANUP(dv_freep) bool *has_gradient = dv_alloc(graph->node_count * sizeof(*has_gradient));
    struct timing timing = {graph, consumers, fused, is_free, has_gradient};
    double seconds = (double)graph->parameter_count * table->parameter_seconds;

    assert(batch_size > 0);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        for (uint32_t k = 0; k < graph->nodes[i].input_count; k++) {
            consumers[graph->nodes[i].inputs[k]]++;
        }
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        look_at_node(&timing, i);
    }
    for (uint32_t i = 0; i < graph->node_count; i++) {
        seconds += node_seconds(&timing, i, batch_size, table);
    }
    return seconds;
}

double dv_graph_epoch_seconds(const struct dv_graph *graph, uint32_t batch_size,
    uint64_t sample_count, const struct dv_time_table *table)
{
    return (double)(sample_count / batch_size) * dv_graph_step_seconds(graph, batch_size, table);
}
