/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixes for what a graph stumbles over. A change of a row is tried on a copy of the architecture
 * before it is offered; rows that are to be put in are computed to fit.
 */
#include "spec/graph_builder.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { SIZE_TRIALS_MAX = 64, OUT_SMALL = 64, ROWS_TEXT_SIZE_MAX = 1024, POOL_SIDE_MAX = 11 };

/*
 * Does the network build up to and including row_last when this row is as in `changed`? Puts the
 * row's shape into ret_shape where that is not NULL.
 */
static bool try_row(const struct dv_graph_builder *builder, uint32_t row, uint32_t row_last,
    const struct dv_arch_row *changed, struct dv_shape *ret_shape)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_arch arch = *builder->arch;
    struct dv_graph_builder trial = {
        .arch = &arch, .arena = arena, .class_count = builder->class_count};

    arch.rows = dv_arena_array(arena, arch.row_count, sizeof(arch.rows[0]));
    memcpy(arch.rows, builder->arch->rows, arch.row_count * sizeof(arch.rows[0]));
    arch.rows[row] = *changed;
    dv_builder_run(&trial, builder->graph->nodes[0].shape, row_last);
    if (!trial.has_failed && ret_shape) {
        *ret_shape = dv_builder_shape(&trial, trial.graph->row_nodes[row]);
    }
    return !trial.has_failed;
}

/* --- Windows, flat values ----------------------------------------------------------------- */

/* Half a kernel of padding always fits; a pool's padding has a limit, so its kernel shrinks. */
const char *dv_graph_fix_window(const struct dv_graph_builder *builder, uint32_t from)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct dv_shape in = dv_builder_shape(builder, from);
    uint32_t side = in.rows < in.columns ? in.rows : in.columns;

    if (row->op != DV_ARCH_POOL) {
        return dv_arena_printf(builder->arena, "set %s.padding=%u", row->name, row->kernel / 2);
    }
    return dv_arena_printf(builder->arena, "set %s.kernel=%u, %s.stride=%u, %s.padding=0",
        row->name, side, row->name, side, row->name);
}

/* What does to features what the row was to do to a map. */
const char *dv_graph_fix_flat(const struct dv_graph_builder *builder)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    bool is_pool = row->op == DV_ARCH_POOL || row->op == DV_ARCH_GLOBAL_POOL;
    struct dv_arch_row other = dv_arch_row_default(is_pool ? DV_ARCH_FLATTEN : DV_ARCH_LINEAR);

    memcpy(other.name, row->name, sizeof(other.name));
    memcpy(other.from, row->from, sizeof(other.from));
    other.from_count = row->from_count;
    if (!is_pool) {
        other.out = row->out;
        other.act = row->act;
    }
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *json = dv_arch_row_to_json(builder->arch, &other, builder->row);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
    return dv_arena_printf(builder->arena, "replace layers[%u] by %s", builder->row, text);
}

/* --- Joins: another stride or width of an input ---------------------------------------------- */

struct change {
    uint32_t row;
    struct dv_arch_row changed;
    char text[80];
};

static const char *try_change(const struct dv_graph_builder *builder, const struct change *change)
{
    struct dv_shape shape;

    if (!try_row(builder, change->row, builder->row, &change->changed, &shape)) {
        return NULL;
    }
    return dv_arena_printf(builder->arena, "set %s (gives [%u,%u,%u])", change->text,
        shape.channels, shape.rows, shape.columns);
}

