/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row is taken for a block only if its nodes are exactly those that the block's Python class
 * computes. Every check here that fails costs only beauty: the row is then written node by node.
 * In reading order: how the nodes of a row are walked over, what each kind of block has of them,
 * the expression that is written, and at the end what others call.
 */
#include "format/python_block.h"

#include "base/buffer.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/graph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define UNIT_CONVS_MAX 3u
#define NAME_SIZE 96u

/* One repeat of a row: "s1.0" and its convolutions. */
struct unit {
    const struct dv_node *convs[UNIT_CONVS_MAX];
    uint32_t conv_count;
    const struct dv_node *gate; /* the first of its two convolutions; NULL: none */
    const struct dv_node *drop;
    const struct dv_node *pad;
};

/* Walks over the nodes of a row, in the order in which spec/graph_lower.c puts them there. */
struct walk {
    const struct dv_arch_row *spec;
    const struct dv_graph *graph;
    uint32_t at, last;
    char prefix[NAME_SIZE]; /* "s1.0." */
    bool is_wrong;          /* something else was found: this is no such block */
};

static uint32_t inputs_of(const struct dv_graph *graph, const struct dv_node *node)
{
    return graph->nodes[node->inputs[0]].shape.channels;
}

static bool has_bias(const struct dv_node *node)
{
    return node->tensors[DV_TENSOR_BIAS] != DV_NO_TENSOR;
}

/* --- Walking ------------------------------------------------------------------------------- */

static bool is_next(const struct walk *walk, enum dv_node_op op)
{
    return walk->at <= walk->last && walk->graph->nodes[walk->at].op == op;
}

/* The next node, which has to be an `op` with this name; any other one where not. */
static const struct dv_node *take(struct walk *walk, enum dv_node_op op, const char *name)
{
    size_t length = strlen(walk->prefix);
    const struct dv_node *node = &walk->graph->nodes[walk->at];

    if (!is_next(walk, op) || (name && (strncmp(node->name, walk->prefix, length) != 0 ||
                                           strcmp(node->name + length, name) != 0))) {
        walk->is_wrong = true;
        return &walk->graph->nodes[walk->last];
    }
    walk->at++;
    return node;
}

static void take_norm(struct walk *walk, const char *name)
{
    if (walk->spec->norm != DV_NORM_NONE) {
        bool is_batch = walk->spec->norm == DV_NORM_BATCH;
        (void)take(walk, is_batch ? DV_NODE_BATCH_NORM : DV_NODE_GROUP_NORM, name);
    }
}

static void take_act(struct walk *walk)
{
    if (walk->spec->act != DV_ACT_NONE) {
        const struct dv_node *node = take(walk, DV_NODE_ACTIVATION, NULL);
        walk->is_wrong = walk->is_wrong || node->act != walk->spec->act;
    }
}

static const struct dv_node *take_conv(struct walk *walk, const char *conv, const char *norm)
{
    const struct dv_node *node = take(walk, DV_NODE_CONV, conv);

    walk->is_wrong = walk->is_wrong || has_bias(node) != (walk->spec->norm == DV_NORM_NONE);
    take_norm(walk, norm);
    return node;
}

static const struct dv_node *take_gate(struct walk *walk)
{
    bool is_soft = walk->spec->act != DV_ACT_HARDSWISH;

    if (!(walk->spec->se > 0)) {
        return NULL;
    }
    (void)take(walk, DV_NODE_GLOBAL_POOL, NULL);
    const struct dv_node *gate = take(walk, DV_NODE_CONV, "se.fc1");
    const struct dv_node *inner = take(walk, DV_NODE_ACTIVATION, NULL);
    (void)take(walk, DV_NODE_CONV, "se.fc2");
    const struct dv_node *outer = take(walk, DV_NODE_ACTIVATION, NULL);
    (void)take(walk, DV_NODE_SCALE, NULL);
    enum dv_activation wanted = walk->spec->act == DV_ACT_SILU ? DV_ACT_SILU : DV_ACT_RELU;
    walk->is_wrong = walk->is_wrong || inner->act != wanted ||
                     outer->act != (is_soft ? DV_ACT_SIGMOID : DV_ACT_HARDSIGMOID);
    return gate;
}

