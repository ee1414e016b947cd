/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strategy `llm`: the same search with a language model among those who propose. Where none can be
 * asked, all of it is the offline proposer's, and the log says so.
 */
#include "train/strategy_impl.h"

#include "train/search/proposer_llm.h"
#include "train/search/search.h"
#include "train/task.h"
#include "train/worker.h"

/* Of the slots for other hyperparameters: the rest goes to the model of numbers, which is better.
 */
#define TUNE_SHARE 0.25

static bool make_proposer(
    void *self, const struct dv_train_task *task, struct dv_proposer *ret_proposer)
{
    const struct dv_train_callbacks *callbacks = &task->options->callbacks;

    if (callbacks->ask && callbacks->hear) {
        *ret_proposer = dv_proposer_llm_init(self, callbacks);
        return true;
    }
    if (callbacks->log) {
        callbacks->log(callbacks->user, DV_LOG_WARNING,
            "there is no language model to ask: all candidates are proposed offline");
    }
    return false;
}

static enum dv_status llm_train(const struct dv_train_task *task,
    const struct dv_hyperparameters *hyperparameters, struct dv_trained *ret_trained,
    struct dv_error *reterr)
{
    struct dv_proposer_llm llm;
    const struct dv_search_options options = {.task = task,
        .strategy = dv_strategy_llm.name,
        .hyperparameters = hyperparameters,
        .make = make_proposer,
        .self = &llm,
        .tune_share = TUNE_SHARE};

    return dv_search_run(&options, ret_trained, reterr);
}

const struct dv_strategy dv_strategy_llm = {
    .name = "llm",
    .title = "Let a language model design networks",
    .has_candidates = true,
    .validate = dv_strategy_search_validate,
    .default_hyperparameters = dv_strategy_search_defaults,
    .train = llm_train,
};
