/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strategy `native`: the user's architecture, or the recipe's for the data set, from scratch.
 */
#include "train/strategy_impl.h"

#include "base/alloc.h"
#include "base/json.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/job_spec.h"
#include "train/recipe.h"
#include "train/salvage.h"
#include "train/task.h"
#include "train/worker.h"

#include <assert.h>

static enum dv_status native_validate(const struct dv_train_task *task, struct dv_error *reterr)
{
    const struct dv_dataset_summary *dataset = task->dataset;
    uint64_t train_count = 0;

    if (task->job->base_model_id) {
        return dv_fail(reterr, DV_INVALID,
            "strategy native trains from scratch: a base model needs strategy transfer");
    }
    if (dataset->class_count < 2) {
        return dv_fail(reterr, DV_INVALID, "the data set has %u classes, training needs 2",
            dataset->class_count);
    }
    for (uint32_t c = 0; c < dataset->class_count; c++) {
        train_count += dataset->classes[c].counts[DV_SPLIT_TRAIN];
    }
    return train_count > 0 ? DV_OK
                           : dv_fail(reterr, DV_INVALID, "the data set has no training pictures");
}

/* The picture size decides about the recipe, so the user's is looked at before all others. */
static uint32_t wanted_image_size(const struct dv_train_task *task)
{
    int64_t size = dv_json_get_integer(task->job->hyperparameters, "image_size", 0);

    return size > 0 && size <= UINT16_MAX ? (uint32_t)size : dv_dataset_image_size(task->dataset);
}

static enum dv_status native_default_hyperparameters(const struct dv_train_task *task,
    struct dv_hyperparameters *ret_hyperparameters, struct dv_error *reterr)
{
    struct dv_task_network network;
    uint32_t image_size = wanted_image_size(task);
    enum dv_status status = dv_task_make_network(task, image_size, 0.0, &network, reterr);

    if (status != DV_OK) {
        return status;
    }
    *ret_hyperparameters =
        dv_recipe_hyperparameters(task->dataset, image_size, network.graph->macs);
    return DV_OK;
}

/* Of everything that the weights depend on; the caller frees. */
static char *make_identity(const struct dv_train_task *task,
    const struct dv_hyperparameters *hyperparameters, const char *arch_hash)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_hyperparameters_to_json(hyperparameters);
    DV_CLEANUP(dv_freep) char *text = dv_json_print_canonical(json);

    return dv_strprintf("%s/%s/%s/%s", task->backend, task->dataset->content_hash, arch_hash, text);
}

static void report_start(const struct dv_train_task *task, const struct dv_trained *trained)
{
    const struct dv_train_callbacks *callbacks = &task->options->callbacks;
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *values = dv_hyperparameters_to_json(&trained->hyperparameters);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(values);
    const char *name = trained->network.arch->name;
    DV_CLEANUP(dv_freep)
    char *called = name && name[0] ? dv_strprintf(" \"%s\"", name) : dv_strdup("");
    DV_CLEANUP(dv_freep)
    char *line = dv_strprintf("network%s, %llu parameters, %.1f M "
                              "multiply-adds a picture; hyperparameters %s",
        called, (unsigned long long)trained->network.graph->parameter_count,
        (double)trained->network.graph->macs * 1e-6, text);

    if (callbacks->log) {
        callbacks->log(callbacks->user, DV_LOG_INFO, line);
    }
}

static enum dv_status native_train(const struct dv_train_task *task,
    const struct dv_hyperparameters *hyperparameters, struct dv_trained *ret_trained,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *identity = NULL;
    struct dv_trained trained = {.hyperparameters = *hyperparameters};
    struct dv_hyperparameters *used = &trained.hyperparameters;

    if (used->image_size == 0) {
        used->image_size = dv_dataset_image_size(task->dataset);
    }
    uint32_t image_size = (uint32_t)used->image_size;
    enum dv_status status =
        dv_task_make_network(task, image_size, used->dropout, &trained.network, reterr);
    if (status == DV_OK) {
        status = dv_task_make_preprocessing(
            task, image_size, used->augmentation, &trained.preprocessing, reterr);
    }
    if (status != DV_OK) {
        return status;
    }

    identity = make_identity(task, used, trained.network.arch_hash);
    used->batch_size >>= task->halvings;
    report_start(task, &trained);
    struct dv_trainer_options options = {.graph = trained.network.graph,
        .arch_hash = trained.network.arch_hash,
        .preprocessing = &trained.preprocessing,
        .hyperparameters = used,
        .pack = task->pack,
        .backend = task->backend,
        .cache_path = task->options->cache_path,
        .folder = task->options->job_folder,
        .plan_cache_folder = task->options->plan_cache_folder,
        .identity = identity,
        .thread_count = task->thread_count,
        .iteration = task->iteration,
        .attempt = task->attempt,
        .rate_scale = task->rate_scale,
        .target_accuracy = task->job->target_accuracy,
        .timeout_seconds = (double)task->job->timeout_seconds,
        .callbacks = &task->options->callbacks};
    status = dv_salvage_note(task, dv_strategy_native.name, &trained, reterr);
    if (status == DV_OK) {
        status = dv_trainer_run(&options, &trained.result, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    used->learning_rate *= task->rate_scale;
    *ret_trained = trained;
    return DV_OK;
}

const struct dv_strategy dv_strategy_native = {
    .name = "native",
    .title = "Train from scratch",
    .validate = native_validate,
    .default_hyperparameters = native_default_hyperparameters,
    .train = native_train,
};
