/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of training a graph: what nn/program.c and nn/memory_plan.c would place, without a
 * backend. In reading order: which nodes run and what they keep, how long values and gradients are
 * wanted, the peak, and what comes on top. tests/conformance/memory.c holds it beside the plans.
 *
 * Moments, as in nn/program.h: step s runs forward at s and backward at 2 * steps - 1 - s.
 */
#include "spec/graph.h"

#include "base/arena.h"
#include "base/macro.h"
#include "spec/fusion.h"

#include <assert.h>
#include <math.h>

#define NONE UINT32_MAX

#define BLOCK 16 /* channels of a block, as in nn/backend_impl.h */

/* Buffers of many sizes leave gaps between them, and copies where layouts change pass through. */
#define GAPS 0.13

/* In the orders that the passes of oneDNN want them, and sums of threads. */
#define WEIGHT_COPIES 4.0

/* Of oneDNN's passes, whatever the size; floats. */
#define SCRATCH_LEAST (256 << 10)

struct walk {
    const struct dv_graph *graph;
    uint32_t *consumers; /* per node: how many take it */
    uint32_t *holders;   /* per node: the one that runs and whose value is its */
    uint32_t *steps;     /* per node that runs: its place in the order */
    uint32_t step_count;
    enum dv_activation *acts; /* per node that runs: the activation that it applies itself */
    uint32_t *last, *other;   /* per holder: the last two steps that take its value, or NONE */
    uint32_t *keepers;        /* per holder: the first that wants its value on the way back; NONE */
    bool *is_kept_twice;      /* per holder: by another too, which may run in another layout */
    bool *needs_gradient;     /* per node */
    uint32_t *storages;       /* per holder: in whose gradient's memory its own lies, or NONE */
    uint32_t *storage_first;  /* per holder with a memory of its own: the moments it is wanted */
    uint32_t *storage_last;
    bool *is_shared; /* per holder with a memory of its own: it is that of several at once */
    double *changes; /* per moment: floats of a picture that come and go */
};

static double value_floats(const struct dv_node *node)
{
    return (double)node->shape.rows * node->shape.columns * node->shape.channels;
}

/* --- Which nodes run, and what they keep --------------------------------------------------- */

static bool is_fused(const struct walk *walk, uint32_t index)
{
    const struct dv_node *node = &walk->graph->nodes[index];
    const struct dv_node *before = &walk->graph->nodes[node->inputs[0]];

    if (node->op == DV_NODE_FLATTEN) {
        return before->shape.rows == 1 && before->shape.columns == 1;
    }
    return node->op == DV_NODE_ACTIVATION && before->op != DV_NODE_ACTIVATION &&
           before->op != DV_NODE_INPUT && walk->consumers[node->inputs[0]] == 1 &&
           dv_node_can_activate(before->op, node->act, true);
}

static void find_steps(struct walk *walk)
{
    const struct dv_graph *graph = walk->graph;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        for (uint32_t k = 0; k < graph->nodes[i].input_count; k++) {
            walk->consumers[graph->nodes[i].inputs[k]]++;
        }
    }
    for (uint32_t i = 1; i < graph->node_count; i++) {
        const struct dv_node *node = &graph->nodes[i];
        uint32_t before = walk->holders[node->inputs[0]];
        walk->needs_gradient[i] = node->tensors[DV_TENSOR_WEIGHT] != DV_NO_TENSOR;
        for (uint32_t k = 0; k < node->input_count; k++) {
            walk->needs_gradient[i] |= walk->needs_gradient[node->inputs[k]];
        }
        if (is_fused(walk, i)) {
            walk->holders[i] = before;
            walk->acts[before] = node->op == DV_NODE_ACTIVATION ? node->act : walk->acts[before];
        } else {
            walk->holders[i] = i;
            walk->acts[i] = node->op == DV_NODE_ACTIVATION ? node->act : DV_ACT_NONE;
            walk->steps[i] = walk->step_count++;
        }
    }
}

