/* SPDX-License-Identifier: Apache-2.0 */
/* Norms of the reference backend, in two passes over what they are taken of. */
#include "nn/backend/ref_private.h"

#include <math.h>

/* What a training norm keeps: mean and 1/std per channel, or per picture and group. */
struct saved_norm {
    float mean;
    float scale;
};

size_t dv_ref_norm_saved_size(const struct dv_op_desc *d)
{
    size_t norms = d->op == DV_NODE_BATCH_NORM   ? d->output.channels
                   : d->op == DV_NODE_GROUP_NORM ? (size_t)d->batch * d->groups
                                                 : 0;

    return norms * sizeof(struct saved_norm);
}

/* --- Batch norm (Ioffe and Szegedy 2015); running variance is the unbiased one ------------- */

static struct saved_norm norm_of_batch(
    const struct dv_op_desc *d, const struct dv_op_args *a, size_t c)
{
    size_t channels = d->output.channels;
    size_t count = dv_op_output_floats(d) / channels;
    double sum = 0;
    double squares = 0;

    for (size_t i = 0; i < count; i++) {
        sum += a->inputs[0][i * channels + c];
    }
    double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) {
        double difference = a->inputs[0][i * channels + c] - mean;
        squares += difference * difference;
    }
    double variance = squares / (double)count;
    double unbiased = count > 1 ? squares / (double)(count - 1) : variance;
    float *running_mean = &a->tensors[DV_TENSOR_RUNNING_MEAN][c];
    float *running_var = &a->tensors[DV_TENSOR_RUNNING_VAR][c];
    *running_mean += DV_BATCH_NORM_MOMENTUM * ((float)mean - *running_mean);
    *running_var += DV_BATCH_NORM_MOMENTUM * ((float)unbiased - *running_var);
    return (struct saved_norm){(float)mean, (float)(1 / sqrt(variance + DV_NORM_EPSILON))};
}

void dv_ref_batch_norm_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    struct saved_norm *saved = a->saved;
    size_t channels = d->output.channels;

    for (size_t c = 0; c < channels; c++) {
        struct saved_norm norm = {a->tensors[DV_TENSOR_RUNNING_MEAN][c],
            1 / sqrtf(a->tensors[DV_TENSOR_RUNNING_VAR][c] + DV_NORM_EPSILON)};
        if (!a->is_inference) {
            norm = norm_of_batch(d, a, c);
            saved[c] = norm;
        }
        for (size_t i = c; i < dv_op_output_floats(d); i += channels) {
            a->output[i] =
                (a->inputs[0][i] - norm.mean) * norm.scale * a->tensors[DV_TENSOR_WEIGHT][c] +
                a->tensors[DV_TENSOR_BIAS][c];
        }
    }
}

/* dx = weight * scale * (dy - mean(dy) - x_hat * mean(dy * x_hat)) */
void dv_ref_batch_norm_backward(
    const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    const struct saved_norm *saved = a->saved;
    size_t channels = d->output.channels;
    size_t total = dv_op_output_floats(d);

    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        double product = 0;
        for (size_t i = c; i < total; i += channels) {
            double x_hat = (a->inputs[0][i] - saved[c].mean) * saved[c].scale;
            sum += dy[i];
            product += dy[i] * x_hat;
        }
        a->tensor_gradients[DV_TENSOR_BIAS][c] = (float)sum;
        a->tensor_gradients[DV_TENSOR_WEIGHT][c] = (float)product;
        double count = (double)(total / channels);
        for (size_t i = c; a->input_gradients[0] && i < total; i += channels) {
            double x_hat = (a->inputs[0][i] - saved[c].mean) * saved[c].scale;
            double dx = a->tensors[DV_TENSOR_WEIGHT][c] * saved[c].scale *
                        (dy[i] - sum / count - x_hat * product / count);
            a->input_gradients[0][i] =
                (float)(dx + (a->accumulates[0] ? a->input_gradients[0][i] : 0));
        }
    }
}

/* --- Group norm (Wu and He 2018): as batch norm, over a group of channels of one picture ----- */

