/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read from the bottom: dv_python_source_write() lists the parts of the file. The graph is first
 * cut into steps (a block, or one node), each a line of forward(); a step's value is `x` when
 * only the next step takes it, and has a name of its own otherwise.
 */
#include "format/python_source.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "format/python_block.h"
#include "format/python_template.h"
#include "spec/graph.h"
#include "spec/preprocessing.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

struct step {
    bool is_block;
    struct dv_python_row row; /* of a block; of one node only first and last are set */
};

struct writer {
    const struct dv_python_source *source;
    const struct dv_graph *graph;
    struct dv_buffer *buffer;
    struct step *steps;
    uint32_t step_count;
    bool *is_kept; /* per node: its value has a name of its own */
    bool *is_flat; /* per node: [feature], not [channel, row, column] */
};

/*
 * Names that a row may have but that Python or torch.nn.Module has already; tests/python compares
 * this list with the real ones.
 */
static const char *const taken_names[] = {
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "add_module",
    "apply",
    "bfloat16",
    "buffers",
    "call_super_init",
    "children",
    "compile",
    "cpu",
    "cuda",
    "double",
    "dump_patches",
    "eval",
    "extra_repr",
    "float",
    "forward",
    "get_buffer",
    "get_extra_state",
    "get_parameter",
    "get_submodule",
    "half",
    "ipu",
    "load_state_dict",
    "modules",
    "mtia",
    "named_buffers",
    "named_children",
    "named_modules",
    "named_parameters",
    "parameters",
    "register_backward_hook",
    "register_buffer",
    "register_forward_hook",
    "register_module",
    "register_parameter",
    "requires_grad_",
    "set_extra_state",
    "set_submodule",
    "share_memory",
    "state_dict",
    "to",
    "to_empty",
    "train",
    "training",
    "type",
    "xpu",
    "zero_grad",
};

/* --- Literals ----------------------------------------------------------------------------- */

/* The code point at `text`, which is UTF-8; *ret_size is the number of its bytes. */
static uint32_t decode_utf8(const char *text, size_t *ret_size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t size = bytes[0] < 0xC0 ? 1 : bytes[0] < 0xE0 ? 2 : bytes[0] < 0xF0 ? 3 : 4;
    uint32_t code = size == 1 ? bytes[0] : bytes[0] & (0x7Fu >> size);

    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xC0) != 0x80) {
            *ret_size = 1; /* not UTF-8 after all: the byte itself, never past the end */
            return bytes[0];
        }
        code = code << 6 | (bytes[i] & 0x3F);
    }
    *ret_size = size;
    return code;
}

void dv_python_source_string(struct dv_buffer *buffer, const char *text)
{
    size_t size;

    dv_buffer_append_text(buffer, "\"");
    for (; *text != '\0'; text += size) {
        uint32_t code = decode_utf8(text, &size);
        if (code == '"' || code == '\\') {
            dv_buffer_printf(buffer, "\\%c", (char)code);
        } else if (code >= 0x20 && code < 0x7F) {
            dv_buffer_append(buffer, text, 1);
        } else if (code < 0x10000) {
            dv_buffer_printf(buffer, "\\u%04x", code);
        } else {
            dv_buffer_printf(buffer, "\\U%08x", code);
        }
    }
    dv_buffer_append_text(buffer, "\"");
}

static void write_numbers(
    struct dv_buffer *buffer, const char *name, const float *values, uint32_t count)
{
    dv_buffer_printf(buffer, "%s = [", name);
    for (uint32_t i = 0; i < count; i++) {
        dv_buffer_printf(buffer, "%s%.9g", i == 0 ? "" : ", ", (double)values[i]);
    }
    dv_buffer_append_text(buffer, "]\n");
}

