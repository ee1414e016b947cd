/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/layout_choice.h"

#include "base/arena.h"
#include "nn/op_timing.h"
#include "nn/program.h"

#include <assert.h>
#include <string.h>

/* Most networks repeat their ops: measure each once. */
struct measured {
    struct dv_op_desc desc;
    double seconds;
};

static bool same_shape(struct dv_shape a, struct dv_shape b)
{
    return a.channels == b.channels && a.rows == b.rows && a.columns == b.columns;
}

/* Do both take the same time? Within one program batch and mode are equal already. */
static bool same_op(const struct dv_op_desc *a, const struct dv_op_desc *b)
{
    bool is_same = a->op == b->op && a->input_count == b->input_count &&
                   same_shape(a->output, b->output) && a->kernel == b->kernel &&
                   a->stride == b->stride && a->padding == b->padding && a->groups == b->groups &&
                   a->pooling == b->pooling && a->layout == b->layout &&
                   a->layout_out == b->layout_out && a->act == b->act &&
                   a->has_bias == b->has_bias && a->needs_input_gradient == b->needs_input_gradient;

    for (uint32_t k = 0; k < a->input_count && is_same; k++) {
        is_same = same_shape(a->inputs[k], b->inputs[k]);
    }
    return is_same;
}

struct measuring {
    const struct dv_backend_impl *backend;
    struct dv_op_timing timing;
    struct measured *known;
    size_t known_count;
};

static enum dv_status measure_once(struct measuring *measuring, const struct dv_op_desc *desc,
    double *ret_seconds, struct dv_error *reterr)
{
    for (size_t i = 0; i < measuring->known_count; i++) {
        if (same_op(&measuring->known[i].desc, desc)) {
            *ret_seconds = measuring->known[i].seconds;
            return DV_OK;
        }
    }
    enum dv_status status = dv_op_timing_measure(
        &measuring->timing, measuring->backend, desc, ret_seconds, reterr);
    if (status == DV_OK) {
        measuring->known[measuring->known_count++] = (struct measured){*desc, *ret_seconds};
    }
    return status;
}

/* Seconds to bring what enters a step from one layout to the other, and its gradient back. */
static enum dv_status measure_entry(struct measuring *measuring, const struct dv_op_desc *desc,
    double *ret_seconds, struct dv_error *reterr)
{
    struct dv_shape shape = desc->inputs[0];
    const struct dv_op_desc copy = {.op = DV_NODE_INPUT,
        .batch = desc->batch,
        .inputs = {shape},
        .input_count = 1,
        .output = shape,
        .groups = 1,
        .layout = DV_LAYOUT_NHWC,
        .layout_out = DV_LAYOUT_BLOCKED,
        .is_training = desc->is_training,
        .needs_input_gradient = desc->is_training};

    if (shape.channels % DV_LAYOUT_BLOCK != 0 || (size_t)shape.rows * shape.columns == 1) {
        *ret_seconds = 0; /* it has but one layout, or the same in both */
        return DV_OK;
    }
    return measure_once(measuring, &copy, ret_seconds, reterr);
}

/*
 * Seconds of each row when all rows run in `layout`, with the copies between those of its ops that
 * cannot; ret_entry: seconds to enter each row from the other layout.
 */
static enum dv_status measure_rows(const struct dv_graph *graph,
    const struct dv_backend_impl *backend, uint32_t batch_size, bool is_training,
    enum dv_layout layout, double *ret_seconds, double *ret_entry, struct dv_error *reterr)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    enum dv_layout *layouts = dv_arena_array(arena, graph->row_count, sizeof(*layouts));
    bool *is_entered = dv_arena_array(arena, graph->row_count, sizeof(*is_entered));
    struct measuring measuring = {.backend = backend};
    enum dv_status status = DV_OK;

    for (uint32_t r = 0; r < graph->row_count; r++) {
        layouts[r] = layout;
        ret_seconds[r] = 0;
        ret_entry[r] = 0;
    }
    struct dv_program *program = dv_program_build(graph, batch_size, is_training, layouts, arena);
    measuring.known =
        dv_arena_array(arena, 2 * (size_t)program->step_count, sizeof(*measuring.known));
    for (uint32_t i = 0; i < program->step_count && status == DV_OK; i++) {
        const struct dv_step *step = &program->steps[i];
        double seconds;
        if (step->row >= graph->row_count) {
            continue;
        }
        status = measure_once(&measuring, &step->desc, &seconds, reterr);
        ret_seconds[step->row] += status == DV_OK ? seconds : 0;
        if (status == DV_OK && !is_entered[step->row]) {
            is_entered[step->row] = true;
            status = measure_entry(&measuring, &step->desc, &ret_entry[step->row], reterr);
        }
    }
    dv_op_timing_finish(&measuring.timing);
    return status;
}

/* The cheapest way through the rows: two layouts a row, copies where they change. */
static void find_cheapest(uint32_t rows, double *const seconds[DV_LAYOUT_COUNT],
    const double *entry, enum dv_layout *came_from, enum dv_layout *ret_layouts)
{
    double cost[DV_LAYOUT_COUNT] = {0, 1e9}; /* the pictures come in NHWC */

    for (uint32_t r = 0; r < rows; r++) {
        double next[DV_LAYOUT_COUNT];
        for (int to = 0; to < DV_LAYOUT_COUNT; to++) {
            int other = 1 - to;
            bool stays = cost[to] <= cost[other] + entry[r];
            next[to] = seconds[to][r] + (stays ? cost[to] : cost[other] + entry[r]);
            came_from[2 * r + (uint32_t)to] = (enum dv_layout)(stays ? to : other);
        }
        memcpy(cost, next, sizeof(cost));
    }
    int at = cost[DV_LAYOUT_NHWC] <= cost[DV_LAYOUT_BLOCKED] ? DV_LAYOUT_NHWC : DV_LAYOUT_BLOCKED;
    for (uint32_t r = rows; r-- > 0;) {
        ret_layouts[r] = (enum dv_layout)at;
        at = (int)came_from[2 * r + (uint32_t)at];
    }
}

enum dv_status dv_layout_choose(const struct dv_graph *graph, const struct dv_backend_impl *backend,
    uint32_t batch_size, bool is_training, enum dv_layout *ret_layouts, struct dv_error *reterr)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    uint32_t rows = graph->row_count;
    enum dv_layout *came_from = dv_arena_array(arena, 2 * (size_t)rows, sizeof(*came_from));
    double *entry = dv_arena_array(arena, rows, sizeof(*entry));
    double *seconds[DV_LAYOUT_COUNT];

    for (int layout = 0; layout < DV_LAYOUT_COUNT; layout++) {
        seconds[layout] = dv_arena_array(arena, rows, sizeof(double));
        if (layout == DV_LAYOUT_BLOCKED && !backend->has_blocked_layout) {
            memset(ret_layouts, 0, rows * sizeof(*ret_layouts));
            return DV_OK;
        }
        enum dv_status status = measure_rows(graph, backend, batch_size, is_training,
            (enum dv_layout)layout, seconds[layout], entry, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    find_cheapest(rows, seconds, entry, came_from, ret_layouts);
    return DV_OK;
}
