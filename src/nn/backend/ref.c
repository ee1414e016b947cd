/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference backend: every op as the shortest loops that are obviously right, NHWC only,
 * double accumulators. Slow on purpose; the conformance suite holds the other backends to it.
 * Read ref_forward() first, then each op's forward and backward side by side.
 */
#include "nn/backend/ref_private.h"

#include "base/alloc.h"
#include "base/text.h"
#include "nn/dropout.h"

#include <assert.h>
#include <string.h>

/* Row (or column) of the input that the kernel's tap `k` meets for the output's `o`; -1: padding.
 */
static long tap(const struct dv_op_desc *d, size_t o, size_t k, uint32_t limit)
{
    long place = (long)(o * d->stride + k) - (long)d->padding;

    return place >= 0 && place < (long)limit ? place : -1;
}

/* --- Convolution ------------------------------------------------------------------------- */

/* Call `visit` for each multiply-add: input index, output index, weight index. */
static void each_product(const struct dv_op_desc *d,
    void (*visit)(void *context, size_t in, size_t out, size_t weight), void *context)
{
    struct dv_shape in = d->inputs[0];
    struct dv_shape out = d->output;
    size_t in_group = in.channels / d->groups;
    size_t out_group = out.channels / d->groups;
    size_t places = (size_t)d->batch * out.rows * out.columns;

    for (size_t place = 0; place < places * out.channels; place++) {
        size_t oc = place % out.channels;
        size_t x = place / out.channels % out.columns;
        size_t y = place / out.channels / out.columns % out.rows;
        size_t n = place / out.channels / out.columns / out.rows;
        for (size_t k = 0; k < (size_t)d->kernel * d->kernel; k++) {
            long row = tap(d, y, k / d->kernel, in.rows);
            long column = tap(d, x, k % d->kernel, in.columns);
            for (size_t ic = 0; row >= 0 && column >= 0 && ic < in_group; ic++) {
                size_t from =
                    dv_ref_at(in, n, (size_t)row, (size_t)column, oc / out_group * in_group + ic);
                visit(context, from, place, (oc * in_group + ic) * d->kernel * d->kernel + k);
            }
        }
    }
}

struct products {
    const float *input, *weight, *output_gradient;
    double *sums; /* what is being summed up */
};

static void visit_output(void *context, size_t in, size_t out, size_t weight)
{
    struct products *p = context;
    p->sums[out] += (double)p->input[in] * p->weight[weight];
}

static void visit_input(void *context, size_t in, size_t out, size_t weight)
{
    struct products *p = context;
    p->sums[in] += (double)p->output_gradient[out] * p->weight[weight];
}

static void visit_weight(void *context, size_t in, size_t out, size_t weight)
{
    struct products *p = context;
    p->sums[weight] += (double)p->output_gradient[out] * p->input[in];
}

static void store(const double *sums, size_t count, bool accumulates, float *ret_values)
{
    for (size_t i = 0; i < count; i++) {
        ret_values[i] = (float)(sums[i] + (accumulates ? ret_values[i] : 0.0));
    }
}

static void conv_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    size_t count = dv_op_output_floats(d);
    DV_CLEANUP(dv_freep) double *sums = dv_alloc(count * sizeof(*sums));
    struct products p = {
        .input = a->inputs[0], .weight = a->tensors[DV_TENSOR_WEIGHT], .sums = sums};

    each_product(d, visit_output, &p);
    for (size_t i = 0; d->has_bias && i < count; i++) {
        sums[i] += a->tensors[DV_TENSOR_BIAS][i % d->output.channels];
    }
    store(sums, count, false, a->output);
}

static void bias_backward(const struct dv_op_desc *d, const float *dy, float *db)
{
    size_t channels = d->output.channels;
    size_t count = dv_op_output_floats(d);

    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        for (size_t i = c; i < count; i += channels) {
            sum += dy[i];
        }
        db[c] = (float)sum;
    }
}