static void write_constants(const struct dv_python_source *source, struct dv_buffer *buffer)
{
    const struct dv_preprocessing *preprocessing = source->preprocessing;

    dv_buffer_append_text(buffer, "NAME = ");
    dv_python_source_string(buffer, source->name);
    dv_buffer_printf(
        buffer, "\nROWS, COLUMNS = %u, %u\n", preprocessing->rows, preprocessing->columns);
    dv_buffer_printf(buffer, "MODE = \"%s\"  # %s\n", preprocessing->channels == 1 ? "L" : "RGB",
        preprocessing->channels == 1 ? "grey" : "colour");
    dv_buffer_append_text(buffer, "# Of each channel, on a scale from 0 to 1.\n");
    write_numbers(buffer, "MEAN", preprocessing->mean, preprocessing->channels);
    write_numbers(buffer, "STD", preprocessing->std, preprocessing->channels);
    dv_buffer_append_text(buffer, "CLASSES = [\n");
    for (uint32_t i = 0; i < preprocessing->class_count; i++) {
        dv_buffer_append_text(buffer, "    ");
        dv_python_source_string(buffer, preprocessing->classes[i]);
        dv_buffer_append_text(buffer, ",\n");
    }
    dv_buffer_append_text(buffer, "]\n");
}

/* --- Steps -------------------------------------------------------------------------------- */

static const struct dv_node *step_input(const struct writer *writer, const struct step *step)
{
    return &writer->graph->nodes[step->row.first];
}

/* Mark what a step takes from anywhere but the step right before it. */
static void keep_inputs(struct writer *writer, uint32_t step_index)
{
    const struct dv_node *node = step_input(writer, &writer->steps[step_index]);
    uint32_t before = step_index == 0 ? 0 : writer->steps[step_index - 1].row.last;

    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] != before) {
            writer->is_kept[node->inputs[i]] = true;
        }
    }
}

static void find_steps(struct writer *writer)
{
    const struct dv_graph *graph = writer->graph;

    for (uint32_t i = 1; i < graph->node_count;) {
        struct step *step = &writer->steps[writer->step_count];
        step->row = (struct dv_python_row){.row = graph->nodes[i].row, .first = i, .last = i};
        step->is_block = dv_python_block_match(writer->source->arch, graph, i, &step->row);
        keep_inputs(writer, writer->step_count);
        writer->step_count++;
        i = step->row.last + 1;
    }
    for (uint32_t i = 1; i < graph->node_count; i++) {
        const struct dv_node *node = &graph->nodes[i];
        writer->is_flat[i] = node->op == DV_NODE_FLATTEN || node->op == DV_NODE_LINEAR ||
                             writer->is_flat[node->inputs[0]];
    }
}

/* --- __init__ ------------------------------------------------------------------------------ */

static bool is_own_name(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(taken_names); i++) {
        if (strcmp(name, taken_names[i]) == 0) {
            return false;
        }
    }
    return strchr(name, '.') == NULL;
}

/* Has this node a module of its own? Its name is the path to it. */
static bool has_module(const struct dv_node *node)
{
    return node->op == DV_NODE_CONV || node->op == DV_NODE_BATCH_NORM ||
           node->op == DV_NODE_GROUP_NORM || node->op == DV_NODE_LINEAR;
}

static void write_node_module(const struct writer *writer, uint32_t index)
{
    const struct dv_node *node = &writer->graph->nodes[index];
    const uint32_t *shape = writer->graph->tensors[node->tensors[DV_TENSOR_WEIGHT]].shape;
    const char *bias = node->tensors[DV_TENSOR_BIAS] == DV_NO_TENSOR ? ", bias=False" : "";

    if (node->op == DV_NODE_CONV) {
        dv_buffer_printf(writer->buffer, "nn.Conv2d(%u, %u, %u, %u, %u, groups=%u%s)",
            shape[1] * node->groups, shape[0], node->kernel, node->stride, node->padding,
            node->groups, bias);
    } else if (node->op == DV_NODE_LINEAR) {
        dv_buffer_printf(writer->buffer, "nn.Linear(%u, %u%s)", shape[1], shape[0], bias);
    } else if (node->op == DV_NODE_GROUP_NORM) {
        dv_buffer_printf(writer->buffer, "nn.GroupNorm(%u, %u)", node->groups, shape[0]);
    } else {
        dv_buffer_printf(
            writer->buffer, "nn.BatchNorm%ud(%u)", writer->is_flat[index] ? 1u : 2u, shape[0]);
    }
}

