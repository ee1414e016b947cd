/* SPDX-License-Identifier: Apache-2.0 */
#include "train/orchestrator.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/hyperparameters.h"
#include "spec/job_spec.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/journal.h"
#include "train/strategy.h"
#include "train/task.h"
#include "train/worker.h"

#include <assert.h>
#include <math.h>

#define DIVERGED_RATE_FACTOR 0.3
#define DIVERGED_RETRIES_MAX 3u

static enum dv_status choose_strategy(const struct dv_train_task *task,
    const struct dv_strategy **ret_strategy, struct dv_error *reterr)
{
    struct dv_capabilities capabilities = {.strategies = dv_train_strategy_names()};
    const char *name = dv_job_spec_strategy(task->job, &capabilities);
    const struct dv_strategy *strategy = name ? dv_strategy_find(name) : NULL;

    if (!strategy) {
        return dv_fail(reterr, DV_UNSUPPORTED, "strategy '%s' is not in this version",
            name ? name : task->job->strategy);
    }
    *ret_strategy = strategy;
    return DV_OK;
}

static enum dv_status merge(const struct dv_train_task *task, const struct dv_strategy *strategy,
    struct dv_hyperparameters *ret_hyperparameters, struct dv_error *reterr)
{
    struct dv_hyperparameters merged;
    struct dv_problems problems;
    enum dv_status status = dv_strategy_default_hyperparameters(strategy, task, &merged, reterr);

    if (status != DV_OK) {
        return status;
    }
    merged.seed = task->job->seed;
    dv_problems_init(&problems, task->arena, DV_ARCH_PROBLEMS_MAX);
    status = dv_hyperparameters_merge(
        &merged, task->job->hyperparameters, "/hyperparameters", &problems, reterr);
    if (status == DV_INVALID && problems.count > 0) {
        return dv_task_fail_problem(&problems, reterr);
    }
    if (status == DV_OK) {
        *ret_hyperparameters = merged;
    }
    return status;
}

/* How many attempts the journal says have diverged. */
static enum dv_status count_diverged(
    const struct dv_train_task *task, uint32_t *ret_count, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entries = NULL;
    enum dv_status status = dv_journal_read(task->options->job_folder, &entries, reterr);
    uint32_t count = 0;

    if (status != DV_OK) {
        return status;
    }
    for (size_t i = 0; i < dv_json_count(entries); i++) {
        const char *event = dv_json_get_string(dv_json_at(entries, i), "event", "");
        count += dv_text_equal(event, "diverged");
    }
    *ret_count = count;
    return DV_OK;
}

static enum dv_status note_diverged(
    const struct dv_train_task *task, const char *why, double next_rate, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entry = dv_json_object();
    DV_CLEANUP(dv_freep) char *line = NULL;
    const struct dv_train_callbacks *callbacks = &task->options->callbacks;
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    dv_json_set_string(entry, "event", "diverged");
    dv_json_set_integer(entry, "attempt", task->attempt);
    dv_json_set_string(entry, "reason", why);
    dv_json_set_number(entry, "next_learning_rate", next_rate);
    dv_json_set_string(entry, "at", now);
    line = dv_strprintf("diverged: %s; trying again with learning rate %.3g", why, next_rate);
    if (callbacks->log) {
        callbacks->log(callbacks->user, DV_LOG_WARNING, line);
    }
    return dv_journal_append(task->options->job_folder, entry, reterr);
}

static enum dv_status train(struct dv_train_task *task, const struct dv_strategy *strategy,
    const struct dv_hyperparameters *hyperparameters, struct dv_trained *ret_trained,
    struct dv_error *reterr)
{
    uint32_t diverged = 0;
    enum dv_status status = count_diverged(task, &diverged, reterr);

    while (status == DV_OK) {
        struct dv_error why = {0};
        task->attempt = diverged;
        task->rate_scale = pow(DIVERGED_RATE_FACTOR, diverged);
        status = dv_strategy_train(strategy, task, hyperparameters, ret_trained, &why);
        if (status != DV_DIVERGED || diverged >= DIVERGED_RETRIES_MAX) {
            if (status != DV_OK && reterr) {
                *reterr = why;
            }
            return status;
        }
        diverged++;
        double next = hyperparameters->learning_rate * pow(DIVERGED_RATE_FACTOR, diverged);
        status = note_diverged(task, why.text, next, reterr);
    }
    return status;
}

enum dv_status dv_orchestrator_run(struct dv_train_task *task,
    const struct dv_strategy **ret_strategy, struct dv_trained *ret_trained,
    struct dv_error *reterr)
{
    const struct dv_strategy *strategy = NULL;
    struct dv_hyperparameters hyperparameters;

    assert(task);
    assert(ret_strategy);
    assert(ret_trained);

    enum dv_status status = choose_strategy(task, &strategy, reterr);
    if (status == DV_OK) {
        status = dv_strategy_validate(strategy, task, reterr);
    }
    if (status == DV_OK) {
        status = merge(task, strategy, &hyperparameters, reterr);
    }
    if (status == DV_OK) {
        status = train(task, strategy, &hyperparameters, ret_trained, reterr);
    }
    if (status == DV_OK) {
        *ret_strategy = strategy;
    }
    return status;
}