static void conv_backward(const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    size_t in_count = dv_op_input_floats(d, 0);
    size_t weight_count = dv_op_tensor_floats(d, DV_TENSOR_WEIGHT);
    DV_CLEANUP(dv_freep) double *d_weight = dv_alloc(weight_count * sizeof(*d_weight));
    DV_CLEANUP(dv_freep) double *d_input = dv_alloc(in_count * sizeof(*d_input));
    struct products p = {.input = a->inputs[0],
        .weight = a->tensors[DV_TENSOR_WEIGHT],
        .output_gradient = dy,
        .sums = d_weight};

    each_product(d, visit_weight, &p);
    store(d_weight, weight_count, false, a->tensor_gradients[DV_TENSOR_WEIGHT]);
    if (d->has_bias) {
        bias_backward(d, dy, a->tensor_gradients[DV_TENSOR_BIAS]);
    }
    if (a->input_gradients[0]) {
        p.sums = d_input;
        each_product(d, visit_input, &p);
        store(d_input, in_count, a->accumulates[0], a->input_gradients[0]);
    }
}

/* --- Linear: [picture, feature] by [out, feature] ------------------------------------------- */

static void linear_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    size_t in = dv_op_input_floats(d, 0) / d->batch;
    size_t out = d->output.channels;

    for (size_t n = 0; n < d->batch; n++) {
        for (size_t o = 0; o < out; o++) {
            double sum = d->has_bias ? a->tensors[DV_TENSOR_BIAS][o] : 0;
            for (size_t i = 0; i < in; i++) {
                sum += (double)a->inputs[0][n * in + i] * a->tensors[DV_TENSOR_WEIGHT][o * in + i];
            }
            a->output[n * out + o] = (float)sum;
        }
    }
}

static void linear_backward(const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    size_t in = dv_op_input_floats(d, 0) / d->batch;
    size_t out = d->output.channels;

    for (size_t o = 0; o < out; o++) {
        for (size_t i = 0; i < in; i++) {
            double sum = 0;
            for (size_t n = 0; n < d->batch; n++) {
                sum += (double)dy[n * out + o] * a->inputs[0][n * in + i];
            }
            a->tensor_gradients[DV_TENSOR_WEIGHT][o * in + i] = (float)sum;
        }
    }
    if (d->has_bias) {
        bias_backward(d, dy, a->tensor_gradients[DV_TENSOR_BIAS]);
    }
    for (size_t k = 0; a->input_gradients[0] && k < d->batch * in; k++) {
        double sum = a->accumulates[0] ? a->input_gradients[0][k] : 0;
        for (size_t o = 0; o < out; o++) {
            sum += (double)dy[k / in * out + o] * a->tensors[DV_TENSOR_WEIGHT][o * in + k % in];
        }
        a->input_gradients[0][k] = (float)sum;
    }
}

/* --- Pooling: max takes the first of equals; avg divides by the whole window --------------- */

/* Index of the input that wins this window. */
static size_t window_max(const struct dv_op_desc *d, const float *x, size_t out)
{
    struct dv_shape in = d->inputs[0];
    size_t c = out % in.channels;
    size_t column = out / in.channels % d->output.columns;
    size_t row = out / in.channels / d->output.columns % d->output.rows;
    size_t n = out / in.channels / d->output.columns / d->output.rows;
    size_t best = SIZE_MAX;

    for (size_t k = 0; k < (size_t)d->kernel * d->kernel; k++) {
        long r = tap(d, row, k / d->kernel, in.rows);
        long q = tap(d, column, k % d->kernel, in.columns);
        if (r >= 0 && q >= 0) {
            size_t index = dv_ref_at(in, n, (size_t)r, (size_t)q, c);
            best = best == SIZE_MAX || x[index] > x[best] ? index : best;
        }
    }
    assert(best != SIZE_MAX);
    return best;
}

