/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parameters of a network: their places in the flat blocks, their way in and out, and what
 * they begin with.
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

static uint32_t step_of_node(const struct dv_program *program, uint32_t node)
{
    uint32_t step = 0;

    while (program->steps[step].node != node) {
        step++;
        assert(step < program->step_count);
    }
    return step;
}

static void place_tensors(struct dv_network *net)
{
    net->places = dv_arena_array(net->arena, net->graph->tensor_count, sizeof(*net->places));
    for (uint32_t t = 0; t < net->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &net->graph->tensors[t];
        struct tensor_place *place = &net->places[t];
        size_t *end = tensor->is_trained ? &net->flat_count : &net->statistics_count;
        place->step = step_of_node(net->program, tensor->node);
        place->floats = net->program->steps[place->step].op->tensor_floats[tensor->role];
        place->offset = *end;
        *end += round_up_floats(place->floats);
    }
}

enum dv_status dv_network_make_parameters(struct dv_network *net, struct dv_error *reterr)
{
    place_tensors(net);
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
    for (uint32_t t = 0; status == DV_OK && t < net->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &net->graph->tensors[t];
        struct dv_op_args *a = &net->arguments[net->places[t].step];
        float *block = tensor->is_trained ? net->parameters : net->statistics;
        a->tensors[tensor->role] = block + net->places[t].offset;
        if (net->is_training && tensor->is_trained) {
            a->tensor_gradients[tensor->role] = net->gradients + net->places[t].offset;
            for (size_t i = 0; i < net->places[t].floats; i++) {
                net->decay_mask[net->places[t].offset + i] = tensor->has_decay ? 1.0f : 0.0f;
            }
        }
    }
    return status;
}

/* --- Parameters in and out
 * -------------------------------------------------------------------------- */

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
    size_t floats = 0;

    for (uint32_t t = 0; t < network->graph->tensor_count; t++) {
        floats += network->graph->tensors[t].count;
    }
    return floats;
}

void dv_network_get_tensors(struct dv_network *network, const float *flat, float *ret_values)
{
    const float *trained = flat ? flat : network->parameters;

    for (uint32_t t = 0; t < network->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &network->graph->tensors[t];
        const struct tensor_place *place = &network->places[t];
        const float *own = (tensor->is_trained ? trained : network->statistics) + place->offset;
        network->backend->tensor_export(
            network->program->steps[place->step].op, tensor->role, own, ret_values);
        ret_values += tensor->count;
    }
}

void dv_network_set_tensors(struct dv_network *network, float *flat, const float *values)
{
    float *trained = flat ? flat : network->parameters;

    for (uint32_t t = 0; t < network->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &network->graph->tensors[t];
        const struct tensor_place *place = &network->places[t];
        if (tensor->is_trained || !flat) {
            float *own = (tensor->is_trained ? trained : network->statistics) + place->offset;
            network->backend->tensor_import(
                network->program->steps[place->step].op, tensor->role, values, own);
        }
        values += tensor->count;
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
            bool is_one =
                node->op == DV_NODE_BATCH_NORM &&
                (tensor->role == DV_TENSOR_WEIGHT || tensor->role == DV_TENSOR_RUNNING_VAR);
            values[i] = is_one ? 1.0f : 0.0f;
        }
    }
}

void dv_network_init(struct dv_network *network, uint64_t seed)
{
    DV_CLEANUP(dv_freep)
    float *values = dv_alloc(dv_network_tensor_floats(network) * sizeof(float));
    size_t offset = 0;

    for (uint32_t t = 0; t < network->graph->tensor_count; t++) {
        init_tensor(network, t, seed, values + offset);
        offset += network->graph->tensors[t].count;
    }
    dv_network_set_tensors(network, NULL, values);
}