/* For the way back. */
static bool needs_input(const struct walk *walk, uint32_t index)
{
    const struct dv_node *node = &walk->graph->nodes[index];

    switch (node->op) {
    case DV_NODE_CONV:
    case DV_NODE_LINEAR:
    case DV_NODE_BATCH_NORM:
    case DV_NODE_GROUP_NORM:
    case DV_NODE_SCALE:
        return true;
    case DV_NODE_GLOBAL_POOL:
        return node->pooling == DV_POOLING_MAX;
    case DV_NODE_ADD:
    case DV_NODE_ACTIVATION:
        return !dv_activation_keeps_slope(walk->acts[index]);
    default:
        return false;
    }
}

static bool needs_output(const struct walk *walk, uint32_t index)
{
    const struct dv_node *node = &walk->graph->nodes[index];
    bool has_act = walk->acts[index] != DV_ACT_NONE;

    switch (node->op) {
    case DV_NODE_CONV:
    case DV_NODE_LINEAR:
        return has_act;
    case DV_NODE_ADD:
    case DV_NODE_ACTIVATION:
        return has_act && dv_activation_keeps_slope(walk->acts[index]);
    case DV_NODE_GLOBAL_POOL:
        return node->pooling == DV_POOLING_MAX;
    default:
        return false;
    }
}

/* Is the gradient handed on in the memory that it came in? */
static bool is_in_place(enum dv_node_op op)
{
    return op == DV_NODE_BATCH_NORM || op == DV_NODE_GROUP_NORM || op == DV_NODE_ADD ||
           op == DV_NODE_ACTIVATION || op == DV_NODE_DROP_PATH;
}

/* Floats of a picture from forward to backward beside values: winners are a byte each. */
static double saved_floats(const struct dv_node *node)
{
    if (node->op == DV_NODE_GROUP_NORM) {
        return 4.0 * node->shape.channels;
    }
    return node->op == DV_NODE_POOL && node->pooling == DV_POOLING_MAX ? value_floats(node) / 4
                                                                       : 0.0;
}

/* --- How long values are wanted ------------------------------------------------------------ */

static bool runs(const struct walk *walk, uint32_t index)
{
    return index > 0 && walk->holders[index] == index;
}