/* Other strides, another width, or both, of one of the rows that are joined. */
static const char *fix_input(
    const struct dv_graph_builder *builder, uint32_t row_index, uint32_t channels)
{
    const struct dv_arch_row *row = &builder->arch->rows[row_index];
    struct change change = {.row = row_index, .changed = *row};
    bool has_out = row->op == DV_ARCH_CONV || dv_arch_op_is_block(row->op);
    uint32_t other_stride = row->stride == 1 ? 2 : 1;
    const char *fix = NULL;

    if (!has_out && row->op != DV_ARCH_POOL) {
        return NULL;
    }
    change.changed.stride = other_stride;
    (void)snprintf(change.text, sizeof(change.text), "%s.stride=%u", row->name, other_stride);
    fix = try_change(builder, &change);
    if (!fix && has_out) {
        change.changed.out = channels;
        (void)snprintf(change.text, sizeof(change.text), "%s.stride=%u, %s.out=%u", row->name,
            other_stride, row->name, channels);
        fix = try_change(builder, &change);
    }
    if (!fix && has_out) {
        change.changed.stride = row->stride;
        (void)snprintf(change.text, sizeof(change.text), "%s.out=%u", row->name, channels);
        fix = try_change(builder, &change);
    }
    return fix;
}

/* --- Joins: rows put in between --------------------------------------------------------------- */

static bool name_is_free(const struct dv_graph_builder *builder, const char *name)
{
    for (uint32_t i = 0; i < builder->arch->row_count; i++) {
        if (strcmp(builder->arch->rows[i].name, name) == 0) {
            return false;
        }
    }
    return true;
}

struct inserted {
    const struct dv_graph_builder *builder;
    struct dv_buffer text;
    char from[DV_ARCH_NAME_SIZE]; /* what the next one takes */
    uint32_t number;
};

/* One more row, `fields` being its members after "from". */
static void insert_row(struct inserted *inserted, const char *op, const char *fields)
{
    char name[DV_ARCH_NAME_SIZE];

    do {
        (void)snprintf(name, sizeof(name), "fit%u", ++inserted->number);
    } while (!name_is_free(inserted->builder, name));
    dv_buffer_printf(&inserted->text, "%s{\"name\":\"%s\",\"op\":\"%s\",\"from\":[\"%s\"]%s}",
        inserted->text.size > 0 ? ", " : "", name, op, inserted->from, fields);
    memcpy(inserted->from, name, sizeof(name));
}

static uint32_t slide(uint32_t side, struct dv_window window)
{
    uint32_t padded = side + 2 * window.padding;

    return padded < window.kernel ? 0 : (padded - window.kernel) / window.stride + 1;
}

/* The smallest legal pool that makes one map as large as another; a kernel of 1 if they are. */
static bool find_window(struct dv_shape is, struct dv_shape wanted, struct dv_window *ret_window)
{
    for (uint32_t kernel = 1; kernel <= POOL_SIDE_MAX; kernel++) {
        for (uint32_t stride = 1; stride <= (kernel == 1 ? 1 : POOL_SIDE_MAX); stride++) {
            for (uint32_t padding = 0; padding <= kernel / 2; padding++) {
                struct dv_window window = {kernel, stride, padding};
                if (slide(is.rows, window) == wanted.rows &&
                    slide(is.columns, window) == wanted.columns) {
                    *ret_window = window;
                    return true;
                }
            }
        }
    }
    return false;
}

/* Rows that bring `from` into the shape of `to`; false where no such rows are simple. */
static bool insert_rows(
    struct inserted *inserted, uint32_t from, uint32_t to, bool has_channels_to_fit)
{
    const struct dv_graph_builder *builder = inserted->builder;
    struct dv_shape is = dv_builder_shape(builder, from);
    struct dv_shape wanted = dv_builder_shape(builder, to);
    char fields[96];

    if (builder->is_flat[to]) {
        if (!builder->is_flat[from]) {
            insert_row(inserted, "flatten", "");
            uint64_t features = (uint64_t)is.rows * is.columns * is.channels;
            if (features > INT32_MAX) {
                return false;
            }
            is.channels = (uint32_t)features;
        }
        if (has_channels_to_fit && is.channels != wanted.channels) {
            (void)snprintf(fields, sizeof(fields), ",\"out\":%u", wanted.channels);
            insert_row(inserted, "linear", fields);
        }
        return true;
    }
    if (builder->is_flat[from]) {
        return false;
    }
    struct dv_window window;
    if (!find_window(is, wanted, &window)) {
        return false;
    }
    if (window.kernel > 1) {
        (void)snprintf(fields, sizeof(fields),
            ",\"pool\":\"avg\",\"kernel\":%u,\"stride\":%u,\"padding\":%u", window.kernel,
            window.stride, window.padding);
        insert_row(inserted, "pool", fields);
    }
    if (has_channels_to_fit && is.channels != wanted.channels) {
        (void)snprintf(
            fields, sizeof(fields), ",\"out\":%u,\"kernel\":1,\"act\":\"none\"", wanted.channels);
        insert_row(inserted, "conv", fields);
    }
    return true;
}

