/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ops between convolutions, on our own kernels, in either layout.
 */
#include "base/alloc.h"
#include "base/text.h"
#include "nn/backend/onednn/onednn_private.h"
#include "nn/dropout.h"
#include "nn/kernels.h"
#include "spec/fusion.h"

#include <assert.h>
#include <string.h>

/* --- Pooling, global pooling ---------------------------------------------------------------- */

static void pool_forward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.inputs[0]);
    struct dv_window w = dv_onednn_window(&op->desc);

    if (op->desc.pooling == DV_POOLING_AVG) {
        dv_kernels()->average_pool(&v, &w, a->inputs[0], a->output);
    } else {
        /* The scratch takes the winners when nobody will ask for them. */
        dv_kernels()->max_pool(
            &v, &w, a->inputs[0], a->output, a->is_inference ? a->scratch : a->saved);
    }
}

static void pool_backward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.inputs[0]);
    struct dv_window w = dv_onednn_window(&op->desc);

    if (!a->accumulates[0]) {
        memset(a->input_gradients[0], 0, dv_op_input_floats(&op->desc, 0) * sizeof(float));
    }
    if (op->desc.pooling == DV_POOLING_AVG) {
        dv_kernels()->average_pool_gradient(&v, &w, a->output_gradient, a->input_gradients[0]);
    } else {
        dv_kernels()->max_pool_gradient(
            &v, &w, a->saved, a->output_gradient, a->input_gradients[0]);
    }
}

static void global_max_forward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.inputs[0]);

#pragma omp parallel for schedule(static)
    for (size_t plane = 0; plane < v.pictures * v.blocks; plane++) {
        const float *x = a->inputs[0] + plane * v.places * v.lanes;
        float *y = a->output + plane * v.lanes;
        memcpy(y, x, v.lanes * sizeof(float));
        for (size_t p = 1; p < v.places; p++) {
            for (size_t l = 0; l < v.lanes; l++) {
                y[l] = x[p * v.lanes + l] > y[l] ? x[p * v.lanes + l] : y[l];
            }
        }
    }
}

static void global_max_backward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.inputs[0]);

#pragma omp parallel for schedule(static)
    for (size_t plane = 0; plane < v.pictures * v.blocks; plane++) {
        float *dx = a->input_gradients[0] + plane * v.places * v.lanes;
        if (!a->accumulates[0]) {
            memset(dx, 0, v.places * v.lanes * sizeof(float));
        }
        for (size_t l = 0; l < v.lanes; l++) {
            const float *x = a->inputs[0] + plane * v.places * v.lanes + l;
            float best = a->output[plane * v.lanes + l];
            size_t p = 0;
            while (p < v.places && x[p * v.lanes] != best) {
                p++;
            }
            if (p < v.places) { /* the first of equals takes it all; of no numbers none does */
                dx[p * v.lanes + l] += a->output_gradient[plane * v.lanes + l];
            }
        }
    }
}

static void global_pool_forward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.inputs[0]);

    if (op->desc.pooling == DV_POOLING_MAX) {
        global_max_forward(op, a);
    } else {
        dv_kernels()->global_average(&v, a->inputs[0], a->output);
    }
}

static void global_pool_backward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.inputs[0]);

    if (op->desc.pooling == DV_POOLING_MAX) {
        global_max_backward(op, a);
    } else {
        dv_kernels()->global_average_gradient(
            &v, a->output_gradient, a->accumulates[0], a->input_gradients[0]);
    }
}

/* --- Moving floats about -------------------------------------------------------------------- */

