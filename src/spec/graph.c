/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder of graphs. In reading order: problems, nodes and tensors, the primitives that
 * graph_lower.c composes, and dv_graph_build() at the end. Costs of a graph: graph_cost.c.
 */
#include "spec/graph.h"

#include "base/arena.h"
#include "spec/check.h"
#include "spec/graph_builder.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { GROUPS_MAX = 32, GROUP_CHANNELS_MIN = 8 };

static const struct dv_shape no_shape = {1, 1, 1};

/* --- Problems ----------------------------------------------------------------------------- */

const struct dv_arch_row *dv_builder_row(const struct dv_graph_builder *builder)
{
    return &builder->arch->rows[builder->row];
}

void dv_builder_fail(struct dv_graph_builder *builder, const char *code, const char *field,
    const char *fix, const char *format, ...)
{
    char text[512];
    va_list arguments;

    if (builder->problems && !builder->has_failed) {
        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        const char *pointer = dv_arena_printf(builder->arena, "/layers/%u/%s", builder->row, field);
        dv_problems_add(builder->problems, code, pointer, fix, "layers[%u] \"%s\": %s",
            builder->row, dv_builder_row(builder)->name, text);
    }
    builder->has_failed = true;
}

static void fail_size(struct dv_graph_builder *builder, const char *what)
{
    if (builder->has_failed) {
        return;
    }
    bool has_out = dv_builder_row(builder)->out > 0;
    dv_builder_fail(builder, "E_SIZE", has_out ? "out" : "op",
        builder->problems ? dv_graph_fix_size(builder) : "", "%s than can be counted.", what);
}

struct dv_shape dv_builder_shape(const struct dv_graph_builder *builder, uint32_t node)
{
    return builder->graph->nodes[node].shape;
}

const char *dv_builder_shape_text(const struct dv_graph_builder *builder, uint32_t node)
{
    struct dv_shape s = dv_builder_shape(builder, node);

    if (builder->is_flat[node]) {
        return dv_arena_printf(builder->arena, "[%u]", s.channels);
    }
    return dv_arena_printf(builder->arena, "[%u,%u,%u]", s.channels, s.rows, s.columns);
}

/* --- Nodes and tensors -------------------------------------------------------------------- */

/* Room for one more; what outgrew its array stays behind in the arena. */
static void *grow(struct dv_arena *arena, void *items, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room) {
        return items;
    }
    *room = *room ? 2 * *room : 64;
    void *larger = dv_arena_array(arena, *room, size);
    if (count > 0) {
        memcpy(larger, items, count * size);
    }
    return larger;
}

static bool multiply(uint64_t a, uint64_t b, uint64_t *ret_product)
{
    /* Sizes in files and of oneDNN are signed. */
    return !__builtin_mul_overflow(a, b, ret_product) && *ret_product <= INT64_MAX;
}

static bool add(uint64_t *sum, uint64_t more)
{
    return !__builtin_add_overflow(*sum, more, sum) && *sum <= INT64_MAX;
}

static bool shape_is_countable(struct dv_shape shape)
{
    uint64_t count = (uint64_t)shape.rows * shape.columns;

    return shape.channels <= INT32_MAX && multiply(count, shape.channels, &count) &&
           multiply(count, sizeof(float), &count);
}

static struct dv_node *add_node(struct dv_graph_builder *builder, enum dv_node_op op,
    const char *name, const uint32_t *inputs, uint32_t input_count, struct dv_shape shape)
{
    struct dv_graph *graph = builder->graph;

    if (graph->node_count == DV_ARCH_NODES_MAX) {
        if (!builder->has_failed) {
            const char *fix = builder->problems ? dv_graph_fix_nodes(builder) : "";
            dv_builder_fail(builder, "E_NODES",
                dv_builder_row(builder)->repeat > 1 ? "repeat" : "op", fix,
                "the network has more than %u operations.", DV_ARCH_NODES_MAX);
        }
        graph->node_count--; /* the last one is overwritten: the graph is thrown away */
    }
    if (!shape_is_countable(shape)) {
        fail_size(builder, "its output has more numbers");
        shape = no_shape;
    }
    uint32_t index = graph->node_count;
    graph->nodes =
        grow(builder->arena, graph->nodes, index, &builder->node_room, sizeof(*graph->nodes));
    builder->is_flat = grow(
        builder->arena, builder->is_flat, index, &builder->flat_room, sizeof(*builder->is_flat));
    struct dv_node *node = &graph->nodes[graph->node_count++];
    *node = (struct dv_node){
        .op = op,
        .name = name,
        .row = builder->is_inserting ? UINT32_MAX : builder->row,
        .input_count = input_count,
        .shape = shape,
        .groups = 1,
    };
    if (input_count > 0) {
        memcpy(node->inputs, inputs, input_count * sizeof(inputs[0]));
    }
    for (size_t role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        node->tensors[role] = DV_NO_TENSOR;
    }
    builder->is_flat[index] = input_count > 0 && builder->is_flat[inputs[0]];
    return node;
}

