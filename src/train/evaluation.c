/* SPDX-License-Identifier: Apache-2.0 */
#include "train/evaluation.h"

#include "base/alloc.h"
#include "data/loader.h"
#include "nn/network.h"
#include "train/metrics.h"
#include "train/worker.h"

#include <assert.h>

/* Labels are translated in pieces of this many, so that no buffer depends on the batch. */
#define PIECE 64u

static void add_batch(struct dv_metrics *metrics, const struct dv_batch *batch,
    const uint32_t *label_map, const float *logits, uint32_t class_count)
{
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

enum dv_status dv_evaluation_run(struct dv_network *network, struct dv_loader *loader,
    const uint32_t *label_map, float *logits, struct dv_metrics *metrics,
    const struct dv_train_callbacks *callbacks, struct dv_error *reterr)
{
    assert(network);
    assert(loader);
    assert(logits);
    assert(metrics);

    dv_loader_start(loader, 0, 0);
    for (;;) {
        struct dv_batch batch;
        bool has_batch = false;
        if (callbacks->is_cancelled && callbacks->is_cancelled(callbacks->user)) {
            return dv_fail(reterr, DV_CANCELLED, "stopped on request during an evaluation");
        }
        enum dv_status status = dv_loader_next(loader, &batch, &has_batch, reterr);
        if (status != DV_OK) {
            return status;
        }
        if (!has_batch) {
            return DV_OK;
        }
        dv_network_infer(network, batch.pixels, logits);
        add_batch(metrics, &batch, label_map, logits, dv_metrics_class_count(metrics));
    }
}