static const struct dv_node *take_drop(struct walk *walk)
{
    return is_next(walk, DV_NODE_DROP_PATH) ? take(walk, DV_NODE_DROP_PATH, NULL) : NULL;
}

/* --- Units ----------------------------------------------------------------------------------- */

static bool is_plain(const struct dv_node *conv, uint32_t kernel, uint32_t stride, uint32_t groups)
{
    return conv->kernel == kernel && conv->stride == stride && conv->padding == kernel / 2 &&
           conv->groups == groups;
}

static bool is_changing(const struct walk *walk, const struct unit *unit, uint32_t stride)
{
    return stride != 1 || inputs_of(walk->graph, unit->convs[0]) !=
                              unit->convs[unit->conv_count - 1]->shape.channels;
}

/* What residual and bottleneck end with. */
static void take_sum(struct walk *walk, struct unit *unit, uint32_t stride)
{
    unit->gate = take_gate(walk);
    unit->drop = take_drop(walk);
    if (is_changing(walk, unit, stride)) {
        if (walk->spec->shortcut == DV_SHORTCUT_PAD) {
            unit->pad = take(walk, DV_NODE_PAD_SHORTCUT, NULL);
        } else {
            const struct dv_node *conv = take_conv(walk, "downsample.0", "downsample.1");
            walk->is_wrong = walk->is_wrong || !is_plain(conv, 1, stride, 1);
        }
    }
    (void)take(walk, DV_NODE_ADD, NULL);
    take_act(walk);
}

static void take_conv_unit(struct walk *walk, struct unit *unit)
{
    *unit = (struct unit){.convs = {take_conv(walk, "conv", "bn")}, .conv_count = 1};
    take_act(walk);
}

static void take_residual(struct walk *walk, struct unit *unit)
{
    const struct dv_node *first = take_conv(walk, "conv1", "bn1");
    take_act(walk);
    const struct dv_node *second = take_conv(walk, "conv2", "bn2");
    *unit = (struct unit){.convs = {first, second}, .conv_count = 2};
    walk->is_wrong = walk->is_wrong || !is_plain(second, first->kernel, 1, first->groups);
    take_sum(walk, unit, first->stride);
}

static void take_bottleneck(struct walk *walk, struct unit *unit)
{
    const struct dv_node *first = take_conv(walk, "conv1", "bn1");
    take_act(walk);
    const struct dv_node *second = take_conv(walk, "conv2", "bn2");
    take_act(walk);
    const struct dv_node *third = take_conv(walk, "conv3", "bn3");
    *unit = (struct unit){.convs = {first, second, third}, .conv_count = 3};
    walk->is_wrong = walk->is_wrong || !is_plain(first, 1, 1, 1) || !is_plain(third, 1, 1, 1);
    take_sum(walk, unit, second->stride);
}

static void take_mbconv(struct walk *walk, struct unit *unit)
{
    *unit = (struct unit){0};
    if (walk->spec->expand > 1) {
        const struct dv_node *first = take_conv(walk, "conv1", "bn1");
        take_act(walk);
        walk->is_wrong = walk->is_wrong || !is_plain(first, 1, 1, 1);
        unit->convs[unit->conv_count++] = first;
    }
    const struct dv_node *depthwise = take_conv(walk, "conv2", "bn2");
    take_act(walk);
    unit->convs[unit->conv_count++] = depthwise;
    unit->gate = take_gate(walk);
    const struct dv_node *last = take_conv(walk, "conv3", "bn3");
    unit->convs[unit->conv_count++] = last;
    walk->is_wrong = walk->is_wrong || !is_plain(last, 1, 1, 1) ||
                     depthwise->groups != depthwise->shape.channels;
    if (walk->is_wrong || is_changing(walk, unit, depthwise->stride)) {
        return;
    }
    unit->drop = take_drop(walk);
    (void)take(walk, DV_NODE_ADD, NULL);
}

