/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameters of a network: their places in the flat blocks, their way in and out (for a
 * network that only answers folded on the way in), and what they begin with.
 */
#include "nn/network_impl.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/random.h"
#include "nn/program.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* --- Making: parameters --------------------------------------------------------------------- */

static size_t round_up_floats(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Per node of the graph: the step that has its tensors; DV_NO_INDEX: none has. */
static uint32_t *find_steps(const struct dv_network *net)
{
    size_t count = net->graph->node_count;
    uint32_t *steps = dv_arena_array(net->arena, count, sizeof(*steps));

    memset(steps, 0xff, count * sizeof(*steps));
    for (uint32_t i = 0; i < net->program->step_count; i++) {
        if (net->program->steps[i].node != DV_NO_INDEX) {
            steps[net->program->steps[i].node] = i;
        }
    }
    return steps;
}

static void place_tensors(struct dv_network *net)
{
    const uint32_t *steps = find_steps(net);

    net->places = dv_arena_array(net->arena, net->graph->tensor_count, sizeof(*net->places));
    for (uint32_t t = 0; t < net->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &net->graph->tensors[t];
        struct tensor_place *place = &net->places[t];
        size_t *end = tensor->is_trained ? &net->flat_count : &net->statistics_count;
        place->step = steps[tensor->node];
        place->canonical = net->canonical_count;
        net->canonical_count += (size_t)tensor->count;
        if (place->step != DV_NO_INDEX) {
            place->floats = net->program->steps[place->step].op->tensor_floats[tensor->role];
            place->offset = *end;
            *end += round_up_floats(place->floats);
        }
    }
}

/* A folded norm leaves a bias, also where the graph has none. */
static void place_folded(struct dv_network *net)
{
    size_t count = net->program->step_count;

    net->bias_offsets = dv_arena_array(net->arena, count, sizeof(*net->bias_offsets));
    for (uint32_t i = 0; i < count; i++) {
        if (net->program->steps[i].norm != DV_NO_INDEX) {
            net->bias_offsets[i] = net->flat_count;
            net->flat_count += round_up_floats(net->program->steps[i].desc.output.channels);
        }
    }
}

static enum dv_status allocate_blocks(struct dv_network *net, struct dv_error *reterr)
{
    enum dv_status status = dv_network_allocate(net, net->flat_count, &net->parameters, reterr);

    if (status == DV_OK) {
        status = dv_network_allocate(net, net->statistics_count, &net->statistics, reterr);
    }
    if (status == DV_OK && net->is_training) {
        status = dv_network_allocate(net, net->flat_count, &net->gradients, reterr);
    }
    if (status == DV_OK && net->is_training) {
        status = dv_network_allocate(net, net->flat_count, &net->decay_mask, reterr);
    }
    return status;
}

static void point_tensor(struct dv_network *net, uint32_t index)
{
    const struct dv_graph_tensor *tensor = &net->graph->tensors[index];
    const struct tensor_place *place = &net->places[index];
    struct dv_op_args *a = &net->arguments[place->step];
    float *block = tensor->is_trained ? net->parameters : net->statistics;

    a->tensors[tensor->role] = block + place->offset;
    if (net->is_training && tensor->is_trained) {
        a->tensor_gradients[tensor->role] = net->gradients + place->offset;
        for (size_t i = 0; i < place->floats; i++) {
            net->decay_mask[place->offset + i] = tensor->has_decay ? 1.0f : 0.0f;
        }
    }
}

enum dv_status dv_network_make_parameters(struct dv_network *net, struct dv_error *reterr)
{
    place_tensors(net);
    place_folded(net);
    enum dv_status status = allocate_blocks(net, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (uint32_t t = 0; t < net->graph->tensor_count; t++) {
        if (net->places[t].step != DV_NO_INDEX) {
            point_tensor(net, t);
        }
    }
    for (uint32_t i = 0; i < net->program->step_count; i++) {
        if (net->program->steps[i].norm != DV_NO_INDEX) {
            net->arguments[i].tensors[DV_TENSOR_BIAS] = net->parameters + net->bias_offsets[i];
        }
    }
    return DV_OK;
}

/* --- Parameters in and out ------------------------------------------------------------------ */

size_t dv_network_flat_count(const struct dv_network *network)
{
    return network->flat_count;
}

float *dv_network_parameters(struct dv_network *network)
{
    return network->parameters;
}

float *dv_network_gradients(struct dv_network *network)
{
    return network->gradients;
}

const float *dv_network_decay_mask(const struct dv_network *network)
{
    return network->decay_mask;
}

size_t dv_network_tensor_floats(const struct dv_network *network)
{
    return network->canonical_count;
}

void dv_network_get_tensors(struct dv_network *network, const float *flat, float *ret_values)
{
    const float *trained = flat ? flat : network->parameters;

    assert(network->is_training);
    for (uint32_t t = 0; t < network->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &network->graph->tensors[t];
        const struct tensor_place *place = &network->places[t];
        const float *own = (tensor->is_trained ? trained : network->statistics) + place->offset;
        network->backend->tensor_export(network->program->steps[place->step].op, tensor->role, own,
            ret_values + place->canonical);
    }
}

/*
 * With mean, variance, weight and bias of a norm fixed, norm(W x + b) is another W x + b:
 *     scale = weight / sqrt(variance + epsilon)
 *     W = scale * W          b = scale * (b - mean) + bias
 */
static void fold_norm(struct dv_network *net, uint32_t index, const float *values)
{
    const struct dv_step *step = &net->program->steps[index];
    const struct dv_node *layer = &net->graph->nodes[step->node];
    const struct dv_node *norm = &net->graph->nodes[step->norm];
    size_t channels = step->desc.output.channels;
    size_t floats = dv_op_tensor_floats(&step->desc, DV_TENSOR_WEIGHT);
    const float *weight = values + net->places[layer->tensors[DV_TENSOR_WEIGHT]].canonical;
    const float *of_norm[DV_TENSOR_ROLE_COUNT];
    DV_CLEANUP(dv_freep) float *folded = dv_alloc(floats * sizeof(*folded));
    DV_CLEANUP(dv_freep) float *bias = dv_alloc(channels * sizeof(*bias));

    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        of_norm[role] = values + net->places[norm->tensors[role]].canonical;
    }
    if (layer->tensors[DV_TENSOR_BIAS] != DV_NO_TENSOR) {
        const float *own = values + net->places[layer->tensors[DV_TENSOR_BIAS]].canonical;
        memcpy(bias, own, channels * sizeof(*bias));
    }
    for (size_t c = 0; c < channels; c++) {
        double variance = (double)of_norm[DV_TENSOR_RUNNING_VAR][c] + (double)DV_NORM_EPSILON;
        double scale = (double)of_norm[DV_TENSOR_WEIGHT][c] / sqrt(variance);
        double moved = (double)bias[c] - (double)of_norm[DV_TENSOR_RUNNING_MEAN][c];
        bias[c] = (float)(scale * moved + (double)of_norm[DV_TENSOR_BIAS][c]);
        for (size_t i = c * (floats / channels); i < (c + 1) * (floats / channels); i++) {
            folded[i] = (float)(scale * (double)weight[i]);
        }
    }
    float *const *own = net->arguments[index].tensors;
    net->backend->tensor_import(step->op, DV_TENSOR_WEIGHT, folded, own[DV_TENSOR_WEIGHT]);
    net->backend->tensor_import(step->op, DV_TENSOR_BIAS, bias, own[DV_TENSOR_BIAS]);
}

/* Does the step take the tensor as it is? */
static bool is_taken_plain(const struct dv_network *net, const struct tensor_place *place)
{
    return place->step != DV_NO_INDEX && net->program->steps[place->step].norm == DV_NO_INDEX;
}

void dv_network_set_tensors(struct dv_network *network, float *flat, const float *values)
{
    float *trained = flat ? flat : network->parameters;

    assert(network->is_training || !flat);
    for (uint32_t t = 0; t < network->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &network->graph->tensors[t];
        const struct tensor_place *place = &network->places[t];
        if (is_taken_plain(network, place) && (tensor->is_trained || !flat)) {
            float *own = (tensor->is_trained ? trained : network->statistics) + place->offset;
            network->backend->tensor_import(network->program->steps[place->step].op, tensor->role,
                values + place->canonical, own);
        }
    }
    for (uint32_t i = 0; i < network->program->step_count; i++) {
        if (network->program->steps[i].norm != DV_NO_INDEX) {
            fold_norm(network, i, values);
        }
    }
}

/* Weights of convolutions: He et al. 2015, fan out, normal. Linear: uniform in 1/sqrt(in). */
static void init_tensor(const struct dv_network *net, uint32_t index, uint64_t seed, float *values)
{
    const struct dv_graph_tensor *tensor = &net->graph->tensors[index];
    const struct dv_node *node = &net->graph->nodes[tensor->node];
    struct dv_random random = dv_random_make(seed, DV_RANDOM_INIT, index, 0);
    bool is_linear = node->op == DV_NODE_LINEAR;
    const struct dv_graph_tensor *weight = &net->graph->tensors[node->tensors[DV_TENSOR_WEIGHT]];
    double fan_in = (double)weight->count / weight->shape[0];
    double fan_out =
        (double)weight->shape[0] / (node->groups ? node->groups : 1) * node->kernel * node->kernel;
    double spread = is_linear ? 1 / sqrt(fan_in) : sqrt(2 / fan_out);

    for (uint64_t i = 0; i < tensor->count; i++) {
        if (is_linear) {
            values[i] = (float)(spread * (2 * dv_random_unit(&random) - 1));
        } else if (node->op == DV_NODE_CONV && tensor->role == DV_TENSOR_WEIGHT) {
            values[i] = (float)(spread * dv_random_normal(&random));
        } else {
            bool is_norm = node->op == DV_NODE_BATCH_NORM || node->op == DV_NODE_GROUP_NORM;
            bool is_one = is_norm && (tensor->role == DV_TENSOR_WEIGHT ||
                                         tensor->role == DV_TENSOR_RUNNING_VAR);
            values[i] = is_one ? 1.0f : 0.0f;
        }
    }
}

void dv_network_init(struct dv_network *network, uint64_t seed)
{
    DV_CLEANUP(dv_freep)
    float *values = dv_alloc(dv_network_tensor_floats(network) * sizeof(float));

    for (uint32_t t = 0; t < network->graph->tensor_count; t++) {
        init_tensor(network, t, seed, values + network->places[t].canonical);
    }
    dv_network_set_tensors(network, NULL, values);
}
