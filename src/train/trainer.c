/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading order: dv_trainer_run() at the end, run_epoch(), take_step(), then end_epoch() with the
 * evaluation and the choice of the best.
 */
#include "train/trainer.h"
#include "train/trainer_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "data/loader.h"
#include "nn/network.h"
#include "nn/optimizer.h"
#include "spec/preprocessing.h"
#include "train/evaluation.h"
#include "train/metrics.h"

#include <assert.h>
#include <math.h>

#define SAVE_INTERVAL_SECONDS 20.0
#define REPORT_INTERVAL_SECONDS 0.5
#define DIVERGED_FACTOR 10.0

static uint64_t global_step(const struct dv_trainer *trainer)
{
    return trainer->counters.epoch * trainer->epoch_steps + trainer->counters.step;
}

static double mean(double sum, uint64_t count)
{
    return count > 0 ? sum / (double)count : NAN;
}

/* --- Progress --------------------------------------------------------------------------- */

/* Pictures a second of this epoch's steps, as far as this process made them; 0: none. */
static double speed(const struct dv_trainer *trainer, bool is_end)
{
    uint64_t steps = trainer->counters.step - trainer->epoch_first_step;
    double pictures = (double)steps * (double)trainer->options->hyperparameters->batch_size;
    double seconds =
        is_end ? trainer->epoch_seconds : dv_clock_seconds_since(trainer->epoch_start_ns);

    return seconds > 0.0 ? pictures / seconds : 0.0;
}

static void report(struct dv_trainer *trainer, const char *status, bool is_end, bool is_best)
{
    const struct dv_train_callbacks *callbacks = trainer->options->callbacks;
    const struct dv_checkpoint_counters *counters = &trainer->counters;
    uint64_t epochs = (uint64_t)trainer->options->hyperparameters->epochs;
    struct dv_train_progress progress = {.status = status,
        .iteration = trainer->options->iteration,
        .epoch = (uint32_t)counters->epoch + 1,
        .epoch_count = (uint32_t)epochs,
        .step = counters->step,
        .step_count = trainer->epoch_steps,
        .is_epoch_end = is_end,
        .is_epoch_best = is_best,
        .train_loss = mean(counters->loss_sum, counters->seen),
        .train_accuracy = mean((double)counters->correct, counters->seen),
        .val_loss = trainer->val_loss,
        .val_accuracy = trainer->val_accuracy,
        .best_accuracy = trainer->best_accuracy,
        .learning_rate = dv_schedule_rate(&trainer->schedule, global_step(trainer)),
        .seconds = dv_clock_seconds_since(trainer->run_start_ns)};

    trainer->reported_ns = dv_clock_monotonic_ns();
    if (!callbacks->progress) {
        return;
    }
    progress.fraction = (double)global_step(trainer) / (double)trainer->schedule.step_count;
    double batch = (double)trainer->options->hyperparameters->batch_size;
    progress.images_per_second = speed(trainer, is_end);
    double left = (double)(trainer->schedule.step_count - global_step(trainer));
    progress.seconds_left =
        progress.images_per_second > 0.0 ? left * batch / progress.images_per_second : NAN;
    callbacks->progress(callbacks->user, &progress);
}

/* --- One step --------------------------------------------------------------------------- */

static enum dv_status check_stop(struct dv_trainer *trainer, struct dv_error *reterr)
{
    const struct dv_train_callbacks *callbacks = trainer->options->callbacks;
    double timeout = trainer->options->timeout_seconds;
    enum dv_status why = DV_OK;

    if (callbacks->is_cancelled && callbacks->is_cancelled(callbacks->user)) {
        why = dv_fail(reterr, DV_CANCELLED, "stopped on request in epoch %llu",
            (unsigned long long)trainer->counters.epoch + 1);
    } else if (timeout > 0.0 && dv_trainer_seconds(trainer) > timeout) {
        why = dv_fail(reterr, DV_TIMEOUT, "the time limit of %.0f s passed in epoch %llu", timeout,
            (unsigned long long)trainer->counters.epoch + 1);
    }
    if (why == DV_OK) {
        return DV_OK;
    }
    enum dv_status status = dv_trainer_save(trainer, reterr);
    return status == DV_OK ? why : status;
}

