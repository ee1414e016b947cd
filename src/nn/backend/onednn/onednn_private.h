/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_BACKEND_ONEDNN_PRIVATE_H
#define DV_NN_BACKEND_ONEDNN_PRIVATE_H

/*
 * What the files of the oneDNN backend share. Convolutions and linear layers are oneDNN's
 * primitives (onednn_conv.c, the only file with dnnl.h); everything between them, which is bound
 * by memory, is our own kernels (onednn_light.c).
 */

#include "nn/backend_impl.h"

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

/* onednn_light.c: everything else. */
enum dv_status dv_onednn_light_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr);
void dv_onednn_light_forward(struct dv_op *op, const struct dv_op_args *args);
void dv_onednn_light_backward(struct dv_op *op, const struct dv_op_args *args);

#endif
