/* SPDX-License-Identifier: Apache-2.0 */
/* What each op of an architecture becomes, and what it asks of its inputs. */
#include "spec/graph_builder.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "spec/check.h"

#include <assert.h>

enum { DIVISORS_SHOWN = 12, GATE_HIDDEN_MIN = 8 };

static const struct dv_window pointwise = {1, 1, 0};

static const char *part(struct dv_graph_builder *builder, const char *block, const char *name)
{
    return dv_arena_printf(builder->arena, "%s.%s", block, name);
}

static bool same_shape(struct dv_shape a, struct dv_shape b)
{
    return a.channels == b.channels && a.rows == b.rows && a.columns == b.columns;
}

/* Channels or features that the row gives: as its input where it does not say. */
static uint32_t row_out(const struct dv_graph_builder *builder, uint32_t from)
{
    uint32_t out = dv_builder_row(builder)->out;

    return out > 0 ? out : dv_builder_shape(builder, from).channels;
}

/* --- Checks ------------------------------------------------------------------------------- */

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b > 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* "1,2,4,8": divisors of `number` up to `limit`. */
static const char *divisors(struct dv_arena *arena, uint32_t number, uint32_t limit)
{
    struct dv_buffer buffer = DV_BUFFER_INIT(1024);
    uint32_t count = 0;

    for (uint32_t i = 1; i <= number && i <= limit && count <= DIVISORS_SHOWN; i++) {
        if (number % i != 0) {
            continue;
        }
        bool is_over = count++ == DIVISORS_SHOWN;
        dv_buffer_printf(&buffer, "%s%s", count > 1 ? "," : "",
            is_over ? "..." : dv_arena_printf(arena, "%u", i));
    }
    const char *text = dv_arena_strdup(arena, dv_buffer_text(&buffer));
    dv_buffer_finish(&buffer);
    return text;
}

static uint32_t divisor_below(uint32_t number, uint32_t limit)
{
    while (limit > 1 && number % limit != 0) {
        limit--;
    }
    return limit;
}

/* Do the row's groups divide the channels that go into its k x k convolutions and come out? */
static bool check_groups(struct dv_graph_builder *builder, uint32_t in, uint32_t out)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    uint32_t groups = row->groups;
    bool is_in = in % groups != 0, is_known;

    if (!is_in && out % groups == 0) {
        return true;
    }
    if (builder->problems) {
        uint32_t common = common_divisor(in, out);
        double groups_max = dv_arch_field_find("groups", row->op, &is_known)->maximum;
        const char *fix = dv_arena_printf(
            builder->arena, "set %s.groups=%u", row->name, divisor_below(common, groups));
        dv_builder_fail(builder, "E_GROUPS", "groups", fix,
            "groups=%u does not divide %s=%u. Legal: %s.", groups,
            row->op == DV_ARCH_BOTTLENECK ? "out/expand"
            : is_in                       ? "in"
                                          : "out",
            is_in ? in : out, divisors(builder->arena, common, (uint32_t)groups_max));
    }
    builder->has_failed = true;
    return false;
}

static bool check_expand(struct dv_graph_builder *builder, uint32_t out)
{
    const struct dv_arch_row *row = dv_builder_row(builder);

    if (out % row->expand == 0) {
        return true;
    }
    if (builder->problems) {
        const char *fix = dv_arena_printf(
            builder->arena, "set %s.expand=%u", row->name, divisor_below(out, row->expand));
        dv_builder_fail(builder, "E_VALUE", "expand", fix,
            "expand=%u does not divide out=%u. Legal: %s.", row->expand, out,
            divisors(builder->arena, out, 8));
    }
    builder->has_failed = true;
    return false;
}

/* Convolutions and pools slide over a map; a flattened value has none. */
static bool check_map(struct dv_graph_builder *builder, uint32_t from)
{
    if (!builder->is_flat[from]) {
        return true;
    }
    dv_builder_fail(builder, "E_SHAPE", "op", builder->problems ? dv_graph_fix_flat(builder) : "",
        "%s needs a map [channel, row, column], found features %s.",
        dv_arch_op_name(dv_builder_row(builder)->op), dv_builder_shape_text(builder, from));
    return false;
}

