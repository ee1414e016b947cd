/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_NETWORK_IMPL_H
#define DV_NN_NETWORK_IMPL_H

/*
 * What a network is made of. network.c makes and runs it, network_tensors.c has its parameters:
 * where they lie, how they begin, how they come in and out.
 */

#include "nn/backend_impl.h"
#include "nn/network.h"

struct dv_arena;
struct dv_program;

/* Where a tensor of the graph lives in the running network. */
struct tensor_place {
    uint32_t step;    /* DV_NO_INDEX: nowhere, it is folded into others */
    size_t offset;    /* in the flat block, or among the statistics */
    size_t floats;    /* in the op's own layout */
    size_t canonical; /* offset among all tensors as files have them */
};

struct dv_network {
    const struct dv_backend_impl *backend;
    const struct dv_graph *graph;
    struct dv_arena *arena;
    struct dv_program *program;
    struct dv_op_args *arguments; /* per step, pointers all set but for the pictures */
    struct tensor_place *places;  /* per tensor of the graph */
    size_t *bias_offsets;         /* per step: of the bias that a folded norm leaves */
    enum dv_layout *layouts;      /* per row */
    uint32_t batch_size;
    uint32_t thread_count;
    bool is_training;
    uint64_t seed;

    size_t canonical_count; /* floats of all tensors as files have them */
    size_t flat_count;      /* with the biases that folded norms leave */
    float *parameters;      /* flat_count floats each; gradients and mask only when training */
    float *gradients;
    float *decay_mask;
    float *statistics; /* running means and variances */
    size_t statistics_count;
    float *activations; /* values, saved parts and gradients, as the memory plan says */
    void *scratch;
    size_t memory; /* bytes of all of the above */
};

/* --- network.c ------------------------------------------------------------------------------ */

/* Zeros on a cache line's border, counted in net->memory. */
DV_MUST_CHECK enum dv_status dv_network_allocate(
    struct dv_network *net, size_t floats, float **ret, struct dv_error *reterr);

/* --- network_tensors.c ------------------------------------------------------------------------ */

/* The flat blocks and the running statistics; the steps' arguments point into them. */
DV_MUST_CHECK enum dv_status dv_network_make_parameters(
    struct dv_network *net, struct dv_error *reterr);

#endif
