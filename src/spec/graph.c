/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order to read: the builder and its primitives (add_conv, add_norm, ...), the blocks made of
 * them (build_row and what it calls), then the costs.
 */
#include "spec/graph.h"

#include "base/arena.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <string.h>

struct builder {
    const struct dv_arch *arch;
    struct dv_arena *arena;
    struct dv_problems *problems;
    struct dv_graph *graph;
    uint32_t node_room, tensor_room;
    uint32_t row; /* being lowered */
    uint32_t class_count;
    bool has_failed;
};

static const struct dv_shape no_shape = {1, 1, 1};

/* --- Problems: reported once, then building stops --------------------------------------------- */

static const struct dv_arch_row *row_of(const struct builder *b)
{
    return &b->arch->rows[b->row];
}

#define REPORT(b, code, field, fix, ...)                                                           \
    do {                                                                                           \
        if (!(b)->has_failed) {                                                                    \
            dv_problems_add((b)->problems, code,                                                   \
                dv_arena_printf((b)->arena, "/layers/%u/%s", (b)->row, field), fix, __VA_ARGS__);  \
        }                                                                                          \
        (b)->has_failed = true;                                                                    \
    } while (0)

static struct dv_shape shape_at(const struct builder *b, uint32_t node)
{
    return b->graph->nodes[node].shape;
}

static const char *shape_text(const struct builder *b, uint32_t node)
{
    struct dv_shape s = shape_at(b, node);

    return dv_arena_printf(b->arena, "[%u,%u,%u]", s.channels, s.rows, s.columns);
}

/* --- Nodes and tensors --------------------------------------------------------------------------
 */

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

static struct dv_node *add_node(struct builder *b, enum dv_node_op op, const char *name,
    const uint32_t *inputs, uint32_t input_count, struct dv_shape shape)
{
    struct dv_graph *g = b->graph;

    if (g->node_count >= DV_ARCH_NODES_MAX) {
        REPORT(b, "E_NODES", "repeat", "use fewer repeats or rows",
            "layers[%u] \"%s\": the network has more than %u operations.", b->row, row_of(b)->name,
            DV_ARCH_NODES_MAX);
        g->node_count--; /* the last one is overwritten: the graph is thrown away */
    }
    g->nodes = grow(b->arena, g->nodes, g->node_count, &b->node_room, sizeof(*g->nodes));
    struct dv_node *node = &g->nodes[g->node_count++];
    *node = (struct dv_node){.op = op,
        .name = name,
        .row = b->row,
        .input_count = input_count,
        .shape = shape,
        .groups = 1};
    for (uint32_t i = 0; i < input_count; i++) {
        node->inputs[i] = inputs[i];
    }
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        node->tensors[role] = DV_NO_TENSOR;
    }
    return node;
}

static uint32_t last_node(const struct builder *b)
{
    return b->graph->node_count - 1;
}

static void add_tensor(struct builder *b, enum dv_tensor_role role, uint32_t rank,
    const uint32_t *shape, bool has_decay)
{
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    struct dv_graph *g = b->graph;
    struct dv_node *node = &g->nodes[last_node(b)];

    g->tensors = grow(b->arena, g->tensors, g->tensor_count, &b->tensor_room, sizeof(*g->tensors));
    struct dv_graph_tensor *tensor = &g->tensors[g->tensor_count];
    *tensor = (struct dv_graph_tensor){
        .name = dv_arena_printf(b->arena, "%s.%s", node->name, names[role]),
        .node = last_node(b),
        .role = role,
        .rank = rank,
        .count = 1,
        .is_trained = role == DV_TENSOR_WEIGHT || role == DV_TENSOR_BIAS,
        .has_decay = has_decay};
    for (uint32_t i = 0; i < rank; i++) {
        tensor->shape[i] = shape[i];
        if (__builtin_mul_overflow(tensor->count, (uint64_t)shape[i], &tensor->count)) {
            REPORT(b, "E_SIZE", "out", "use fewer channels or features",
                "layers[%u] \"%s\": %s has more numbers than 64 bits can count.", b->row,
                row_of(b)->name, tensor->name);
            tensor->count = 1;
        }
    }
    node->tensors[role] = g->tensor_count++;
    if (tensor->is_trained &&
        __builtin_add_overflow(g->parameter_count, tensor->count, &g->parameter_count)) {
        REPORT(b, "E_SIZE", "out", "use fewer channels or features",
            "layers[%u] \"%s\": the network has more parameters than 64 bits can count.", b->row,
            row_of(b)->name);
    }
}

