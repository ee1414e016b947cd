/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row is taken for a block only if its nodes are exactly those that the block's Python class
 * computes. Every check here that fails costs only beauty: the row is then written node by node.
 */
#include "format/python_block.h"

#include "base/buffer.h"
#include "base/text.h"
#include "spec/graph.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define UNIT_CONVS_MAX 3u
#define NAME_SIZE 96u

/* One residual or bottleneck unit of a row: "s1.0" and its nodes. */
struct unit {
    char prefix[NAME_SIZE]; /* "s1.0." */
    const struct dv_node *convs[UNIT_CONVS_MAX];
    uint32_t conv_count;
    const struct dv_node *downsample;
    bool has_norm;
    uint32_t node_count; /* that the block's class stands for */
};

static const struct dv_node *find_node(const struct dv_graph *graph,
    const struct dv_python_row *row, const char *prefix, const char *name)
{
    size_t length = strlen(prefix);

    for (uint32_t i = row->first; i <= row->last; i++) {
        const char *candidate = graph->nodes[i].name;
        if (strncmp(candidate, prefix, length) == 0 && strcmp(candidate + length, name) == 0) {
            return &graph->nodes[i];
        }
    }
    return NULL;
}

static const uint32_t *weight_shape(const struct dv_graph *graph, const struct dv_node *node)
{
    return graph->tensors[node->tensors[DV_TENSOR_WEIGHT]].shape;
}

static uint32_t outputs_of(const struct dv_graph *graph, const struct dv_node *node)
{
    return weight_shape(graph, node)[0];
}

static uint32_t inputs_of(const struct dv_graph *graph, const struct dv_node *node)
{
    return weight_shape(graph, node)[1] * (node->op == DV_NODE_CONV ? node->groups : 1);
}

static bool has_bias(const struct dv_node *node)
{
    return node->tensors[DV_TENSOR_BIAS] != DV_NO_TENSOR;
}

/* --- Rows of convolutions ---------------------------------------------------------------- */

/* What follows a convolution in its unit. */
struct conv_unit {
    const struct dv_node *conv;
    bool has_norm;
    bool has_act;
};

/* The unit that begins at node *at; moves *at behind it. */
static bool read_conv_unit(const struct dv_graph *graph, const struct dv_python_row *row,
    uint32_t *at, struct conv_unit *ret_unit)
{
    struct conv_unit unit = {.conv = &graph->nodes[*at]};
    uint32_t i = *at + 1;

    if (unit.conv->op != DV_NODE_CONV) {
        return false;
    }
    if (i <= row->last && graph->nodes[i].op == DV_NODE_BATCH_NORM) {
        unit.has_norm = true;
        i++;
    }
    if (i <= row->last && graph->nodes[i].op == DV_NODE_ACTIVATION) {
        unit.has_act = graph->nodes[i].act == DV_ACT_RELU;
        i++;
    }
    *at = i;
    *ret_unit = unit;
    return has_bias(unit.conv) != unit.has_norm;
}

static bool has_name(
    const struct dv_node *node, const char *row, uint32_t unit, bool is_numbered, const char *part)
{
    char name[NAME_SIZE];

    if (is_numbered) {
        (void)snprintf(name, sizeof(name), "%s.%u.%s", row, unit, part);
    } else {
        (void)snprintf(name, sizeof(name), "%s.%s", row, part);
    }
    return strcmp(node->name, name) == 0;
}

static bool match_conv(
    const struct dv_arch *arch, const struct dv_graph *graph, const struct dv_python_row *row)
{
    const struct dv_arch_row *spec = &arch->rows[row->row];
    uint32_t unit_count = 0;

    for (uint32_t at = row->first; at <= row->last; unit_count++) {
        struct conv_unit unit;
        bool is_numbered = spec->repeat > 1;
        if (!read_conv_unit(graph, row, &at, &unit) ||
            !has_name(unit.conv, spec->name, unit_count, is_numbered, "conv") ||
            (unit.has_norm &&
                !has_name(unit.conv + 1, spec->name, unit_count, is_numbered, "bn"))) {
            return false;
        }
    }
    return unit_count == spec->repeat;
}

/* The arguments that a convolution shares between the blocks, where they are not the default. */
static void write_conv_arguments(const struct dv_node *conv, struct dv_buffer *buffer)
{
    if (conv->kernel != 3) {
        dv_buffer_printf(buffer, ", kernel=%u", conv->kernel);
    }
    if (conv->stride != 1) {
        dv_buffer_printf(buffer, ", stride=%u", conv->stride);
    }
    if (conv->padding != conv->kernel / 2) {
        dv_buffer_printf(buffer, ", padding=%u", conv->padding);
    }
    if (conv->groups != 1) {
        dv_buffer_printf(buffer, ", groups=%u", conv->groups);
    }
}