/* --- Parts of blocks ----------------------------------------------------------------------- */

/* Convolution "conv2", norm "bn2" of a block. */
static uint32_t lower_unit(struct dv_graph_builder *builder, const char *block, uint32_t number,
    uint32_t from, uint32_t out, struct dv_window window, uint32_t groups)
{
    const char *conv = dv_arena_printf(builder->arena, "%s.conv%u", block, number);
    const char *norm = dv_arena_printf(builder->arena, "%s.bn%u", block, number);

    from = dv_builder_conv(builder, conv, from, out, window, groups);
    return dv_builder_norm(builder, norm, from);
}

static uint32_t activate(struct dv_graph_builder *builder, uint32_t from)
{
    return dv_builder_activation(builder, from, dv_builder_row(builder)->act);
}

/*
 * Squeeze-and-excitation (Hu et al. 2018) where the row asks for it; `se` is a share of
 * `channels`. Activations are those of the published networks: SiLU inside for EfficientNet, else
 * ReLU; a hard gate for MobileNetV3, which has hardswish, else a sigmoid.
 */
static uint32_t lower_gate(
    struct dv_graph_builder *builder, const char *block, uint32_t from, uint32_t channels)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    uint32_t hidden = (uint32_t)(row->se * channels + 0.5);

    if (!(row->se > 0)) {
        return from;
    }
    hidden = hidden < GATE_HIDDEN_MIN ? GATE_HIDDEN_MIN : hidden;
    uint32_t gate = dv_builder_global_pool(builder, from, DV_POOLING_AVG);
    gate = dv_builder_gate_conv(builder, part(builder, block, "se.fc1"), gate, hidden);
    gate = dv_builder_activation(
        builder, gate, row->act == DV_ACT_SILU ? DV_ACT_SILU : DV_ACT_RELU);
    gate = dv_builder_gate_conv(builder, part(builder, block, "se.fc2"), gate,
        dv_builder_shape(builder, from).channels);
    gate = dv_builder_activation(
        builder, gate, row->act == DV_ACT_HARDSWISH ? DV_ACT_HARDSIGMOID : DV_ACT_SIGMOID);
    return dv_builder_scale(builder, from, gate);
}

/* --- Blocks ------------------------------------------------------------------------------- */

/* conv "stem": stem.conv, stem.bn. */
static uint32_t lower_conv(
    struct dv_graph_builder *builder, const char *block, uint32_t from, uint32_t stride)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_window window = {row->kernel, stride, row->padding};
    uint32_t out = row_out(builder, from);

    if (!check_groups(builder, dv_builder_shape(builder, from).channels, out)) {
        return from;
    }
    from = dv_builder_conv(builder, part(builder, block, "conv"), from, out, window, row->groups);
    from = dv_builder_norm(builder, part(builder, block, "bn"), from);
    return activate(builder, from);
}

/* The 2x2 pool behind a conv row. */
static uint32_t lower_pool_after(struct dv_graph_builder *builder, uint32_t from)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_shape shape = dv_builder_shape(builder, from);

    if (row->pooling == DV_POOLING_NONE || builder->has_failed) {
        return from;
    }
    if (shape.rows < 2 || shape.columns < 2) {
        dv_builder_fail(builder, "E_SHAPE", "pool",
            dv_arena_printf(builder->arena, "set %s.pool=\"none\"", row->name),
            "its 2x2 pool does not fit on a map of %s.", dv_builder_shape_text(builder, from));
        return from;
    }
    return dv_builder_pool(builder, from, (struct dv_window){2, 2, 0});
}

