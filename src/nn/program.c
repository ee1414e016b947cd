/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order to read: lowering (dv_program_build), then lifetimes, then gradients.
 */
#include "nn/program.h"

#include "base/arena.h"
#include "spec/fusion.h"

#include <assert.h>

/* --- Lowering: nodes to steps ----------------------------------------------------------------- */

struct builder {
    const struct dv_graph *graph;
    struct dv_program *program;
    uint32_t batch_size;
    bool is_training;
    const enum dv_layout *row_layouts;
    uint32_t *node_values;               /* per node */
    uint32_t *consumers;                 /* per node: how many nodes take it */
    uint32_t (*copies)[DV_LAYOUT_COUNT]; /* per value: the copy in that layout */
};

static size_t places(struct dv_shape shape)
{
    return (size_t)shape.rows * shape.columns;
}

static uint32_t add_value(
    struct builder *b, struct dv_shape shape, enum dv_layout layout, uint32_t producer)
{
    uint32_t index = b->program->value_count++;

    b->program->values[index] = (struct dv_value){
        .shape = shape, .layout = layout, .producer = producer, .storage = DV_NO_INDEX};
    for (int i = 0; i < DV_LAYOUT_COUNT; i++) {
        b->copies[index][i] = DV_NO_INDEX;
    }
    return index;
}

/* The same value in another layout, made by a copy step when first asked for. */
static uint32_t in_layout(struct builder *b, uint32_t value, enum dv_layout layout, uint32_t row)
{
    struct dv_value *v = &b->program->values[value];

    if (v->layout == layout || places(v->shape) == 1) {
        return value; /* single places lie in the same order in both */
    }
    if (b->copies[value][layout] != DV_NO_INDEX) {
        return b->copies[value][layout];
    }
    uint32_t index = b->program->step_count++;
    struct dv_step *step = &b->program->steps[index];
    *step = (struct dv_step){.node = DV_NO_INDEX, .norm = DV_NO_INDEX, .row = row};
    step->desc = (struct dv_op_desc){.op = DV_NODE_INPUT,
        .batch = b->batch_size,
        .inputs = {v->shape},
        .input_count = 1,
        .output = v->shape,
        .layout = v->layout,
        .layout_out = layout,
        .is_training = b->is_training};
    step->inputs[0] = value;
    step->output = add_value(b, b->program->values[value].shape, layout, index);
    b->program->values[step->output].needs_gradient = b->program->values[value].needs_gradient;
    step->desc.needs_input_gradient = b->program->values[value].needs_gradient;
    b->copies[value][layout] = step->output;
    return step->output;
}

static enum dv_layout layout_for(const struct builder *b, const struct dv_node *node)
{
    /* A dropout mask goes by position, so one layout for all keeps it independent of the plan. */
    bool is_possible = node->op != DV_NODE_FLATTEN && node->op != DV_NODE_LINEAR &&
                       node->op != DV_NODE_DROPOUT && node->shape.channels % DV_LAYOUT_BLOCK == 0 &&
                       b->row_layouts && node->row != UINT32_MAX;

    for (uint32_t i = 0; i < node->input_count; i++) {
        is_possible =
            is_possible && b->graph->nodes[node->inputs[i]].shape.channels % DV_LAYOUT_BLOCK == 0;
    }
    return is_possible ? b->row_layouts[node->row] : DV_LAYOUT_NHWC;
}

/* An activation disappears into the op before it when nobody else wants that op's bare result. */
static bool fuse_activation(struct builder *b, const struct dv_node *node)
{
    const struct dv_node *before = &b->graph->nodes[node->inputs[0]];
    uint32_t value = b->node_values[node->inputs[0]];
    uint32_t producer = b->program->values[value].producer;

    if (before->op == DV_NODE_ACTIVATION || producer == DV_NO_INDEX ||
        b->consumers[node->inputs[0]] != 1 ||
        !dv_node_can_activate(before->op, node->act, b->is_training)) {
        return false;
    }
    b->program->steps[producer].desc.act = node->act;
    return true;
}

