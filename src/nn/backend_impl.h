/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_BACKEND_IMPL_H
#define DV_NN_BACKEND_IMPL_H

/*
 * What a compute backend is made of. network.c compiles a graph into operations ("ops") and calls
 * a backend through these slots only; the conformance suite does the same, with `ref` as oracle.
 *
 * Adding a backend `foo`: nn/backend/foo.c with the constant dv_backend_foo; declare it below, list
 * it in backend.c and in nn/meson.build. tests/conformance/backend_ops.c runs over it by itself.
 *
 * Values are float32. NHWC is [picture, row, column, channel]; BLOCKED is [picture, channel / 16,
 * row, column, 16] and is only used where all channel counts are multiples of 16, so that both
 * hold the same number of floats. Threads: one call at a time; the OpenMP team is inside.
 */

#include "base/status.h"
#include "spec/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dv_layout { DV_LAYOUT_NHWC, DV_LAYOUT_BLOCKED, DV_LAYOUT_COUNT };

#define DV_LAYOUT_BLOCK 16u

struct dv_op_desc {
    enum dv_node_op op; /* DV_NODE_INPUT stands for a copy from `layout` to `layout_out` */
    uint32_t batch;
    struct dv_shape inputs[DV_ARCH_INPUTS_MAX];
    uint32_t input_count;
    struct dv_shape output;
    uint32_t kernel, stride, padding; /* conv, pool; pad_shortcut: stride */
    uint32_t groups;                  /* conv, group_norm */
    enum dv_pooling pooling;
    double drop;
    enum dv_activation act;    /* applied to the result */
    bool has_bias;             /* conv, linear */
    enum dv_layout layout;     /* of the inputs, and of the output but for a copy */
    enum dv_layout layout_out; /* of the output */
    bool is_training;
    bool needs_input_gradient; /* false: backward leaves the gradients of its inputs alone */
};

/* Implementations embed this first. */
struct dv_op {
    const struct dv_backend_impl *backend;
    struct dv_op_desc desc;
    size_t saved_size;   /* bytes that must survive from forward to backward */
    size_t scratch_size; /* bytes of working memory during either */
    size_t tensor_floats[DV_TENSOR_ROLE_COUNT]; /* of each parameter in the op's own layout */
    bool backward_needs_input;                  /* the inputs' values must be kept for backward */
    bool backward_needs_output;                 /* the output's value must be kept for backward */
    bool backward_in_place; /* input_gradients[i] may all be the output_gradient itself */
    bool is_fallback;       /* on a kernel hundreds of times too slow, for want of another */
    char kernels[128];      /* what will run, for plan.json and the test that refuses slow ones */
};

struct dv_op_args {
    const float *inputs[DV_ARCH_INPUTS_MAX];
    float *output;
    const float *output_gradient;
    float *input_gradients[DV_ARCH_INPUTS_MAX]; /* NULL where nobody asks */
    bool accumulates[DV_ARCH_INPUTS_MAX];       /* add to input_gradients[i] instead of writing */
    float *tensors[DV_TENSOR_ROLE_COUNT];
    float *tensor_gradients[DV_TENSOR_ROLE_COUNT]; /* overwritten */
    void *saved;
    void *scratch;
    uint64_t dropout_key; /* of this step and node: dropout, drop_path */
    bool is_inference;    /* running statistics, no dropout, nothing saved */
};

struct dv_backend_impl {
    const char *name;
    const char *title;
    bool has_blocked_layout;

    /* Optional (NULL: none): the library that computes and its version, for plan.json. */
    void (*library)(char *ret_text, size_t size);
    /* Required. Plan an op: sizes, kernels. DV_UNSUPPORTED: not in this layout. */
    enum dv_status (*op_create)(
        const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr);
    /* Required. Accepts NULL and what op_create() left half-made. */
    void (*op_destroy)(struct dv_op *op);
    /* Required. */
    void (*op_forward)(struct dv_op *op, const struct dv_op_args *args);
    /* Required. Called only on ops made with is_training, after their forward. */
    void (*op_backward)(struct dv_op *op, const struct dv_op_args *args);
    /* Required. Bring a parameter from its canonical layout (graph.h) to the op's, and back. */
    void (*tensor_import)(
        struct dv_op *op, enum dv_tensor_role role, const float *canonical, float *own);
    void (*tensor_export)(
        struct dv_op *op, enum dv_tensor_role role, const float *own, float *canonical);
};

extern const struct dv_backend_impl dv_backend_ref;
extern const struct dv_backend_impl dv_backend_onednn;

#define DV_NORM_EPSILON 1e-5f       /* as PyTorch's default, for batch and group norm */
#define DV_BATCH_NORM_MOMENTUM 0.1f /* share of the new batch in the running statistics */

/* Floats of one value. */
size_t dv_op_input_floats(const struct dv_op_desc *desc, uint32_t input);
size_t dv_op_output_floats(const struct dv_op_desc *desc);

/* The number of floats in a parameter's canonical form; 0 where the op has no such parameter. */
size_t dv_op_tensor_floats(const struct dv_op_desc *desc, enum dv_tensor_role role);

#endif