/* Add `scale * y[out]` of each window to its inputs (backward), or the reverse (forward). */
static void window_average(const struct dv_op_desc *d, float *x, float *y, bool is_forward)
{
    struct dv_shape in = d->inputs[0];
    struct dv_shape out = d->output;
    float scale = 1.0f / (float)(d->kernel * d->kernel);

    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        size_t column = o / in.channels % out.columns;
        size_t row = o / in.channels / out.columns % out.rows;
        size_t n = o / in.channels / out.columns / out.rows;
        for (size_t k = 0; k < (size_t)d->kernel * d->kernel; k++) {
            long r = tap(d, row, k / d->kernel, in.rows);
            long q = tap(d, column, k % d->kernel, in.columns);
            if (r < 0 || q < 0) {
                continue;
            }
            size_t i = dv_ref_at(in, n, (size_t)r, (size_t)q, o % in.channels);
            if (is_forward) {
                y[o] += scale * x[i];
            } else {
                x[i] += scale * y[o];
            }
        }
    }
}

static void pool_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    if (d->pooling == DV_POOLING_AVG) {
        memset(a->output, 0, dv_op_output_floats(d) * sizeof(float));
        window_average(d, (float *)a->inputs[0], a->output, true);
        return;
    }
    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        a->output[o] = a->inputs[0][window_max(d, a->inputs[0], o)];
    }
}

static void pool_backward(const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    if (!a->accumulates[0]) {
        memset(a->input_gradients[0], 0, dv_op_input_floats(d, 0) * sizeof(float));
    }
    if (d->pooling == DV_POOLING_AVG) {
        window_average(d, a->input_gradients[0], (float *)dy, false);
        return;
    }
    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        a->input_gradients[0][window_max(d, a->inputs[0], o)] += dy[o];
    }
}

/* --- Ops without parameters ---------------------------------------------------------------- */

static void global_pool_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    size_t channels = d->output.channels;
    size_t places = (size_t)d->inputs[0].rows * d->inputs[0].columns;

    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        const float *x = a->inputs[0] + o / channels * places * channels + o % channels;
        double sum = 0;
        float best = x[0];
        for (size_t i = 0; i < places; i++) {
            sum += x[i * channels];
            best = x[i * channels] > best ? x[i * channels] : best;
        }
        a->output[o] = d->pooling == DV_POOLING_MAX ? best : (float)(sum / (double)places);
    }
}

static void global_pool_backward(
    const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    size_t channels = d->output.channels;
    size_t places = (size_t)d->inputs[0].rows * d->inputs[0].columns;

    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        size_t start = o / channels * places * channels + o % channels;
        float *dx = a->input_gradients[0] + start;
        size_t best = 0;
        for (size_t i = 0; i < places; i++) {
            const float *x = a->inputs[0] + start;
            best = x[i * channels] > x[best * channels] ? i : best;
        }
        for (size_t i = 0; i < places; i++) {
            float share = d->pooling == DV_POOLING_MAX ? (float)(i == best) : 1.0f / (float)places;
            dx[i * channels] = dy[o] * share + (a->accumulates[0] ? dx[i * channels] : 0);
        }
    }
}

static void add_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    for (size_t i = 0; i < dv_op_output_floats(d); i++) {
        float sum = 0;
        for (size_t k = 0; k < d->input_count; k++) {
            sum += a->inputs[k][i];
        }
        a->output[i] = sum;
    }
}

/* Where float `o` of the concatenation comes from: which input, which float of it. */
static size_t concat_source(const struct dv_op_desc *d, size_t o, size_t *ret_input)
{
    size_t channel = o % d->output.channels;
    size_t input = 0;

    while (channel >= d->inputs[input].channels) {
        channel -= d->inputs[input].channels;
        input++;
    }
    *ret_input = input;
    return o / d->output.channels * d->inputs[input].channels + channel;
}

static void concat_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        size_t input;
        size_t from = concat_source(d, o, &input);
        a->output[o] = a->inputs[input][from];
    }
}

static void concat_backward(const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        size_t input;
        size_t from = concat_source(d, o, &input);
        dv_ref_give(a, input, from, dy[o]);
    }
}

