/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_TASK_H
#define DV_TRAIN_TASK_H

/*
 * One training job opened up: what the orchestrator, the strategies and the last step (measuring,
 * model files) share. Everything is borrowed from the worker or lives in `arena`, for the job.
 */

#include "base/hash.h"
#include "base/status.h"
#include "spec/hyperparameters.h"
#include "spec/preprocessing.h"
#include "train/trainer.h"

#include <stdint.h>

struct dv_arch;
struct dv_arena;
struct dv_dataset_summary;
struct dv_graph;
struct dv_job_spec;
struct dv_json;
struct dv_pack;
struct dv_problems;
struct dv_train_options;

struct dv_train_task {
    const struct dv_train_options *options;
    const struct dv_job_spec *job;
    const struct dv_dataset_summary *dataset;
    const struct dv_pack *pack;
    struct dv_arena *arena;
    const char *backend;
    uint32_t thread_count; /* never 0 */
    uint32_t iteration;    /* from 1 */
    uint32_t halvings;     /* how often want of memory has halved the batch */
    uint32_t attempt;      /* both kinds of anew: checkpoints of another do not count */
    double rate_scale;     /* what learning rates are multiplied with on that account */
};

/* A network with the name by which plans are found. */
struct dv_task_network {
    struct dv_arch *arch;
    struct dv_graph *graph;
    char arch_hash[DV_SHA256_TEXT_SIZE];
};

/* What a strategy hands back. Pointers live in the task's arena. */
struct dv_trained {
    struct dv_hyperparameters hyperparameters; /* as used */
    struct dv_task_network network;
    struct dv_preprocessing preprocessing;
    struct dv_trainer_result result;
    uint32_t diverged;      /* attempts that have, before this one did not */
    uint32_t iteration;     /* the candidate it is; 0: the strategy tries no others */
    struct dv_json *search; /* members that a search adds to the job's result; NULL: none */
};

void dv_trained_finish(struct dv_trained *trained);

/*
 * The job's own architecture, or the recipe's, lowered for pictures of `image_size`. DV_INVALID
 * with the first problem as its message.
 */
DV_MUST_CHECK enum dv_status dv_task_make_network(const struct dv_train_task *task,
    uint32_t image_size, double dropout, struct dv_task_network *ret_network,
    struct dv_error *reterr);

/*
 * How pictures become input. Decodes the data set into the cache, in the forms that `augmentation`
 * will want, and measures the training split's mean and deviation.
 */
DV_MUST_CHECK enum dv_status dv_task_make_preprocessing(const struct dv_train_task *task,
    uint32_t image_size, enum dv_augmentation augmentation,
    struct dv_preprocessing *ret_preprocessing, struct dv_error *reterr);

/* The first of `problems` as an error: its pointer, message and fix in one sentence. */
enum dv_status dv_task_fail_problem(const struct dv_problems *problems, struct dv_error *reterr);

#endif
