/* SPDX-License-Identifier: Apache-2.0 */
#include "toy.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/random.h"
#include "data/loader.h"
#include "nn/network.h"

#include <math.h>

uint32_t toy_train_count = 45;
uint32_t toy_val_count = 12;
float toy_weight_max = INFINITY;
uint64_t toy_break_step = UINT64_MAX;
float (*toy_trace)[TOY_FLOATS];

/* --- Network: logits = W x, with the mean of x as its running statistic ------------------- */

#define WEIGHTS (TOY_FEATURES * TOY_CLASSES)

struct dv_network {
    struct dv_network_options options;
    float weights[WEIGHTS];
    float gradients[WEIGHTS];
    float mask[WEIGHTS];
    float running[TOY_FEATURES];
};

enum dv_status dv_network_create(const struct dv_graph *graph,
    const struct dv_network_options *options, struct dv_network **ret_network,
    struct dv_error *reterr)
{
    struct dv_network *network = dv_alloc(sizeof(*network));

    (void)graph;
    (void)reterr;
    network->options = *options;
    for (size_t i = 0; i < WEIGHTS; i++) {
        network->mask[i] = 1.0f;
    }
    *ret_network = network;
    return DV_OK;
}

struct dv_network *dv_network_destroy(struct dv_network *network)
{
    return dv_free(network);
}

void dv_network_init(struct dv_network *network, uint64_t seed)
{
    struct dv_random random = dv_random_make(seed, DV_RANDOM_INIT, 0, 0);

    for (size_t i = 0; i < WEIGHTS; i++) {
        network->weights[i] = 0.1f * (float)dv_random_normal(&random);
    }
    memset(network->running, 0, sizeof(network->running));
}

static void logits_of(const struct dv_network *network, const float *x, float *ret_logits)
{
    for (size_t c = 0; c < TOY_CLASSES; c++) {
        ret_logits[c] = 0.0f;
        for (size_t f = 0; f < TOY_FEATURES; f++) {
            float product = network->weights[c * TOY_FEATURES + f] * x[f];
            ret_logits[c] += isnan(product) ? 0.0f : product; /* as a relu may hide it */
        }
    }
}

void dv_network_infer(struct dv_network *network, const float *pixels, float *ret_logits)
{
    for (uint32_t i = 0; i < network->options.batch_size; i++) {
        float x[TOY_FEATURES];
        for (size_t f = 0; f < TOY_FEATURES; f++) {
            x[f] = pixels[i * TOY_FEATURES + f] - 0.1f * network->running[f];
        }
        logits_of(network, x, ret_logits + (size_t)i * TOY_CLASSES);
    }
}

static double train_one(struct dv_network *network, const float *x, uint32_t label, uint32_t count)
{
    float logits[TOY_CLASSES];
    double sum = 0.0;

    logits_of(network, x, logits);
    for (size_t c = 0; c < TOY_CLASSES; c++) {
        sum += exp((double)logits[c]);
    }
    for (size_t c = 0; c < TOY_CLASSES; c++) {
        double d = exp((double)logits[c]) / sum - (c == label ? 1.0 : 0.0);
        for (size_t f = 0; f < TOY_FEATURES; f++) {
            network->gradients[c * TOY_FEATURES + f] += (float)d * x[f] / (float)count;
        }
    }
    return log(sum) - (double)logits[label];
}

double dv_network_train(struct dv_network *network, const float *pixels, const uint32_t *labels,
    uint32_t count, double label_smoothing, uint64_t step, uint32_t *ret_correct)
{
    struct dv_random noise = dv_random_make(network->options.seed, DV_RANDOM_DROPOUT, step, 0);
    double loss = 0.0;

    (void)label_smoothing;
    if (toy_trace) {
        dv_network_get_tensors(network, NULL, toy_trace[step]);
    }
    memset(network->gradients, 0, sizeof(network->gradients));
    for (uint32_t i = 0; i < count; i++) {
        float x[TOY_FEATURES];
        for (size_t f = 0; f < TOY_FEATURES; f++) {
            x[f] = pixels[i * TOY_FEATURES + f] + 0.01f * (float)dv_random_unit(&noise);
            network->running[f] = 0.9f * network->running[f] + 0.1f * x[f];
        }
        loss += train_one(network, x, labels[i], count);
    }
    for (size_t i = 0; i < WEIGHTS; i++) {
        loss = fabsf(network->weights[i]) > toy_weight_max ? (double)NAN : loss;
    }
    if (step == toy_break_step) {
        network->gradients[WEIGHTS / 2] = NAN;
    }
    *ret_correct = 0;
    return loss / count;
}

size_t dv_network_flat_count(const struct dv_network *network)
{
    (void)network;
    return WEIGHTS;
}

float *dv_network_parameters(struct dv_network *network)
{
    return network->weights;
}

float *dv_network_gradients(struct dv_network *network)
{
    return network->gradients;
}

const float *dv_network_decay_mask(const struct dv_network *network)
{
    return network->mask;
}

size_t dv_network_tensor_floats(const struct dv_network *network)
{
    (void)network;
    return TOY_FLOATS;
}

/* The canonical order is the flat one backwards, so that mixing them up does not go unseen. */
void dv_network_get_tensors(struct dv_network *network, const float *flat, float *ret_values)
{
    const float *from = flat ? flat : network->weights;

    for (size_t i = 0; i < WEIGHTS; i++) {
        ret_values[WEIGHTS - 1 - i] = from[i];
    }
    memcpy(ret_values + WEIGHTS, network->running, sizeof(network->running));
}

