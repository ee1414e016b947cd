/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_STRATEGY_H
#define DV_TRAIN_STRATEGY_H

/*
 * A training strategy decides what to train for a job and trains it. This is the header for those
 * who use one; those who write one read train/strategy_impl.h.
 */

#include "base/status.h"
#include "spec/hyperparameters.h"

#include <stdbool.h>
#include <stddef.h>

struct dv_strategy;
struct dv_train_task;
struct dv_trained;

/* NULL: no such strategy. */
const struct dv_strategy *dv_strategy_find(const char *name);

/* The names of all, in their order, with NULL at the end. */
const char *const *dv_strategy_names(void);

/* Walk the strategies: NULL past the end. */
const struct dv_strategy *dv_strategy_at(size_t index);

const char *dv_strategy_name(const struct dv_strategy *strategy);
const char *dv_strategy_title(const struct dv_strategy *strategy);

/* Does it try several networks, and see itself to what an attempt that failed has for a sequel? */
bool dv_strategy_has_candidates(const struct dv_strategy *strategy);

/* Can it do this job here? If not, reterr says why (DV_INVALID, DV_UNSUPPORTED). */
DV_MUST_CHECK enum dv_status dv_strategy_validate(
    const struct dv_strategy *strategy, const struct dv_train_task *task, struct dv_error *reterr);

/* What it starts from for this job, before the user's own values are laid over. */
DV_MUST_CHECK enum dv_status dv_strategy_default_hyperparameters(const struct dv_strategy *strategy,
    const struct dv_train_task *task, struct dv_hyperparameters *ret_hyperparameters,
    struct dv_error *reterr);

/*
 * Train. Statuses are those of dv_trainer_run(). `ret_trained` is finished by the caller. An
 * interrupted call is gone on from by calling again with the same task.
 */
DV_MUST_CHECK enum dv_status dv_strategy_train(const struct dv_strategy *strategy,
    const struct dv_train_task *task, const struct dv_hyperparameters *hyperparameters,
    struct dv_trained *ret_trained, struct dv_error *reterr);

#endif