/* Multiply-adds: each weight is used once per output place. */
static void add_macs(struct builder *b, uint64_t weights, struct dv_shape out)
{
    uint64_t places = (uint64_t)out.rows * out.columns;
    uint64_t macs;

    if (__builtin_mul_overflow(weights, places, &macs) ||
        __builtin_add_overflow(b->graph->macs, macs, &b->graph->macs)) {
        REPORT(b, "E_SIZE", "out", "use fewer channels, or a larger stride",
            "layers[%u] \"%s\": more multiply-adds than 64 bits can count.", b->row,
            row_of(b)->name);
    }
}

/* --- Primitives: each takes a node and returns the new one --------------------------------------
 */

struct window {
    uint32_t kernel, stride, padding;
};

/* The map that a window leaves; reports a window that does not fit. */
static struct dv_shape windowed(
    struct builder *b, uint32_t from, uint32_t channels, struct window w)
{
    struct dv_shape in = shape_at(b, from);
    uint32_t rows = in.rows + 2 * w.padding;
    uint32_t columns = in.columns + 2 * w.padding;

    if (rows < w.kernel || columns < w.kernel) {
        uint32_t side = in.rows < in.columns ? in.rows : in.columns;
        uint32_t fits = side + 2 * w.padding;
        const char *fix =
            dv_arena_printf(b->arena, "set kernel<=%u, or drop a stride before", fits);
        REPORT(b, "E_SHAPE", "kernel", fix,
            "layers[%u] \"%s\": a %ux%u window does not fit on a map of %s.", b->row,
            row_of(b)->name, w.kernel, w.kernel, shape_text(b, from));
        return no_shape;
    }
    return (struct dv_shape){
        channels, (rows - w.kernel) / w.stride + 1, (columns - w.kernel) / w.stride + 1};
}

static uint32_t add_conv(struct builder *b, const char *name, uint32_t from, uint32_t out,
    struct window w, uint32_t groups, bool has_bias)
{
    uint32_t in = shape_at(b, from).channels;

    if (in % groups != 0 || out % groups != 0) {
        REPORT(b, "E_GROUPS", "groups", "set groups to a divisor of both, for example 1",
            "layers[%u] \"%s\": groups=%u does not divide in=%u and out=%u.", b->row,
            row_of(b)->name, groups, in, out);
        groups = 1;
    }
    struct dv_shape shape = windowed(b, from, out, w);
    uint32_t weight[] = {out, in / groups, w.kernel, w.kernel};
    struct dv_node *node = add_node(b, DV_NODE_CONV, name, &from, 1, shape);
    node->kernel = w.kernel;
    node->stride = w.stride;
    node->padding = w.padding;
    node->groups = groups;
    add_tensor(b, DV_TENSOR_WEIGHT, 4, weight, true);
    add_macs(b, b->graph->tensors[b->graph->tensor_count - 1].count, shape);
    if (has_bias) {
        add_tensor(b, DV_TENSOR_BIAS, 1, &out, false);
    }
    return last_node(b);
}

static uint32_t add_norm(struct builder *b, const char *name, uint32_t from)
{
    struct dv_shape shape = shape_at(b, from);

    if (row_of(b)->norm == DV_NORM_NONE) {
        return from;
    }
    (void)add_node(b, DV_NODE_BATCH_NORM, name, &from, 1, shape);
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        add_tensor(b, (enum dv_tensor_role)role, 1, &shape.channels, false);
    }
    return last_node(b);
}

static uint32_t add_activation(struct builder *b, uint32_t from)
{
    if (row_of(b)->act == DV_ACT_NONE) {
        return from;
    }
    add_node(b, DV_NODE_ACTIVATION, "", &from, 1, shape_at(b, from))->act = row_of(b)->act;
    return last_node(b);
}

static uint32_t add_global_pool(struct builder *b, uint32_t from, enum dv_pooling pooling)
{
    struct dv_shape shape = {shape_at(b, from).channels, 1, 1};

    add_node(b, DV_NODE_GLOBAL_POOL, "", &from, 1, shape)->pooling = pooling;
    return last_node(b);
}

