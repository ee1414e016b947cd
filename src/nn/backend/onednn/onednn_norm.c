/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch norm and group norm on our own kernels, in either layout: what is kept between forward and
 * backward, and the few numbers a channel that the kernels' lines are made of.
 */
#include "nn/backend/onednn/onednn_private.h"
#include "nn/kernels.h"

#include <math.h>
#include <omp.h>

/*
 * Parts of a batch norm's memory, each of `channels` floats: what is kept from forward to backward
 * comes first, then what one call needs. After them in the scratch: doubles for the sums.
 */
enum norm_part { NORM_MEAN, NORM_INVERSE, NORM_SCALE, NORM_OFFSET, NORM_SAVED_COUNT };

/* --- Batch norm ---------------------------------------------------------------------------- */

/* Sized for the threads there are when the op is made. */
static size_t norm_scratch_size(size_t channels, size_t threads)
{
    return (2 + 2 * threads) * channels * sizeof(double) + 3 * channels * sizeof(float);
}

struct norm_scratch {
    double *sum, *other, *partial;
    float *coefficients[3];
};

static struct norm_scratch norm_scratch_of(const struct dv_op *op, const struct dv_op_args *a)
{
    size_t channels = op->desc.output.channels;
    struct norm_scratch s;

    s.coefficients[0] = a->scratch;
    s.coefficients[1] = s.coefficients[0] + channels;
    s.coefficients[2] = s.coefficients[1] + channels;
    s.sum = (double *)((char *)a->scratch + (3 * channels * sizeof(float) + 7) / 8 * 8);
    s.other = s.sum + channels;
    s.partial = s.other + channels;
    return s;
}

static float *norm_part(const struct dv_op *op, const struct dv_op_args *a, enum norm_part part)
{
    /* In inference nothing is saved; the scratch then holds the same parts. */
    float *start = a->is_inference ? a->scratch : a->saved;

    return start + (size_t)part * op->desc.output.channels;
}

static void take_batch_statistics(
    struct dv_op *op, const struct dv_op_args *a, const struct dv_view *v)
{
    size_t channels = op->desc.output.channels;
    double count = (double)(v->pictures * v->places);
    struct norm_scratch s = norm_scratch_of(op, a);
    float *mean = norm_part(op, a, NORM_MEAN);
    float *inverse = norm_part(op, a, NORM_INVERSE);

    dv_kernels()->norm_sums(v, a->inputs[0], s.partial, s.sum, s.other);
    for (size_t c = 0; c < channels; c++) {
        size_t first = c / v->lanes * v->places * v->lanes + c % v->lanes;
        double difference = s.sum[c] / count;
        double variance = fmax(s.other[c] / count - difference * difference, 0);
        double unbiased = count > 1 ? variance * count / (count - 1) : variance;
        float *running_mean = &a->tensors[DV_TENSOR_RUNNING_MEAN][c];
        float *running_var = &a->tensors[DV_TENSOR_RUNNING_VAR][c];
        mean[c] = (float)((double)a->inputs[0][first] + difference);
        inverse[c] = (float)(1 / sqrt(variance + (double)DV_NORM_EPSILON));
        *running_mean += DV_BATCH_NORM_MOMENTUM * (mean[c] - *running_mean);
        *running_var += DV_BATCH_NORM_MOMENTUM * ((float)unbiased - *running_var);
    }
}

void dv_onednn_norm_forward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.output);
    float *mean = norm_part(op, a, NORM_MEAN);
    float *inverse = norm_part(op, a, NORM_INVERSE);
    float *scale = norm_part(op, a, NORM_SCALE);
    float *offset = norm_part(op, a, NORM_OFFSET);

    if (!a->is_inference) {
        take_batch_statistics(op, a, &v);
    }
    for (size_t c = 0; c < op->desc.output.channels; c++) {
        if (a->is_inference) {
            mean[c] = a->tensors[DV_TENSOR_RUNNING_MEAN][c];
            inverse[c] = 1 / sqrtf(a->tensors[DV_TENSOR_RUNNING_VAR][c] + DV_NORM_EPSILON);
        }
        scale[c] = a->tensors[DV_TENSOR_WEIGHT][c] * inverse[c];
        offset[c] = a->tensors[DV_TENSOR_BIAS][c] - mean[c] * scale[c];
    }
    const struct dv_lines lines = {scale, offset, op->desc.act};
    dv_kernels()->norm_apply(&v, a->inputs[0], &lines, a->output);
}

/*
 * dx = scale * (dy - mean(dy) - x_hat * mean(dy * x_hat)), as one line a * dy + b * x + c per
 * channel, with x_hat = (x - mean) * inverse.
 */