/* Adapt input `from` of the join to input `to`; "" where that is not simple. */
static const char *fix_between(
    const struct dv_graph_builder *builder, const uint32_t *inputs, uint32_t from, uint32_t to)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    struct inserted inserted = {.builder = builder, .text = DV_BUFFER_INIT(ROWS_TEXT_SIZE_MAX)};
    const char *fix = "";

    bool is_picture = row->from[from] == DV_ARCH_FROM_INPUT;
    (void)snprintf(inserted.from, sizeof(inserted.from), "%s",
        is_picture ? "input" : builder->arch->rows[row->from[from]].name);
    if (insert_rows(&inserted, inputs[from], inputs[to], row->op == DV_ARCH_ADD)) {
        fix = dv_arena_printf(builder->arena, "put %s before layers[%u] and set %s.from[%u]=\"%s\"",
            dv_buffer_text(&inserted.text), builder->row, row->name, from, inserted.from);
    }
    dv_buffer_finish(&inserted.text);
    return fix;
}

const char *dv_graph_fix_join(
    const struct dv_graph_builder *builder, const uint32_t *inputs, uint32_t differing)
{
    const struct dv_arch_row *row = dv_builder_row(builder);
    uint32_t order[] = {differing, 0};

    for (size_t i = 0; i < 2; i++) {
        uint32_t from = row->from[order[i]];
        uint32_t channels = dv_builder_shape(builder, inputs[order[1 - i]]).channels;
        const char *fix = from == DV_ARCH_FROM_INPUT ? NULL : fix_input(builder, from, channels);
        if (fix) {
            return fix;
        }
    }
    const char *fix = fix_between(builder, inputs, differing, 0);
    return fix[0] ? fix : fix_between(builder, inputs, 0, differing);
}

/* --- Too much ----------------------------------------------------------------------------- */

const char *dv_graph_fix_nodes(const struct dv_graph_builder *builder)
{
    uint32_t most = 0;

    for (uint32_t i = 1; i < builder->arch->row_count; i++) {
        if (builder->arch->rows[i].repeat > builder->arch->rows[most].repeat) {
            most = i;
        }
    }
    struct dv_arch_row changed = builder->arch->rows[most];
    while (changed.repeat > 1) {
        changed.repeat /= 2;
        if (try_row(builder, most, builder->arch->row_count - 1, &changed, NULL)) {
            return dv_arena_printf(
                builder->arena, "set %s.repeat=%u", changed.name, changed.repeat);
        }
    }
    return "";
}

const char *dv_graph_fix_size(const struct dv_graph_builder *builder)
{
    uint32_t trials = 0;

    for (uint32_t i = builder->row + 1; i > 0 && trials < SIZE_TRIALS_MAX; i--) {
        struct dv_arch_row changed = builder->arch->rows[i - 1];
        if (changed.out <= OUT_SMALL) {
            continue;
        }
        trials++;
        changed.out = OUT_SMALL;
        changed.groups = changed.groups > 0 ? 1 : 0;
        bool had_groups = builder->arch->rows[i - 1].groups > 1;
        if (try_row(builder, i - 1, builder->row, &changed, NULL)) {
            return had_groups
                       ? dv_arena_printf(builder->arena, "set %s.out=%d, %s.groups=1", changed.name,
                             OUT_SMALL, changed.name)
                       : dv_arena_printf(builder->arena, "set %s.out=%d", changed.name, OUT_SMALL);
        }
    }
    return "";
}
