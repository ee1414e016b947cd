/* SPDX-License-Identifier: Apache-2.0 */
#include "train/evaluation.h"

#include "base/clock.h"
#include "data/loader.h"
#include "nn/network.h"
#include "train/metrics.h"
#include "train/worker.h"

#include <assert.h>
#include <math.h>

/* Labels are translated in pieces of this many, so that no buffer depends on the batch. */
#define PIECE 64u

#define REPORT_INTERVAL_SECONDS 0.5

static void add_batch(struct dv_metrics *metrics, const struct dv_batch *batch,
    const uint32_t *label_map, const float *logits)
{
    uint32_t class_count = dv_metrics_class_count(metrics);

    if (!label_map) {
        dv_metrics_add(metrics, logits, batch->labels, batch->count);
        return;
    }
    for (uint32_t first = 0; first < batch->count; first += PIECE) {
        uint32_t labels[PIECE];
        uint32_t count = batch->count - first < PIECE ? batch->count - first : PIECE;
        for (uint32_t i = 0; i < count; i++) {
            labels[i] = label_map[batch->labels[first + i]];
        }
        dv_metrics_add(metrics, logits + (size_t)first * class_count, labels, count);
    }
}

static void report(const struct dv_evaluation_options *options, uint64_t step)
{
    const struct dv_train_callbacks *callbacks = options->callbacks;
    struct dv_train_progress progress = {.status = "evaluating",
        .iteration = 1,
        .step = options->step_before + step,
        .step_count = options->step_total,
        .train_loss = NAN,
        .train_accuracy = NAN,
        .val_loss = NAN,
        .val_accuracy = NAN,
        .best_accuracy = NAN,
        .learning_rate = NAN,
        .images_per_second = NAN,
        .seconds_left = NAN};

    if (callbacks->progress && options->step_total > 0) {
        progress.fraction = (double)progress.step / (double)progress.step_count;
        callbacks->progress(callbacks->user, &progress);
    }
}

enum dv_status dv_evaluation_run(const struct dv_evaluation_options *options,
    struct dv_metrics *metrics, struct dv_error *reterr)
{
    const struct dv_train_callbacks *callbacks = options->callbacks;
    uint64_t reported_ns = dv_clock_monotonic_ns();
    uint64_t step = 0;

    assert(options->network);
    assert(options->loader);
    assert(options->logits);
    assert(metrics);

    report(options, 0);
    dv_loader_start(options->loader, 0, 0);
    for (;; step++) {
        struct dv_batch batch;
        bool has_batch = false;
        if (callbacks->is_cancelled && callbacks->is_cancelled(callbacks->user)) {
            return dv_fail(reterr, DV_CANCELLED, "stopped on request during an evaluation");
        }
        enum dv_status status = dv_loader_next(options->loader, &batch, &has_batch, reterr);
        if (status != DV_OK) {
            return status;
        }
        if (!has_batch) {
            report(options, step);
            return DV_OK;
        }
        dv_network_infer(options->network, batch.pixels, options->logits);
        add_batch(metrics, &batch, options->label_map, options->logits);
        if (dv_clock_seconds_since(reported_ns) > REPORT_INTERVAL_SECONDS) {
            report(options, step + 1);
            reported_ns = dv_clock_monotonic_ns();
        }
    }
}
