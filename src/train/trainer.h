/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_TRAINER_H
#define DV_TRAIN_TRAINER_H

/*
 * Trains one network with one set of hyperparameters from its first step, or from the last sound
 * checkpoint, to its last. Everything random comes from the seed and a counter, every decision
 * from what the checkpoint holds, so that an interrupted run ends with the same weights, bit for
 * bit, as one that was not (same machine, same thread count).
 *
 * Strategies use it. Life: one call.
 */

#include "base/hash.h"
#include "base/status.h"
#include "spec/hyperparameters.h"

#include <stddef.h>
#include <stdint.h>

struct dv_graph;
struct dv_json;
struct dv_pack;
struct dv_preprocessing;
struct dv_train_callbacks;

struct dv_trainer_options {
    const struct dv_graph *graph; /* all pointers are borrowed */
    const char *arch_hash;
    const struct dv_preprocessing *preprocessing;
    const struct dv_hyperparameters *hyperparameters;
    const struct dv_pack *pack;
    const char *backend;           /* "onednn", "ref" */
    const char *cache_path;        /* decoded pictures; NULL: in memory */
    const char *folder;            /* of the checkpoints and the plan */
    const char *plan_cache_folder; /* or NULL */
    const char *identity;          /* of data set and job: a checkpoint of another is refused */
    uint32_t thread_count;
    uint32_t iteration;     /* candidate, from 1: for progress */
    uint32_t attempt;       /* how often the run was begun anew with other hyperparameters: 0 at first */
    double rate_scale;      /* what the learning rate is multiplied with */
    double target_accuracy; /* validation accuracy at which an epoch's end ends the run; 0: none */
    double timeout_seconds; /* of training, over all resumes; 0: none */
    const struct dv_train_callbacks *callbacks;
};

struct dv_trainer_result {
    float *weights; /* of the best epoch, canonical, running statistics included; dv_free() */
    size_t weight_count;
    struct dv_json *history;       /* [{"epoch", "train_loss", "val_accuracy", ...}] */
    uint64_t best_epoch;           /* from 1 */
    double val_accuracy, val_loss; /* of the best epoch; NaN without a validation split */
    double seconds;                /* of training, over all resumes */
    double images_per_second;
    size_t memory_planned; /* bytes */
};

/*
 * DV_DIVERGED: the loss or a weight is no longer a number, or the loss is ten times what it began
 * with. DV_CANCELLED, DV_TIMEOUT: stopped between two steps, with a checkpoint of that moment.
 * DV_CONFLICT: the folder belongs to another run.
 */
DV_MUST_CHECK enum dv_status dv_trainer_run(const struct dv_trainer_options *options,
    struct dv_trainer_result *ret_result, struct dv_error *reterr);

void dv_trainer_result_finish(struct dv_trainer_result *result);

#endif