void dv_network_set_tensors(struct dv_network *network, float *flat, const float *values)
{
    float *to = flat ? flat : network->weights;

    for (size_t i = 0; i < WEIGHTS; i++) {
        to[i] = values[WEIGHTS - 1 - i];
    }
    if (!flat) {
        memcpy(network->running, values + WEIGHTS, sizeof(network->running));
    }
}

struct dv_json *dv_network_plan(const struct dv_network *network)
{
    (void)network;
    return dv_json_object();
}

size_t dv_network_memory(const struct dv_network *network)
{
    return sizeof(*network);
}

/* --- Loader: three overlapping clouds ----------------------------------------------------- */

struct dv_loader {
    struct dv_loader_options options;
    uint64_t count, epoch, step;
    uint32_t *order;
    float *pixels;
    uint32_t *labels;
};

enum dv_status dv_loader_create(
    const struct dv_loader_options *options, struct dv_loader **ret_loader, struct dv_error *reterr)
{
    struct dv_loader *loader = dv_alloc(sizeof(*loader));

    (void)reterr;
    loader->options = *options;
    loader->count = options->split == DV_SPLIT_TRAIN ? toy_train_count : toy_val_count;
    loader->order = dv_alloc((loader->count + 1) * sizeof(*loader->order));
    loader->pixels = dv_alloc(options->batch_size * TOY_FEATURES * sizeof(float));
    loader->labels = dv_alloc(options->batch_size * sizeof(*loader->labels));
    *ret_loader = loader;
    return DV_OK;
}

struct dv_loader *dv_loader_destroy(struct dv_loader *loader)
{
    if (!loader) {
        return NULL;
    }
    dv_free(loader->order);
    dv_free(loader->pixels);
    dv_free(loader->labels);
    return dv_free(loader);
}

uint64_t dv_loader_sample_count(const struct dv_loader *loader)
{
    return loader->count;
}

uint64_t dv_loader_step_count(const struct dv_loader *loader)
{
    uint64_t whole = loader->count / loader->options.batch_size;
    bool has_rest = loader->count % loader->options.batch_size != 0;

    return loader->options.is_shuffled && whole > 0 ? whole : whole + has_rest;
}

void dv_loader_start(struct dv_loader *loader, uint64_t epoch, uint64_t step)
{
    struct dv_random random = dv_random_make(loader->options.seed, DV_RANDOM_ORDER, epoch, 0);

    loader->epoch = epoch;
    loader->step = step;
    for (uint32_t i = 0; i < loader->count; i++) {
        loader->order[i] = i;
    }
    if (loader->options.is_shuffled) {
        dv_random_shuffle(&random, loader->order, loader->count);
    }
}

static void make_point(struct dv_loader *loader, uint32_t sample, uint32_t slot)
{
    struct dv_random random = dv_random_make(
        loader->options.seed, DV_RANDOM_SAMPLE, sample, (uint64_t)loader->options.split);
    uint32_t label = sample % TOY_CLASSES;

    for (size_t f = 0; f < TOY_FEATURES; f++) {
        float centre = f % TOY_CLASSES == label ? 1.0f : 0.0f;
        loader->pixels[slot * TOY_FEATURES + f] = centre + 0.5f * (float)dv_random_normal(&random);
    }
    loader->labels[slot] = label;
}

enum dv_status dv_loader_next(struct dv_loader *loader, struct dv_batch *ret_batch,
    bool *ret_has_batch, struct dv_error *reterr)
{
    uint64_t first = loader->step * loader->options.batch_size;
    uint32_t count = 0;

    (void)reterr;
    *ret_has_batch = loader->step < dv_loader_step_count(loader);
    if (!*ret_has_batch) {
        return DV_OK;
    }
    memset(loader->pixels, 0, loader->options.batch_size * TOY_FEATURES * sizeof(float));
    while (count < loader->options.batch_size && first + count < loader->count) {
        make_point(loader, loader->order[first + count], count);
        count++;
    }
    loader->step++;
    *ret_batch = (struct dv_batch){
        .pixels = loader->pixels, .labels = loader->labels, .count = count, .first_sample = first};
    return DV_OK;
}

enum dv_status dv_loader_statistics(const struct dv_loader_options *options, float ret_mean[3],
    float ret_std[3], struct dv_error *reterr)
{
    (void)options;
    (void)reterr;
    for (int c = 0; c < 3; c++) {
        ret_mean[c] = 0.0f;
        ret_std[c] = 1.0f;
    }
    return DV_OK;
}

/* --- Both together ------------------------------------------------------------------------ */

double toy_loss(const float *tensors, enum dv_split split)
{
    struct dv_loader_options options = {.split = split, .batch_size = 1, .seed = 7};
    struct dv_network_options one = {.batch_size = 1};
    struct dv_network *network = NULL;
    struct dv_loader *loader = NULL;
    struct dv_batch batch;
    bool has_batch = false;
    double loss = 0.0;

    if (dv_network_create(NULL, &one, &network, NULL) != DV_OK ||
        dv_loader_create(&options, &loader, NULL) != DV_OK) {
        return NAN;
    }
    dv_network_set_tensors(network, NULL, tensors);
    dv_loader_start(loader, 0, 0);
    while (dv_loader_next(loader, &batch, &has_batch, NULL) == DV_OK && has_batch) {
        float logits[TOY_CLASSES];
        double sum = 0.0;
        dv_network_infer(network, batch.pixels, logits);
        for (size_t c = 0; c < TOY_CLASSES; c++) {
            sum += exp((double)logits[c]);
        }
        loss += log(sum) - (double)logits[batch.labels[0]];
    }
    loss /= (double)dv_loader_sample_count(loader);
    dv_loader_destroy(loader);
    dv_network_destroy(network);
    return loss;
}
