/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_BACKEND_REF_PRIVATE_H
#define DV_NN_BACKEND_REF_PRIVATE_H

/*
 * What the files of the reference backend share. Floats lie in NHWC.
 */

#include "nn/backend_impl.h"

static inline size_t dv_ref_at(
    struct dv_shape s, size_t picture, size_t row, size_t column, size_t channel)
{
    return ((picture * s.rows + row) * s.columns + column) * s.channels + channel;
}

/* Write or add to the gradient of an input, if anybody asks for it. */
static inline void dv_ref_give(const struct dv_op_args *a, size_t input, size_t index, float value)
{
    if (a->input_gradients[input]) {
        float *dx = &a->input_gradients[input][index];
        *dx = value + (a->accumulates[input] ? *dx : 0);
    }
}

/* ref_norm.c: batch norm, group norm. What they save, in bytes; 0 for other ops. */
size_t dv_ref_norm_saved_size(const struct dv_op_desc *d);
void dv_ref_batch_norm_forward(const struct dv_op_desc *d, const struct dv_op_args *a);
void dv_ref_batch_norm_backward(
    const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy);
void dv_ref_group_norm_forward(const struct dv_op_desc *d, const struct dv_op_args *a);
void dv_ref_group_norm_backward(
    const struct dv_op_desc *d, const struct dv_op_args *a, const float *dy);

/* ref_activation.c */
double dv_ref_activate(enum dv_activation act, double x);
double dv_ref_slope(enum dv_activation act, double x);

#endif