static uint32_t add_flatten(struct builder *b, uint32_t from)
{
    struct dv_shape in = shape_at(b, from);
    uint64_t features = (uint64_t)in.channels * in.rows * in.columns;

    if (features > UINT32_MAX) {
        REPORT(b, "E_SIZE", "op", "put a global_pool before",
            "layers[%u] \"%s\": flattening %s gives too many features.", b->row, row_of(b)->name,
            shape_text(b, from));
        features = 1;
    }
    struct dv_shape shape = {(uint32_t)features, 1, 1};
    (void)add_node(b, DV_NODE_FLATTEN, "", &from, 1, shape);
    return last_node(b);
}

static uint32_t add_dropout(struct builder *b, uint32_t from, double drop)
{
    if (drop > 0) {
        add_node(b, DV_NODE_DROPOUT, "", &from, 1, shape_at(b, from))->drop = drop;
        return last_node(b);
    }
    return from;
}

/* --- Blocks
 * ---------------------------------------------------------------------------------------- */

static const char *part(struct builder *b, const char *block, const char *name)
{
    return dv_arena_printf(b->arena, "%s.%s", block, name);
}

/* conv "stem": stem.conv, stem.bn. The window's stride counts only in the first repeat. */
static uint32_t build_conv(struct builder *b, const char *block, uint32_t from, uint32_t stride)
{
    const struct dv_arch_row *row = row_of(b);
    uint32_t out = row->out ? row->out : shape_at(b, from).channels;
    struct window w = {row->kernel, stride, row->padding};

    from =
        add_conv(b, part(b, block, "conv"), from, out, w, row->groups, row->norm == DV_NORM_NONE);
    from = add_norm(b, part(b, block, "bn"), from);
    return add_activation(b, from);
}

static bool same_shape(struct dv_shape a, struct dv_shape b)
{
    return a.channels == b.channels && a.rows == b.rows && a.columns == b.columns;
}

/* The sum of a block's body and its shortcut: the input itself, or a 1x1 convolution of it. */
static uint32_t join_shortcut(
    struct builder *b, const char *block, uint32_t from, uint32_t body, uint32_t stride)
{
    uint32_t shortcut = from;

    if (!same_shape(shape_at(b, from), shape_at(b, body))) {
        struct window w = {1, stride, 0};
        bool has_bias = row_of(b)->norm == DV_NORM_NONE;
        shortcut = add_conv(
            b, part(b, block, "downsample.0"), from, shape_at(b, body).channels, w, 1, has_bias);
        shortcut = add_norm(b, part(b, block, "downsample.1"), shortcut);
    }
    if (!same_shape(shape_at(b, shortcut), shape_at(b, body))) {
        REPORT(b, "E_SHAPE", "padding", "leave padding at half the kernel, and the kernel odd",
            "layers[%u] \"%s\": the block gives %s but its shortcut %s.", b->row, row_of(b)->name,
            shape_text(b, body), shape_text(b, shortcut));
    }
    uint32_t inputs[] = {body, shortcut};
    (void)add_node(b, DV_NODE_ADD, "", inputs, 2, shape_at(b, body));
    return add_activation(b, last_node(b));
}

static uint32_t build_residual(struct builder *b, const char *block, uint32_t from, uint32_t stride)
{
    const struct dv_arch_row *row = row_of(b);
    uint32_t out = row->out ? row->out : shape_at(b, from).channels;
    bool has_bias = row->norm == DV_NORM_NONE;
    struct window first = {row->kernel, stride, row->padding};
    struct window second = {row->kernel, 1, row->padding};

    uint32_t body = add_conv(b, part(b, block, "conv1"), from, out, first, row->groups, has_bias);
    body = add_activation(b, add_norm(b, part(b, block, "bn1"), body));
    body = add_conv(b, part(b, block, "conv2"), body, out, second, row->groups, has_bias);
    body = add_norm(b, part(b, block, "bn2"), body);
    return join_shortcut(b, block, from, body, stride);
}

static uint32_t build_bottleneck(
    struct builder *b, const char *block, uint32_t from, uint32_t stride)
{
    const struct dv_arch_row *row = row_of(b);
    uint32_t out = row->out ? row->out : shape_at(b, from).channels;
    uint32_t inside = out / row->expand > 0 ? out / row->expand : 1;
    bool has_bias = row->norm == DV_NORM_NONE;
    struct window point = {1, 1, 0};
    struct window wide = {row->kernel, stride, row->padding};