/* Channels of each input lie one after the other in a place (NHWC) or in a picture (BLOCKED). */
static void concat_walk(struct dv_op *op, const struct dv_op_args *a, bool is_forward)
{
    struct dv_view out = dv_onednn_view(&op->desc, op->desc.output);
    bool is_blocked = op->desc.layout == DV_LAYOUT_BLOCKED;
    size_t chunk_out = is_blocked ? out.blocks * out.places * out.lanes : out.lanes;
    size_t chunks = is_blocked ? out.pictures : out.pictures * out.places;
    size_t done = 0;

    for (size_t k = 0; k < op->desc.input_count; k++) {
        size_t chunk = dv_op_input_floats(&op->desc, (uint32_t)k) / chunks;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < chunks; i++) {
            if (is_forward) {
                memcpy(a->output + i * chunk_out + done, a->inputs[k] + i * chunk,
                    chunk * sizeof(float));
            } else if (a->input_gradients[k]) {
                for (size_t j = 0; j < chunk; j++) {
                    float *dx = a->input_gradients[k] + i * chunk + j;
                    *dx = a->output_gradient[i * chunk_out + done + j] +
                          (a->accumulates[k] ? *dx : 0);
                }
            }
        }
        done += chunk;
    }
}

static void relayout(
    const struct dv_op_desc *d, enum dv_layout from, const float *x, bool adds, float *y)
{
    struct dv_view blocked = {d->batch, d->output.channels / DV_LAYOUT_BLOCK,
        (size_t)d->output.rows * d->output.columns, DV_LAYOUT_BLOCK};

    dv_kernels()->relayout(&blocked, x, from == DV_LAYOUT_NHWC, adds, y);
}

/* [row, column, channel] to [channel, row, column] of each picture, or back. */
static void flatten_walk(struct dv_op *op, const float *x, bool adds, bool is_forward, float *y)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.inputs[0]);
    size_t features = v.places * v.lanes;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < v.pictures * v.lanes; i++) {
        size_t plain = i / v.lanes * features + i % v.lanes;
        size_t flat = i * v.places;
        for (size_t p = 0; p < v.places; p++) {
            if (is_forward) {
                y[flat + p] = x[plain + p * v.lanes];
            } else {
                y[plain + p * v.lanes] = x[flat + p] + (adds ? y[plain + p * v.lanes] : 0);
            }
        }
    }
}

static void dropout_walk(
    struct dv_op *op, const struct dv_op_args *a, const float *x, bool adds, float *y)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < dv_op_output_floats(&op->desc); i++) {
        float factor = a->is_inference ? 1 : dv_dropout_factor(a->dropout_key, i, op->desc.drop);
        y[i] = x[i] * factor + (adds ? y[i] : 0);
    }
}

/* --- Gates, paths, shortcuts ------------------------------------------------------------------ */

static void scale_forward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.output);

    dv_kernels()->scale(&v, a->inputs[0], a->inputs[1], a->output);
}

static void scale_backward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.output);
    struct dv_scaled scaled = {a->inputs[0], a->inputs[1], a->accumulates[0], a->accumulates[1]};
    float *gate_gradient = a->input_gradients[1];

    if (!gate_gradient) { /* a gate without parameters before it */
        scaled.accumulates_gate = false;
        gate_gradient = a->scratch;
    }
    dv_kernels()->scale_gradient(
        &v, &scaled, a->output_gradient, a->input_gradients[0], gate_gradient);
}

static void drop_path_walk(
    struct dv_op *op, const struct dv_op_args *a, const float *x, bool adds, float *y)
{
    const struct dv_op_desc *d = &op->desc;
    float *factors = a->scratch;

    for (size_t n = 0; n < d->batch; n++) {
        factors[n] = a->is_inference ? 1 : dv_dropout_factor(a->dropout_key, n, d->drop);
    }
    dv_kernels()->scale_pictures(d->batch, dv_op_output_floats(d) / d->batch, x, factors, adds, y);
}

/*
 * Every stride-th place. The input's channels are the first of the output's: in NHWC the first
 * lanes of a place, in BLOCKED the first planes of a picture.
 */