/*
 * The average moves every few steps, with the decay of that many; at first it is short, so that
 * the initial weights are soon forgotten, and before the first move it is the weights themselves:
 * a run may have no more steps. A function of the step alone: a resume needs no state.
 */
static void update_average(struct dv_trainer *trainer, uint64_t steps_done)
{
    if (!trainer->average) {
        return;
    }
    if (steps_done < DV_TRAINER_AVERAGE_INTERVAL) {
        dv_network_get_tensors(trainer->network, NULL, trainer->average);
        return;
    }
    if (steps_done % DV_TRAINER_AVERAGE_INTERVAL != 0) {
        return;
    }
    double decay = pow(trainer->options->hyperparameters->ema, DV_TRAINER_AVERAGE_INTERVAL);
    double updates = (double)(steps_done / DV_TRAINER_AVERAGE_INTERVAL);
    float keep = (float)fmin(decay, updates / (updates + 9.0));
    float take = 1.0f - keep;

    dv_network_get_tensors(trainer->network, NULL, trainer->values);
    for (size_t i = 0; i < trainer->floats; i++) {
        trainer->average[i] = keep * trainer->average[i] + take * trainer->values[i];
    }
}

static enum dv_status take_step(
    struct dv_trainer *trainer, const struct dv_batch *batch, struct dv_error *reterr)
{
    const struct dv_hyperparameters *h = trainer->options->hyperparameters;
    struct dv_checkpoint_counters *counters = &trainer->counters;
    uint64_t step = global_step(trainer);
    uint32_t correct = 0;

    double loss = dv_network_train(trainer->network, batch->pixels, batch->labels, batch->count,
        h->label_smoothing, step, &correct);
    if (!isfinite(loss)) {
        return dv_fail(reterr, DV_DIVERGED,
            "the loss was no longer a number in step %llu of epoch %llu",
            (unsigned long long)counters->step + 1, (unsigned long long)counters->epoch + 1);
    }
    dv_optimizer_step(trainer->optimizer, dv_schedule_rate(&trainer->schedule, step),
        dv_network_parameters(trainer->network), dv_network_gradients(trainer->network));
    if (step == 0) {
        counters->first_loss = loss;
    }
    counters->loss_sum += loss * batch->count;
    counters->correct += correct;
    counters->seen += batch->count;
    counters->step++;
    update_average(trainer, step + 1);
    return DV_OK;
}

static enum dv_status run_epoch(struct dv_trainer *trainer, struct dv_error *reterr)
{
    trainer->epoch_start_ns = dv_clock_monotonic_ns();
    trainer->epoch_first_step = trainer->counters.step;
    if (trainer->counters.step < trainer->epoch_steps) {
        dv_loader_start(trainer->train, trainer->counters.epoch, trainer->counters.step);
    }
    while (trainer->counters.step < trainer->epoch_steps) {
        struct dv_batch batch;
        bool has_batch = false;
        enum dv_status status = check_stop(trainer, reterr);
        if (status == DV_OK) {
            status = dv_loader_next(trainer->train, &batch, &has_batch, reterr);
        }
        if (status != DV_OK) {
            return status;
        }
        assert(has_batch);
        status = take_step(trainer, &batch, reterr);
        if (status == DV_OK && dv_clock_seconds_since(trainer->saved_ns) > SAVE_INTERVAL_SECONDS) {
            status = dv_trainer_save(trainer, reterr);
        }
        if (status != DV_OK) {
            return status;
        }
        if (dv_clock_seconds_since(trainer->reported_ns) > REPORT_INTERVAL_SECONDS) {
            report(trainer, "training", false, false);
        }
    }
    trainer->epoch_seconds = dv_clock_seconds_since(trainer->epoch_start_ns);
    return DV_OK;
}

/* --- The end of an epoch ---------------------------------------------------------------- */

/* Measure the validation split with `weights`, which are the average if there is one. */
static enum dv_status evaluate(struct dv_trainer *trainer, struct dv_error *reterr)
{
    DV_CLEANUP(dv_metrics_destroyp) struct dv_metrics *metrics = NULL;