    uint32_t body = add_conv(b, part(b, block, "conv1"), from, inside, point, 1, has_bias);
    body = add_activation(b, add_norm(b, part(b, block, "bn1"), body));
    body = add_conv(b, part(b, block, "conv2"), body, inside, wide, row->groups, has_bias);
    body = add_activation(b, add_norm(b, part(b, block, "bn2"), body));
    body = add_conv(b, part(b, block, "conv3"), body, out, point, 1, has_bias);
    body = add_norm(b, part(b, block, "bn3"), body);
    return join_shortcut(b, block, from, body, stride);
}

static uint32_t build_repeats(struct builder *b, uint32_t from,
    uint32_t (*build)(struct builder *b, const char *block, uint32_t from, uint32_t stride))
{
    const struct dv_arch_row *row = row_of(b);
    bool is_numbered = row->repeat > 1 || row->op != DV_ARCH_CONV;

    for (uint32_t i = 0; i < row->repeat && !b->has_failed; i++) {
        const char *block =
            is_numbered ? dv_arena_printf(b->arena, "%s.%u", row->name, i) : row->name;
        from = build(b, block, from, i == 0 ? row->stride : 1);
    }
    return from;
}

static uint32_t build_pool(struct builder *b, uint32_t from)
{
    const struct dv_arch_row *row = row_of(b);
    struct window w = {row->kernel, row->stride, row->padding};
    struct dv_shape shape = windowed(b, from, shape_at(b, from).channels, w);
    struct dv_node *node = add_node(b, DV_NODE_POOL, "", &from, 1, shape);

    node->kernel = w.kernel;
    node->stride = w.stride;
    node->padding = w.padding;
    node->pooling = row->pooling;
    return last_node(b);
}

static void note(struct builder *b, const char *text)
{
    b->graph->notes[b->graph->note_count++] = text;
}

static uint32_t build_linear(struct builder *b, uint32_t from)
{
    const struct dv_arch_row *row = row_of(b);
    bool is_head = b->row + 1 == b->arch->row_count;
    bool has_norm = row->norm != DV_NORM_NONE;
    uint32_t out = row->out;

    if (shape_at(b, from).rows * shape_at(b, from).columns > 1) {
        note(b, dv_arena_printf(b->arena, "global_pool before \"%s\"", row->name));
        from = add_global_pool(b, from, DV_POOLING_AVG);
    }
    if (is_head && out == 0) {
        out = b->class_count;
        note(b, dv_arena_printf(b->arena, "\"%s\" gets %u outputs, one a class", row->name, out));
    }
    if (out == 0) {
        out = shape_at(b, from).channels;
    }
    if (is_head && out != b->class_count) {
        const char *fix = dv_arena_printf(b->arena, "set out=%u, or leave it out", b->class_count);
        REPORT(b, "E_HEAD", "out", fix,
            "layers[%u] \"%s\": the last row has out=%u, the data set %u classes.", b->row,
            row->name, out, b->class_count);
    }
    from = add_dropout(b, from, row->drop);
    struct dv_shape shape = {out, 1, 1};
    uint32_t weight[] = {out, shape_at(b, from).channels};
    const char *name = has_norm ? part(b, row->name, "linear") : row->name;
    (void)add_node(b, DV_NODE_LINEAR, name, &from, 1, shape);
    add_tensor(b, DV_TENSOR_WEIGHT, 2, weight, true);
    add_macs(b, (uint64_t)weight[0] * weight[1], shape);
    if (!has_norm) {
        add_tensor(b, DV_TENSOR_BIAS, 1, &out, false);
    }
    from = add_norm(b, part(b, row->name, "bn"), last_node(b));
    return add_activation(b, from);
}

static const char *input_name(const struct builder *b, uint32_t from)
{
    return from == DV_ARCH_FROM_INPUT ? "input" : b->arch->rows[from].name;
}

