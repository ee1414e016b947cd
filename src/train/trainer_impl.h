/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_TRAINER_IMPL_H
#define DV_TRAIN_TRAINER_IMPL_H

/*
 * What a training run is made of while it runs. trainer.c has the loop, trainer_setup.c makes it
 * and takes it down, trainer_state.c carries it to disk and back.
 */

#include "train/checkpoint.h"
#include "train/schedule.h"
#include "train/trainer.h"
#include "train/worker.h"

#include <stdbool.h>

struct dv_loader;
struct dv_metrics;
struct dv_network;
struct dv_optimizer;

/* Weights are averaged at every fourth step: the average moves by less than a step does. */
#define DV_TRAINER_AVERAGE_INTERVAL 4

struct dv_trainer {
    const struct dv_trainer_options *options;
    struct dv_loader *train;
    struct dv_loader *val;
    struct dv_network *network;
    struct dv_optimizer *optimizer;
    struct dv_schedule schedule;
    uint64_t epoch_steps;

    size_t floats;  /* of all tensors in canonical order */
    float *values;  /* [floats] scratch: the network's own tensors */
    float *average; /* [floats] averaged over steps, running statistics too; NULL without ema */
    float *scratch; /* [floats] one block on its way to or from disk, per optimiser slot */
    float *logits;  /* [batch, class] */

    struct dv_checkpoint_counters counters;
    struct dv_json *history;
    double best_accuracy, best_loss; /* NaN: none yet, or no validation split */
    uint64_t best_epoch;             /* from 1; 0: none yet */
    uint64_t since_best;             /* epochs */
    double val_accuracy, val_loss;   /* of the last epoch */
    double seconds_before;           /* of training in earlier, interrupted runs */
    bool is_done;                    /* ended early, or all epochs are finished */

    uint64_t run_start_ns;
    uint64_t epoch_start_ns;
    uint64_t epoch_first_step; /* where this process began the epoch */
    double epoch_seconds;      /* that its steps took, the evaluation left out */
    uint64_t saved_ns;
    uint64_t reported_ns;
};

/* trainer_setup.c */
DV_MUST_CHECK enum dv_status dv_trainer_create(const struct dv_trainer_options *options,
    struct dv_trainer **ret_trainer, struct dv_error *reterr);
struct dv_trainer *dv_trainer_destroy(struct dv_trainer *trainer);
void dv_trainer_destroyp(struct dv_trainer **trainer);
void dv_trainer_log(const struct dv_trainer *trainer, enum dv_log_level level, const char *format,
    ...) DV_PRINTF(3, 4);

/* trainer_state.c */

/* Go on from the last checkpoint of this attempt, or set everything to the beginning. */
DV_MUST_CHECK enum dv_status dv_trainer_restore(
    struct dv_trainer *trainer, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_trainer_save(struct dv_trainer *trainer, struct dv_error *reterr);

/* `weights` as those of the best epoch so far, with its figures. */
DV_MUST_CHECK enum dv_status dv_trainer_save_best(
    struct dv_trainer *trainer, const float *weights, struct dv_error *reterr);

/* Weights of the best epoch from disk; when damaged, the last ones, with a warning. */
DV_MUST_CHECK enum dv_status dv_trainer_load_best(
    struct dv_trainer *trainer, float **ret_weights, struct dv_error *reterr);

/* Seconds of training over all resumes. */
double dv_trainer_seconds(const struct dv_trainer *trainer);

#endif