/* The name of the module that a step calls, or NULL. */
static const char *step_module(const struct writer *writer, const struct step *step)
{
    const struct dv_node *node = &writer->graph->nodes[step->row.first];

    if (step->is_block) {
        return writer->source->arch->rows[step->row.row].name;
    }
    return has_module(node) ? node->name : NULL;
}

static void write_module(const struct writer *writer, const struct step *step)
{
    struct dv_buffer *buffer = writer->buffer;
    const char *name = step_module(writer, step);

    if (!name) {
        return;
    }
    bool is_own = is_own_name(name);
    if (is_own) {
        dv_buffer_printf(buffer, "        self.%s = ", name);
    } else {
        dv_buffer_append_text(buffer, "        place(self, ");
        dv_python_source_string(buffer, name);
        dv_buffer_append_text(buffer, ", ");
    }
    if (step->is_block) {
        dv_python_block_write(writer->source->arch, writer->graph, &step->row, buffer);
    } else {
        write_node_module(writer, step->row.first);
    }
    dv_buffer_append_text(buffer, is_own ? "\n" : ")\n");
}

/* --- forward() ----------------------------------------------------------------------------- */

static void write_value(const struct writer *writer, uint32_t index)
{
    const struct dv_node *node = &writer->graph->nodes[index];
    const struct dv_graph *graph = writer->graph;

    if (!writer->is_kept[index]) {
        dv_buffer_append_text(writer->buffer, "x");
    } else if (index == 0) {
        dv_buffer_append_text(writer->buffer, "picture");
    } else if (node->row < graph->row_count && graph->row_nodes[node->row] == index) {
        dv_buffer_printf(writer->buffer, "%s_out", writer->source->arch->rows[node->row].name);
    } else {
        dv_buffer_printf(writer->buffer, "value_%u", index);
    }
}

/* All inputs of a node with `separator` between them. */
static void write_values(
    const struct writer *writer, const struct dv_node *node, const char *separator)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        dv_buffer_append_text(writer->buffer, i == 0 ? "" : separator);
        write_value(writer, node->inputs[i]);
    }
}

static const char *activation_function(enum dv_activation act)
{
    static const char *const names[DV_ACT_COUNT] = {
        [DV_ACT_NONE] = "",
        [DV_ACT_RELU] = "F.relu",
        [DV_ACT_RELU6] = "F.relu6",
        [DV_ACT_LEAKY_RELU] = "F.leaky_relu",
        [DV_ACT_SILU] = "F.silu",
        [DV_ACT_GELU] = "F.gelu",
        [DV_ACT_HARDSWISH] = "F.hardswish",
        [DV_ACT_SIGMOID] = "torch.sigmoid",
        [DV_ACT_HARDSIGMOID] = "F.hardsigmoid",
    };

    assert(act < DV_ACT_COUNT);

    return names[act];
}

static void write_pad_shortcut(const struct writer *writer, const struct dv_node *node)
{
    uint32_t inputs = writer->graph->nodes[node->inputs[0]].shape.channels;

    dv_buffer_append_text(writer->buffer, "F.pad(");
    write_value(writer, node->inputs[0]);
    dv_buffer_printf(writer->buffer, "[:, :, ::%u, ::%u], (0, 0, 0, 0, 0, %u))", node->stride,
        node->stride, node->shape.channels - inputs);
}

