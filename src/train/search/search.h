/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_SEARCH_H
#define DV_TRAIN_SEARCH_H

/*
 * The loop of strategies `search` and `llm`: the default network first, then candidates that are
 * proposed, checked, trained, judged and measured one after the other, then the best of them
 * trained again on a whole schedule. docs/decisions/0005-search.md says why so.
 *
 * Everything that it decides is in JOB/search.jsonl (train/search/search_state.h) before it is
 * acted on; candidates train in JOB/candidates/{iteration}, of which only the best one's is kept.
 * JOB/replay.jsonl, where a caller has put the journal of another search, says what to try.
 */

#include "base/status.h"
#include "train/proposer.h"

#include <stdbool.h>

struct dv_hyperparameters;
struct dv_json;
struct dv_train_options;
struct dv_train_task;
struct dv_trained;

struct dv_search_options {
    const struct dv_train_task *task;
    const char *strategy;
    const struct dv_hyperparameters *hyperparameters; /* of the default network */
    /*
     * Asked before the offline one; NULL: nobody. `make` gets what a proposer may want to know
     * and returns false where there is none after all; `finish` may be NULL.
     */
    bool (*make)(void *self, const struct dv_train_task *task, struct dv_proposer *ret_proposer);
    void *self;
    double tune_share; /* of the slots for other hyperparameters, those that go to it */
};

/*
 * Statuses are those of dv_trainer_run(). DV_TIMEOUT: the time is over and nothing was trained.
 * What diverges or does not fit into memory is a candidate that failed, and an error only when all
 * did.
 */
DV_MUST_CHECK enum dv_status dv_search_run(const struct dv_search_options *options,
    struct dv_trained *ret_trained, struct dv_error *reterr);

/* Has the job in this folder begun as a search? */
bool dv_search_is_there(const char *job_folder);

/*
 * The best that a search which was stopped had: a candidate, or the checkpoint of the one that
 * was being trained. As dv_salvage_read(). Nothing is changed.
 */
DV_MUST_CHECK enum dv_status dv_search_salvage(struct dv_train_task *task,
    const char **ret_strategy_name, struct dv_trained *ret_trained, struct dv_error *reterr);

#endif