static uint32_t last_node(const struct dv_graph_builder *builder)
{
    return builder->graph->node_count - 1;
}

/* A tensor of the last node. */
static void add_tensor(struct dv_graph_builder *builder, enum dv_tensor_role role, uint32_t rank,
    const uint32_t *shape, bool has_decay)
{
    static const char *const names[DV_TENSOR_ROLE_COUNT] = {
        "weight", "bias", "running_mean", "running_var"};
    struct dv_graph *graph = builder->graph;
    struct dv_node *node = &graph->nodes[last_node(builder)];
    uint64_t bytes;

    graph->tensors = grow(builder->arena, graph->tensors, graph->tensor_count,
        &builder->tensor_room, sizeof(*graph->tensors));
    struct dv_graph_tensor *tensor = &graph->tensors[graph->tensor_count];
    *tensor = (struct dv_graph_tensor){
        .name = dv_arena_printf(builder->arena, "%s.%s", node->name, names[role]),
        .node = last_node(builder),
        .role = role,
        .rank = rank,
        .count = 1,
        .is_trained = role == DV_TENSOR_WEIGHT || role == DV_TENSOR_BIAS,
        .has_decay = has_decay,
    };
    memcpy(tensor->shape, shape, rank * sizeof(shape[0]));
    for (uint32_t i = 0; i < rank; i++) {
        if (!multiply(tensor->count, shape[i], &tensor->count)) {
            fail_size(builder, "its weights are more");
            tensor->count = 1;
        }
    }
    node->tensors[role] = graph->tensor_count++;
    if (!multiply(tensor->count, sizeof(float), &bytes) ||
        (tensor->is_trained && !add(&graph->parameter_count, tensor->count))) {
        fail_size(builder, "the network has more parameters");
    }
}

/* Multiply-adds: each weight of the last node is used once per place of its output. */
static void add_macs(struct dv_graph_builder *builder)
{
    struct dv_graph *graph = builder->graph;
    const struct dv_node *node = &graph->nodes[last_node(builder)];
    uint64_t macs;

    if (!multiply(graph->tensors[node->tensors[DV_TENSOR_WEIGHT]].count,
            (uint64_t)node->shape.rows * node->shape.columns, &macs) ||
        !add(&graph->macs, macs)) {
        fail_size(builder, "the network has more multiply-adds");
    }
}

/* --- Primitives --------------------------------------------------------------------------- */

/* What a window leaves of a map; reports a window that does not fit. */
static struct dv_shape windowed(
    struct dv_graph_builder *builder, uint32_t from, uint32_t channels, struct dv_window window)
{
    struct dv_shape in = dv_builder_shape(builder, from);
    uint32_t rows = in.rows + 2 * window.padding;
    uint32_t columns = in.columns + 2 * window.padding;

    if (builder->has_failed) {
        return no_shape;
    }
    if (rows < window.kernel || columns < window.kernel) {
        const char *fix = builder->problems ? dv_graph_fix_window(builder, from) : "";
        dv_builder_fail(builder, "E_SHAPE", "kernel", fix,
            "a kernel of %u with padding %u does not fit on a map of %s.", window.kernel,
            window.padding, dv_builder_shape_text(builder, from));
        return no_shape;
    }
    return (struct dv_shape){
        .channels = channels,
        .rows = (rows - window.kernel) / window.stride + 1,
        .columns = (columns - window.kernel) / window.stride + 1,
    };
}

static void set_window(struct dv_node *node, struct dv_window window)
{
    node->kernel = window.kernel;
    node->stride = window.stride;
    node->padding = window.padding;
}

static void add_conv(struct dv_graph_builder *builder, const char *name, uint32_t from,
    uint32_t out, struct dv_window window, uint32_t groups)
{
    struct dv_shape shape = windowed(builder, from, out, window);
    uint32_t weight[] = {
        out, dv_builder_shape(builder, from).channels / groups, window.kernel, window.kernel};
    struct dv_node *node = add_node(builder, DV_NODE_CONV, name, &from, 1, shape);

    set_window(node, window);
    node->groups = groups;
    add_tensor(builder, DV_TENSOR_WEIGHT, 4, weight, true);
    add_macs(builder);
}