/* function(value, a, b, c): the operations without weights. */
static void write_operation(const struct writer *writer, const struct dv_node *node)
{
    struct dv_buffer *buffer = writer->buffer;
    const char *kind = node->pooling == DV_POOLING_MAX ? "max" : "avg";

    switch (node->op) {
    case DV_NODE_POOL:
        dv_buffer_printf(buffer, "F.%s_pool2d(", kind);
        write_value(writer, node->inputs[0]);
        dv_buffer_printf(buffer, ", %u, %u, %u)", node->kernel, node->stride, node->padding);
        return;
    case DV_NODE_GLOBAL_POOL:
        dv_buffer_printf(buffer, "F.adaptive_%s_pool2d(", kind);
        write_value(writer, node->inputs[0]);
        dv_buffer_append_text(buffer, ", 1)");
        return;
    case DV_NODE_ADD:
        write_values(writer, node, " + ");
        return;
    case DV_NODE_CONCAT:
        dv_buffer_append_text(buffer, "torch.cat([");
        write_values(writer, node, ", ");
        dv_buffer_append_text(buffer, "], 1)");
        return;
    case DV_NODE_DROPOUT:
        dv_buffer_append_text(buffer, "F.dropout(");
        write_value(writer, node->inputs[0]);
        dv_buffer_printf(buffer, ", %.9g, self.training)", node->drop);
        return;
    case DV_NODE_FLATTEN:
        dv_buffer_append_text(buffer, "torch.flatten(");
        write_value(writer, node->inputs[0]);
        dv_buffer_append_text(buffer, ", 1)");
        return;
    case DV_NODE_SCALE:
        write_values(writer, node, " * ");
        return;
    case DV_NODE_DROP_PATH:
        write_value(writer, node->inputs[0]);
        dv_buffer_append_text(buffer, " * F.dropout(");
        write_value(writer, node->inputs[0]);
        dv_buffer_append_text(buffer, ".new_ones(len(");
        write_value(writer, node->inputs[0]);
        dv_buffer_printf(buffer, "), 1, 1, 1), %.9g, self.training)", node->drop);
        return;
    case DV_NODE_PAD_SHORTCUT:
        write_pad_shortcut(writer, node);
        return;
    default:
        assert(node->op == DV_NODE_ACTIVATION);
        dv_buffer_printf(buffer, "%s(", activation_function(node->act));
        write_value(writer, node->inputs[0]);
        dv_buffer_append_text(buffer, ")");
        return;
    }
}

static void write_step(const struct writer *writer, const struct step *step)
{
    struct dv_buffer *buffer = writer->buffer;
    const struct dv_node *node = step_input(writer, step);
    const struct dv_shape *shape = &writer->graph->nodes[step->row.last].shape;
    const char *name = step_module(writer, step);

    dv_buffer_append_text(buffer, "        ");
    write_value(writer, step->row.last);
    dv_buffer_append_text(buffer, " = ");
    if (!name) {
        write_operation(writer, node);
    } else {
        if (is_own_name(name)) {
            dv_buffer_printf(buffer, "self.%s(", name);
        } else {
            dv_buffer_append_text(buffer, "at(self, ");
            dv_python_source_string(buffer, name);
            dv_buffer_append_text(buffer, ")(");
        }
        write_value(writer, node->inputs[0]);
        dv_buffer_append_text(buffer, ")");
    }
    if (writer->is_flat[step->row.last]) {
        dv_buffer_printf(buffer, "  # [%u]\n", shape->channels);
    } else {
        dv_buffer_printf(
            buffer, "  # [%u, %u, %u]\n", shape->channels, shape->rows, shape->columns);
    }
}

/* --- The file ------------------------------------------------------------------------------ */

