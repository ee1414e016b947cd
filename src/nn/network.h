/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_NETWORK_H
#define DV_NN_NETWORK_H

/*
 * A network that can be trained and asked: a primitive graph compiled for one batch size on one
 * backend, with all its memory planned when it is made. After the first step nothing allocates.
 *
 * The flat blocks: parameters, gradients (both `dv_network_flat_count` floats, trained tensors
 * only, 64-byte aligned, in the backend's own order and layout) are what an optimiser walks over.
 * Files see tensors only in their canonical shape, through dv_network_get/set_tensors.
 *
 * Threads: one owner; the compute threads are an OpenMP team inside.
 */

#include "base/status.h"
#include "spec/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_backend;
struct dv_json;
struct dv_network;

struct dv_network_options {
    const char *backend; /* "onednn", "ref" */
    uint32_t batch_size;
    uint32_t thread_count; /* 0: all cores */
    bool is_training;      /* false: forward only, less memory, norms folded into the weights */
    const struct dv_json *plan; /* choices of an earlier run (plan.json), or NULL: measure */
    uint64_t seed;              /* of dropout masks */
};

DV_MUST_CHECK enum dv_status dv_network_create(const struct dv_graph *graph,
    const struct dv_network_options *options, struct dv_network **ret_network,
    struct dv_error *reterr);
struct dv_network *dv_network_destroy(struct dv_network *network);

/* He-normal convs and linears (fan out; head: uniform 1/sqrt(in)), ones and zeros for norms. */
void dv_network_init(struct dv_network *network, uint64_t seed);

/* Forward in inference mode. `pixels` [batch, row, column, channel]; logits [batch, class]. */
void dv_network_infer(struct dv_network *network, const float *pixels, float *ret_logits);

/*
 * One training pass: forward with batch statistics and dropout, mean cross-entropy over the first
 * `count` pictures with label smoothing, backward; gradients are overwritten. `step` seeds
 * dropout. Returns the mean loss without smoothing and the number of pictures whose top-1 is right.
 */
double dv_network_train(struct dv_network *network, const float *pixels, const uint32_t *labels,
    uint32_t count, double label_smoothing, uint64_t step, uint32_t *ret_correct);

/* The flat blocks an optimiser works on; borrowed for the life of the network. */
size_t dv_network_flat_count(const struct dv_network *network);
float *dv_network_parameters(struct dv_network *network);
float *dv_network_gradients(struct dv_network *network);

/* 1.0f where weight decay applies, 0.0f elsewhere; same order as the blocks. */
const float *dv_network_decay_mask(const struct dv_network *network);

/*
 * All tensors of the graph in canonical layout, concatenated in graph order (running statistics
 * included): sum of graph.tensors[i].count floats. `flat` NULL: the network's own parameters;
 * else another block in the flat order (optimiser state, averaged weights), where running
 * statistics come out as the network's own and are not set. A network that only answers is set
 * whole (`flat` NULL) and not asked: its norms are folded into its weights.
 */
size_t dv_network_tensor_floats(const struct dv_network *network);
void dv_network_get_tensors(struct dv_network *network, const float *flat, float *ret_values);
void dv_network_set_tensors(struct dv_network *network, float *flat, const float *values);

/* The choices made (layouts, kernels, instruction set, threads, library version); the caller's. */
struct dv_json *dv_network_plan(const struct dv_network *network);

size_t dv_network_memory(const struct dv_network *network); /* bytes planned */

#endif
