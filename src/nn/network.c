/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order to read: struct dv_network in network_impl.h, making (dv_network_create and what it
 * calls), running, the plan. Parameters are network_tensors.c.
 */
#include "nn/network_impl.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "nn/backend.h"
#include "nn/kernels.h"
#include "nn/layout_choice.h"
#include "nn/loss.h"
#include "nn/memory_plan.h"
#include "nn/program.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

/* --- Making: memory ------------------------------------------------------------------------- */

enum dv_status dv_network_allocate(
    struct dv_network *net, size_t floats, float **ret, struct dv_error *reterr)
{
    void *memory;
    enum dv_status status = dv_try_alloc_aligned(floats * sizeof(float), &memory, reterr);

    if (status == DV_OK) {
        *ret = memory;
        net->memory += floats * sizeof(float);
    }
    return status;
}

/* --- Making: memory of a step --------------------------------------------------------------- */

/* Items of the plan, in this order: values, saved parts of steps, gradient storages. */
static struct dv_memory_item *list_items(struct dv_network *net, size_t *ret_count)
{
    const struct dv_program *p = net->program;
    size_t count = (size_t)p->value_count + p->step_count + p->storage_count;
    struct dv_memory_item *items = dv_arena_array(net->arena, count + 1, sizeof(*items));
    struct dv_memory_item *item = items;

    for (uint32_t i = 0; i < p->value_count; i++, item++) {
        const struct dv_value *value = &p->values[i];
        bool is_picture = value->producer == DV_NO_INDEX;
        size_t floats = (size_t)net->batch_size * value->shape.channels * value->shape.rows *
                        value->shape.columns;
        *item = (struct dv_memory_item){
            is_picture ? 0 : floats * sizeof(float), value->first, value->last, 0};
    }
    for (uint32_t i = 0; i < p->step_count; i++, item++) {
        uint32_t last = net->is_training ? dv_program_backward_moment(p, i) : i;
        *item = (struct dv_memory_item){p->steps[i].op->saved_size, i, last, 0};
    }
    for (uint32_t i = 0; i < p->storage_count; i++, item++) {
        const struct dv_gradient_storage *s = &p->storages[i];
        *item = (struct dv_memory_item){s->floats * sizeof(float), s->first, s->last, 0};
    }
    *ret_count = count;
    return items;
}

static void *item_memory(const struct dv_network *net, const struct dv_memory_item *item)
{
    return (char *)net->activations + item->offset;
}

static void point_arguments(struct dv_network *net, const struct dv_memory_item *items)
{
    const struct dv_program *p = net->program;
    const struct dv_memory_item *saved = items + p->value_count;
    const struct dv_memory_item *storages = saved + p->step_count;

    for (uint32_t i = 0; i < p->step_count; i++) {
        const struct dv_step *step = &p->steps[i];
        const struct dv_value *output = &p->values[step->output];
        struct dv_op_args *a = &net->arguments[i];
        a->output = item_memory(net, &items[step->output]);
        a->saved = item_memory(net, &saved[i]);
        a->scratch = net->scratch;
        if (output->storage != DV_NO_INDEX && net->is_training) {
            a->output_gradient = item_memory(net, &storages[output->storage]);
        }
        for (uint32_t k = 0; k < step->desc.input_count; k++) {
            a->inputs[k] = item_memory(net, &items[step->inputs[k]]);
            a->accumulates[k] = step->accumulates[k];
            if (step->gives_gradient[k]) {
                uint32_t storage = p->values[step->inputs[k]].storage;
                a->input_gradients[k] = item_memory(net, &storages[storage]);
            }
        }
    }
}

static enum dv_status make_memory(struct dv_network *net, struct dv_error *reterr)
{
    size_t count;
    size_t scratch_size = 0;
    float *scratch;
    struct dv_memory_item *items = list_items(net, &count);
    size_t size = dv_memory_plan(items, count);