/* With fixed statistics a batch norm is a line per channel: the layer before can draw it. */
static bool fold_norm(struct builder *b, const struct dv_node *node)
{
    const struct dv_node *before = &b->graph->nodes[node->inputs[0]];
    uint32_t producer = b->program->values[b->node_values[node->inputs[0]]].producer;
    bool can_take = before->op == DV_NODE_CONV || before->op == DV_NODE_LINEAR;

    if (b->is_training || !can_take || b->consumers[node->inputs[0]] != 1) {
        return false;
    }
    b->program->steps[producer].norm = (uint32_t)(node - b->graph->nodes);
    b->program->steps[producer].desc.has_bias = true;
    return true;
}

/* Nodes that need no step: their value is that of their input. */
static bool is_transparent(struct builder *b, const struct dv_node *node)
{
    switch (node->op) {
    case DV_NODE_BATCH_NORM:
        return fold_norm(b, node);
    case DV_NODE_ACTIVATION:
        return node->act == DV_ACT_NONE || fuse_activation(b, node);
    case DV_NODE_DROPOUT:
    case DV_NODE_DROP_PATH:
        return node->drop <= 0 || !b->is_training;
    case DV_NODE_FLATTEN:
        return places(b->graph->nodes[node->inputs[0]].shape) == 1;
    default:
        return false;
    }
}

/* What a graph must not say; who made it has seen to that. */
static void expect_sense(const struct dv_op_desc *d)
{
    switch (d->op) {
    case DV_NODE_GROUP_NORM:
        assert(d->output.channels % d->groups == 0);
        break;
    case DV_NODE_SCALE:
        assert(d->input_count == 2);
        assert(d->inputs[1].channels == d->output.channels);
        assert(places(d->inputs[1]) == 1);
        break;
    case DV_NODE_DROPOUT:
    case DV_NODE_DROP_PATH:
        assert(d->drop < 1);
        break;
    case DV_NODE_PAD_SHORTCUT:
        assert(d->stride > 0);
        assert(d->output.channels >= d->inputs[0].channels);
        assert(d->output.rows == (d->inputs[0].rows - 1) / d->stride + 1);
        assert(d->output.columns == (d->inputs[0].columns - 1) / d->stride + 1);
        break;
    default:
        break;
    }
}

static struct dv_op_desc desc_of(const struct builder *b, const struct dv_node *node)
{
    struct dv_op_desc desc = {.op = node->op,
        .batch = b->batch_size,
        .input_count = node->input_count,
        .output = node->shape,
        .kernel = node->kernel,
        .stride = node->stride,
        .padding = node->padding,
        .groups = node->groups ? node->groups : 1,
        .pooling = node->pooling,
        .drop = node->drop,
        .act = node->op == DV_NODE_ACTIVATION ? node->act : DV_ACT_NONE,
        .has_bias = node->tensors[DV_TENSOR_BIAS] != DV_NO_TENSOR,
        .layout = layout_for(b, node),
        .is_training = b->is_training};

    desc.layout_out = desc.layout;
    for (uint32_t i = 0; i < node->input_count; i++) {
        desc.inputs[i] = b->graph->nodes[node->inputs[i]].shape;
    }
    expect_sense(&desc);
    return desc;
}

static void add_node_step(struct builder *b, uint32_t index)
{
    const struct dv_node *node = &b->graph->nodes[index];
    struct dv_op_desc desc = desc_of(b, node);
    struct dv_step step = {.desc = desc, .node = index, .norm = DV_NO_INDEX, .row = node->row};
    bool has_gradient = node->tensors[DV_TENSOR_WEIGHT] != DV_NO_TENSOR;

    for (uint32_t i = 0; i < node->input_count; i++) {
        uint32_t value = in_layout(b, b->node_values[node->inputs[i]], desc.layout, node->row);
        step.inputs[i] = value;
        step.desc.needs_input_gradient |= b->program->values[value].needs_gradient;
    }
    uint32_t place = b->program->step_count++;
    step.output = add_value(b, node->shape, desc.layout, place);
    b->program->values[step.output].needs_gradient = has_gradient || step.desc.needs_input_gradient;
    b->program->steps[place] = step;
    b->node_values[index] = step.output;
}