uint32_t dv_builder_conv(struct dv_graph_builder *builder, const char *name, uint32_t from,
    uint32_t out, struct dv_window window, uint32_t groups)
{
    add_conv(builder, name, from, out, window, groups);
    if (dv_builder_row(builder)->norm == DV_NORM_NONE) {
        add_tensor(builder, DV_TENSOR_BIAS, 1, &out, false); /* a norm has its own */
    }
    return last_node(builder);
}

uint32_t dv_builder_gate_conv(
    struct dv_graph_builder *builder, const char *name, uint32_t from, uint32_t out)
{
    add_conv(builder, name, from, out, (struct dv_window){1, 1, 0}, 1);
    add_tensor(builder, DV_TENSOR_BIAS, 1, &out, false);
    return last_node(builder);
}

/*
 * Wu and He 2018 find 32 groups best, and much the same down to 8 channels in each; of fewer the
 * statistics say little, and of one channel and place nothing is left.
 */
static uint32_t group_count(uint32_t channels)
{
    uint32_t count = channels / GROUP_CHANNELS_MIN;

    count = count > GROUPS_MAX ? GROUPS_MAX : count;
    while (count > 1 && channels % count != 0) {
        count--;
    }
    return count > 0 ? count : 1;
}

uint32_t dv_builder_norm(struct dv_graph_builder *builder, const char *name, uint32_t from)
{
    enum dv_norm norm = dv_builder_row(builder)->norm;
    struct dv_shape shape = dv_builder_shape(builder, from);

    if (norm == DV_NORM_NONE) {
        return from;
    }
    bool is_batch = norm == DV_NORM_BATCH;
    struct dv_node *node = add_node(
        builder, is_batch ? DV_NODE_BATCH_NORM : DV_NODE_GROUP_NORM, name, &from, 1, shape);
    node->groups = is_batch ? 1 : group_count(shape.channels);
    size_t roles = is_batch ? DV_TENSOR_ROLE_COUNT : DV_TENSOR_BIAS + 1;
    for (size_t role = 0; role < roles; role++) {
        add_tensor(builder, (enum dv_tensor_role)role, 1, &shape.channels, false);
    }
    return last_node(builder);
}

uint32_t dv_builder_activation(
    struct dv_graph_builder *builder, uint32_t from, enum dv_activation act)
{
    struct dv_shape shape = dv_builder_shape(builder, from);

    if (act == DV_ACT_NONE) {
        return from;
    }
    add_node(builder, DV_NODE_ACTIVATION, "", &from, 1, shape)->act = act;
    return last_node(builder);
}

uint32_t dv_builder_pool(struct dv_graph_builder *builder, uint32_t from, struct dv_window window)
{
    struct dv_shape shape =
        windowed(builder, from, dv_builder_shape(builder, from).channels, window);
    struct dv_node *node = add_node(builder, DV_NODE_POOL, "", &from, 1, shape);

    set_window(node, window);
    node->pooling = dv_builder_row(builder)->pooling;
    return last_node(builder);
}

uint32_t dv_builder_global_pool(
    struct dv_graph_builder *builder, uint32_t from, enum dv_pooling pooling)
{
    struct dv_shape shape = {dv_builder_shape(builder, from).channels, 1, 1};

    add_node(builder, DV_NODE_GLOBAL_POOL, "", &from, 1, shape)->pooling = pooling;
    return last_node(builder);
}

uint32_t dv_builder_join(struct dv_graph_builder *builder, enum dv_node_op op,
    const uint32_t *inputs, uint32_t input_count, uint32_t channels)
{
    struct dv_shape shape = dv_builder_shape(builder, inputs[0]);

    assert(op == DV_NODE_ADD || op == DV_NODE_CONCAT);

    shape.channels = channels;
    (void)add_node(builder, op, "", inputs, input_count, shape);
    return last_node(builder);
}

uint32_t dv_builder_dropout(struct dv_graph_builder *builder, uint32_t from, double drop)
{
    struct dv_shape shape = dv_builder_shape(builder, from);

    if (!(drop > 0)) {
        return from;
    }
    add_node(builder, DV_NODE_DROPOUT, "", &from, 1, shape)->drop = drop;
    return last_node(builder);
}

uint32_t dv_builder_drop_path(struct dv_graph_builder *builder, uint32_t from, double drop)
{
    struct dv_shape shape = dv_builder_shape(builder, from);

    if (!(drop > 0)) {
        return from;
    }
    add_node(builder, DV_NODE_DROP_PATH, "", &from, 1, shape)->drop = drop;
    return last_node(builder);
}

uint32_t dv_builder_scale(struct dv_graph_builder *builder, uint32_t from, uint32_t gate)
{
    uint32_t inputs[] = {from, gate};

    (void)add_node(builder, DV_NODE_SCALE, "", inputs, 2, dv_builder_shape(builder, from));
    return last_node(builder);
}

