/* SPDX-License-Identifier: Apache-2.0 */
#include "train/attempts.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/hyperparameters.h"
#include "train/journal.h"
#include "train/strategy.h"
#include "train/task.h"
#include "train/worker.h"

#include <assert.h>
#include <math.h>

#define DIVERGED_RATE_FACTOR 0.3
#define DIVERGED_RETRIES_MAX 3u
#define OOM_RATE_FACTOR 0.70710678118654752 /* the root of a half: see docs/recipes.md */

/* --- The journal ------------------------------------------------------------------------ */

/* What it says was decided until now. */
struct decisions {
    uint32_t diverged; /* attempts that have */
    uint32_t halvings; /* of the batch */
    int64_t last_oom;  /* the worker that was the reason of the last one; -1: none */
};

static enum dv_status read_decisions(
    const struct dv_train_task *task, struct decisions *ret_decisions, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entries = NULL;
    struct decisions decisions = {.last_oom = -1};

    enum dv_status status = dv_journal_read(task->options->job_folder, &entries, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (size_t i = 0; i < dv_json_count(entries); i++) {
        const struct dv_json *entry = dv_json_at(entries, i);
        const char *event = dv_json_get_string(entry, "event", "");
        if (dv_text_equal(event, "diverged")) {
            decisions.diverged++;
        } else if (dv_text_equal(event, "oom")) {
            decisions.halvings++;
            decisions.last_oom = dv_json_get_integer(entry, "worker", -1);
        }
    }
    *ret_decisions = decisions;
    return DV_OK;
}

/* Say it and write it down; takes the entry. */
static enum dv_status note(const struct dv_train_task *task, const char *event,
    struct dv_json *entry, const char *line, struct dv_error *reterr)
{
    const struct dv_train_callbacks *callbacks = &task->options->callbacks;
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    dv_json_set_string(entry, "event", event);
    dv_json_set_string(entry, "at", now);
    if (callbacks->log) {
        callbacks->log(callbacks->user, DV_LOG_WARNING, line);
    }
    enum dv_status status = dv_journal_append(task->options->job_folder, entry, reterr);
    dv_json_unref(entry);
    return status;
}

static enum dv_status note_diverged(
    const struct dv_train_task *task, const char *why, double next_rate, struct dv_error *reterr)
{
    struct dv_json *entry = dv_json_object();
    DV_CLEANUP(dv_freep)
    char *line = dv_strprintf("diverged: %s; trying again with learning rate %.3g", why, next_rate);

    dv_json_set_integer(entry, "attempt", task->attempt);
    dv_json_set_string(entry, "reason", why);
    dv_json_set_number(entry, "next_learning_rate", next_rate);
    return note(task, "diverged", entry, line, reterr);
}

/* --- Memory ----------------------------------------------------------------------------- */

/*
 * The worker before this one ran out of memory: decide about a smaller batch, unless a worker that
 * was killed after writing so has decided it already.
 */
static enum dv_status decide_batch(const struct dv_train_task *task, struct decisions *decisions,
    const struct dv_hyperparameters *hyperparameters, struct dv_error *reterr)
{
    int64_t worker = task->options->attempt;
    int64_t batch = hyperparameters->batch_size >> decisions->halvings;

    if (!dv_text_equal(task->options->previous_failure, "oom") || worker == decisions->last_oom) {
        return DV_OK;
    }
    if (batch <= 1) {
        return dv_fail(
            reterr, DV_NOMEM, "training does not fit into memory with one picture a step");
    }
    decisions->halvings++;
    struct dv_json *entry = dv_json_object();
    dv_json_set_integer(entry, "worker", worker);
    dv_json_set_integer(entry, "next_batch_size", batch / 2);
    DV_CLEANUP(dv_freep)
    char *line =
        dv_strprintf("out of memory: training anew with a batch of %lld", (long long)batch / 2);
    return note(task, "oom", entry, line, reterr);
}

static double rate_scale_of(const struct decisions *decisions)
{
    return pow(DIVERGED_RATE_FACTOR, decisions->diverged) *
           pow(OOM_RATE_FACTOR, decisions->halvings);
}

static void apply(struct dv_train_task *task, const struct decisions *decisions)
{
    task->halvings = decisions->halvings;
    task->attempt = decisions->diverged + decisions->halvings;
    task->rate_scale = rate_scale_of(decisions);
}

/* --- Training ---------------------------------------------------------------------------- */

enum dv_status dv_attempts_train(struct dv_train_task *task, const struct dv_strategy *strategy,
    const struct dv_hyperparameters *hyperparameters, struct dv_trained *ret_trained,
    struct dv_error *reterr)
{
    struct decisions decisions;

    assert(task);
    assert(hyperparameters);
    assert(ret_trained);
    enum dv_status status = read_decisions(task, &decisions, reterr);

    if (status == DV_OK) {
        status = decide_batch(task, &decisions, hyperparameters, reterr);
    }
    while (status == DV_OK) {
        struct dv_error why = {0};
        apply(task, &decisions);
        status = dv_strategy_train(strategy, task, hyperparameters, ret_trained, &why);
        if (status != DV_DIVERGED || decisions.diverged >= DIVERGED_RETRIES_MAX) {
            if (status == DV_OK) {
                ret_trained->diverged = decisions.diverged;
            } else if (reterr) {
                *reterr = why;
            }
            return status;
        }
        decisions.diverged++;
        double next = hyperparameters->learning_rate * rate_scale_of(&decisions);
        status = note_diverged(task, why.text, next, reterr);
    }
    return status;
}