struct dv_program *dv_program_build(const struct dv_graph *graph, uint32_t batch_size,
    bool is_training, const enum dv_layout *row_layouts, struct dv_arena *arena)
{
    struct dv_program *program = dv_arena_alloc(arena, sizeof(*program));
    size_t steps_max = (size_t)graph->node_count * (1 + DV_ARCH_INPUTS_MAX);
    struct builder b = {.graph = graph,
        .program = program,
        .batch_size = batch_size,
        .is_training = is_training,
        .row_layouts = row_layouts};

    assert(graph->node_count > 1);
    program->graph = graph;
    program->steps = dv_arena_array(arena, steps_max, sizeof(*program->steps));
    program->values = dv_arena_array(arena, steps_max + 1, sizeof(*program->values));
    b.node_values = dv_arena_array(arena, graph->node_count, sizeof(*b.node_values));
    b.consumers = dv_arena_array(arena, graph->node_count, sizeof(*b.consumers));
    b.copies = dv_arena_array(arena, steps_max + 1, sizeof(*b.copies));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        for (uint32_t k = 0; k < graph->nodes[i].input_count; k++) {
            b.consumers[graph->nodes[i].inputs[k]]++;
        }
    }

    b.node_values[0] = add_value(&b, graph->nodes[0].shape, DV_LAYOUT_NHWC, DV_NO_INDEX);
    for (uint32_t i = 1; i < graph->node_count; i++) {
        if (is_transparent(&b, &graph->nodes[i])) {
            b.node_values[i] = b.node_values[graph->nodes[i].inputs[0]];
        } else {
            add_node_step(&b, i);
        }
    }
    program->output =
        in_layout(&b, b.node_values[graph->node_count - 1], DV_LAYOUT_NHWC, UINT32_MAX);
    return program;
}

/* --- Lifetimes of values ---------------------------------------------------------------------- */