static void shortcut_forward(struct dv_op *op, const struct dv_op_args *a)
{
    const struct dv_op_desc *d = &op->desc;
    struct dv_view in = dv_onednn_view(d, d->inputs[0]);
    struct dv_view out = dv_onednn_view(d, d->output);

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < out.pictures * out.blocks * out.places; i++) {
        size_t plane = i / out.places;
        size_t row = i % out.places / d->output.columns * d->stride;
        size_t column = i % out.places % d->output.columns * d->stride;
        size_t block = plane % out.blocks;
        size_t lanes = block < in.blocks ? in.lanes : 0;
        size_t from = (plane / out.blocks * in.blocks + block) * in.places +
                      row * d->inputs[0].columns + column;
        if (lanes > 0) {
            memcpy(
                a->output + i * out.lanes, a->inputs[0] + from * in.lanes, lanes * sizeof(float));
        }
        memset(a->output + i * out.lanes + lanes, 0, (out.lanes - lanes) * sizeof(float));
    }
}

static void shortcut_backward(struct dv_op *op, const struct dv_op_args *a)
{
    const struct dv_op_desc *d = &op->desc;
    struct dv_view in = dv_onednn_view(d, d->inputs[0]);
    struct dv_view out = dv_onednn_view(d, d->output);

#pragma omp parallel for schedule(static)
    for (size_t plane = 0; plane < in.pictures * in.blocks; plane++) {
        size_t from_plane = plane / in.blocks * out.blocks + plane % in.blocks;
        float *dx = a->input_gradients[0] + plane * in.places * in.lanes;
        if (!a->accumulates[0]) {
            memset(dx, 0, in.places * in.lanes * sizeof(float));
        }
        for (size_t o = 0; o < out.places; o++) {
            size_t row = o / d->output.columns * d->stride;
            size_t column = o % d->output.columns * d->stride;
            const float *from = a->output_gradient + (from_plane * out.places + o) * out.lanes;
            float *to = dx + (row * d->inputs[0].columns + column) * in.lanes;
            for (size_t l = 0; l < in.lanes; l++) {
                to[l] += from[l];
            }
        }
    }
}

/* --- Dispatch -------------------------------------------------------------------------------- */

void dv_onednn_light_forward(struct dv_op *op, const struct dv_op_args *a)
{
    const struct dv_op_desc *d = &op->desc;

    switch (d->op) {
    case DV_NODE_BATCH_NORM:
        dv_onednn_norm_forward(op, a);
        break;
    case DV_NODE_ADD:
        dv_kernels()->add(dv_op_output_floats(d), a->inputs, d->input_count, d->act, a->output);
        break;
    case DV_NODE_ACTIVATION:
        dv_kernels()->activate(dv_op_output_floats(d), a->inputs[0], d->act, a->output);
        break;
    case DV_NODE_POOL:
        pool_forward(op, a);
        break;
    case DV_NODE_GLOBAL_POOL:
        global_pool_forward(op, a);
        break;
    case DV_NODE_CONCAT:
        concat_walk(op, a, true);
        break;
    case DV_NODE_INPUT:
        relayout(d, d->layout, a->inputs[0], false, a->output);
        break;
    case DV_NODE_FLATTEN:
        flatten_walk(op, a->inputs[0], false, true, a->output);
        break;
    case DV_NODE_DROPOUT:
        dropout_walk(op, a, a->inputs[0], false, a->output);
        break;
    case DV_NODE_GROUP_NORM:
        dv_onednn_group_norm_forward(op, a);
        break;
    case DV_NODE_SCALE:
        scale_forward(op, a);
        break;
    case DV_NODE_DROP_PATH:
        drop_path_walk(op, a, a->inputs[0], false, a->output);
        break;
    case DV_NODE_PAD_SHORTCUT:
        shortcut_forward(op, a);
        break;
    default:
        assert(false); /* no such op */
    }
}

static void elementwise_backward(struct dv_op *op, const struct dv_op_args *a)
{
    enum dv_activation act = op->desc.act;
    const float *at = dv_activation_keeps_slope(act) ? a->output : a->inputs[0];

    for (uint32_t k = 0; k < op->desc.input_count; k++) {
        bool is_in_place = a->input_gradients[k] == a->output_gradient;
        if (!a->input_gradients[k] || (is_in_place && act == DV_ACT_NONE)) {
            continue;
        }
        dv_kernels()->pass_gradient(dv_op_output_floats(&op->desc), at, act, a->output_gradient,
            a->accumulates[k], a->input_gradients[k]);
        if (is_in_place) {
            act = DV_ACT_NONE; /* what the others read has passed it by now */
        }
    }
}