static void write_conv_unit(
    const struct dv_graph *graph, const struct conv_unit *unit, struct dv_buffer *buffer)
{
    dv_buffer_printf(
        buffer, "ConvBlock(%u, %u", inputs_of(graph, unit->conv), outputs_of(graph, unit->conv));
    write_conv_arguments(unit->conv, buffer);
    dv_buffer_append_text(buffer, unit->has_norm ? "" : ", norm=False");
    dv_buffer_append_text(buffer, unit->has_act ? "" : ", act=False");
    dv_buffer_append_text(buffer, ")");
}

static void write_conv_row(const struct dv_arch *arch, const struct dv_graph *graph,
    const struct dv_python_row *row, struct dv_buffer *buffer)
{
    bool is_sequence = arch->rows[row->row].repeat > 1;

    dv_buffer_append_text(buffer, is_sequence ? "nn.Sequential(\n" : "");
    for (uint32_t at = row->first; at <= row->last;) {
        struct conv_unit unit;
        bool is_unit = read_conv_unit(graph, row, &at, &unit);
        assert(is_unit);
        dv_buffer_append_text(buffer, is_sequence ? "            " : "");
        write_conv_unit(graph, &unit, buffer);
        dv_buffer_append_text(buffer, is_sequence ? ",\n" : "");
    }
    dv_buffer_append_text(buffer, is_sequence ? "        )" : "");
}

/* --- Rows of residual and bottleneck units ------------------------------------------------ */

static bool is_plain(const struct dv_node *conv, uint32_t kernel, uint32_t stride)
{
    return conv->kernel == kernel && conv->stride == stride && conv->padding == kernel / 2 &&
           conv->groups == 1;
}

/* Do the convolutions have the sizes that the block's class gives them? */
static bool has_block_sizes(const struct dv_graph *graph, const struct unit *unit)
{
    const struct dv_node *first = unit->convs[0];
    const struct dv_node *second = unit->convs[1];
    const struct dv_node *last = unit->convs[unit->conv_count - 1];

    if (unit->conv_count == 2) {
        if (second->kernel != first->kernel || second->stride != 1 ||
            second->padding != first->padding || second->groups != first->groups) {
            return false;
        }
    } else if (!is_plain(first, 1, 1) || !is_plain(last, 1, 1)) {
        return false;
    }
    const struct dv_node *strided = unit->conv_count == 2 ? first : second;
    bool is_changing = strided->stride != 1 || inputs_of(graph, first) != outputs_of(graph, last);
    if (is_changing != (unit->downsample != NULL)) {
        return false;
    }
    return !unit->downsample || (is_plain(unit->downsample, 1, strided->stride) &&
                                    has_bias(unit->downsample) != unit->has_norm);
}

static bool read_unit(const struct dv_arch *arch, const struct dv_graph *graph,
    const struct dv_python_row *row, uint32_t index, struct unit *ret_unit)
{
    static const char *const conv_names[] = {"conv1", "conv2", "conv3"};
    const struct dv_arch_row *spec = &arch->rows[row->row];
    struct unit unit = {.conv_count = spec->op == DV_ARCH_BOTTLENECK ? 3 : 2};

    (void)snprintf(unit.prefix, sizeof(unit.prefix), "%s.%u.", spec->name, index);
    if (spec->repeat == 1 && !find_node(graph, row, unit.prefix, "conv1")) {
        (void)snprintf(unit.prefix, sizeof(unit.prefix), "%s.", spec->name);
    }
    unit.has_norm = find_node(graph, row, unit.prefix, "bn1") != NULL;
    for (uint32_t i = 0; i < unit.conv_count; i++) {
        unit.convs[i] = find_node(graph, row, unit.prefix, conv_names[i]);
        if (!unit.convs[i] || has_bias(unit.convs[i]) == unit.has_norm) {
            return false;
        }
    }
    unit.downsample = find_node(graph, row, unit.prefix, "downsample.0");
    unit.node_count = (unit.conv_count + (unit.downsample ? 1 : 0)) * (unit.has_norm ? 2 : 1) +
                      (spec->act == DV_ACT_NONE ? 0 : unit.conv_count) + 1;
    *ret_unit = unit;
    return has_block_sizes(graph, &unit);
}