static uint32_t later(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t backward(const struct walk *walk, uint32_t index)
{
    return 2 * walk->step_count - 1 - walk->steps[index];
}

static void want(struct walk *walk, uint32_t first, uint32_t last, double floats)
{
    walk->changes[first] += floats;
    walk->changes[last + 1] -= floats;
}

static void note_consumer(struct walk *walk, uint32_t holder, uint32_t step)
{
    if (walk->last[holder] != step) { /* steps come in order; an addition may take one twice */
        walk->other[holder] = walk->last[holder];
        walk->last[holder] = step;
    }
}

/* Only what has whole vectors of channels on all sides can be in blocks; which rows are, is
 * measured. */
static bool can_be_blocked(const struct walk *walk, uint32_t index)
{
    const struct dv_node *node = &walk->graph->nodes[index];
    bool is_possible = node->shape.channels % BLOCK == 0 && node->row != UINT32_MAX &&
                       node->op != DV_NODE_FLATTEN && node->op != DV_NODE_LINEAR &&
                       node->op != DV_NODE_DROPOUT;

    for (uint32_t k = 0; k < node->input_count && is_possible; k++) {
        is_possible = walk->graph->nodes[node->inputs[k]].shape.channels % BLOCK == 0;
    }
    return is_possible;
}

/* May two nodes run in two layouts, so that a value which both take is there in both? */
static bool may_differ(const struct walk *walk, uint32_t a, uint32_t b)
{
    const struct dv_node *nodes = walk->graph->nodes;
    bool is_a = can_be_blocked(walk, a), is_b = can_be_blocked(walk, b);

    return nodes[a].row == nodes[b].row ? is_a != is_b : is_a || is_b;
}

static void note_keeper(struct walk *walk, uint32_t holder, uint32_t keeper)
{
    const struct dv_shape *shape = &walk->graph->nodes[holder].shape;
    bool has_layouts = shape->channels % BLOCK == 0 && (shape->rows > 1 || shape->columns > 1);

    if (walk->keepers[holder] == NONE) {
        walk->keepers[holder] = keeper;
    } else if (has_layouts && may_differ(walk, walk->keepers[holder], keeper)) {
        walk->is_kept_twice[holder] = true;
    }
}

static void place_values(struct walk *walk, uint32_t *until)
{
    const struct dv_graph *graph = walk->graph;

    for (uint32_t i = 1; i < graph->node_count; i++) {
        const struct dv_node *node = &graph->nodes[i];
        if (!runs(walk, i)) {
            continue;
        }
        until[i] = later(until[i], needs_output(walk, i) ? backward(walk, i) : walk->steps[i]);
        if (needs_output(walk, i)) {
            note_keeper(walk, i, i);
        }
        for (uint32_t k = 0; k < node->input_count; k++) {
            uint32_t input = walk->holders[node->inputs[k]];
            note_consumer(walk, input, walk->steps[i]);
            until[input] =
                later(until[input], needs_input(walk, i) ? backward(walk, i) : walk->steps[i]);
            if (needs_input(walk, i)) {
                note_keeper(walk, input, i);
            }
        }
        want(walk, walk->steps[i], backward(walk, i), saved_floats(node));
    }
    uint32_t logits = walk->holders[graph->node_count - 1];
    until[logits] = later(until[logits], walk->step_count);
    for (uint32_t i = 1; i < graph->node_count; i++) { /* the pictures are the loader's */
        if (runs(walk, i)) {
            double floats = value_floats(&graph->nodes[i]);
            want(walk, walk->steps[i], until[i], walk->is_kept_twice[i] ? 2.0 * floats : floats);
        }
    }
}

/* --- How long gradients are ---------------------------------------------------------------- */

/* As can_share() in nn/program.c, which says why. */
static bool can_share(const struct walk *walk, uint32_t index)
{
    const struct dv_node *node = &walk->graph->nodes[index];
    uint32_t skip = NONE, added_at = NONE;

    for (uint32_t k = 0; k < node->input_count; k++) {
        uint32_t input = walk->holders[node->inputs[k]];
        bool is_last = walk->last[input] == walk->steps[index];
        uint32_t other = is_last ? walk->other[input] : walk->last[input];
        if (walk->storages[input] != NONE || !walk->needs_gradient[input] ||
            (other != NONE && skip != NONE)) {
            return false;
        }
        if (other != NONE) {
            skip = k;
            added_at = other;
        }
        for (uint32_t j = 0; j < k; j++) {
            if (walk->holders[node->inputs[j]] == input) {
                return false;
            }
        }
    }
    for (uint32_t k = 0; k < node->input_count && skip != NONE; k++) {
        uint32_t input = walk->holders[node->inputs[k]];
        if (k != skip && (input == 0 || walk->steps[input] <= added_at)) {
            return false;
        }
    }
    return true;
}

static void place_gradients_of(struct walk *walk, uint32_t index)
{
    const struct dv_node *node = &walk->graph->nodes[index];
    uint32_t own = walk->storages[index];

    if (own == NONE) {
        return;
    }
    bool in_place = is_in_place(node->op) && !walk->is_shared[own] && can_share(walk, index);
    walk->storage_last[own] = backward(walk, index);
    for (uint32_t k = 0; k < node->input_count; k++) {
        uint32_t input = walk->holders[node->inputs[k]];
        if (!walk->needs_gradient[input]) {
            continue;
        }
        if (walk->storages[input] == NONE) {
            walk->storages[input] = in_place ? own : input;
            walk->storage_first[input] = backward(walk, index);
        }
        walk->storage_last[walk->storages[input]] = backward(walk, index);
    }
    walk->is_shared[own] |= in_place && node->input_count > 1;
}

static void place_gradients(struct walk *walk)
{
    uint32_t count = walk->graph->node_count;
    uint32_t logits = walk->holders[count - 1];

    walk->storages[logits] = logits;
    walk->storage_first[logits] = walk->step_count - 1;
    for (uint32_t i = count; i-- > 1;) {
        if (runs(walk, i)) {
            place_gradients_of(walk, i);
        }
    }
    for (uint32_t i = 1; i < count; i++) {
        if (runs(walk, i) && walk->storages[i] == i) {
            want(walk, walk->storage_first[i], walk->storage_last[i],
                value_floats(&walk->graph->nodes[i]));
        }
    }
}

/* --- The peak ------------------------------------------------------------------------------ */

static struct walk make_walk(const struct dv_graph *graph, struct dv_arena *arena)
{
    uint32_t count = graph->node_count;
    struct walk walk = {.graph = graph};
    uint32_t **arrays[] = {&walk.consumers, &walk.holders, &walk.steps, &walk.last, &walk.other,
        &walk.storages, &walk.storage_first, &walk.storage_last, &walk.keepers};

    for (size_t i = 0; i < DV_ARRAY_SIZE(arrays); i++) {
        *arrays[i] = dv_arena_array(arena, count, sizeof(**arrays[i]));
    }
    walk.acts = dv_arena_array(arena, count, sizeof(*walk.acts));
    walk.needs_gradient = dv_arena_array(arena, count, sizeof(*walk.needs_gradient));
    walk.is_shared = dv_arena_array(arena, count, sizeof(*walk.is_shared));
    walk.is_kept_twice = dv_arena_array(arena, count, sizeof(*walk.is_kept_twice));
    walk.changes = dv_arena_array(arena, 2 * (size_t)count + 2, sizeof(*walk.changes));
    for (uint32_t i = 0; i < count; i++) {
        walk.last[i] = walk.other[i] = walk.storages[i] = walk.keepers[i] = NONE;
    }
    find_steps(&walk);
    return walk;
}

/* Floats of a picture that are wanted at once. */
static double find_peak(struct walk *walk, struct dv_arena *arena)
{
    double now = 0.0, peak = 0.0;

    place_values(walk, dv_arena_array(arena, walk->graph->node_count, sizeof(uint32_t)));
    place_gradients(walk);
    for (uint32_t i = 0; i < 2 * walk->step_count; i++) {
        now += walk->changes[i];
        peak = fmax(peak, now);
    }
    return peak;
}

/*
 * Floats of the working memory that all ops share: of a layer with weights the gradient of its
 * input before it is added, that of its result before the activation, and its weights in other
 * orders.
 */
static double find_scratch(const struct walk *walk, double batch)
{
    const struct dv_graph *graph = walk->graph;
    double largest = 0.0;

    for (uint32_t i = 1; i < graph->node_count; i++) {
        const struct dv_node *node = &graph->nodes[i];
        if (!runs(walk, i) || (node->op != DV_NODE_CONV && node->op != DV_NODE_LINEAR)) {
            continue;
        }
        bool has_input_gradient = walk->needs_gradient[walk->holders[node->inputs[0]]];
        double input = has_input_gradient ? value_floats(&graph->nodes[node->inputs[0]]) : 0.0;
        double output = walk->acts[i] != DV_ACT_NONE ? value_floats(node) : 0.0;
        double weights = (double)graph->tensors[node->tensors[DV_TENSOR_WEIGHT]].count;
        largest = fmax(largest, batch * (input + output) + WEIGHT_COPIES * weights);
    }
    return largest + SCRATCH_LEAST;
}

/* Numbers beside each other for the weights: themselves, gradients, the mask of weight decay,
 * state. */
static double weight_floats(const struct dv_graph *graph, struct dv_graph_use use)
{
    double copies = 3.0 + use.optimizer_slots + (use.has_ema ? 1.0 : 0.0);
    double statistics = 0.0;

    for (uint32_t i = 0; i < graph->tensor_count; i++) {
        statistics += graph->tensors[i].is_trained ? 0.0 : (double)graph->tensors[i].count;
    }
    return (double)graph->parameter_count * copies + 2.0 * statistics;
}

uint64_t dv_graph_training_memory(const struct dv_graph *graph, struct dv_graph_use use)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct walk walk = make_walk(graph, arena);
    double values = use.batch_size * find_peak(&walk, arena) * (1.0 + GAPS);
    double floats = values + find_scratch(&walk, use.batch_size) + weight_floats(graph, use);
    double bytes = ceil(floats) * sizeof(float);

    return bytes < 0x1p64 ? (uint64_t)bytes : UINT64_MAX;
}