/* Where float `o` of a copy, an activation, a dropout (of paths) or a flatten comes from. */
static size_t plain_source(const struct dv_op_desc *d, size_t o)
{
    struct dv_shape in = d->inputs[0];
    size_t places = (size_t)in.rows * in.columns;
    size_t features = places * in.channels;

    if (d->op != DV_NODE_FLATTEN) {
        return o;
    }
    size_t f = o % features; /* channel * places + place */
    return o / features * features + f % places * in.channels + f / places;
}

static float plain_factor(const struct dv_op_desc *d, const struct dv_op_args *a, size_t o)
{
    size_t picture = o / (dv_op_output_floats(d) / d->batch);

    if (a->is_inference || !(d->drop > 0)) {
        return 1.0f;
    }
    return dv_dropout_factor(a->dropout_key, d->op == DV_NODE_DROP_PATH ? picture : o, d->drop);
}

static void plain_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        a->output[o] = a->inputs[0][plain_source(d, o)] * plain_factor(d, a, o);
    }
}

static void spread_backward(const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    for (size_t k = 0; k < d->input_count; k++) {
        for (size_t o = 0; o < dv_op_output_floats(d); o++) {
            dv_ref_give(a, k, plain_source(d, o), dy[o] * plain_factor(d, a, o));
        }
    }
}

/* --- A map times a number per channel --------------------------------------------------------- */

/* The gate of float `i`. */
static size_t gate_of(const struct dv_op_desc *d, size_t i)
{
    size_t channels = d->output.channels;

    return i / (dv_op_output_floats(d) / d->batch) * channels + i % channels;
}

static void scale_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    for (size_t i = 0; i < dv_op_output_floats(d); i++) {
        a->output[i] = a->inputs[0][i] * a->inputs[1][gate_of(d, i)];
    }
}

static void scale_backward(const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    size_t gates = dv_op_input_floats(d, 1);
    DV_CLEANUP(dv_freep) double *sums = dv_alloc(gates * sizeof(*sums));

    for (size_t i = 0; i < dv_op_output_floats(d); i++) {
        dv_ref_give(a, 0, i, dy[i] * a->inputs[1][gate_of(d, i)]);
        sums[gate_of(d, i)] += (double)dy[i] * a->inputs[0][i];
    }
    for (size_t g = 0; g < gates; g++) {
        dv_ref_give(a, 1, g, (float)sums[g]);
    }
}

/* --- The shortcut without parameters (He et al. 2015, option A) ------------------------------ */

/* Where float `o` comes from; SIZE_MAX: from nowhere, it is a channel put behind the input's. */
static size_t shortcut_source(const struct dv_op_desc *d, size_t o)
{
    struct dv_shape in = d->inputs[0];
    struct dv_shape out = d->output;
    size_t channel = o % out.channels;
    size_t column = o / out.channels % out.columns;
    size_t row = o / out.channels / out.columns % out.rows;
    size_t picture = o / out.channels / out.columns / out.rows;

    return channel < in.channels
               ? dv_ref_at(in, picture, row * d->stride, column * d->stride, channel)
               : SIZE_MAX;
}

static void shortcut_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        size_t from = shortcut_source(d, o);
        a->output[o] = from == SIZE_MAX ? 0 : a->inputs[0][from];
    }
}

static void shortcut_backward(
    const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    float *dx = a->input_gradients[0];

    if (!a->accumulates[0]) {
        memset(dx, 0, dv_op_input_floats(d, 0) * sizeof(*dx));
    }
    for (size_t o = 0; o < dv_op_output_floats(d); o++) {
        size_t from = shortcut_source(d, o);
        if (from != SIZE_MAX) {
            dx[from] += dy[o];
        }
    }
}

/* --- The backend --------------------------------------------------------------------------- */

