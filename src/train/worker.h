/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_WORKER_H
#define DV_TRAIN_WORKER_H

/*
 * What a worker process does: train a job to its end, make a model of one that was stopped, and
 * measure a model on a data set. The caller (the worker role, or a test) brings folders and callbacks and gets one JSON
 * value back.
 *
 * Life:    one call, everything is done when it returns. A job folder that holds checkpoints of
 *          the same job is gone on from; the result equals that of an uninterrupted run.
 * Threads: callbacks come on the calling thread, between two steps.
 */

#include "base/log.h"
#include "base/status.h"
#include "spec/dataset.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_json;

/* Where a run stands. Figures that are not known yet, or have no split to come from, are NaN. */
struct dv_train_progress {
    const char *status; /* "preparing", "training", "evaluating", "writing" */
    uint32_t iteration; /* candidate, from 1 */
    uint32_t epoch;     /* the one under way or just ended, from 1 */
    uint32_t epoch_count;
    uint64_t step; /* steps done in this epoch */
    uint64_t step_count;
    bool is_epoch_end;                 /* true once an epoch: the figures below are final for it */
    bool is_epoch_best;                /* at an epoch's end: better than all before */
    double train_loss, train_accuracy; /* of the epoch so far, on augmented pictures */
    double val_loss, val_accuracy;     /* of the last epoch that ended */
    double best_accuracy;              /* best validation accuracy so far */
    double learning_rate;
    double images_per_second;
    double seconds;      /* since the run began, without earlier interrupted runs */
    double seconds_left; /* estimate */
    double fraction;     /* of the whole job, 0..1 */
};

/* The caller's side. Every callback may be NULL. */
struct dv_train_callbacks {
    void *user;
    void (*progress)(void *user, const struct dv_train_progress *progress);
    void (*log)(void *user, enum dv_log_level level, const char *text);
    bool (*is_cancelled)(void *user); /* asked before every step: must be quick */

    /*
     * A candidate of a search begins, or has ended: {"iteration", "status", "source", "operator",
     * "parents", "hypothesis", "architecture", "hyperparameters", "parameters", "flops", "repairs",
     * and once it has ended "failure", "accuracy", "loss", "best_accuracy", "verdict", "metrics",
     * "history"}. Said again by a search that is gone on with.
     */
    void (*run)(void *user, const struct dv_json *run);

    /*
     * Ask a language model: `question` is a document of llm/question.h, `purpose` a word for the
     * log ("draft"). Returns at once; asking a number again that has its reply is no second call.
     * NULL: there is no language model.
     */
    enum dv_status (*ask)(void *user, int64_t number, const char *purpose,
        const struct dv_json *question, struct dv_error *reterr);

    /*
     * What became of it: {"outcome", "reason", "model", "answer": {...}|null, "mismatch"|null,
     * "prompt_tokens", "completion_tokens", "dollars", "latency_ms"} (the caller's). DV_TIMEOUT:
     * nothing yet, after `timeout_ms` (0: at once, -1: wait for it). DV_CANCELLED: the job is to stop.
     */
    enum dv_status (*hear)(void *user, int64_t number, int timeout_ms, struct dv_json **ret_reply,
        struct dv_error *reterr);
};

struct dv_train_options {
    const struct dv_json *job; /* a complete job spec (dv_job_spec_to_json) */
    const char *dataset_folder;
    const char *job_folder;   /* checkpoints, plan-{batch}.json, journal.jsonl; made if missing */
    const char *model_folder; /* where the finished model's files go */
    const char *cache_path;   /* file of decoded pictures; NULL: in memory */
    /*
     * Measured choices of this machine. NULL: none kept, and then two runs with the same seed may
     * choose other kernels and differ in their last bits.
     */
    const char *plan_cache_folder;
    uint32_t thread_count; /* 0: all cores */
    /*
     * Why the worker before this one ended ("oom", ...; NULL: there was none, or it was stopped),
     * and the number of this one, which no other of the job has. Whether to try again the caller
     * has decided, what to change is decided here: after "oom" half the batch.
     */
    const char *previous_failure;
    int64_t attempt;
    struct dv_train_callbacks callbacks;
};

/*
 * Train `options->job`. The result (the caller's) has "accuracy" and "loss" (test split, else
 * validation, else null), "metrics", "hyperparameters", "model_path", "strategy", "architecture",
 * "parameters", "flops", "history", "classes", "preprocessing".
 * DV_CANCELLED: stopped on request, with a checkpoint of where it was. DV_DIVERGED: also with
 * lower learning rates. DV_NOT_FOUND, DV_CORRUPT: the data set. DV_INVALID: the job. DV_NOMEM: it does
 * not fit into memory; asked again with that as `previous_failure`, it may.
 */
DV_MUST_CHECK enum dv_status dv_train_run(
    const struct dv_train_options *options, struct dv_json **ret_result, struct dv_error *reterr);

/*
 * Make a model of the best weights that the job in `options->job_folder` had when it was stopped.
 * The result is as above, with the figures of validation. Nothing is trained or measured; no callback is
 * called. DV_NOT_FOUND: no epoch had ended. DV_CORRUPT: what it left is damaged.
 */
DV_MUST_CHECK enum dv_status dv_train_salvage(
    const struct dv_train_options *options, struct dv_json **ret_result, struct dv_error *reterr);

struct dv_evaluate_options {
    const char *model_folder; /* as training leaves it, or an archive of it */
    const char *dataset_folder;
    enum dv_split split;
    bool is_all_splits;     /* every sample, whatever its split; `split` is then not looked at */
    const char *cache_path; /* as above */
    uint32_t thread_count;
    struct dv_train_callbacks callbacks; /* progress: step of step_count, status "evaluating" */
};

/*
 * Measure a model on a data set whose class names the model all knows. The result (the caller's):
 *     {"accuracy", "loss", "correct", "total", "per_class": [{"class", "precision", "recall",
 *      "f1", "total"}], "confusion": [[...]] (row: true class, column: answer), "classes",
 *      "calibration": {"ece", "bins": [...]}, "split", "seconds", "images_per_second"}
 * An empty split gives null figures and total 0. DV_INVALID: a class that the model lacks.
 */
DV_MUST_CHECK enum dv_status dv_evaluate_run(const struct dv_evaluate_options *options,
    struct dv_json **ret_result, struct dv_error *reterr);

/* What this build can train, for `dv worker --describe`: names with NULL at the end. */
const char *const *dv_train_strategy_names(void);

/*
 * [{"name", "title", "can_run", "reason", "hyperparameters": catalogue}, ...] for GET
 * /api/strategies; the caller's.
 */
struct dv_json *dv_train_describe(void);

#endif
