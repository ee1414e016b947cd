/* SPDX-License-Identifier: Apache-2.0 */
/* In reading order: graph_oracle_check() at the end, then nodes, tensors, costs. */
#include "graph_oracle.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/limits.h"

#include <assert.h>

static uint64_t multiply(uint64_t a, uint64_t b)
{
    uint64_t product;
    bool is_over = __builtin_mul_overflow(a, b, &product);

    assert(!is_over);
    assert(product <= INT64_MAX);
    return product;
}

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    bool is_over = __builtin_add_overflow(a, b, &sum);

    assert(!is_over);
    assert(sum <= INT64_MAX);
    return sum;
}

/* --- Nodes ------------------------------------------------------------------------------ */

static void check_shape(struct dv_shape shape)
{
    assert(shape.channels > 0);
    assert(shape.rows > 0);
    assert(shape.columns > 0);
    assert(shape.channels <= INT32_MAX);
    (void)multiply(multiply(multiply(shape.rows, shape.columns), shape.channels), sizeof(float));
}

static bool is_shape(struct dv_shape a, struct dv_shape b)
{
    return a.channels == b.channels && a.rows == b.rows && a.columns == b.columns;
}

/* Rows or columns that a window leaves. */
static uint32_t slide(const struct dv_node *node, uint32_t side)
{
    uint64_t padded = (uint64_t)side + 2ull * node->padding;

    assert(node->kernel >= 1);
    assert(node->kernel <= 11);
    assert(node->stride >= 1);
    assert(padded >= node->kernel);
    return (uint32_t)((padded - node->kernel) / node->stride + 1);
}

static uint32_t input_count_max(enum dv_node_op op)
{
    return op == DV_NODE_INPUT                         ? 0
           : op == DV_NODE_ADD || op == DV_NODE_CONCAT ? DV_ARCH_INPUTS_MAX
           : op == DV_NODE_SCALE                       ? 2
                                                       : 1;
}

static struct dv_shape join(const struct dv_graph *graph, const struct dv_node *node)
{
    struct dv_shape sum = graph->nodes[node->inputs[0]].shape;

    for (uint32_t k = 1; k < node->input_count; k++) {
        struct dv_shape other = graph->nodes[node->inputs[k]].shape;
        assert(other.rows == sum.rows);
        assert(other.columns == sum.columns);
        assert(node->op == DV_NODE_CONCAT || other.channels == sum.channels);
        sum.channels += node->op == DV_NODE_CONCAT ? other.channels : 0;
    }
    return sum;
}

/* The shape that a node must have, and what else its op asks for. */
static struct dv_shape work_out(const struct dv_graph *graph, const struct dv_node *node)
{
    struct dv_shape in = graph->nodes[node->inputs[0]].shape;
    struct dv_shape own = node->shape;

    switch (node->op) {
    case DV_NODE_CONV:
        assert(node->groups > 0);
        assert(in.channels % node->groups == 0);
        assert(own.channels % node->groups == 0);
        assert(node->padding <= 11);
        return (struct dv_shape){own.channels, slide(node, in.rows), slide(node, in.columns)};
    case DV_NODE_POOL:
        assert(node->pooling != DV_POOLING_NONE);
        assert(2 * node->padding <= node->kernel);
        return (struct dv_shape){in.channels, slide(node, in.rows), slide(node, in.columns)};
    case DV_NODE_GLOBAL_POOL:
        assert(node->pooling != DV_POOLING_NONE);
        return (struct dv_shape){in.channels, 1, 1};
    case DV_NODE_ADD:
    case DV_NODE_CONCAT:
        assert(node->input_count >= 2);
        return join(graph, node);
    case DV_NODE_FLATTEN:
        return (struct dv_shape){
            (uint32_t)multiply(multiply(in.rows, in.columns), in.channels), 1, 1};
    case DV_NODE_LINEAR:
        assert(in.rows == 1);
        assert(in.columns == 1);
        return (struct dv_shape){own.channels, 1, 1};
    case DV_NODE_SCALE:
        assert(node->input_count == 2);
        assert(is_shape(graph->nodes[node->inputs[1]].shape, (struct dv_shape){in.channels, 1, 1}));
        return in;
    case DV_NODE_PAD_SHORTCUT:
        assert(node->stride >= 1);
        assert(own.channels >= in.channels);
        return (struct dv_shape){own.channels, (in.rows + node->stride - 1) / node->stride,
            (in.columns + node->stride - 1) / node->stride};
    case DV_NODE_DROPOUT:
    case DV_NODE_DROP_PATH:
        assert(node->drop > 0.0);
        assert(node->drop <= 0.9);
        return in;
    case DV_NODE_GROUP_NORM:
        assert(node->groups >= 1);
        assert(in.channels % node->groups == 0);
        return in;
    case DV_NODE_ACTIVATION:
        assert(node->act > DV_ACT_NONE);
        assert(node->act < DV_ACT_COUNT);
        return in;
    case DV_NODE_BATCH_NORM:
        return in;
    case DV_NODE_INPUT:
    case DV_NODE_OP_COUNT:
        break;
    }
    return (struct dv_shape){0}; /* in the middle of a graph: no node has that shape */
}

