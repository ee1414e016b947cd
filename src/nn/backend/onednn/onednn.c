/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "nn/backend/onednn/onednn_private.h"

#include <assert.h>
#include <string.h>

static bool is_heavy(const struct dv_op_desc *desc)
{
    return desc->op == DV_NODE_CONV || desc->op == DV_NODE_LINEAR;
}

static bool has_whole_blocks(const struct dv_op_desc *desc)
{
    bool has_whole = desc->output.channels % DV_LAYOUT_BLOCK == 0;

    for (uint32_t i = 0; i < desc->input_count; i++) {
        has_whole = has_whole && desc->inputs[i].channels % DV_LAYOUT_BLOCK == 0;
    }
    return has_whole;
}

static enum dv_status op_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr)
{
    bool is_blocked = desc->layout == DV_LAYOUT_BLOCKED || desc->layout_out == DV_LAYOUT_BLOCKED;

    if (is_blocked && !has_whole_blocks(desc)) {
        return dv_fail(reterr, DV_UNSUPPORTED, "the blocked layout needs channels in sixteens");
    }
    return is_heavy(desc) ? dv_onednn_conv_create(desc, ret_op, reterr)
                          : dv_onednn_light_create(desc, ret_op, reterr);
}

static void op_destroy(struct dv_op *op)
{
    if (op && is_heavy(&op->desc)) {
        dv_onednn_conv_destroy(op);
    } else {
        dv_free(op);
    }
}

static void op_forward(struct dv_op *op, const struct dv_op_args *args)
{
    if (is_heavy(&op->desc)) {
        dv_onednn_conv_forward(op, args);
    } else {
        dv_onednn_light_forward(op, args);
    }
}

static void op_backward(struct dv_op *op, const struct dv_op_args *args)
{
    assert(op->desc.is_training);

    if (is_heavy(&op->desc)) {
        dv_onednn_conv_backward(op, args);
    } else {
        dv_onednn_light_backward(op, args);
    }
}

static void tensor_import(
    struct dv_op *op, enum dv_tensor_role role, const float *canonical, float *own)
{
    if (is_heavy(&op->desc)) {
        dv_onednn_conv_import(op, role, canonical, own);
    } else {
        memcpy(own, canonical, op->tensor_floats[role] * sizeof(float));
    }
}

static void tensor_export(
    struct dv_op *op, enum dv_tensor_role role, const float *own, float *canonical)
{
    if (is_heavy(&op->desc)) {
        dv_onednn_conv_export(op, role, own, canonical);
    } else {
        memcpy(canonical, own, op->tensor_floats[role] * sizeof(float));
    }
}

const struct dv_backend_impl dv_backend_onednn = {
    .name = "onednn",
    .title = "CPU (oneDNN)",
    .has_blocked_layout = true,
    .library = dv_onednn_library,
    .op_create = op_create,
    .op_destroy = op_destroy,
    .op_forward = op_forward,
    .op_backward = op_backward,
    .tensor_import = tensor_import,
    .tensor_export = tensor_export,
};