/* What the blocks' classes are given, where a block has it. */
static void write_helpers(const struct writer *writer)
{
    const char *helpers[] = {NULL, NULL, NULL, NULL, NULL}; /* in the order of the file */

    for (uint32_t i = 0; i < writer->step_count; i++) {
        const struct step *step = &writer->steps[i];
        if (!step->is_block || step->row.block == DV_PYTHON_BLOCK_LINEAR) {
            continue;
        }
        const struct dv_arch_row *row = &writer->source->arch->rows[step->row.row];
        helpers[0] = dv_python_unit;
        helpers[1] = row->norm == DV_NORM_GROUP ? dv_python_group_norm : helpers[1];
        helpers[2] = row->se > 0 ? dv_python_gate : helpers[2];
        for (uint32_t j = step->row.first; j <= step->row.last; j++) {
            enum dv_node_op op = writer->graph->nodes[j].op;
            helpers[3] = op == DV_NODE_DROP_PATH ? dv_python_drop_path : helpers[3];
            helpers[4] = op == DV_NODE_PAD_SHORTCUT ? dv_python_pad_shortcut : helpers[4];
        }
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(helpers); i++) {
        dv_buffer_append_text(writer->buffer, helpers[i] ? helpers[i] : "");
    }
}

static void write_classes(const struct writer *writer)
{
    bool is_written[DV_PYTHON_BLOCK_LINEAR + 1] = {false};
    bool is_placed = false;

    for (uint32_t i = 0; i < writer->step_count; i++) {
        const struct step *step = &writer->steps[i];
        const char *name = step_module(writer, step);
        if (name && !is_own_name(name) && !is_placed) {
            dv_buffer_append_text(writer->buffer, dv_python_place);
            is_placed = true;
        }
        const char *text = step->is_block ? dv_python_block_class(step->row.block) : NULL;
        if (text && !is_written[step->row.block]) {
            dv_buffer_append_text(writer->buffer, text);
            is_written[step->row.block] = true;
        }
    }
}

static void write_network(const struct writer *writer)
{
    struct dv_buffer *buffer = writer->buffer;

    dv_buffer_append_text(buffer, "\n\nclass Network(nn.Module):\n    def __init__(self):\n"
                                  "        super().__init__()\n");
    for (uint32_t i = 0; i < writer->step_count; i++) {
        write_module(writer, &writer->steps[i]);
    }
    dv_buffer_append_text(buffer, "\n    def forward(self, ");
    write_value(writer, 0);
    dv_buffer_append_text(buffer, "):  # [picture, channel, row, column]\n");
    for (uint32_t i = 0; i < writer->step_count; i++) {
        write_step(writer, &writer->steps[i]);
    }
    dv_buffer_append_text(buffer, "        return ");
    write_value(writer, writer->graph->node_count - 1);
    dv_buffer_append_text(buffer, "\n");
}

static const char *resize_text(enum dv_resize resize)
{
    switch (resize) {
    case DV_RESIZE_CROP:
        return dv_python_crop;
    case DV_RESIZE_PAD:
        return dv_python_pad;
    case DV_RESIZE_STRETCH:
        break;
    }
    return dv_python_stretch;
}

enum dv_status dv_python_source_write(
    const struct dv_python_source *source, struct dv_buffer *buffer, struct dv_error *reterr)
{
    const struct dv_graph *graph = source->graph;
    struct writer writer = {.source = source, .graph = graph, .buffer = buffer};

    assert(source->name);
    assert(graph->node_count > 1);
    DV_CLEANUP(dv_freep) struct step *steps = dv_alloc(graph->node_count * sizeof(*steps));
    DV_CLEANUP(dv_freep) bool *flags = dv_alloc(2 * (size_t)graph->node_count * sizeof(*flags));
    writer.steps = steps;
    writer.is_kept = flags;
    writer.is_flat = flags + graph->node_count;
    find_steps(&writer);

    dv_buffer_append_text(buffer, dv_python_intro);
    write_constants(source, buffer);
    dv_buffer_append_text(buffer, dv_python_weights);
    write_helpers(&writer);
    write_classes(&writer);
    write_network(&writer);
    dv_buffer_append_text(buffer, dv_python_read);
    dv_buffer_append_text(buffer, resize_text(source->preprocessing->resize));
    dv_buffer_append_text(buffer, dv_python_use);
    if (buffer->is_over) {
        return dv_fail(
            reterr, DV_TOO_LARGE, "model.py would have more than %zu bytes", buffer->size_max);
    }
    return DV_OK;
}