/* Zeros make a shortcut wider, nothing makes it narrower. */
static bool check_pad(struct dv_graph_builder *builder, uint32_t from, uint32_t out)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    uint32_t in = dv_builder_shape(builder, from).channels;

    if (row->shortcut != DV_SHORTCUT_PAD || out >= in) {
        return true;
    }
    dv_builder_fail(builder, "E_SHAPE", "shortcut",
        dv_arena_printf(builder->arena, "set %s.shortcut=\"conv\"", row->name),
        "a padded shortcut cannot go from %u channels to %u. Legal: conv, or out of %u and more.",
        in, out, in);
    return false;
}

/* What stands beside a block's body. */
static uint32_t lower_shortcut(struct dv_graph_builder *builder, const char *block, uint32_t from,
    struct dv_shape shape, uint32_t stride)
{
    if (same_shape(dv_builder_shape(builder, from), shape)) {
        return from;
    }
    if (dv_builder_row(builder)->shortcut == DV_SHORTCUT_PAD) {
        return dv_builder_pad_shortcut(builder, from, shape.channels, stride);
    }
    struct dv_window window = {1, stride, 0};
    from = dv_builder_conv(
        builder, part(builder, block, "downsample.0"), from, shape.channels, window, 1);
    return dv_builder_norm(builder, part(builder, block, "downsample.1"), from);
}

/* The sum of a block's body and its shortcut. */
static uint32_t join_shortcut(struct dv_graph_builder *builder, const char *block, uint32_t from,
    uint32_t body, uint32_t stride)
{
    struct dv_shape shape = dv_builder_shape(builder, body);

    if (builder->has_failed) {
        return from;
    }
    body = lower_gate(builder, block, body, shape.channels);
    body = dv_builder_drop_path(builder, body, dv_builder_row(builder)->drop);
    uint32_t inputs[] = {body, lower_shortcut(builder, block, from, shape, stride)};
    /* Kernels are odd and padded by half, so both ways shrink a map alike. */
    assert(builder->has_failed || same_shape(dv_builder_shape(builder, inputs[1]), shape));
    return activate(builder, dv_builder_join(builder, DV_NODE_ADD, inputs, 2, shape.channels));
}

static uint32_t lower_residual(
    struct dv_graph_builder *builder, const char *block, uint32_t from, uint32_t stride)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_window first = {row->kernel, stride, row->padding};
    struct dv_window second = {row->kernel, 1, row->padding};
    uint32_t out = row_out(builder, from);

    if (!check_groups(builder, dv_builder_shape(builder, from).channels, out) ||
        !check_pad(builder, from, out)) {
        return from;
    }
    uint32_t body = lower_unit(builder, block, 1, from, out, first, row->groups);
    body = activate(builder, body);
    body = lower_unit(builder, block, 2, body, out, second, row->groups);
    return join_shortcut(builder, block, from, body, stride);
}

static uint32_t lower_bottleneck(
    struct dv_graph_builder *builder, const char *block, uint32_t from, uint32_t stride)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_window wide = {row->kernel, stride, row->padding};
    uint32_t out = row_out(builder, from);

    if (!check_expand(builder, out) ||
        !check_groups(builder, out / row->expand, out / row->expand) ||
        !check_pad(builder, from, out)) {
        return from;
    }
    uint32_t inside = out / row->expand;
    uint32_t body = activate(builder, lower_unit(builder, block, 1, from, inside, pointwise, 1));
    body = activate(builder, lower_unit(builder, block, 2, body, inside, wide, row->groups));
    body = lower_unit(builder, block, 3, body, out, pointwise, 1);
    return join_shortcut(builder, block, from, body, stride);
}

/* MobileNetV2 and EfficientNet: nothing follows the projection but the sum, where there is one. */
static uint32_t lower_mbconv(
    struct dv_graph_builder *builder, const char *block, uint32_t from, uint32_t stride)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_window depthwise = {row->kernel, stride, row->padding};
    uint32_t in = dv_builder_shape(builder, from).channels;
    uint32_t out = row_out(builder, from);
    uint32_t body = from;

    /* A value's channels fit in 31 bits and `expand` in 4; add_node() refuses what is too many. */
    uint64_t wide = (uint64_t)in * row->expand;
    uint32_t inside = wide > UINT32_MAX ? UINT32_MAX : (uint32_t)wide;
    if (row->expand > 1) {
        body = activate(builder, lower_unit(builder, block, 1, from, inside, pointwise, 1));
    }
    body = activate(builder, lower_unit(builder, block, 2, body, inside, depthwise, inside));
    body = lower_gate(builder, block, body, in);
    body = lower_unit(builder, block, 3, body, out, pointwise, 1);
    if (stride != 1 || in != out || builder->has_failed) {
        return body;
    }
    body = dv_builder_drop_path(builder, body, row->drop);
    return dv_builder_join(builder, DV_NODE_ADD, (uint32_t[]){body, from}, 2, out);
}