static const struct {
    void (*forward)(const struct dv_op_desc *d, const struct dv_op_args *a);
    void (*backward)(const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy);
} ops[DV_NODE_OP_COUNT] = {
    [DV_NODE_INPUT] = {plain_forward, spread_backward},
    [DV_NODE_CONV] = {conv_forward, conv_backward},
    [DV_NODE_BATCH_NORM] = {dv_ref_batch_norm_forward, dv_ref_batch_norm_backward},
    [DV_NODE_ACTIVATION] = {plain_forward, spread_backward},
    [DV_NODE_POOL] = {pool_forward, pool_backward},
    [DV_NODE_GLOBAL_POOL] = {global_pool_forward, global_pool_backward},
    [DV_NODE_ADD] = {add_forward, spread_backward},
    [DV_NODE_CONCAT] = {concat_forward, concat_backward},
    [DV_NODE_DROPOUT] = {plain_forward, spread_backward},
    [DV_NODE_FLATTEN] = {plain_forward, spread_backward},
    [DV_NODE_LINEAR] = {linear_forward, linear_backward},
    [DV_NODE_GROUP_NORM] = {dv_ref_group_norm_forward, dv_ref_group_norm_backward},
    [DV_NODE_SCALE] = {scale_forward, scale_backward},
    [DV_NODE_DROP_PATH] = {plain_forward, spread_backward},
    [DV_NODE_PAD_SHORTCUT] = {shortcut_forward, shortcut_backward},
};

/* The op's result before the activation lies behind what the op itself saves. */
static float *before_act(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    return (float *)((char *)a->saved + dv_ref_norm_saved_size(d));
}

static enum dv_status ref_op_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr)
{
    if (desc->layout != DV_LAYOUT_NHWC || desc->layout_out != DV_LAYOUT_NHWC) {
        return dv_fail(reterr, DV_UNSUPPORTED, "the reference backend has one layout, NHWC");
    }

    struct dv_op *op = dv_alloc(sizeof(*op));
    op->backend = &dv_backend_ref;
    op->desc = *desc;
    op->backward_needs_input = true;
    op->scratch_size = dv_op_output_floats(desc) * sizeof(float);
    op->saved_size = dv_ref_norm_saved_size(desc);
    if (desc->act != DV_ACT_NONE) {
        op->saved_size += dv_op_output_floats(desc) * sizeof(float);
    }
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        op->tensor_floats[role] = dv_op_tensor_floats(desc, (enum dv_tensor_role)role);
    }
    (void)dv_text_copy(op->kernels, sizeof(op->kernels), "ref");
    *ret_op = op;
    return DV_OK;
}

static void ref_op_destroy(struct dv_op *op)
{
    dv_free(op);
}

static void ref_op_forward(struct dv_op *op, const struct dv_op_args *args)
{
    const struct dv_op_desc *d = &op->desc;

    ops[d->op].forward(d, args);
    for (size_t i = 0; d->act != DV_ACT_NONE && i < dv_op_output_floats(d); i++) {
        if (!args->is_inference) {
            before_act(d, args)[i] = args->output[i];
        }
        args->output[i] = (float)dv_ref_activate(d->act, args->output[i]);
    }
}

static void ref_op_backward(struct dv_op *op, const struct dv_op_args *args)
{
    const struct dv_op_desc *d = &op->desc;
    float *dy = args->scratch;

    for (size_t i = 0; i < dv_op_output_floats(d); i++) {
        double passed = d->act == DV_ACT_NONE ? 1 : dv_ref_slope(d->act, before_act(d, args)[i]);
        dy[i] = (float)(args->output_gradient[i] * passed);
    }
    ops[d->op].backward(d, args, dy);
}

static void ref_tensor_copy(
    struct dv_op *op, enum dv_tensor_role role, const float *from, float *to)
{
    memcpy(to, from, op->tensor_floats[role] * sizeof(float));
}

const struct dv_backend_impl dv_backend_ref = {
    .name = "ref",
    .title = "Reference (plain C)",
    .op_create = ref_op_create,
    .op_destroy = ref_op_destroy,
    .op_forward = ref_op_forward,
    .op_backward = ref_op_backward,
    .tensor_import = ref_tensor_copy,
    .tensor_export = ref_tensor_copy,
};