void dv_onednn_light_backward(struct dv_op *op, const struct dv_op_args *a)
{
    const struct dv_op_desc *d = &op->desc;
    bool adds = a->accumulates[0];

    switch (d->op) {
    case DV_NODE_BATCH_NORM:
        dv_onednn_norm_backward(op, a);
        break;
    case DV_NODE_ADD:
    case DV_NODE_ACTIVATION:
        elementwise_backward(op, a);
        break;
    case DV_NODE_POOL:
        pool_backward(op, a);
        break;
    case DV_NODE_GLOBAL_POOL:
        global_pool_backward(op, a);
        break;
    case DV_NODE_CONCAT:
        concat_walk(op, a, false);
        break;
    case DV_NODE_INPUT:
        relayout(d, d->layout_out, a->output_gradient, adds, a->input_gradients[0]);
        break;
    case DV_NODE_FLATTEN:
        flatten_walk(op, a->output_gradient, adds, false, a->input_gradients[0]);
        break;
    case DV_NODE_DROPOUT:
        dropout_walk(op, a, a->output_gradient, adds, a->input_gradients[0]);
        break;
    case DV_NODE_GROUP_NORM:
        dv_onednn_group_norm_backward(op, a);
        break;
    case DV_NODE_SCALE:
        scale_backward(op, a);
        break;
    case DV_NODE_DROP_PATH:
        drop_path_walk(op, a, a->output_gradient, adds, a->input_gradients[0]);
        break;
    case DV_NODE_PAD_SHORTCUT:
        shortcut_backward(op, a);
        break;
    default:
        assert(false); /* no such op */
    }
}

enum dv_status dv_onednn_light_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr)
{
    if (!dv_node_can_activate(desc->op, desc->act, desc->is_training)) {
        return dv_fail(reterr, DV_UNSUPPORTED, "this op does not apply this activation");
    }
    if ((desc->op == DV_NODE_FLATTEN || desc->op == DV_NODE_DROPOUT) &&
        desc->layout == DV_LAYOUT_BLOCKED) {
        return dv_fail(reterr, DV_UNSUPPORTED, "flatten and dropout work on NHWC");
    }

    struct dv_op *op = dv_alloc(sizeof(*op));
    op->backend = &dv_backend_onednn;
    op->desc = *desc;
    if (desc->op == DV_NODE_BATCH_NORM) {
        dv_onednn_norm_plan(op);
    } else if (desc->op == DV_NODE_ADD || desc->op == DV_NODE_ACTIVATION) {
        op->backward_needs_output =
            desc->act != DV_ACT_NONE && dv_activation_keeps_slope(desc->act);
        op->backward_needs_input = !dv_activation_keeps_slope(desc->act);
        op->backward_in_place = true;
    } else if (desc->op == DV_NODE_GROUP_NORM) {
        dv_onednn_group_norm_plan(op);
    } else if (desc->op == DV_NODE_SCALE) {
        op->backward_needs_input = true;
        op->scratch_size = dv_op_input_floats(desc, 1) * sizeof(float);
    } else if (desc->op == DV_NODE_DROP_PATH) {
        op->backward_in_place = true;
        op->scratch_size = desc->batch * sizeof(float);
    } else if (desc->op == DV_NODE_POOL && desc->pooling == DV_POOLING_MAX) {
        op->saved_size = dv_op_output_floats(desc);
        op->scratch_size = op->saved_size;
    } else if (desc->op == DV_NODE_GLOBAL_POOL && desc->pooling == DV_POOLING_MAX) {
        op->backward_needs_input = true;
        op->backward_needs_output = true;
    }
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        op->tensor_floats[role] = dv_op_tensor_floats(desc, (enum dv_tensor_role)role);
    }
    (void)dv_text_copy(op->kernels, sizeof(op->kernels), dv_kernels()->name);
    *ret_op = op;
    return DV_OK;
}