static uint32_t lower_dwsep(
    struct dv_graph_builder *builder, const char *block, uint32_t from, uint32_t stride)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_window depthwise = {row->kernel, stride, row->padding};
    uint32_t in = dv_builder_shape(builder, from).channels;
    uint32_t out = row_out(builder, from);

    from = activate(builder, lower_unit(builder, block, 1, from, in, depthwise, in));
    return activate(builder, lower_unit(builder, block, 2, from, out, pointwise, 1));
}

typedef uint32_t (*lower_fn)(
    struct dv_graph_builder *builder, const char *block, uint32_t from, uint32_t stride);

/* The stride is that of the first repeat. Blocks are numbered even where there is one. */
static uint32_t lower_repeats(struct dv_graph_builder *builder, uint32_t from, lower_fn lower)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    bool is_numbered = row->repeat > 1 || row->op != DV_ARCH_CONV;

    for (uint32_t i = 0; i < row->repeat && !builder->has_failed; i++) {
        const char *block =
            is_numbered ? dv_arena_printf(builder->arena, "%s.%u", row->name, i) : row->name;
        from = lower(builder, block, from, i == 0 ? row->stride : 1);
    }
    return from;
}

/* --- Linear ------------------------------------------------------------------------------- */

/* The head is as wide as there are classes. */
static uint32_t linear_out(struct dv_graph_builder *builder, uint32_t from)
{
    const struct dv_arch_row *row = dv_builder_row(builder);

    if (builder->row + 1 < builder->arch->row_count) {
        return row_out(builder, from);
    }
    if (row->out == 0) {
        dv_builder_note(builder, dv_arena_printf(builder->arena, "\"%s\".out=%u, the classes",
                                     row->name, builder->class_count));
    } else if (row->out != builder->class_count) {
        dv_builder_fail(builder, "E_HEAD", "out",
            dv_arena_printf(builder->arena, "set %s.out=%u", row->name, builder->class_count),
            "the last row has out=%u, the data set has %u classes.", row->out,
            builder->class_count);
    }
    return builder->class_count;
}

/* From a map to features: one average a channel, unless the row before made it small already. */
static uint32_t make_flat(struct dv_graph_builder *builder, uint32_t from)
{
    struct dv_shape shape = dv_builder_shape(builder, from);

    builder->is_inserting = true;
    if (shape.rows > 1 || shape.columns > 1) {
        dv_builder_note(builder, dv_arena_printf(builder->arena, "global_pool before \"%s\"",
                                     dv_builder_row(builder)->name));
        from = dv_builder_global_pool(builder, from, DV_POOLING_AVG);
    }
    from = dv_builder_flatten(builder, from);
    builder->is_inserting = false;
    return from;
}

static uint32_t lower_linear(struct dv_graph_builder *builder, uint32_t from)
{
    const struct dv_arch_row *row = dv_builder_row(builder);

    from = make_flat(builder, from);
    uint32_t out = linear_out(builder, from);
    from = dv_builder_dropout(builder, from, row->drop);
    const char *name = row->norm == DV_NORM_NONE ? row->name : part(builder, row->name, "linear");
    from = dv_builder_linear(builder, name, from, out);
    from = dv_builder_norm(builder, part(builder, row->name, "bn"), from);
    return activate(builder, from);
}

/* --- Joins -------------------------------------------------------------------------------- */

