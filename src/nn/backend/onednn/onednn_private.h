/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_BACKEND_ONEDNN_PRIVATE_H
#define DV_NN_BACKEND_ONEDNN_PRIVATE_H

/*
 * What the files of the oneDNN backend share. Convolutions and linear layers are oneDNN's
 * primitives (onednn_conv.c, the only file with dnnl.h); everything between them, which is bound
 * by memory, is our own kernels (onednn_light.c).
 */

#include "nn/backend_impl.h"
#include "nn/kernels.h"

/* A value of that shape in the op's layout, as the kernels see it. */
static inline struct dv_view dv_onednn_view(const struct dv_op_desc *d, struct dv_shape shape)
{
    size_t lanes = d->layout == DV_LAYOUT_BLOCKED ? DV_LAYOUT_BLOCK : shape.channels;

    return (struct dv_view){.pictures = d->batch,
        .blocks = shape.channels / lanes,
        .places = (size_t)shape.rows * shape.columns,
        .lanes = lanes};
}

/* The window of a pool or a convolution. */
static inline struct dv_window dv_onednn_window(const struct dv_op_desc *d)
{
    return (struct dv_window){d->inputs[0].rows, d->inputs[0].columns, d->output.rows,
        d->output.columns, d->kernel, d->stride, d->padding};
}

/* onednn_conv.c: "oneDNN 2.6.3" */
void dv_onednn_library(char *ret_text, size_t size);

/* onednn_conv.c: DV_NODE_CONV and DV_NODE_LINEAR. */
enum dv_status dv_onednn_conv_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr);
void dv_onednn_conv_destroy(struct dv_op *op);
void dv_onednn_conv_forward(struct dv_op *op, const struct dv_op_args *args);
void dv_onednn_conv_backward(struct dv_op *op, const struct dv_op_args *args);
void dv_onednn_conv_import(
    struct dv_op *op, enum dv_tensor_role role, const float *canonical, float *own);
void dv_onednn_conv_export(
    struct dv_op *op, enum dv_tensor_role role, const float *own, float *canonical);

/* onednn_norm.c: DV_NODE_BATCH_NORM and DV_NODE_GROUP_NORM. The plans say what they keep and need.
 */
void dv_onednn_norm_plan(struct dv_op *op);
void dv_onednn_norm_forward(struct dv_op *op, const struct dv_op_args *args);
void dv_onednn_norm_backward(struct dv_op *op, const struct dv_op_args *args);
void dv_onednn_group_norm_plan(struct dv_op *op);
void dv_onednn_group_norm_forward(struct dv_op *op, const struct dv_op_args *args);
void dv_onednn_group_norm_backward(struct dv_op *op, const struct dv_op_args *args);

/* onednn_light.c: everything else, and what calls the norms. */
enum dv_status dv_onednn_light_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr);
void dv_onednn_light_forward(struct dv_op *op, const struct dv_op_args *args);
void dv_onednn_light_backward(struct dv_op *op, const struct dv_op_args *args);

#endif