static void check_nodes(const struct dv_graph *graph)
{
    DV_CLEANUP(dv_freep) bool *is_used = dv_alloc(graph->node_count * sizeof(*is_used));

    assert(graph->nodes[0].op == DV_NODE_INPUT);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct dv_node *node = &graph->nodes[i];
        check_shape(node->shape);
        assert(node->row < graph->row_count || node->row == UINT32_MAX);
        assert(node->input_count >= (i > 0 ? 1u : 0u));
        assert(node->input_count <= input_count_max(node->op));
        for (uint32_t k = 0; k < node->input_count; k++) {
            assert(node->inputs[k] < i);
            is_used[node->inputs[k]] = true;
        }
        assert(i == 0 || is_shape(node->shape, work_out(graph, node)));
    }
    for (uint32_t i = 0; i + 1 < graph->node_count; i++) {
        assert(is_used[i]); /* else it were computed for nothing */
    }
}

/* --- Tensors ---------------------------------------------------------------------------- */

static bool has_weights(enum dv_node_op op)
{
    return op == DV_NODE_CONV || op == DV_NODE_LINEAR || op == DV_NODE_BATCH_NORM ||
           op == DV_NODE_GROUP_NORM;
}

static uint64_t check_tensor(const struct dv_graph *graph, uint32_t index)
{
    const struct dv_graph_tensor *tensor = &graph->tensors[index];
    uint64_t count = 1;

    assert(tensor->node < graph->node_count);
    assert(graph->nodes[tensor->node].tensors[tensor->role] == index);
    assert(index == 0 || tensor[-1].node <= tensor->node);
    assert(tensor->rank >= 1);
    assert(tensor->rank <= 4);
    for (uint32_t i = 0; i < tensor->rank; i++) {
        assert(tensor->shape[i] > 0);
        count = multiply(count, tensor->shape[i]);
    }
    (void)multiply(count, sizeof(float));
    assert(count == tensor->count);
    assert(tensor->shape[0] == graph->nodes[tensor->node].shape.channels);
    assert(tensor->is_trained == (tensor->role <= DV_TENSOR_BIAS));
    assert(!tensor->has_decay || tensor->rank >= 2);
    return tensor->is_trained ? count : 0;
}

static void check_weight(const struct dv_graph *graph, const struct dv_node *node)
{
    const struct dv_graph_tensor *weight = &graph->tensors[node->tensors[DV_TENSOR_WEIGHT]];
    uint32_t in = graph->nodes[node->inputs[0]].shape.channels;

    if (node->op == DV_NODE_CONV) {
        assert(weight->rank == 4);
        assert(weight->shape[1] == in / node->groups);
        assert(weight->shape[2] == node->kernel);
        assert(weight->shape[3] == node->kernel);
    } else if (node->op == DV_NODE_LINEAR) {
        assert(weight->rank == 2);
        assert(weight->shape[1] == in);
    } else {
        assert(weight->rank == 1);
    }
}