void dv_onednn_norm_backward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.output);
    struct norm_scratch s = norm_scratch_of(op, a);
    const float *mean = norm_part(op, a, NORM_MEAN);
    const float *inverse = norm_part(op, a, NORM_INVERSE);
    const float *scale = norm_part(op, a, NORM_SCALE);
    const struct dv_lines lines = {scale, norm_part(op, a, NORM_OFFSET), op->desc.act};
    double count = (double)(v.pictures * v.places);

    dv_kernels()->norm_gradient_sums(
        &v, a->inputs[0], a->output_gradient, &lines, mean, s.partial, s.sum, s.other);
    for (size_t c = 0; c < op->desc.output.channels; c++) {
        double product = s.other[c] * (double)inverse[c];
        double slope = -(double)scale[c] * product / count * (double)inverse[c];
        a->tensor_gradients[DV_TENSOR_BIAS][c] = (float)s.sum[c];
        a->tensor_gradients[DV_TENSOR_WEIGHT][c] = (float)product;
        s.coefficients[0][c] = scale[c];
        s.coefficients[1][c] = (float)slope;
        s.coefficients[2][c] =
            (float)(-(double)scale[c] * s.sum[c] / count - slope * (double)mean[c]);
    }
    if (a->input_gradients[0]) {
        const float *const sums[3] = {s.coefficients[0], s.coefficients[1], s.coefficients[2]};
        dv_kernels()->norm_gradient(&v, a->inputs[0], a->output_gradient, &lines, sums,
            a->accumulates[0], a->input_gradients[0]);
    }
}

/* --- Group norm ----------------------------------------------------------------------------- */

/*
 * A line per channel of every picture, [picture][channel]; the parts kept are those of a batch
 * norm. In the scratch: lines of a call, then pairs of sums.
 */
static size_t group_lines(const struct dv_op_desc *d)
{
    return (size_t)d->batch * d->output.channels;
}

static float *group_part(const struct dv_op *op, const struct dv_op_args *a, size_t part)
{
    float *start = a->is_inference ? a->scratch : a->saved;

    return start + part * group_lines(&op->desc);
}

static double *group_pairs(const struct dv_op *op, const struct dv_op_args *a)
{
    return (double *)((float *)a->scratch + NORM_SAVED_COUNT * group_lines(&op->desc));
}

static struct dv_lines group_lines_of(const struct dv_op *op, const struct dv_op_args *a)
{
    return (struct dv_lines){
        group_part(op, a, NORM_SCALE), group_part(op, a, NORM_OFFSET), op->desc.act};
}

/*
 * Mean and 1/std of a group, from the sums of its channels, each of which was shifted by the first
 * value of that channel in the picture.
 */
static void take_group_statistics(const struct dv_op *op, const struct dv_op_args *a,
    const struct dv_view *v, size_t first, size_t channels)
{
    const double *pairs = group_pairs(op, a) + 2 * first;
    double places = (double)v->places;
    double count = places * (double)channels;
    double sum = 0;
    double squares = 0;

    for (size_t c = 0; c < channels; c++) {
        size_t plane = (first + c) / v->lanes;
        double shift = (double)a->inputs[0][plane * v->places * v->lanes + (first + c) % v->lanes];
        sum += pairs[2 * c] + places * shift;
    }
    double mean = sum / count;
    for (size_t c = 0; c < channels; c++) {
        size_t plane = (first + c) / v->lanes;
        double shift = (double)a->inputs[0][plane * v->places * v->lanes + (first + c) % v->lanes];
        double off = shift - mean;
        squares += pairs[2 * c + 1] + 2 * off * pairs[2 * c] + places * off * off;
    }
    double inverse = 1 / sqrt(fmax(squares / count, 0) + (double)DV_NORM_EPSILON);
    for (size_t c = first; c < first + channels; c++) {
        float scale =
            (float)(inverse * (double)a->tensors[DV_TENSOR_WEIGHT][c % (v->blocks * v->lanes)]);
        float bias = a->tensors[DV_TENSOR_BIAS][c % (v->blocks * v->lanes)];
        group_part(op, a, NORM_MEAN)[c] = (float)mean;
        group_part(op, a, NORM_INVERSE)[c] = (float)inverse;
        group_part(op, a, NORM_SCALE)[c] = scale;
        group_part(op, a, NORM_OFFSET)[c] = (float)((double)bias - mean * (double)scale);
    }
}