static bool match_units(
    const struct dv_arch *arch, const struct dv_graph *graph, const struct dv_python_row *row)
{
    uint32_t node_count = 0;

    for (uint32_t i = 0; i < arch->rows[row->row].repeat; i++) {
        struct unit unit;
        if (!read_unit(arch, graph, row, i, &unit)) {
            return false;
        }
        node_count += unit.node_count;
    }
    return node_count == row->last - row->first + 1;
}

static void write_unit(const struct dv_arch_row *spec, const struct dv_graph *graph,
    const struct unit *unit, struct dv_buffer *buffer)
{
    const struct dv_node *last = unit->convs[unit->conv_count - 1];

    if (unit->conv_count == 2) {
        dv_buffer_printf(buffer, "ResidualBlock(%u, %u", inputs_of(graph, unit->convs[0]),
            outputs_of(graph, last));
        write_conv_arguments(unit->convs[0], buffer);
    } else {
        dv_buffer_printf(buffer, "BottleneckBlock(%u, %u, %u", inputs_of(graph, unit->convs[0]),
            outputs_of(graph, unit->convs[0]), outputs_of(graph, last));
        write_conv_arguments(unit->convs[1], buffer);
    }
    dv_buffer_append_text(buffer, unit->has_norm ? "" : ", norm=False");
    dv_buffer_append_text(buffer, spec->act == DV_ACT_NONE ? ", act=False" : "");
    dv_buffer_append_text(buffer, ")");
}

static void write_unit_row(const struct dv_arch *arch, const struct dv_graph *graph,
    const struct dv_python_row *row, struct dv_buffer *buffer)
{
    const struct dv_arch_row *spec = &arch->rows[row->row];

    for (uint32_t i = 0; i < spec->repeat; i++) {
        struct unit unit;
        bool is_unit = read_unit(arch, graph, row, i, &unit);
        assert(is_unit);
        bool is_numbered = strlen(unit.prefix) > strlen(spec->name) + 1;
        if (i == 0) {
            dv_buffer_append_text(buffer, is_numbered ? "nn.Sequential(\n" : "");
        }
        dv_buffer_append_text(buffer, is_numbered ? "            " : "");
        write_unit(spec, graph, &unit, buffer);
        dv_buffer_append_text(buffer, is_numbered ? ",\n" : "");
        if (i + 1 == spec->repeat) {
            dv_buffer_append_text(buffer, is_numbered ? "        )" : "");
        }
    }
}

/* --- Linear rows with a norm ---------------------------------------------------------------- */

static bool match_linear(
    const struct dv_arch *arch, const struct dv_graph *graph, struct dv_python_row *row)
{
    const struct dv_node *linear = &graph->nodes[row->first];
    const char *name = arch->rows[row->row].name;

    if (row->last <= row->first || linear->op != DV_NODE_LINEAR ||
        linear[1].op != DV_NODE_BATCH_NORM || !has_name(linear, name, 0, false, "linear") ||
        !has_name(linear + 1, name, 0, false, "bn")) {
        return false;
    }
    row->last = row->first + 1; /* an activation after it is written as a line of its own */
    return true;
}

static void write_linear_row(
    const struct dv_graph *graph, const struct dv_python_row *row, struct dv_buffer *buffer)
{
    const struct dv_node *linear = &graph->nodes[row->first];
    uint32_t outputs = outputs_of(graph, linear);

    dv_buffer_printf(buffer,
        "nn.Sequential(OrderedDict(\n"
        "            linear=nn.Linear(%u, %u%s),\n"
        "            bn=nn.BatchNorm1d(%u),\n"
        "        ))",
        inputs_of(graph, linear), outputs, has_bias(linear) ? "" : ", bias=False", outputs);
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
    bool is_match = false;
    if (arch->rows[row].op == DV_ARCH_CONV) {
        found.block = DV_PYTHON_BLOCK_CONV;
        is_match = match_conv(arch, graph, &found);
    } else if (arch->rows[row].op == DV_ARCH_RESIDUAL) {
        found.block = DV_PYTHON_BLOCK_RESIDUAL;
        is_match = match_units(arch, graph, &found);
    } else if (arch->rows[row].op == DV_ARCH_BOTTLENECK) {
        found.block = DV_PYTHON_BLOCK_BOTTLENECK;
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
    switch (row->block) {
    case DV_PYTHON_BLOCK_CONV:
        write_conv_row(arch, graph, row, buffer);
        break;
    case DV_PYTHON_BLOCK_RESIDUAL:
    case DV_PYTHON_BLOCK_BOTTLENECK:
        write_unit_row(arch, graph, row, buffer);
        break;
    case DV_PYTHON_BLOCK_LINEAR:
        write_linear_row(graph, row, buffer);
        break;
    }
}
