/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_PROGRAM_H
#define DV_NN_PROGRAM_H

/*
 * A graph as a backend will run it: steps in execution order over numbered values, with
 * activations fused into the op before them, copies put in where the layout changes, and for
 * training the order and place of every gradient. A network that only answers has no batch norms
 * after convolutions and linear layers: they are folded into the weights and a bias (fold.h).
 * Pure planning: nothing here computes.
 *
 * Moments: step i runs forward at moment i and backward at moment 2 * step_count - 1 - i.
 */

#include "base/status.h"
#include "nn/backend_impl.h"
#include "spec/graph.h"

struct dv_arena;

#define DV_NO_INDEX UINT32_MAX

struct dv_value {
    struct dv_shape shape;
    enum dv_layout layout;
    uint32_t producer;    /* step, or DV_NO_INDEX for the pictures */
    bool needs_gradient;  /* a trained tensor lies before it */
    uint32_t storage;     /* of its gradient: values may share one; DV_NO_INDEX: none */
    uint32_t first, last; /* moments between which the value must be kept */
};

struct dv_step {
    struct dv_op_desc desc;
    struct dv_op *op; /* made by dv_program_make_ops() */
    uint32_t inputs[DV_ARCH_INPUTS_MAX];
    uint32_t output;
    uint32_t node;                        /* the graph node whose tensors it uses, or DV_NO_INDEX */
    uint32_t norm;                        /* the batch norm folded into them, or DV_NO_INDEX */
    uint32_t row;                         /* of the architecture, or UINT32_MAX */
    bool accumulates[DV_ARCH_INPUTS_MAX]; /* its gradient is added to what is there */
    bool gives_gradient[DV_ARCH_INPUTS_MAX];
};

/* Memory of one or more gradients. */
struct dv_gradient_storage {
    size_t floats;
    uint32_t first, last; /* moments */
    bool is_shared;       /* several values at once: nobody may overwrite it in place */
};

struct dv_program {
    const struct dv_graph *graph; /* borrowed */
    struct dv_step *steps;
    uint32_t step_count;
    struct dv_value *values;
    uint32_t value_count;
    struct dv_gradient_storage *storages;
    uint32_t storage_count;
    uint32_t output; /* value: the logits */
};

/*
 * Lower `graph` for one batch size. `row_layouts` says what each architecture row would like (NULL:
 * NHWC throughout); where it cannot be, NHWC is taken. The result lives in `arena`.
 */
struct dv_program *dv_program_build(const struct dv_graph *graph, uint32_t batch_size,
    bool is_training, const enum dv_layout *row_layouts, struct dv_arena *arena);

/* Have the backend make the ops, then settle which values are kept and where gradients lie. */
DV_MUST_CHECK enum dv_status dv_program_make_ops(struct dv_program *program,
    const struct dv_backend_impl *backend, bool is_training, struct dv_arena *arena,
    struct dv_error *reterr);

/* Destroy the ops (the rest belongs to the arena). */
void dv_program_destroy_ops(struct dv_program *program);

static inline uint32_t dv_program_backward_moment(const struct dv_program *program, uint32_t step)
{
    return 2 * program->step_count - 1 - step;
}

#endif