uint32_t dv_builder_pad_shortcut(
    struct dv_graph_builder *builder, uint32_t from, uint32_t channels, uint32_t stride)
{
    struct dv_shape in = dv_builder_shape(builder, from);
    struct dv_shape shape = {channels, (in.rows - 1) / stride + 1, (in.columns - 1) / stride + 1};

    assert(builder->has_failed || channels >= in.channels);

    add_node(builder, DV_NODE_PAD_SHORTCUT, "", &from, 1, shape)->stride = stride;
    return last_node(builder);
}

uint32_t dv_builder_flatten(struct dv_graph_builder *builder, uint32_t from)
{
    struct dv_shape in = dv_builder_shape(builder, from);
    uint64_t features = (uint64_t)in.rows * in.columns * in.channels; /* a value's: it fits */

    if (builder->is_flat[from]) {
        return from;
    }
    if (features > INT32_MAX) {
        fail_size(builder, "flattening gives more features");
        features = 1;
    }
    (void)add_node(
        builder, DV_NODE_FLATTEN, "", &from, 1, (struct dv_shape){(uint32_t)features, 1, 1});
    builder->is_flat[last_node(builder)] = true;
    return last_node(builder);
}

uint32_t dv_builder_linear(
    struct dv_graph_builder *builder, const char *name, uint32_t from, uint32_t out)
{
    uint32_t weight[] = {out, dv_builder_shape(builder, from).channels};

    (void)add_node(builder, DV_NODE_LINEAR, name, &from, 1, (struct dv_shape){out, 1, 1});
    add_tensor(builder, DV_TENSOR_WEIGHT, 2, weight, true);
    add_macs(builder);
    if (dv_builder_row(builder)->norm == DV_NORM_NONE) {
        add_tensor(builder, DV_TENSOR_BIAS, 1, &out, false);
    }
    return last_node(builder);
}

void dv_builder_note(struct dv_graph_builder *builder, const char *text)
{
    builder->graph->notes[builder->graph->note_count++] = text;
}

/* --- The whole ---------------------------------------------------------------------------- */

void dv_builder_run(struct dv_graph_builder *builder, struct dv_shape input, uint32_t row_last)
{
    const struct dv_arch *arch = builder->arch;
    struct dv_graph *graph = dv_arena_alloc(builder->arena, sizeof(*graph));

    builder->graph = graph;
    graph->row_count = arch->row_count;
    graph->row_nodes = dv_arena_array(builder->arena, arch->row_count, sizeof(*graph->row_nodes));
    /* A linear row notes two things at most. */
    graph->notes = dv_arena_array(builder->arena, 2 * (size_t)arch->row_count + arch->note_count,
        sizeof(*graph->notes));
    for (uint32_t i = 0; i < arch->note_count; i++) {
        dv_builder_note(builder, arch->notes[i]);
    }

    builder->is_inserting = true;
    (void)add_node(builder, DV_NODE_INPUT, "", NULL, 0, input);
    builder->is_inserting = false;
    for (uint32_t r = 0; r <= row_last && !builder->has_failed; r++) {
        const struct dv_arch_row *row = &arch->rows[r];
        uint32_t inputs[DV_ARCH_INPUTS_MAX] = {0};
        for (uint32_t i = 0; i < row->from_count; i++) {
            bool is_picture = row->from[i] == DV_ARCH_FROM_INPUT;
            inputs[i] = is_picture ? 0 : graph->row_nodes[row->from[i]];
        }
        builder->row = r;
        graph->row_nodes[r] = dv_builder_lower(builder, inputs);
    }
}

enum dv_status dv_graph_build(const struct dv_arch *arch, struct dv_shape input,
    uint32_t class_count, struct dv_arena *arena, struct dv_problems *problems,
    struct dv_graph **ret_graph, struct dv_error *reterr)
{
    struct dv_graph_builder builder = {
        .arch = arch, .arena = arena, .problems = problems, .class_count = class_count};

    assert(arch);
    assert(arch->row_count > 0);
    assert(input.channels > 0);
    assert(input.rows > 0);
    assert(input.columns > 0);
    assert(shape_is_countable(input));
    assert(class_count > 0);
    assert(problems);
    assert(ret_graph);

    size_t count_before = problems->count;
    dv_builder_run(&builder, input, arch->row_count - 1);
    if (builder.has_failed) {
        enum dv_status status = dv_check_finish(problems, count_before, reterr);
        return status != DV_OK ? status : dv_fail(reterr, DV_INVALID, "the layers do not fit");
    }
    *ret_graph = builder.graph;
    return DV_OK;
}
