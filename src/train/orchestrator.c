/* SPDX-License-Identifier: Apache-2.0 */
#include "train/orchestrator.h"

#include "spec/dataset.h"
#include "spec/hyperparameters.h"
#include "spec/job_spec.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/attempts.h"
#include "train/strategy.h"
#include "train/task.h"
#include "train/worker.h"

#include <assert.h>

static enum dv_status choose_strategy(const struct dv_train_task *task,
    const struct dv_strategy **ret_strategy, struct dv_error *reterr)
{
    struct dv_capabilities capabilities = {
        .strategies = dv_strategy_names(), .has_llm = task->options->callbacks.ask != NULL};
    const char *name = dv_job_spec_strategy(task->job, &capabilities);
    const struct dv_strategy *strategy = name ? dv_strategy_find(name) : NULL;

    if (!strategy) {
        return dv_fail(reterr, DV_UNSUPPORTED, "strategy '%s' is not in this version",
            name ? name : task->job->strategy);
    }
    *ret_strategy = strategy;
    return DV_OK;
}

/*
 * A batch has no more pictures than there are: places left empty would go into the batch norms'
 * statistics as if they were pictures.
 */
static void cut_batch(const struct dv_train_task *task, struct dv_hyperparameters *hyperparameters)
{
    uint64_t count = 0;

    for (uint32_t c = 0; c < task->dataset->class_count; c++) {
        count += task->dataset->classes[c].counts[DV_SPLIT_TRAIN];
    }
    if ((uint64_t)hyperparameters->batch_size > count && count > 0) {
        hyperparameters->batch_size = (int64_t)count;
    }
}

static enum dv_status merge(const struct dv_train_task *task, const struct dv_strategy *strategy,
    struct dv_hyperparameters *ret_hyperparameters, struct dv_error *reterr)
{
    struct dv_hyperparameters merged;
    struct dv_problems problems;
    enum dv_status status = dv_strategy_default_hyperparameters(strategy, task, &merged, reterr);

    if (status != DV_OK) {
        return status;
    }
    merged.seed = task->job->seed;
    dv_problems_init(&problems, task->arena, DV_ARCH_PROBLEMS_MAX);
    status = dv_hyperparameters_merge(
        &merged, task->job->hyperparameters, "/hyperparameters", &problems, reterr);
    if (status == DV_INVALID && problems.count > 0) {
        return dv_task_fail_problem(&problems, reterr);
    }
    if (status == DV_OK) {
        cut_batch(task, &merged);
        *ret_hyperparameters = merged;
    }
    return status;
}

/* --- The run ---------------------------------------------------------------------------- */

enum dv_status dv_orchestrator_run(struct dv_train_task *task,
    const struct dv_strategy **ret_strategy, struct dv_trained *ret_trained,
    struct dv_error *reterr)
{
    const struct dv_strategy *strategy = NULL;
    struct dv_hyperparameters hyperparameters;

    assert(task);
    assert(ret_strategy);
    assert(ret_trained);

    enum dv_status status = choose_strategy(task, &strategy, reterr);
    if (status == DV_OK) {
        status = dv_strategy_validate(strategy, task, reterr);
    }
    if (status == DV_OK) {
        status = merge(task, strategy, &hyperparameters, reterr);
    }
    if (status == DV_OK) {
        status = dv_strategy_has_candidates(strategy)
                     ? dv_strategy_train(strategy, task, &hyperparameters, ret_trained, reterr)
                     : dv_attempts_train(task, strategy, &hyperparameters, ret_trained, reterr);
    }
    if (status == DV_OK) {
        *ret_strategy = strategy;
    }
    return status;
}
