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

struct dv_evaluation_options {
    struct dv_network *network;
    struct dv_loader *loader;
    const uint32_t *label_map; /* the loader's class numbers as the network's; NULL: the same */
    float *logits;             /* room for one batch */
    const struct dv_train_callbacks *callbacks;
    /* Progress is said as so many steps more than `step_before` of `step_total`; 0: it is not. */
    uint64_t step_before, step_total;
};

/* DV_CANCELLED: asked to stop, with `metrics` half filled. */
DV_MUST_CHECK enum dv_status dv_evaluation_run(const struct dv_evaluation_options *options,
    struct dv_metrics *metrics, struct dv_error *reterr);

#endif
