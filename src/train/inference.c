/* SPDX-License-Identifier: Apache-2.0 */
#include "train/inference.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "data/loader.h"
#include "nn/network.h"
#include "spec/preprocessing.h"
#include "train/evaluation.h"
#include "train/plan_cache.h"

#include <assert.h>

#define LATENCY_RUNS 15
#define LATENCY_WARM_UPS 3

struct dv_inference {
    struct dv_inference_options options;
    struct dv_network *network;
    float *logits; /* [batch, class] */
};

static enum dv_status make_network(struct dv_inference *inference, struct dv_error *reterr)
{
    const struct dv_inference_options *options = &inference->options;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *known = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *plan = NULL;
    bool has_plan = options->arch_hash && options->job_folder;
    struct dv_plan_key key = {.backend = options->backend,
        .channels = options->preprocessing->channels,
        .rows = options->preprocessing->rows,
        .columns = options->preprocessing->columns,
        .class_count = options->preprocessing->class_count,
        .batch_size = options->batch_size,
        .thread_count = options->thread_count};

    if (has_plan) {
        memcpy(key.arch_hash, options->arch_hash, sizeof(key.arch_hash));
        known = dv_plan_cache_find(options->job_folder, options->plan_cache_folder, &key);
    }
    struct dv_network_options network = {.backend = options->backend,
        .batch_size = options->batch_size,
        .thread_count = options->thread_count,
        .plan = known};
    enum dv_status status =
        dv_network_create(options->graph, &network, &inference->network, reterr);
    if (status != DV_OK || !has_plan) {
        return status;
    }
    plan = dv_network_plan(inference->network);
    return dv_plan_cache_store(options->job_folder, options->plan_cache_folder, &key, plan, reterr);
}

enum dv_status dv_inference_create(const struct dv_inference_options *options,
    struct dv_inference **ret_inference, struct dv_error *reterr)
{
    assert(options);
    assert(options->weights);
    assert(options->batch_size > 0);
    assert(ret_inference);

    void *logits = NULL;
    size_t logits_size =
        (size_t)options->batch_size * options->preprocessing->class_count * sizeof(float);
    struct dv_inference *inference = dv_alloc(sizeof(*inference));
    inference->options = *options;
    if (!inference->options.backend) {
        inference->options.backend = "onednn";
    }
    enum dv_status status = make_network(inference, reterr);
    if (status == DV_OK) {
        status = dv_try_alloc_aligned(logits_size, &logits, reterr);
    }
    if (status != DV_OK) {
        dv_inference_destroy(inference);
        return status;
    }
    inference->logits = logits;
    dv_network_set_tensors(inference->network, NULL, options->weights);
    inference->options.weights = NULL;
    *ret_inference = inference;
    return DV_OK;
}

struct dv_inference *dv_inference_destroy(struct dv_inference *inference)
{
    if (!inference) {
        return NULL;
    }
    dv_network_destroy(inference->network);
    dv_free(inference->logits);
    return dv_free(inference);
}

void dv_inference_destroyp(struct dv_inference **inference)
{
    *inference = dv_inference_destroy(*inference);
}

const float *dv_inference_logits(struct dv_inference *inference, const float *pixels)
{
    assert(inference);
    assert(pixels);

    dv_network_infer(inference->network, pixels, inference->logits);
    return inference->logits;
}

enum dv_status dv_inference_measure(struct dv_inference *inference,
    const struct dv_inference_split *split, const struct dv_train_callbacks *callbacks,
    struct dv_metrics *metrics, double *ret_seconds, struct dv_error *reterr)
{
    assert(inference);
    assert(split);
    assert(metrics);
    assert(ret_seconds);

    struct dv_loader_options options = {.pack = split->pack,
        .preprocessing = inference->options.preprocessing,
        .cache_path = split->cache_path,
        .split = split->split,
        .batch_size = inference->options.batch_size,
        .thread_count = inference->options.thread_count};
    struct dv_loader *loader = NULL;
    enum dv_status status = dv_loader_create(&options, &loader, reterr);
    if (status != DV_OK) {
        return status;
    }

    uint64_t start = dv_clock_monotonic_ns();
    if (dv_loader_sample_count(loader) > 0) {
        struct dv_evaluation_options evaluation = {.network = inference->network,
            .loader = loader,
            .label_map = split->label_map,
            .logits = inference->logits,
            .callbacks = callbacks,
            .step_before = split->step_before,
            .step_total = split->step_total};
        status = dv_evaluation_run(&evaluation, metrics, reterr);
    }
    *ret_seconds = dv_clock_seconds_since(start);
    dv_loader_destroy(loader);
    return status;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double dv_inference_latency(struct dv_inference *inference)
{
    const struct dv_preprocessing *input = inference->options.preprocessing;
    size_t count =
        (size_t)inference->options.batch_size * input->rows * input->columns * input->channels;
    double seconds[LATENCY_RUNS];
    void *pixels;

    if (dv_try_alloc_aligned(count * sizeof(float), &pixels, NULL) != DV_OK) {
        return 0.0;
    }
    for (int i = -LATENCY_WARM_UPS; i < LATENCY_RUNS; i++) {
        uint64_t start = dv_clock_monotonic_ns();
        dv_network_infer(inference->network, pixels, inference->logits);
        if (i >= 0) {
            seconds[i] = dv_clock_seconds_since(start);
        }
    }
    dv_free(pixels);
    qsort(seconds, LATENCY_RUNS, sizeof(seconds[0]), compare_doubles);
    return seconds[LATENCY_RUNS / 2];
}