    for (uint32_t i = 0; i < net->program->step_count; i++) {
        size_t need = net->program->steps[i].op->scratch_size;
        scratch_size = need > scratch_size ? need : scratch_size;
    }
    enum dv_status status =
        dv_network_allocate(net, size / sizeof(float) + 16, &net->activations, reterr);
    if (status == DV_OK) {
        status = dv_network_allocate(net, scratch_size / sizeof(float) + 16, &scratch, reterr);
    }
    if (status == DV_OK) {
        net->scratch = scratch;
        point_arguments(net, items);
    }
    return status;
}

/* --- Making: layouts ------------------------------------------------------------------------ */

/* Take the layouts of an earlier run; false if there are none or they are of another network. */
static bool take_layouts(struct dv_network *net, const struct dv_json *plan)
{
    const struct dv_json *list = dv_json_get(plan, "layouts");
    bool fits = dv_json_count(list) == net->graph->row_count &&
                dv_text_equal(dv_json_get_string(plan, "backend", ""), net->backend->name);

    for (uint32_t r = 0; fits && r < net->graph->row_count; r++) {
        bool is_blocked = dv_text_equal(dv_json_to_string(dv_json_at(list, r), ""), "blocked");
        net->layouts[r] =
            is_blocked && net->backend->has_blocked_layout ? DV_LAYOUT_BLOCKED : DV_LAYOUT_NHWC;
    }
    return fits;
}

