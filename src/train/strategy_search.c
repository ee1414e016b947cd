/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strategy `search`: networks and hyperparameters around the default's, proposed without anybody's
 * help.
 */
#include "train/strategy_impl.h"

#include "spec/dataset.h"
#include "spec/job_spec.h"
#include "train/search/search.h"
#include "train/task.h"

enum dv_status dv_strategy_search_validate(
    const struct dv_train_task *task, struct dv_error *reterr)
{
    uint64_t val_count = 0;

    if (task->job->base_model_id) {
        return dv_fail(reterr, DV_INVALID,
            "a search trains from scratch: a base model needs strategy transfer");
    }
    for (uint32_t c = 0; c < task->dataset->class_count; c++) {
        val_count += task->dataset->classes[c].counts[DV_SPLIT_VAL];
    }
    if (val_count == 0) {
        return dv_fail(reterr, DV_INVALID,
            "the data set has no validation pictures, which a search chooses by");
    }
    return dv_strategy_native.validate(task, reterr);
}

enum dv_status dv_strategy_search_defaults(const struct dv_train_task *task,
    struct dv_hyperparameters *ret_hyperparameters, struct dv_error *reterr)
{
    return dv_strategy_native.default_hyperparameters(task, ret_hyperparameters, reterr);
}

static enum dv_status search_train(const struct dv_train_task *task,
    const struct dv_hyperparameters *hyperparameters, struct dv_trained *ret_trained,
    struct dv_error *reterr)
{
    const struct dv_search_options options = {.task = task,
        .strategy = dv_strategy_search.name,
        .hyperparameters = hyperparameters,
        .tune_share = 1.0};

    return dv_search_run(&options, ret_trained, reterr);
}

const struct dv_strategy dv_strategy_search = {
    .name = "search",
    .title = "Search networks and hyperparameters",
    .has_candidates = true,
    .validate = dv_strategy_search_validate,
    .default_hyperparameters = dv_strategy_search_defaults,
    .train = search_train,
};
