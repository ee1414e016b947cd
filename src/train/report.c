/* SPDX-License-Identifier: Apache-2.0 */
#include "train/report.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/folder_hash.h"
#include "base/json.h"
#include "format/model_file.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/job_spec.h"
#include "train/inference.h"
#include "train/metrics.h"
#include "train/task.h"
#include "train/worker.h"

#include <assert.h>
#include <math.h>

#define MEASURE_BATCH_MAX 64u

static enum dv_status put_up(const struct dv_train_task *task, const struct dv_trained *trained,
    uint32_t batch_size, struct dv_inference **ret_inference, struct dv_error *reterr)
{
    struct dv_inference_options options = {.graph = trained->network.graph,
        .preprocessing = &trained->preprocessing,
        .weights = trained->result.weights,
        .backend = task->backend,
        .arch_hash = batch_size > 1 ? trained->network.arch_hash : NULL,
        .job_folder = task->options->job_folder,
        .plan_cache_folder = task->options->plan_cache_folder,
        .batch_size = batch_size,
        .thread_count = task->thread_count};

    return dv_inference_create(&options, ret_inference, reterr);
}

static void say(const struct dv_train_task *task, const struct dv_trained *trained,
    const char *status, double fraction)
{
    const struct dv_train_callbacks *callbacks = &task->options->callbacks;
    struct dv_train_progress progress = {.status = status,
        .iteration = trained->iteration > 0 ? trained->iteration : task->iteration,
        .epoch = (uint32_t)dv_json_count(trained->result.history),
        .epoch_count = (uint32_t)trained->hyperparameters.epochs,
        .train_loss = NAN,
        .train_accuracy = NAN,
        .val_loss = trained->result.val_loss,
        .val_accuracy = trained->result.val_accuracy,
        .best_accuracy = trained->result.val_accuracy,
        .seconds = trained->result.seconds,
        .seconds_left = NAN,
        .fraction = fraction};

    if (callbacks->progress) {
        callbacks->progress(callbacks->user, &progress);
    }
}

static enum dv_status measure(const struct dv_train_task *task, struct dv_inference *inference,
    const struct dv_trained *trained, enum dv_split split, struct dv_json **ret_figures,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_metrics_destroyp) struct dv_metrics *metrics = NULL;
    struct dv_inference_split what = {
        .pack = task->pack, .cache_path = task->options->cache_path, .split = split};
    double seconds = 0.0;

    enum dv_status status = dv_metrics_create(trained->preprocessing.class_count, &metrics, reterr);
    if (status == DV_OK) {
        status = dv_inference_measure(
            inference, &what, &task->options->callbacks, metrics, &seconds, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    struct dv_json *figures =
        dv_metrics_to_json(metrics, (const char *const *)trained->preprocessing.classes);
    double total = (double)dv_metrics_total(metrics);
    dv_json_set_number(figures, "seconds", seconds);
    dv_json_set_number(figures, "images_per_second", total > 0.0 ? total / seconds : NAN);
    *ret_figures = figures;
    return DV_OK;
}

static double stability_of(const struct dv_json *history)
{
    size_t count = dv_json_count(history);
    double *losses = dv_alloc((count + 1) * sizeof(*losses));

    for (size_t i = 0; i < count; i++) {
        const struct dv_json *entry = dv_json_at(history, i);
        double train_loss = dv_json_get_number(entry, "train_loss", NAN);
        losses[i] = dv_json_get_number(entry, "val_loss", train_loss);
    }
    double stability = dv_metrics_stability(losses, count);
    dv_free(losses);
    return stability;
}

struct dv_json *dv_report_training(
    const struct dv_train_task *task, const struct dv_trained *trained)
{
    const struct dv_trainer_result *result = &trained->result;
    struct dv_json *json = dv_json_object();

    dv_json_set_integer(json, "epochs", (int64_t)dv_json_count(result->history));
    dv_json_set_integer(json, "best_epoch", (int64_t)result->best_epoch);
    dv_json_set_number(json, "best_val_accuracy", result->val_accuracy);
    dv_json_set_number(json, "best_val_loss", result->val_loss);
    dv_json_set_number(json, "seconds", result->seconds);
    dv_json_set_number(json, "images_per_second", result->images_per_second);
    dv_json_set_number(json, "stability", stability_of(result->history));
    dv_json_set_integer(json, "diverged_attempts", trained->diverged);
    dv_json_set_integer(json, "memory_planned_bytes", (int64_t)result->memory_planned);
    dv_json_set_integer(json, "thread_count", task->thread_count);
    return json;
}

/* The test split's figures stand for the model; where there is none, the validation split's. */
static const char *main_split(const struct dv_json *metrics)
{
    return dv_json_get_integer(dv_json_get(metrics, "test"), "total", 0) > 0  ? "test"
           : dv_json_get_integer(dv_json_get(metrics, "val"), "total", 0) > 0 ? "val"
                                                                              : NULL;
}

static void set_main_figures(struct dv_json *metrics)
{
    static const char *const names[] = {
        "accuracy", "loss", "macro_f1", "per_class", "confusion", "calibration"};
    const char *split = main_split(metrics);
    const struct dv_json *figures = split ? dv_json_get(metrics, split) : NULL;

    dv_json_set_string(metrics, "split", split);
    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        const struct dv_json *value = dv_json_get(figures, names[i]);
        dv_json_set(metrics, names[i], value ? dv_json_copy(value) : dv_json_null());
    }
}