static void check_tensors(const struct dv_graph *graph)
{
    uint64_t trained = 0, macs = 0;

    for (uint32_t i = 0; i < graph->tensor_count; i++) {
        trained = add(trained, check_tensor(graph, i));
    }
    assert(trained == graph->parameter_count);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct dv_node *node = &graph->nodes[i];
        assert(has_weights(node->op) == (node->tensors[DV_TENSOR_WEIGHT] != DV_NO_TENSOR));
        if (!has_weights(node->op)) {
            continue;
        }
        check_weight(graph, node);
        if (node->op == DV_NODE_CONV || node->op == DV_NODE_LINEAR) {
            uint64_t weights = graph->tensors[node->tensors[DV_TENSOR_WEIGHT]].count;
            uint64_t places = multiply(node->shape.rows, node->shape.columns);
            macs = add(macs, multiply(weights, places));
        }
    }
    assert(macs == graph->macs);
    assert(dv_graph_flops(graph) == 2 * macs); /* below 2^63: fits */
}

/* --- Costs ------------------------------------------------------------------------------ */

static void check_costs(const struct dv_graph *graph, const struct dv_arch *arch)
{
    uint64_t parameters = 0, macs = 0;

    for (uint32_t r = 0; r < graph->row_count; r++) {
        uint64_t row_parameters, row_macs;
        assert(graph->row_nodes[r] < graph->node_count);
        dv_graph_row_cost(graph, r, &row_parameters, &row_macs);
        parameters = add(parameters, row_parameters);
        macs = add(macs, row_macs);
    }
    assert(parameters == graph->parameter_count);
    assert(macs == graph->macs);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *table = dv_graph_table(graph, arch);
    assert(dv_json_count(table) == graph->row_count);
}

/* More pictures take more, and never less than the weights, their gradients and one value. */
static void check_memory(const struct dv_graph *graph)
{
    static const uint32_t batches[] = {1, 2, 64, 8192, UINT32_MAX};
    uint64_t before = 0;

    for (size_t i = 0; i < DV_ARRAY_SIZE(batches); i++) {
        struct dv_graph_use use = {.batch_size = batches[i]};
        uint64_t bytes = dv_graph_training_memory(graph, use);
        double least = 8.0 * (double)graph->parameter_count;
        for (uint32_t k = 1; k < graph->node_count; k++) {
            struct dv_shape shape = graph->nodes[k].shape;
            double value = 4.0 * shape.channels * shape.rows * shape.columns * batches[i];
            assert(graph->nodes[k].op != DV_NODE_CONV || (double)bytes >= value * (1 - 1e-9) ||
                   bytes == UINT64_MAX);
        }
        assert(bytes == UINT64_MAX || (double)bytes >= least * (1 - 1e-9));
        assert(bytes > before || bytes == UINT64_MAX);
        before = bytes;
        use.optimizer_slots = 2;
        use.has_ema = true;
        assert(dv_graph_training_memory(graph, use) >= bytes);
    }
}

void graph_oracle_check(const struct dv_graph *graph, const struct dv_arch *arch,
    struct dv_shape input, uint32_t class_count)
{
    const struct dv_shape logits = {class_count, 1, 1};

    assert(arch->row_count <= DV_ARCH_ROWS_MAX);
    assert(graph->row_count == arch->row_count);
    assert(graph->node_count >= 2);
    assert(graph->node_count <= DV_ARCH_NODES_MAX);
    assert(is_shape(graph->nodes[0].shape, input));
    assert(is_shape(graph->nodes[graph->node_count - 1].shape, logits));
    assert(graph->note_count <= 2 * arch->row_count + arch->note_count);
    for (uint32_t i = 0; i < graph->note_count; i++) {
        assert(graph->notes[i][0] != '\0');
    }
    check_nodes(graph);
    check_tensors(graph);
    check_costs(graph, arch);
    check_memory(graph);
}
