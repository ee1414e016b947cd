/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_ORCHESTRATOR_H
#define DV_TRAIN_ORCHESTRATOR_H

/*
 * Picks the strategy of a job, merges the user's hyperparameters over its defaults and runs it, by
 * train/attempts.h when it trains one network.
 */

#include "base/status.h"

struct dv_strategy;
struct dv_train_task;
struct dv_trained;

/*
 * Fills in the task's attempt and rate_scale. DV_INVALID: the strategy cannot do this job, or a
 * hyperparameter is wrong. DV_DIVERGED: with the lowest rate too. DV_NOMEM: also
 * with a batch of one picture.
 */
DV_MUST_CHECK enum dv_status dv_orchestrator_run(struct dv_train_task *task,
    const struct dv_strategy **ret_strategy, struct dv_trained *ret_trained,
    struct dv_error *reterr);

#endif