enum dv_status dv_report_measure(const struct dv_train_task *task, const struct dv_trained *trained,
    struct dv_json **ret_metrics, struct dv_error *reterr)
{
    DV_CLEANUP(dv_inference_destroyp) struct dv_inference *inference = NULL;
    DV_CLEANUP(dv_inference_destroyp) struct dv_inference *single = NULL;
    struct dv_json *val = NULL;
    struct dv_json *test = NULL;

    assert(task);
    assert(trained);
    assert(ret_metrics);
    /* What did not fit into memory for training would not fit here. */
    int64_t trained_batch = trained->hyperparameters.batch_size;
    uint32_t batch =
        trained_batch < MEASURE_BATCH_MAX ? (uint32_t)trained_batch : MEASURE_BATCH_MAX;
    enum dv_status status = put_up(task, trained, batch, &inference, reterr);
    if (status == DV_OK) {
        status = put_up(task, trained, 1, &single, reterr);
    }
    if (status == DV_OK) {
        status = measure(task, inference, trained, DV_SPLIT_VAL, &val, reterr);
    }
    if (status == DV_OK) {
        status = measure(task, inference, trained, DV_SPLIT_TEST, &test, reterr);
    }
    if (status != DV_OK) {
        dv_json_unref(val);
        return status;
    }

    struct dv_json *metrics = dv_json_object();
    struct dv_json *speed = dv_json_object();
    dv_json_set_number(speed, "latency_ms", dv_inference_latency(single) * 1e3);
    dv_json_set_number(speed, "images_per_second", batch / dv_inference_latency(inference));
    dv_json_set(metrics, "val", val);
    dv_json_set(metrics, "test", test);
    set_main_figures(metrics);
    dv_json_set(metrics, "training", dv_report_training(task, trained));
    dv_json_set(metrics, "inference", speed);
    dv_json_set(metrics, "usage", dv_metrics_usage());
    *ret_metrics = metrics;
    return DV_OK;
}

static struct dv_json *make_result(const struct dv_train_task *task, const char *strategy_name,
    const struct dv_trained *trained, const struct dv_json *metrics)
{
    const struct dv_graph *graph = trained->network.graph;
    const struct dv_preprocessing *preprocessing = &trained->preprocessing;
    struct dv_json *result = dv_json_object();
    struct dv_json *classes = dv_json_array();

    for (uint32_t c = 0; c < preprocessing->class_count; c++) {
        dv_json_append(classes, dv_json_string(preprocessing->classes[c]));
    }
    dv_json_set(result, "accuracy", dv_json_copy(dv_json_get(metrics, "accuracy")));
    dv_json_set(result, "loss", dv_json_copy(dv_json_get(metrics, "loss")));
    dv_json_set_number(result, "best_val_accuracy", trained->result.val_accuracy);
    dv_json_set_string(result, "strategy", strategy_name);
    dv_json_set_string(result, "model_path", task->options->model_folder);
    dv_json_set_integer(result, "parameters", (int64_t)graph->parameter_count);
    dv_json_set_integer(result, "flops", (int64_t)dv_graph_flops(graph));
    dv_json_set(result, "classes", classes);
    dv_json_set(result, "hyperparameters", dv_hyperparameters_to_json(&trained->hyperparameters));
    dv_json_set(result, "architecture", dv_arch_to_json(trained->network.arch));
    dv_json_set(result, "preprocessing", dv_preprocessing_to_json(preprocessing));
    dv_json_set(result, "metrics", dv_json_copy(metrics));
    dv_json_set(result, "history", dv_json_copy(trained->result.history));
    for (void *i = dv_json_first(trained->search); i; i = dv_json_next(trained->search, i)) {
        dv_json_set(result, dv_json_key(i), dv_json_copy(dv_json_value(i)));
    }
    return result;
}

