/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_SALVAGE_H
#define DV_TRAIN_SALVAGE_H

/*
 * What is needed to make a model of a run that was stopped: its best checkpoint, and run.json
 * beside it, which says what the weights are weights of. Nothing is measured again, so that it
 * takes no longer than writing the files.
 */

#include "base/status.h"

struct dv_train_task;
struct dv_trained;

/* A strategy is about to train this network so: JOB/run.json. */
DV_MUST_CHECK enum dv_status dv_salvage_note(const struct dv_train_task *task,
    const char *strategy_name, const struct dv_trained *trained, struct dv_error *reterr);

/*
 * The network with the best weights so far and their figures, as if training had ended with
 * them; the caller finishes it. DV_NOT_FOUND: no epoch has ended. DV_CORRUPT: the checkpoint is
 * damaged, or of another run than run.json.
 */
DV_MUST_CHECK enum dv_status dv_salvage_read(struct dv_train_task *task,
    const char **ret_strategy_name, struct dv_trained *ret_trained, struct dv_error *reterr);

#endif