static uint32_t build_add(struct builder *b, const uint32_t *inputs)
{
    const struct dv_arch_row *row = row_of(b);

    for (uint32_t i = 1; i < row->from_count; i++) {
        if (!same_shape(shape_at(b, inputs[0]), shape_at(b, inputs[i]))) {
            const char *fix = dv_arena_printf(b->arena, "give %s and %s the same out and stride",
                input_name(b, row->from[0]), input_name(b, row->from[i]));
            REPORT(b, "E_ADD_SHAPE", "from", fix, "layers[%u] \"%s\": inputs differ: %s=%s, %s=%s.",
                b->row, row->name, input_name(b, row->from[0]), shape_text(b, inputs[0]),
                input_name(b, row->from[i]), shape_text(b, inputs[i]));
        }
    }
    (void)add_node(b, DV_NODE_ADD, "", inputs, row->from_count, shape_at(b, inputs[0]));
    return add_activation(b, last_node(b));
}

static uint32_t build_concat(struct builder *b, const uint32_t *inputs)
{
    const struct dv_arch_row *row = row_of(b);
    struct dv_shape shape = shape_at(b, inputs[0]);

    for (uint32_t i = 1; i < row->from_count; i++) {
        struct dv_shape other = shape_at(b, inputs[i]);
        if (other.rows != shape.rows || other.columns != shape.columns) {
            const char *fix = dv_arena_printf(b->arena, "give %s and %s the same stride",
                input_name(b, row->from[0]), input_name(b, row->from[i]));
            REPORT(b, "E_CONCAT_SHAPE", "from", fix,
                "layers[%u] \"%s\": maps differ: %s=%s, %s=%s.", b->row, row->name,
                input_name(b, row->from[0]), shape_text(b, inputs[0]), input_name(b, row->from[i]),
                shape_text(b, inputs[i]));
        }
        shape.channels += other.channels;
    }
    (void)add_node(b, DV_NODE_CONCAT, "", inputs, row->from_count, shape);
    return add_activation(b, last_node(b));
}

static uint32_t build_row(struct builder *b, const uint32_t *inputs)
{
    const struct dv_arch_row *row = row_of(b);

    switch (row->op) {
    case DV_ARCH_CONV:
        return build_repeats(b, inputs[0], build_conv);
    case DV_ARCH_RESIDUAL:
        return build_repeats(b, inputs[0], build_residual);
    case DV_ARCH_BOTTLENECK:
        return build_repeats(b, inputs[0], build_bottleneck);
    case DV_ARCH_POOL:
        return build_pool(b, inputs[0]);
    case DV_ARCH_GLOBAL_POOL:
        return add_global_pool(b, inputs[0], row->pooling);
    case DV_ARCH_ADD:
        return build_add(b, inputs);
    case DV_ARCH_CONCAT:
        return build_concat(b, inputs);
    case DV_ARCH_DROPOUT:
        return add_dropout(b, inputs[0], row->drop);
    case DV_ARCH_FLATTEN:
        return add_flatten(b, inputs[0]);
    default:
        return build_linear(b, inputs[0]);
    }
}

enum dv_status dv_graph_build(const struct dv_arch *arch, struct dv_shape input,
    uint32_t class_count, struct dv_arena *arena, struct dv_problems *problems,
    struct dv_graph **ret_graph, struct dv_error *reterr)
{
    struct dv_graph *graph = dv_arena_alloc(arena, sizeof(*graph));
    struct builder b = {.arch = arch,
        .arena = arena,
        .problems = problems,
        .graph = graph,
        .row = UINT32_MAX,
        .class_count = class_count};

    assert(arch->row_count > 0);
    assert(class_count > 0);
    assert(ret_graph);
    graph->row_count = arch->row_count;
    graph->row_nodes = dv_arena_array(arena, arch->row_count, sizeof(*graph->row_nodes));
    graph->notes = dv_arena_array(arena, 2 * (size_t)arch->row_count, sizeof(*graph->notes));
    (void)add_node(&b, DV_NODE_INPUT, "", NULL, 0, input);
    for (b.row = 0; b.row < arch->row_count && !b.has_failed; b.row++) {
        const struct dv_arch_row *row = &arch->rows[b.row];
        uint32_t inputs[DV_ARCH_INPUTS_MAX];
        for (uint32_t i = 0; i < row->from_count; i++) {
            bool is_picture = row->from[i] == DV_ARCH_FROM_INPUT;
            inputs[i] = is_picture ? 0 : graph->row_nodes[row->from[i]];
        }
        graph->row_nodes[b.row] = build_row(&b, inputs);
    }
    if (b.has_failed) {
        return dv_fail(reterr, DV_INVALID, "%s", problems->items[problems->count - 1].message);
    }
    *ret_graph = graph;
    return DV_OK;
}