    trainer->val_accuracy = NAN;
    trainer->val_loss = NAN;
    if (dv_loader_sample_count(trainer->val) == 0) {
        return DV_OK;
    }
    enum dv_status status =
        dv_metrics_create(trainer->options->preprocessing->class_count, &metrics, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (trainer->average) {
        dv_network_get_tensors(trainer->network, NULL, trainer->values);
        dv_network_set_tensors(trainer->network, NULL, trainer->average);
    }
    struct dv_evaluation_options evaluation = {.network = trainer->network,
        .loader = trainer->val,
        .logits = trainer->logits,
        .callbacks = trainer->options->callbacks};
    status = dv_evaluation_run(&evaluation, metrics, reterr);
    if (trainer->average) {
        dv_network_set_tensors(trainer->network, NULL, trainer->values);
    }
    if (status != DV_OK) {
        return status;
    }
    trainer->val_accuracy = dv_metrics_accuracy(metrics);
    trainer->val_loss = dv_metrics_loss(metrics);
    return DV_OK;
}

/* A relu can make a zero of what is no number, and the loss then looks as if all were well. */
static bool has_sound_weights(struct dv_trainer *trainer)
{
    dv_network_get_tensors(trainer->network, NULL, trainer->values);
    for (size_t i = 0; i < trainer->floats; i++) {
        if (!isfinite(trainer->values[i])) {
            return false;
        }
    }
    return true;
}

static enum dv_status check_divergence(struct dv_trainer *trainer, struct dv_error *reterr)
{
    double classes = (double)trainer->options->preprocessing->class_count;
    double begin = fmax(trainer->counters.first_loss, log(classes));
    double loss = mean(trainer->counters.loss_sum, trainer->counters.seen);

    if (loss > DIVERGED_FACTOR * begin) {
        return dv_fail(reterr, DV_DIVERGED,
            "the loss of epoch %llu, %.3g, is over ten times what it began with, %.3g",
            (unsigned long long)trainer->counters.epoch + 1, loss, begin);
    }
    if (dv_loader_sample_count(trainer->val) > 0 && !isfinite(trainer->val_loss)) {
        return dv_fail(reterr, DV_DIVERGED, "the validation loss of epoch %llu is not a number",
            (unsigned long long)trainer->counters.epoch + 1);
    }
    if (!has_sound_weights(trainer)) {
        return dv_fail(reterr, DV_DIVERGED, "weights were no longer numbers after epoch %llu",
            (unsigned long long)trainer->counters.epoch + 1);
    }
    return DV_OK;
}

/* By validation accuracy, then loss; without a validation split the last epoch is the best. */
static bool is_better(const struct dv_trainer *trainer)
{
    if (trainer->best_epoch == 0 || isnan(trainer->val_accuracy)) {
        return true;
    }
    if (trainer->val_accuracy != trainer->best_accuracy) {
        return trainer->val_accuracy > trainer->best_accuracy;
    }
    return trainer->val_loss < trainer->best_loss;
}

static void add_history(struct dv_trainer *trainer)
{
    const struct dv_checkpoint_counters *counters = &trainer->counters;
    struct dv_json *entry = dv_json_object();
    double pictures_a_second = speed(trainer, true);

    dv_json_set_integer(entry, "epoch", (int64_t)counters->epoch + 1);
    dv_json_set_number(entry, "train_loss", mean(counters->loss_sum, counters->seen));
    dv_json_set_number(entry, "train_accuracy", mean((double)counters->correct, counters->seen));
    dv_json_set_number(entry, "val_loss", trainer->val_loss);
    dv_json_set_number(entry, "val_accuracy", trainer->val_accuracy);
    dv_json_set_number(
        entry, "learning_rate", dv_schedule_rate(&trainer->schedule, global_step(trainer) - 1));
    dv_json_set_number(entry, "seconds", dv_trainer_seconds(trainer));
    dv_json_set_number(
        entry, "images_per_second", pictures_a_second > 0.0 ? pictures_a_second : NAN);
    dv_json_append(trainer->history, entry);
}

static enum dv_status take_best(struct dv_trainer *trainer, struct dv_error *reterr)
{
    const float *weights = trainer->average;