static size_t group_size(const struct dv_op_desc *d)
{
    return dv_op_output_floats(d) / d->batch / d->groups;
}

/* The k-th float of group `index`, counted over all pictures. */
static size_t group_float(const struct dv_op_desc *d, size_t index, size_t k)
{
    size_t places = (size_t)d->output.rows * d->output.columns;
    size_t group_channels = d->output.channels / d->groups;
    size_t place = index / d->groups * places + k / group_channels;

    return place * d->output.channels + index % d->groups * group_channels + k % group_channels;
}

static struct saved_norm norm_of_group(
    const struct dv_op_desc *d, const struct dv_op_args *a, size_t index)
{
    size_t count = group_size(d);
    double sum = 0;
    double squares = 0;

    for (size_t k = 0; k < count; k++) {
        sum += a->inputs[0][group_float(d, index, k)];
    }
    double mean = sum / (double)count;
    for (size_t k = 0; k < count; k++) {
        double difference = a->inputs[0][group_float(d, index, k)] - mean;
        squares += difference * difference;
    }
    double variance = squares / (double)count;
    return (struct saved_norm){(float)mean, (float)(1 / sqrt(variance + DV_NORM_EPSILON))};
}

void dv_ref_group_norm_forward(const struct dv_op_desc *d, const struct dv_op_args *a)
{
    struct saved_norm *saved = a->saved;

    for (size_t index = 0; index < (size_t)d->batch * d->groups; index++) {
        struct saved_norm norm = norm_of_group(d, a, index);
        if (!a->is_inference) {
            saved[index] = norm;
        }
        for (size_t k = 0; k < group_size(d); k++) {
            size_t i = group_float(d, index, k);
            size_t c = i % d->output.channels;
            a->output[i] =
                (a->inputs[0][i] - norm.mean) * norm.scale * a->tensors[DV_TENSOR_WEIGHT][c] +
                a->tensors[DV_TENSOR_BIAS][c];
        }
    }
}

static void group_norm_tensor_gradients(
    const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    const struct saved_norm *saved = a->saved;
    size_t channels = d->output.channels;
    size_t of_picture = dv_op_output_floats(d) / d->batch;

    for (size_t c = 0; c < channels; c++) {
        double sum = 0;
        double product = 0;
        for (size_t i = c; i < dv_op_output_floats(d); i += channels) {
            size_t group = c / (channels / d->groups);
            struct saved_norm norm = saved[i / of_picture * d->groups + group];
            sum += dy[i];
            product += (double)dy[i] * ((a->inputs[0][i] - norm.mean) * norm.scale);
        }
        a->tensor_gradients[DV_TENSOR_BIAS][c] = (float)sum;
        a->tensor_gradients[DV_TENSOR_WEIGHT][c] = (float)product;
    }
}

/* With g = weight * dy: dx = scale * (g - mean(g) - x_hat * mean(g * x_hat)) */
void dv_ref_group_norm_backward(
    const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy)
{
    const struct saved_norm *saved = a->saved;
    const float *weight = a->tensors[DV_TENSOR_WEIGHT];
    double count = (double)group_size(d);

    group_norm_tensor_gradients(d, a, dy);
    for (size_t index = 0; a->input_gradients[0] && index < (size_t)d->batch * d->groups; index++) {
        struct saved_norm norm = saved[index];
        double sum = 0;
        double product = 0;
        for (size_t k = 0; k < group_size(d); k++) {
            size_t i = group_float(d, index, k);
            double g = (double)weight[i % d->output.channels] * dy[i];
            sum += g;
            product += g * (a->inputs[0][i] - norm.mean) * norm.scale;
        }
        for (size_t k = 0; k < group_size(d); k++) {
            size_t i = group_float(d, index, k);
            double g = (double)weight[i % d->output.channels] * dy[i];
            double x_hat = (a->inputs[0][i] - norm.mean) * norm.scale;
            dv_ref_give(a, 0, i, (float)(norm.scale * (g - sum / count - x_hat * product / count)));
        }
    }
}