static void take_dwsep(struct walk *walk, struct unit *unit)
{
    const struct dv_node *depthwise = take_conv(walk, "conv1", "bn1");
    take_act(walk);
    const struct dv_node *last = take_conv(walk, "conv2", "bn2");
    take_act(walk);
    *unit = (struct unit){.convs = {depthwise, last}, .conv_count = 2};
    walk->is_wrong = walk->is_wrong || !is_plain(last, 1, 1, 1) ||
                     depthwise->groups != depthwise->shape.channels;
}

/* The convolution whose window and stride are the row's. */
static const struct dv_node *window_conv(const struct dv_arch_row *spec, const struct unit *unit)
{
    bool is_second = spec->op == DV_ARCH_BOTTLENECK ||
                     (spec->op == DV_ARCH_MBCONV && unit->conv_count == UNIT_CONVS_MAX);

    return unit->convs[is_second ? 1 : 0];
}

/* --- Kinds ------------------------------------------------------------------------------------ */

struct kind {
    enum dv_arch_op op;
    enum dv_python_block block;
    const char *name; /* of its class */
    void (*take)(struct walk *walk, struct unit *ret_unit);
};

static const struct kind kinds[] = {
    {DV_ARCH_CONV, DV_PYTHON_BLOCK_CONV, "ConvBlock", take_conv_unit},
    {DV_ARCH_RESIDUAL, DV_PYTHON_BLOCK_RESIDUAL, "ResidualBlock", take_residual},
    {DV_ARCH_BOTTLENECK, DV_PYTHON_BLOCK_BOTTLENECK, "BottleneckBlock", take_bottleneck},
    {DV_ARCH_MBCONV, DV_PYTHON_BLOCK_MBCONV, "MBConvBlock", take_mbconv},
    {DV_ARCH_DWSEP, DV_PYTHON_BLOCK_DWSEP, "SeparableBlock", take_dwsep},
};