static const char *input_name(const struct dv_graph_builder *builder, uint32_t index)
{
    uint32_t from = dv_builder_row(builder)->from[index];

    return from == DV_ARCH_FROM_INPUT ? "input" : builder->arch->rows[from].name;
}

static void fail_join(struct dv_graph_builder *builder, const uint32_t *inputs, uint32_t differing)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_buffer text = DV_BUFFER_INIT(1024);

    if (builder->problems) {
        const char *fix = dv_graph_fix_join(builder, inputs, differing);
        for (uint32_t i = 0; i < row->from_count; i++) {
            dv_buffer_printf(&text, "%s%s=%s", i > 0 ? ", " : "", input_name(builder, i),
                dv_builder_shape_text(builder, inputs[i]));
        }
        bool is_add = row->op == DV_ARCH_ADD;
        dv_builder_fail(builder, is_add ? "E_ADD_SHAPE" : "E_CONCAT_SHAPE", "from", fix,
            "%s differ: %s.", is_add ? "inputs" : "maps", dv_buffer_text(&text));
        dv_buffer_finish(&text);
    }
    builder->has_failed = true;
}

static uint32_t lower_join(struct dv_graph_builder *builder, const uint32_t *inputs)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    bool is_add = row->op == DV_ARCH_ADD;
    struct dv_shape shape = dv_builder_shape(builder, inputs[0]);
    uint64_t channels = shape.channels;

    for (uint32_t i = 1; i < row->from_count; i++) {
        struct dv_shape other = dv_builder_shape(builder, inputs[i]);
        channels += is_add ? 0 : other.channels;
        other.channels = is_add ? other.channels : shape.channels;
        if (!same_shape(shape, other) ||
            builder->is_flat[inputs[0]] != builder->is_flat[inputs[i]]) {
            fail_join(builder, inputs, i);
            return inputs[0];
        }
    }
    /* Four inputs of at most INT32_MAX channels; add_node() refuses what is too many. */
    uint32_t countable = channels > UINT32_MAX ? UINT32_MAX : (uint32_t)channels;
    uint32_t node = dv_builder_join(
        builder, is_add ? DV_NODE_ADD : DV_NODE_CONCAT, inputs, row->from_count, countable);
    return activate(builder, node);
}

/* --- The row ------------------------------------------------------------------------------ */

uint32_t dv_builder_lower(struct dv_graph_builder *builder, const uint32_t *inputs)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_window window = {row->kernel, row->stride, row->padding};
    bool is_windowed = row->op == DV_ARCH_CONV || row->op == DV_ARCH_POOL ||
                       row->op == DV_ARCH_GLOBAL_POOL || dv_arch_op_is_block(row->op);

    if (is_windowed && !check_map(builder, inputs[0])) {
        return inputs[0];
    }
    switch (row->op) {
    case DV_ARCH_CONV:
        return lower_pool_after(builder, lower_repeats(builder, inputs[0], lower_conv));
    case DV_ARCH_RESIDUAL:
        return lower_repeats(builder, inputs[0], lower_residual);
    case DV_ARCH_BOTTLENECK:
        return lower_repeats(builder, inputs[0], lower_bottleneck);
    case DV_ARCH_MBCONV:
        return lower_repeats(builder, inputs[0], lower_mbconv);
    case DV_ARCH_DWSEP:
        return lower_repeats(builder, inputs[0], lower_dwsep);
    case DV_ARCH_POOL:
        return dv_builder_pool(builder, inputs[0], window);
    case DV_ARCH_GLOBAL_POOL:
        return dv_builder_global_pool(builder, inputs[0], row->pooling);
    case DV_ARCH_ADD:
    case DV_ARCH_CONCAT:
        return lower_join(builder, inputs);
    case DV_ARCH_DROPOUT:
        return dv_builder_dropout(builder, inputs[0], row->drop);
    case DV_ARCH_FLATTEN:
        return dv_builder_flatten(builder, inputs[0]);
    case DV_ARCH_LINEAR:
    case DV_ARCH_OP_COUNT:
        break;
    }
    return lower_linear(builder, inputs[0]);
}