static uint32_t later(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void settle_lifetimes(struct dv_program *p, bool is_training)
{
    for (uint32_t i = 0; i < p->step_count; i++) {
        struct dv_step *step = &p->steps[i];
        uint32_t backward = dv_program_backward_moment(p, i);
        struct dv_value *output = &p->values[step->output];
        output->first = i;
        output->last = later(output->last, i);
        if (is_training && step->op->backward_needs_output) {
            output->last = later(output->last, backward);
        }
        for (uint32_t k = 0; k < step->desc.input_count; k++) {
            struct dv_value *input = &p->values[step->inputs[k]];
            bool is_kept = is_training && step->op->backward_needs_input;
            input->last = later(input->last, is_kept ? backward : i);
        }
    }
    p->values[p->output].last = later(p->values[p->output].last, p->step_count);
}

/* --- Gradients: who writes first, who adds, who may share memory ---------------------------- */

static uint32_t add_storage(struct dv_program *p, const struct dv_value *value, uint32_t moment)
{
    uint32_t index = p->storage_count++;
    size_t pictures = p->steps[0].desc.batch;

    p->storages[index] = (struct dv_gradient_storage){
        .floats = pictures * value->shape.channels * places(value->shape),
        .first = moment,
        .last = moment};
    return index;
}

/* The last step but `except` that takes this value; DV_NO_INDEX when there is none. */
static uint32_t last_other_consumer(const struct dv_program *p, uint32_t value, uint32_t except)
{
    for (uint32_t i = p->step_count; i-- > 0;) {
        for (uint32_t k = 0; k < p->steps[i].desc.input_count; k++) {
            if (i != except && p->steps[i].inputs[k] == value) {
                return i;
            }
        }
    }
    return DV_NO_INDEX;
}

/*
 * May all inputs of this addition have its output's gradient as theirs, in the same memory? Yes if
 * none has one yet, and what is later added to one of them (a skip connection) comes only after the
 * others have been used up, which is when their producers have run backward.
 */
static bool can_share(const struct dv_program *p, uint32_t index)
{
    const struct dv_step *step = &p->steps[index];
    uint32_t added_at = DV_NO_INDEX;
    uint32_t skip = DV_NO_INDEX;

    for (uint32_t k = 0; k < step->desc.input_count; k++) {
        const struct dv_value *value = &p->values[step->inputs[k]];
        uint32_t other = last_other_consumer(p, step->inputs[k], index);
        if (value->storage != DV_NO_INDEX || !value->needs_gradient) {
            return false;
        }
        if (other != DV_NO_INDEX) {
            if (skip != DV_NO_INDEX) {
                return false;
            }
            skip = k;
            added_at = other;
        }
        for (uint32_t j = 0; j < k; j++) {
            if (step->inputs[j] == step->inputs[k]) {
                return false;
            }
        }
    }
    for (uint32_t k = 0; k < step->desc.input_count && skip != DV_NO_INDEX; k++) {
        uint32_t producer = p->values[step->inputs[k]].producer;
        if (k != skip && (producer == DV_NO_INDEX || producer <= added_at)) {
            return false;
        }
    }
    return true;
}

static void place_gradients_of_step(struct dv_program *p, uint32_t index)
{
    struct dv_step *step = &p->steps[index];
    uint32_t moment = dv_program_backward_moment(p, index);
    uint32_t own = p->values[step->output].storage;
    bool is_single = step->desc.input_count == 1;
    bool in_place = own != DV_NO_INDEX && step->op->backward_in_place &&
                    !p->storages[own].is_shared && can_share(p, index);

    if (own == DV_NO_INDEX) {
        return;
    }
    p->storages[own].last = later(p->storages[own].last, moment);
    for (uint32_t k = 0; k < step->desc.input_count; k++) {
        struct dv_value *value = &p->values[step->inputs[k]];
        if (!value->needs_gradient) {
            continue;
        }
        step->gives_gradient[k] = true;
        step->accumulates[k] = value->storage != DV_NO_INDEX;
        if (value->storage == DV_NO_INDEX) {
            value->storage = in_place ? own : add_storage(p, value, moment);
        }
        p->storages[value->storage].last = later(p->storages[value->storage].last, moment);
    }
    if (in_place && !is_single) {
        p->storages[own].is_shared = true;
    }
}

static void place_gradients(struct dv_program *p, struct dv_arena *arena)
{
    p->storages = dv_arena_array(arena, p->value_count, sizeof(*p->storages));
    p->values[p->output].storage = add_storage(p, &p->values[p->output], p->step_count - 1);
    for (uint32_t i = p->step_count; i-- > 0;) {
        place_gradients_of_step(p, i);
    }
}

enum dv_status dv_program_make_ops(struct dv_program *program,
    const struct dv_backend_impl *backend, bool is_training, struct dv_arena *arena,
    struct dv_error *reterr)
{
    for (uint32_t i = 0; i < program->step_count; i++) {
        struct dv_step *step = &program->steps[i];
        enum dv_status status = backend->op_create(&step->desc, &step->op, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    settle_lifetimes(program, is_training);
    if (is_training) {
        place_gradients(program, arena);
    }
    return DV_OK;
}

void dv_program_destroy_ops(struct dv_program *program)
{
    for (uint32_t i = 0; program && i < program->step_count; i++) {
        struct dv_step *step = &program->steps[i];
        if (step->op) {
            step->op->backend->op_destroy(step->op);
            step->op = NULL;
        }
    }
}