static enum dv_status make(
    struct dv_network *net, const struct dv_network_options *options, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    net->layouts =
        dv_arena_array(net->arena, (size_t)net->graph->row_count + 1, sizeof(*net->layouts));
    if (!take_layouts(net, options->plan)) {
        status = dv_layout_choose(
            net->graph, net->backend, net->batch_size, net->is_training, net->layouts, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    net->program =
        dv_program_build(net->graph, net->batch_size, net->is_training, net->layouts, net->arena);
    net->arguments = dv_arena_array(net->arena, net->program->step_count, sizeof(*net->arguments));
    status = dv_program_make_ops(net->program, net->backend, net->is_training, net->arena, reterr);
    if (status == DV_OK) {
        status = dv_network_make_parameters(net, reterr);
    }
    if (status == DV_OK) {
        status = make_memory(net, reterr);
    }
    return status;
}

enum dv_status dv_network_create(const struct dv_graph *graph,
    const struct dv_network_options *options, struct dv_network **ret_network,
    struct dv_error *reterr)
{
    assert(graph);
    assert(options);
    assert(ret_network);

    const struct dv_backend_impl *backend = dv_backend_find(options->backend);
    if (!backend) {
        return dv_fail(reterr, DV_NOT_FOUND, "no compute backend is named '%s'", options->backend);
    }
    if (options->batch_size == 0) {
        return dv_fail(reterr, DV_INVALID, "the batch size is 0");
    }

    struct dv_network *net = dv_alloc(sizeof(*net));
    net->backend = backend;
    net->graph = graph;
    net->arena = dv_arena_create(0);
    net->batch_size = options->batch_size;
    net->thread_count =
        options->thread_count ? options->thread_count : (uint32_t)omp_get_num_procs();
    net->is_training = options->is_training;
    net->seed = options->seed;
    omp_set_num_threads((int)net->thread_count);
    enum dv_status status = make(net, options, reterr);
    if (status != DV_OK) {
        dv_network_destroy(net);
        return status;
    }
    *ret_network = net;
    return DV_OK;
}

struct dv_network *dv_network_destroy(struct dv_network *network)
{
    if (!network) {
        return NULL;
    }
    dv_program_destroy_ops(network->program);
    dv_free(network->parameters);
    dv_free(network->gradients);
    dv_free(network->decay_mask);
    dv_free(network->statistics);
    dv_free(network->activations);
    dv_free(network->scratch);
    dv_arena_destroy(network->arena);
    return dv_free(network);
}

/* --- Running -------------------------------------------------------------------------------- */

static void set_pictures(struct dv_network *net, const float *pixels)
{
    for (uint32_t i = 0; i < net->program->step_count; i++) {
        for (uint32_t k = 0; k < net->program->steps[i].desc.input_count; k++) {
            if (net->program->steps[i].inputs[k] == 0) {
                net->arguments[i].inputs[k] = pixels;
            }
        }
    }
}

static void forward(struct dv_network *net, const float *pixels, bool is_inference, uint64_t step)
{
    struct dv_program *p = net->program;

    omp_set_num_threads((int)net->thread_count);
    set_pictures(net, pixels);
    for (uint32_t i = 0; i < p->step_count; i++) {
        struct dv_op_args *a = &net->arguments[i];
        a->is_inference = is_inference;
        if (p->steps[i].desc.op == DV_NODE_DROPOUT || p->steps[i].desc.op == DV_NODE_DROP_PATH) {
            struct dv_random random =
                dv_random_make(net->seed, DV_RANDOM_DROPOUT, step, p->steps[i].node);
            a->dropout_key = dv_random_u64(&random);
        }
        net->backend->op_forward(p->steps[i].op, a);
    }
}

static const float *logits_of(const struct dv_network *net)
{
    return net->arguments[net->program->values[net->program->output].producer].output;
}

static uint32_t class_count(const struct dv_network *net)
{
    return net->program->values[net->program->output].shape.channels;
}

void dv_network_infer(struct dv_network *network, const float *pixels, float *ret_logits)
{
    forward(network, pixels, true, 0);
    memcpy(ret_logits, logits_of(network),
        (size_t)network->batch_size * class_count(network) * sizeof(float));
}

double dv_network_train(struct dv_network *network, const float *pixels, const uint32_t *labels,
    uint32_t count, double label_smoothing, uint64_t step, uint32_t *ret_correct)
{
    struct dv_program *p = network->program;
    uint32_t last = p->values[p->output].producer;

    assert(network->is_training);
    forward(network, pixels, false, step);
    struct dv_loss loss = dv_loss_cross_entropy(logits_of(network), labels, count,
        network->batch_size, class_count(network), label_smoothing,
        (float *)network->arguments[last].output_gradient);
    for (uint32_t i = p->step_count; i-- > 0;) {
        if (network->arguments[i].output_gradient) {
            network->backend->op_backward(p->steps[i].op, &network->arguments[i]);
        }
    }
    *ret_correct = loss.correct;
    return loss.loss;
}

/* --- The plan ------------------------------------------------------------------------------- */

struct dv_json *dv_network_plan(const struct dv_network *network)
{
    struct dv_json *plan = dv_json_object();
    struct dv_json *layouts = dv_json_array();
    struct dv_json *steps = dv_json_array();
    char library[64] = "";

    if (network->backend->library) {
        network->backend->library(library, sizeof(library));
    }
    dv_json_set_string(plan, "backend", network->backend->name);
    dv_json_set_string(plan, "library", library);
    dv_json_set_integer(plan, "batch_size", network->batch_size);
    dv_json_set_integer(plan, "threads", network->thread_count);
    dv_json_set_string(plan, "instruction_set", dv_kernels()->name);
    for (uint32_t r = 0; r < network->graph->row_count; r++) {
        bool is_blocked = network->layouts[r] == DV_LAYOUT_BLOCKED;
        dv_json_append(layouts, dv_json_string(is_blocked ? "blocked" : "nhwc"));
    }
    for (uint32_t i = 0; i < network->program->step_count; i++) {
        const struct dv_step *step = &network->program->steps[i];
        struct dv_json *item = dv_json_object();
        bool has_name = step->node != DV_NO_INDEX;
        dv_json_set_string(item, "op", has_name ? dv_node_op_name(step->desc.op) : "copy");
        dv_json_set_string(item, "name", has_name ? network->graph->nodes[step->node].name : "");
        dv_json_set_string(item, "kernels", step->op->kernels);
        dv_json_append(steps, item);
    }
    dv_json_set(plan, "layouts", layouts);
    dv_json_set(plan, "steps", steps);
    return plan;
}

size_t dv_network_memory(const struct dv_network *network)
{
    return network->memory;
}
