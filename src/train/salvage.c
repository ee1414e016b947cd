/* SPDX-License-Identifier: Apache-2.0 */
#include "train/salvage.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/checkpoint.h"
#include "train/task.h"
#include "train/worker.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define RUN_SIZE_MAX (16u << 20)

static enum dv_status run_path(
    const struct dv_train_task *task, char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    return dv_path_format(ret_path, reterr, "%s/run.json", task->options->job_folder);
}

enum dv_status dv_salvage_note(const struct dv_train_task *task, const char *strategy_name,
    const struct dv_trained *trained, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *run = dv_json_object();
    struct dv_hyperparameters used = trained->hyperparameters;
    char path[DV_PATH_SIZE];

    used.learning_rate *= task->rate_scale;
    dv_json_set_string(run, "strategy", strategy_name);
    dv_json_set_integer(run, "attempt", task->attempt);
    dv_json_set(run, "architecture", dv_arch_to_json(trained->network.arch));
    dv_json_set(run, "hyperparameters", dv_hyperparameters_to_json(&used));
    dv_json_set(run, "preprocessing", dv_preprocessing_to_json(&trained->preprocessing));
    DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(run);
    enum dv_status status = run_path(task, path, reterr);
    return status == DV_OK ? dv_file_write(path, text, strlen(text), reterr) : status;
}

/* --- Reading ---------------------------------------------------------------------------- */

/* Our own file: a problem in it is damage. */
static enum dv_status fail_damaged(const struct dv_problems *problems, struct dv_error *reterr)
{
    struct dv_error why = {0};

    (void)dv_task_fail_problem(problems, &why);
    return dv_fail(reterr, DV_CORRUPT, "run.json is damaged: %.400s", why.text);
}

static enum dv_status read_network(struct dv_train_task *task, const struct dv_json *run,
    struct dv_trained *trained, struct dv_error *reterr)
{
    const struct dv_preprocessing *preprocessing = &trained->preprocessing;
    struct dv_problems problems;

    dv_problems_init(&problems, task->arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status = dv_arch_parse(
        dv_json_get(run, "architecture"), task->arena, &problems, &trained->network.arch, reterr);
    if (status == DV_OK) {
        struct dv_shape input = {.channels = preprocessing->channels,
            .rows = preprocessing->rows,
            .columns = preprocessing->columns};
        status = dv_graph_build(trained->network.arch, input, preprocessing->class_count,
            task->arena, &problems, &trained->network.graph, reterr);
    }
    if (status == DV_INVALID) {
        return fail_damaged(&problems, reterr);
    }
    if (status == DV_OK) {
        dv_arch_hash(trained->network.arch, trained->network.arch_hash);
    }
    return status;
}

static enum dv_status read_run(struct dv_train_task *task, const struct dv_json *run,
    struct dv_trained *trained, struct dv_error *reterr)
{
    struct dv_problems problems;

    dv_problems_init(&problems, task->arena, DV_ARCH_PROBLEMS_MAX);
    trained->hyperparameters = dv_hyperparameters_default();
    enum dv_status status = dv_hyperparameters_merge(&trained->hyperparameters,
        dv_json_get(run, "hyperparameters"), "/hyperparameters", &problems, reterr);
    if (status == DV_OK) {
        status = dv_preprocessing_parse(dv_json_get(run, "preprocessing"), task->arena, &problems,
            &trained->preprocessing, reterr);
    }
    if (status == DV_INVALID) {
        return fail_damaged(&problems, reterr);
    }
    task->attempt = (uint32_t)dv_json_get_integer(run, "attempt", 0);
    return status == DV_OK ? read_network(task, run, trained, reterr) : status;
}

static size_t count_floats(const struct dv_graph *graph)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < graph->tensor_count; i++) {
        count += graph->tensors[i].count;
    }
    return (size_t)count;
}

static enum dv_status take_best(const struct dv_train_task *task, const struct dv_checkpoint *best,
    struct dv_trained *trained, struct dv_error *reterr)
{
    const struct dv_json *notes = best->notes;
    size_t floats = count_floats(trained->network.graph);
    void *memory;

    if (best->block_count != 1 || best->block_floats[0] != floats ||
        best->counters.attempt != task->attempt) {
        return dv_fail(reterr, DV_CORRUPT, "the best checkpoint is not of the run in run.json");
    }
    enum dv_status status = dv_try_alloc_aligned(floats * sizeof(float), &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    memcpy(memory, best->blocks[0], floats * sizeof(float));
    trained->result = (struct dv_trainer_result){.weights = memory,
        .weight_count = floats,
        .history = dv_json_copy(dv_json_get(notes, "history")),
        .best_epoch = (uint64_t)dv_json_get_integer(notes, "best_epoch", 0),
        .val_accuracy = dv_json_get_number(notes, "best_accuracy", NAN),
        .val_loss = dv_json_get_number(notes, "best_loss", NAN),
        .seconds = dv_json_get_number(notes, "seconds", NAN),
        .images_per_second = NAN};
    return DV_OK;
}

static enum dv_status read_best(
    const struct dv_train_task *task, struct dv_trained *trained, struct dv_error *reterr)
{
    DV_CLEANUP(dv_checkpoint_destroyp) struct dv_checkpoint *best = NULL;
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/best", task->options->job_folder);
    if (status == DV_OK) {
        status = dv_checkpoint_read(path, &best, reterr);
    }
    return status == DV_OK ? take_best(task, best, trained, reterr) : status;
}

enum dv_status dv_salvage_read(struct dv_train_task *task, const char **ret_strategy_name,
    struct dv_trained *ret_trained, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *run = NULL;
    struct dv_trained trained = {0};
    char path[DV_PATH_SIZE];

    assert(ret_strategy_name);
    assert(ret_trained);
    enum dv_status status = run_path(task, path, reterr);
    if (status == DV_OK) {
        status = dv_json_read_file(path, RUN_SIZE_MAX, &run, reterr);
    }
    if (status == DV_OK) {
        status = read_run(task, run, &trained, reterr);
    }
    if (status == DV_OK) {
        status = read_best(task, &trained, reterr);
    }
    if (status == DV_OK) {
        *ret_strategy_name = dv_arena_strdup(task->arena, dv_json_get_string(run, "strategy", ""));
        *ret_trained = trained;
    }
    return status;
}
