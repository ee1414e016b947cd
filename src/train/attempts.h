/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_ATTEMPTS_H
#define DV_TRAIN_ATTEMPTS_H

/*
 * Trains one network until it has not diverged: again with a lower learning rate when it does, or,
 * when the worker before ran out of memory, with half the batch. What was decided is in the
 * folder's journal before it is acted on, so that a resumed run decides the same. The orchestrator
 * uses it for a job, a search for each of its candidates.
 */

#include "base/status.h"

struct dv_hyperparameters;
struct dv_strategy;
struct dv_train_task;
struct dv_trained;

/*
 * Fills in the task's attempt and rate_scale. Statuses are those of dv_strategy_train();
 * DV_DIVERGED: with the lowest rate too. DV_NOMEM: also with a batch of one picture.
 */
DV_MUST_CHECK enum dv_status dv_attempts_train(struct dv_train_task *task,
    const struct dv_strategy *strategy, const struct dv_hyperparameters *hyperparameters,
    struct dv_trained *ret_trained, struct dv_error *reterr);

#endif