void dv_onednn_group_norm_forward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.output);
    struct dv_view by_picture = dv_view_by_picture(v);
    size_t channels = op->desc.output.channels / op->desc.groups;

    dv_kernels()->picture_sums(&v, a->inputs[0], group_pairs(op, a));
#pragma omp parallel for schedule(static)
    for (size_t group = 0; group < (size_t)op->desc.batch * op->desc.groups; group++) {
        take_group_statistics(op, a, &v, group * channels, channels);
    }
    struct dv_lines lines = group_lines_of(op, a);
    dv_kernels()->norm_apply(&by_picture, a->inputs[0], &lines, a->output);
}

/* Weight and bias, a pair of sums per picture each. */
static void group_norm_tensor_gradients(const struct dv_op *op, const struct dv_op_args *a)
{
    size_t channels = op->desc.output.channels;
    const double *pairs = group_pairs(op, a);
    const float *inverse = group_part(op, a, NORM_INVERSE);

#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        double product = 0;
        for (size_t i = c; i < group_lines(&op->desc); i += channels) {
            sum += pairs[2 * i];
            product += pairs[2 * i + 1] * (double)inverse[i];
        }
        a->tensor_gradients[DV_TENSOR_BIAS][c] = (float)sum;
        a->tensor_gradients[DV_TENSOR_WEIGHT][c] = (float)product;
    }
}

/*
 * With g = weight * dy: dx = inverse * (g - mean(g) - x_hat * mean(g * x_hat)), as a line
 * a * dy + b * x + c per channel, with x_hat = (x - mean) * inverse.
 */
static void group_norm_lines(const struct dv_op *op, const struct dv_op_args *a, size_t first,
    size_t channels, float *const ret_lines[3])
{
    const double *pairs = group_pairs(op, a) + 2 * first;
    double inverse = (double)group_part(op, a, NORM_INVERSE)[first];
    double mean = (double)group_part(op, a, NORM_MEAN)[first];
    double places = (double)op->desc.output.rows * op->desc.output.columns;
    double count = places * (double)channels;
    double sum = 0;
    double product = 0;

    for (size_t c = 0; c < channels; c++) {
        double weight =
            (double)a->tensors[DV_TENSOR_WEIGHT][(first + c) % op->desc.output.channels];
        sum += weight * pairs[2 * c];
        product += weight * pairs[2 * c + 1] * inverse;
    }
    double slope = -inverse * inverse * product / count;
    for (size_t c = first; c < first + channels; c++) {
        ret_lines[0][c] = group_part(op, a, NORM_SCALE)[c];
        ret_lines[1][c] = (float)slope;
        ret_lines[2][c] = (float)(-inverse * sum / count - slope * mean);
    }
}

void dv_onednn_group_norm_backward(struct dv_op *op, const struct dv_op_args *a)
{
    struct dv_view v = dv_onednn_view(&op->desc, op->desc.output);
    struct dv_view by_picture = dv_view_by_picture(v);
    struct dv_lines lines = group_lines_of(op, a);
    size_t channels = op->desc.output.channels / op->desc.groups;
    float *start = a->scratch;
    float *const drawn[3] = {
        start, start + group_lines(&op->desc), start + 2 * group_lines(&op->desc)};

    dv_kernels()->picture_gradient_sums(&v, a->inputs[0], a->output_gradient, &lines,
        group_part(op, a, NORM_MEAN), group_pairs(op, a));
    group_norm_tensor_gradients(op, a);
    if (!a->input_gradients[0]) {
        return;
    }
#pragma omp parallel for schedule(static)
    for (size_t group = 0; group < (size_t)op->desc.batch * op->desc.groups; group++) {
        group_norm_lines(op, a, group * channels, channels, drawn);
    }
    dv_kernels()->norm_gradient(&by_picture, a->inputs[0], a->output_gradient, &lines,
        (const float *const *)drawn, a->accumulates[0], a->input_gradients[0]);
}

/* --- What they keep and need -------------------------------------------------------------------
 */

void dv_onednn_norm_plan(struct dv_op *op)
{
    size_t channels = op->desc.output.channels;

    op->saved_size = NORM_SAVED_COUNT * channels * sizeof(float);
    op->scratch_size = norm_scratch_size(channels, (size_t)omp_get_max_threads());
    op->backward_needs_input = true;
    op->backward_in_place = true;
}

void dv_onednn_group_norm_plan(struct dv_op *op)
{
    size_t parts = NORM_SAVED_COUNT * group_lines(&op->desc) * sizeof(float);

    op->saved_size = parts;
    op->scratch_size = parts + 2 * group_lines(&op->desc) * sizeof(double);
    op->backward_needs_input = true;
    op->backward_in_place = true;
}
