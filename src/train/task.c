/* SPDX-License-Identifier: Apache-2.0 */
#include "train/task.h"

#include "base/arena.h"
#include "base/json.h"
#include "data/loader.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/job_spec.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/recipe.h"
#include "train/worker.h"

#include <assert.h>

void dv_trained_finish(struct dv_trained *trained)
{
    dv_trainer_result_finish(&trained->result);
    trained->search = dv_json_unref(trained->search);
}

enum dv_status dv_task_fail_problem(const struct dv_problems *problems, struct dv_error *reterr)
{
    if (problems->count == 0) {
        return dv_fail(reterr, DV_INVALID, "it breaks a rule that has no description");
    }
    const struct dv_problem *first = &problems->items[0];
    bool has_fix = first->fix && first->fix[0];

    return dv_fail(reterr, DV_INVALID, "%s: %s%s%s", first->pointer, first->message,
        has_fix ? " Fix: " : "", has_fix ? first->fix : "");
}

static enum dv_status lower(const struct dv_train_task *task, const struct dv_json *json,
    uint32_t image_size, struct dv_task_network *ret_network, struct dv_error *reterr)
{
    struct dv_task_network network = {0};
    struct dv_problems problems;
    struct dv_shape input = {
        .channels = task->dataset->channels, .rows = image_size, .columns = image_size};

    dv_problems_init(&problems, task->arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status = dv_arch_parse(json, task->arena, &problems, &network.arch, reterr);
    if (status == DV_OK) {
        status = dv_graph_build(network.arch, input, task->dataset->class_count, task->arena,
            &problems, &network.graph, reterr);
    }
    if (status == DV_INVALID && problems.count > 0) {
        return dv_task_fail_problem(&problems, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    dv_arch_hash(network.arch, network.arch_hash);
    *ret_network = network;
    return DV_OK;
}

enum dv_status dv_task_make_network(const struct dv_train_task *task, uint32_t image_size,
    double dropout, struct dv_task_network *ret_network, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *made = NULL;

    assert(task);
    assert(ret_network);

    if (task->job->architecture) {
        return lower(task, task->job->architecture, image_size, ret_network, reterr);
    }
    made = dv_recipe_architecture(task->dataset, image_size, dropout);
    return lower(task, made, image_size, ret_network, reterr);
}

/*
 * Square pictures of one size are scaled; of others the middle is taken, so that nothing is
 * distorted. Tiny pictures are kept whole: at their edge there may be half a digit.
 */
static enum dv_resize choose_resize(const struct dv_dataset_summary *dataset, uint32_t image_size)
{
    bool is_square = dataset->has_one_size && dataset->side_min == dataset->side_max;
    enum dv_recipe_kind kind = dv_recipe_kind_of(image_size, dataset->channels);

    if (is_square) {
        return DV_RESIZE_STRETCH;
    }
    return kind == DV_RECIPE_SMALL || kind == DV_RECIPE_PHOTO ? DV_RESIZE_CROP : DV_RESIZE_PAD;
}

enum dv_status dv_task_make_preprocessing(const struct dv_train_task *task, uint32_t image_size,
    enum dv_augmentation augmentation, struct dv_preprocessing *ret_preprocessing,
    struct dv_error *reterr)
{
    const struct dv_dataset_summary *dataset = task->dataset;
    struct dv_preprocessing made = {.rows = image_size,
        .columns = image_size,
        .resize = choose_resize(dataset, image_size),
        .channels = dataset->channels,
        .mean = {0.0f, 0.0f, 0.0f},
        .std = {1.0f, 1.0f, 1.0f},
        .class_count = dataset->class_count};

    assert(ret_preprocessing);
    made.classes = dv_arena_array(task->arena, dataset->class_count, sizeof(*made.classes));
    for (uint32_t c = 0; c < dataset->class_count; c++) {
        made.classes[c] = dataset->classes[c].name;
    }

    struct dv_loader_options loader = {.pack = task->pack,
        .preprocessing = &made,
        .cache_path = task->options->cache_path,
        .split = DV_SPLIT_TRAIN,
        .batch_size = 64,
        .augmentation = augmentation,
        .thread_count = task->thread_count};
    float mean[3] = {0.0f, 0.0f, 0.0f};
    float std[3] = {1.0f, 1.0f, 1.0f};
    enum dv_status status = dv_loader_statistics(&loader, mean, std, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (uint32_t c = 0; c < made.channels; c++) {
        made.mean[c] = mean[c];
        /* Pictures of one shade have no deviation to divide by. */
        made.std[c] = std[c] > 1e-4f ? std[c] : 1.0f;
    }
    *ret_preprocessing = made;
    return DV_OK;
}
