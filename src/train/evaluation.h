/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_EVALUATION_H
#define DV_TRAIN_EVALUATION_H

/*
 * Run a network over all pictures of a loader and add its answers to metrics.
 */

#include "base/status.h"

#include <stdint.h>

struct dv_loader;
struct dv_metrics;
struct dv_network;
struct dv_train_callbacks;

/*
 * `label_map` translates the loader's class numbers into the network's; NULL: they are the same.
 * `logits` is room for one batch. DV_CANCELLED: asked to stop, with `metrics` half filled.
 */
DV_MUST_CHECK enum dv_status dv_evaluation_run(struct dv_network *network, struct dv_loader *loader,
    const uint32_t *label_map, float *logits, struct dv_metrics *metrics,
    const struct dv_train_callbacks *callbacks, struct dv_error *reterr);

#endif