static const struct kind *kind_of(enum dv_arch_op op)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(kinds); i++) {
        if (kinds[i].op == op) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* --- Writing them ----------------------------------------------------------------------------- */

const char *dv_python_activation_module(enum dv_activation act)
{
    static const char *const names[DV_ACT_COUNT] = {
        [DV_ACT_NONE] = "None",
        [DV_ACT_RELU] = "nn.ReLU",
        [DV_ACT_RELU6] = "nn.ReLU6",
        [DV_ACT_LEAKY_RELU] = "nn.LeakyReLU",
        [DV_ACT_SILU] = "nn.SiLU",
        [DV_ACT_GELU] = "nn.GELU",
        [DV_ACT_HARDSWISH] = "nn.Hardswish",
        [DV_ACT_SIGMOID] = "nn.Sigmoid",
        [DV_ACT_HARDSIGMOID] = "nn.Hardsigmoid",
    };

    assert(act < DV_ACT_COUNT);

    return names[act];
}

/* The arguments that differ from the block's defaults. */
static void write_window(const struct dv_node *conv, struct dv_buffer *buffer)
{
    if (conv->kernel != 3) {
        dv_buffer_printf(buffer, ", kernel=%u", conv->kernel);
    }
    if (conv->stride != 1) {
        dv_buffer_printf(buffer, ", stride=%u", conv->stride);
    }
}

static void write_parts(const struct dv_arch_row *spec, const struct dv_graph *graph,
    const struct unit *unit, struct dv_buffer *buffer)
{
    const char *act = dv_python_activation_module(spec->act);

    if (spec->norm != DV_NORM_BATCH) {
        dv_buffer_printf(
            buffer, ", norm=%s", spec->norm == DV_NORM_GROUP ? "group_norm" : "None");
    }
    if (spec->act != DV_ACT_RELU) {
        dv_buffer_printf(buffer, ", act=%s", act);
    }
    if (unit->gate) {
        dv_buffer_printf(buffer, ", gate=SqueezeExcitation(%u, %u", inputs_of(graph, unit->gate),
            unit->gate->shape.channels);
        dv_buffer_append_text(buffer, spec->act == DV_ACT_SILU ? ", inner=nn.SiLU" : "");
        dv_buffer_append_text(buffer, spec->act == DV_ACT_HARDSWISH ? ", outer=nn.Hardsigmoid" : "");
        dv_buffer_append_text(buffer, ")");
    }
    if (unit->drop) {
        dv_buffer_printf(buffer, ", drop=DropPath(%.9g)", unit->drop->drop);
    }
    if (unit->pad) {
        uint32_t inputs = graph->nodes[unit->pad->inputs[0]].shape.channels;
        dv_buffer_printf(buffer, ", shortcut=PadShortcut(%u, %u)", unit->pad->stride,
            unit->pad->shape.channels - inputs);
    }
    dv_buffer_append_text(buffer, ")");
}

static void write_unit(const struct dv_arch_row *spec, const struct dv_graph *graph,
    const struct unit *unit, struct dv_buffer *buffer)
{
    const struct dv_node *first = unit->convs[0];
    const struct dv_node *window = window_conv(spec, unit);
    uint32_t outputs = unit->convs[unit->conv_count - 1]->shape.channels;

    dv_buffer_printf(buffer, "%s(%u", kind_of(spec->op)->name, inputs_of(graph, first));
    if (spec->op == DV_ARCH_BOTTLENECK || spec->op == DV_ARCH_MBCONV) {
        dv_buffer_printf(buffer, ", %u", window->shape.channels);
    }
    dv_buffer_printf(buffer, ", %u", outputs);
    write_window(window, buffer);
    if (window->padding != window->kernel / 2) {
        dv_buffer_printf(buffer, ", padding=%u", window->padding);
    }
    if (window->groups != 1 && spec->op != DV_ARCH_MBCONV && spec->op != DV_ARCH_DWSEP) {
        dv_buffer_printf(buffer, ", groups=%u", window->groups);
    }
    write_parts(spec, graph, unit, buffer);
}

/* --- Rows of units ---------------------------------------------------------------------------- */

static struct walk walk_begin(
    const struct dv_arch *arch, const struct dv_graph *graph, const struct dv_python_row *row)
{
    return (struct walk){
        .spec = &arch->rows[row->row], .graph = graph, .at = row->first, .last = row->last};
}

/* Blocks are numbered even where there is one. */
static bool is_numbered(const struct dv_arch_row *spec)
{
    return spec->op != DV_ARCH_CONV || spec->repeat > 1;
}

static struct unit take_unit(struct walk *walk, uint32_t index)
{
    const struct dv_arch_row *spec = walk->spec;
    struct unit unit = {0};

    if (is_numbered(spec)) {
        (void)snprintf(walk->prefix, sizeof(walk->prefix), "%s.%u.", spec->name, index);
    } else {
        (void)snprintf(walk->prefix, sizeof(walk->prefix), "%s.", spec->name);
    }
    kind_of(spec->op)->take(walk, &unit);
    if (spec->op != DV_ARCH_CONV) {
        const struct dv_node *window = window_conv(spec, &unit);
        walk->is_wrong = walk->is_wrong || window->padding != window->kernel / 2;
    }
    return unit;
}

static bool match_units(
    const struct dv_arch *arch, const struct dv_graph *graph, struct dv_python_row *row)
{
    struct walk walk = walk_begin(arch, graph, row);

    for (uint32_t i = 0; i < walk.spec->repeat && !walk.is_wrong; i++) {
        (void)take_unit(&walk, i);
    }
    if (walk.is_wrong) {
        return false;
    }
    /* The pool behind a conv row is written as a line of its own. */
    bool has_pool = walk.at == row->last && is_next(&walk, DV_NODE_POOL);
    row->last = has_pool ? row->last - 1 : row->last;
    return walk.at == row->last + 1;
}

static void write_units(const struct dv_arch *arch, const struct dv_graph *graph,
    const struct dv_python_row *row, struct dv_buffer *buffer)
{
    struct walk walk = walk_begin(arch, graph, row);
    bool is_sequence = is_numbered(walk.spec);

    dv_buffer_append_text(buffer, is_sequence ? "nn.Sequential(\n" : "");
    for (uint32_t i = 0; i < walk.spec->repeat; i++) {
        struct unit unit = take_unit(&walk, i);
        assert(!walk.is_wrong);
        dv_buffer_append_text(buffer, is_sequence ? "            " : "");
        write_unit(walk.spec, graph, &unit, buffer);
        dv_buffer_append_text(buffer, is_sequence ? ",\n" : "");
    }
    dv_buffer_append_text(buffer, is_sequence ? "        )" : "");
}

/* --- Linear rows with a norm ---------------------------------------------------------------- */

/* The row's own nodes begin with a dropout where it has one: a line of its own. */
static bool match_linear(
    const struct dv_arch *arch, const struct dv_graph *graph, struct dv_python_row *row)
{
    struct walk walk = walk_begin(arch, graph, row);

    if (walk.spec->norm == DV_NORM_NONE) {
        return false;
    }
    (void)snprintf(walk.prefix, sizeof(walk.prefix), "%s.", walk.spec->name);
    (void)take(&walk, DV_NODE_LINEAR, "linear");
    take_norm(&walk, "bn");
    row->last = walk.at - 1; /* an activation after it is written as a line of its own */
    return !walk.is_wrong;
}

static void write_linear_row(
    const struct dv_graph *graph, const struct dv_python_row *row, struct dv_buffer *buffer)
{
    const struct dv_node *linear = &graph->nodes[row->first];
    const struct dv_node *norm = &graph->nodes[row->last];
    uint32_t outputs = linear->shape.channels;

    dv_buffer_printf(buffer,
        "nn.Sequential(OrderedDict(\n"
        "            linear=nn.Linear(%u, %u%s),\n",
        inputs_of(graph, linear), outputs, has_bias(linear) ? "" : ", bias=False");
    if (norm->op == DV_NODE_GROUP_NORM) {
        dv_buffer_printf(buffer, "            bn=nn.GroupNorm(%u, %u),\n", norm->groups, outputs);
    } else {
        dv_buffer_printf(buffer, "            bn=nn.BatchNorm1d(%u),\n", outputs);
    }
    dv_buffer_append_text(buffer, "        ))");
}

/* --- Any row -------------------------------------------------------------------------------- */

bool dv_python_block_match(const struct dv_arch *arch, const struct dv_graph *graph, uint32_t first,
    struct dv_python_row *ret_row)
{
    uint32_t row = graph->nodes[first].row;
    struct dv_python_row found = {.row = row, .first = first, .last = first};

    if (row >= graph->row_count || graph->nodes[first - 1].row == row) {
        return false;
    }
    while (found.last + 1 < graph->node_count && graph->nodes[found.last + 1].row == row) {
        found.last++;
    }
    const struct kind *kind = kind_of(arch->rows[row].op);
    bool is_match = false;
    if (kind) {
        found.block = kind->block;
        is_match = match_units(arch, graph, &found);
    } else if (arch->rows[row].op == DV_ARCH_LINEAR) {
        found.block = DV_PYTHON_BLOCK_LINEAR;
        is_match = match_linear(arch, graph, &found);
    }
    if (is_match) {
        *ret_row = found;
    }
    return is_match;
}

void dv_python_block_write(const struct dv_arch *arch, const struct dv_graph *graph,
    const struct dv_python_row *row, struct dv_buffer *buffer)
{
    if (row->block == DV_PYTHON_BLOCK_LINEAR) {
        write_linear_row(graph, row, buffer);
    } else {
        write_units(arch, graph, row, buffer);
    }
}
