/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/backend.h"

#include "base/macro.h"
#include "base/text.h"
#include "nn/backend_impl.h"

static const struct dv_backend_impl *const backends[] = {
    &dv_backend_onednn,
    &dv_backend_ref,
};

const struct dv_backend_impl *dv_backend_find(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(backends); i++) {
        if (dv_text_equal(backends[i]->name, name)) {
            return backends[i];
        }
    }
    return NULL;
}

const struct dv_backend_impl *dv_backend_at(size_t index)
{
    return index < DV_ARRAY_SIZE(backends) ? backends[index] : NULL;
}

static size_t shape_floats(uint32_t batch, struct dv_shape shape)
{
    return (size_t)batch * shape.channels * shape.rows * shape.columns;
}

size_t dv_op_input_floats(const struct dv_op_desc *desc, uint32_t input)
{
    return shape_floats(desc->batch, desc->inputs[input]);
}

size_t dv_op_output_floats(const struct dv_op_desc *desc)
{
    return shape_floats(desc->batch, desc->output);
}

size_t dv_op_tensor_floats(const struct dv_op_desc *desc, enum dv_tensor_role role)
{
    size_t out = desc->output.channels;
    size_t in = desc->inputs[0].channels;

    switch (desc->op) {
    case DV_NODE_CONV:
        if (role == DV_TENSOR_WEIGHT) {
            return out * (in / desc->groups) * desc->kernel * desc->kernel;
        }
        return role == DV_TENSOR_BIAS && desc->has_bias ? out : 0;
    case DV_NODE_LINEAR:
        if (role == DV_TENSOR_WEIGHT) {
            return out * in * desc->inputs[0].rows * desc->inputs[0].columns;
        }
        return role == DV_TENSOR_BIAS && desc->has_bias ? out : 0;
    case DV_NODE_BATCH_NORM:
        return out;
    case DV_NODE_GROUP_NORM:
        return role == DV_TENSOR_WEIGHT || role == DV_TENSOR_BIAS ? out : 0;
    default:
        return 0;
    }
}