static enum dv_status write_model(const struct dv_train_task *task, const char *strategy_name,
    const struct dv_trained *trained, const struct dv_json *result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *dataset = dv_dataset_summary_to_json(task->dataset);
    struct dv_model_content content = {
        .name = task->job->name ? task->job->name : task->dataset->name,
        .arch = trained->network.arch,
        .graph = trained->network.graph,
        .preprocessing = &trained->preprocessing,
        .values = trained->result.weights,
        .strategy = strategy_name,
        .hyperparameters = dv_json_get(result, "hyperparameters"),
        .metrics = dv_json_get(result, "metrics"),
        .history = trained->result.history,
        .dataset = dataset};

    return dv_model_write(&content, task->options->model_folder, reterr);
}

/* Write the model and make the result of these metrics. */
static enum dv_status finish(const struct dv_train_task *task, const char *strategy_name,
    const struct dv_trained *trained, struct dv_json *metrics, struct dv_json **ret_result,
    struct dv_error *reterr)
{
    /* The model's own file has them too: GET /api/models/{id}/metrics shows every iteration. */
    for (void *i = dv_json_first(trained->search); i; i = dv_json_next(trained->search, i)) {
        dv_json_set(metrics, dv_json_key(i), dv_json_copy(dv_json_value(i)));
    }
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *result = make_result(task, strategy_name, trained, metrics);

    char hash[DV_SHA256_TEXT_SIZE];

    enum dv_status status = write_model(task, strategy_name, trained, result, reterr);
    if (status == DV_OK) {
        status = dv_folder_hash(task->options->model_folder, hash, NULL, reterr);
    }
    if (status == DV_OK) {
        dv_json_set_string(result, "content_hash", hash);
        *ret_result = dv_json_ref(result);
    }
    return status;
}

enum dv_status dv_report_make(const struct dv_train_task *task, const char *strategy_name,
    const struct dv_trained *trained, struct dv_json **ret_result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *metrics = NULL;

    assert(task);
    assert(trained);
    assert(ret_result);

    say(task, trained, "evaluating", 0.98);
    enum dv_status status = dv_report_measure(task, trained, &metrics, reterr);
    if (status != DV_OK) {
        return status;
    }
    say(task, trained, "writing", 0.99);
    return finish(task, strategy_name, trained, metrics, ret_result, reterr);
}

/* --- Of a run that was stopped ---------------------------------------------------------- */

static uint64_t count_samples(const struct dv_dataset_summary *dataset, enum dv_split split)
{
    uint64_t count = 0;

    for (uint32_t c = 0; c < dataset->class_count; c++) {
        count += dataset->classes[c].counts[split];
    }
    return count;
}

/* What was measured on the validation split when these weights were the best. */
static struct dv_json *make_partial_metrics(
    const struct dv_train_task *task, const struct dv_trained *trained)
{
    struct dv_json *metrics = dv_json_object();
    struct dv_json *val = dv_json_object();

    dv_json_set_number(val, "accuracy", trained->result.val_accuracy);
    dv_json_set_number(val, "loss", trained->result.val_loss);
    dv_json_set_integer(val, "total", (int64_t)count_samples(task->dataset, DV_SPLIT_VAL));
    dv_json_set(metrics, "val", val);
    dv_json_set(metrics, "test", dv_json_null());
    set_main_figures(metrics);
    dv_json_set(metrics, "training", dv_report_training(task, trained));
    dv_json_set_bool(metrics, "is_partial", true);
    return metrics;
}

enum dv_status dv_report_make_partial(const struct dv_train_task *task, const char *strategy_name,
    const struct dv_trained *trained, struct dv_json **ret_result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *metrics = make_partial_metrics(task, trained);

    return finish(task, strategy_name, trained, metrics, ret_result, reterr);
}