    trainer->best_epoch = trainer->counters.epoch + 1;
    trainer->best_accuracy = trainer->val_accuracy;
    trainer->best_loss = trainer->val_loss;
    trainer->since_best = 0;
    if (!weights) {
        dv_network_get_tensors(trainer->network, NULL, trainer->values);
        weights = trainer->values;
    }
    return dv_trainer_save_best(trainer, weights, reterr);
}

static bool must_end(const struct dv_trainer *trainer)
{
    const struct dv_hyperparameters *h = trainer->options->hyperparameters;
    double target = trainer->options->target_accuracy;
    bool is_patient = h->early_stopping_patience == 0 ||
                      trainer->since_best < (uint64_t)h->early_stopping_patience;
    bool is_reached = target > 0.0 && trainer->val_accuracy >= target;

    return trainer->counters.epoch >= (uint64_t)h->epochs || !is_patient || is_reached;
}

static enum dv_status end_epoch(struct dv_trainer *trainer, struct dv_error *reterr)
{
    enum dv_status status = evaluate(trainer, reterr);
    if (status == DV_CANCELLED) {
        /* The steps are not lost: a resume begins with the evaluation. */
        enum dv_status saved = dv_trainer_save(trainer, reterr);
        return saved == DV_OK ? status : saved;
    }
    if (status == DV_OK) {
        status = check_divergence(trainer, reterr);
    }
    if (status != DV_OK) {
        return status;
    }

    bool is_best = is_better(trainer);
    add_history(trainer);
    trainer->since_best++;
    if (is_best) {
        status = take_best(trainer, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    report(trainer, "training", true, is_best);

    trainer->counters.epoch++;
    trainer->counters.step = 0;
    trainer->counters.seen = 0;
    trainer->counters.correct = 0;
    trainer->counters.loss_sum = 0.0;
    trainer->is_done = must_end(trainer);
    return dv_trainer_save(trainer, reterr);
}

/* --- The run ---------------------------------------------------------------------------- */

/* Pictures a second over the epochs of the history, evaluation left out. */
static double mean_speed(const struct dv_trainer *trainer)
{
    double sum = 0.0;
    size_t count = 0;

    for (size_t i = 0; i < dv_json_count(trainer->history); i++) {
        double speed =
            dv_json_get_number(dv_json_at(trainer->history, i), "images_per_second", NAN);
        if (isfinite(speed) && speed > 0.0) {
            sum += speed;
            count++;
        }
    }
    return mean(sum, count);
}

static enum dv_status make_result(
    struct dv_trainer *trainer, struct dv_trainer_result *ret_result, struct dv_error *reterr)
{
    struct dv_trainer_result result = {.weight_count = trainer->floats,
        .best_epoch = trainer->best_epoch,
        .val_accuracy = trainer->best_accuracy,
        .val_loss = trainer->best_loss,
        .seconds = dv_trainer_seconds(trainer),
        .images_per_second = mean_speed(trainer),
        .memory_planned = dv_network_memory(trainer->network)};

    enum dv_status status = dv_trainer_load_best(trainer, &result.weights, reterr);
    if (status == DV_OK) {
        result.history = dv_json_ref(trainer->history);
        *ret_result = result;
    }
    return status;
}

enum dv_status dv_trainer_run(const struct dv_trainer_options *options,
    struct dv_trainer_result *ret_result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_trainer_destroyp) struct dv_trainer *trainer = NULL;

    assert(options);
    assert(ret_result);

    enum dv_status status = dv_trainer_create(options, &trainer, reterr);
    if (status == DV_OK) {
        status = dv_trainer_restore(trainer, reterr);
    }
    while (status == DV_OK && !trainer->is_done) {
        status = run_epoch(trainer, reterr);
        if (status == DV_OK) {
            status = end_epoch(trainer, reterr);
        }
    }
    return status == DV_OK ? make_result(trainer, ret_result, reterr) : status;
}

void dv_trainer_result_finish(struct dv_trainer_result *result)
{
    dv_free(result->weights);
    dv_json_unref(result->history);
    *result = (struct dv_trainer_result){0};
}
