/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_INFERENCE_H
#define DV_TRAIN_INFERENCE_H

/*
 * A finished network put up for answering: weights set, logits of a batch, and a whole split
 * measured. What testing after training, `dv evaluate` and prediction have in common.
 *
 * Life: dv_inference_create(), use, dv_inference_destroy().
 */

#include "base/status.h"
#include "spec/dataset.h"

#include <stdint.h>

struct dv_graph;
struct dv_inference;
struct dv_metrics;
struct dv_network;
struct dv_pack;
struct dv_preprocessing;
struct dv_train_callbacks;

struct dv_inference_options {
    const struct dv_graph *graph; /* all pointers are borrowed */
    const struct dv_preprocessing *preprocessing;
    const float *weights;  /* canonical, copied */
    const char *backend;   /* NULL: "onednn" */
    const char *arch_hash; /* for finding a plan; NULL: measure */
    const char *job_folder;
    const char *plan_cache_folder;
    uint32_t batch_size;
    uint32_t thread_count;
};

/* Pictures of a data set to measure. */
struct dv_inference_split {
    const struct dv_pack *pack;
    const char *cache_path;
    enum dv_split split;
    const uint32_t *label_map;        /* the data set's classes as the model's; NULL: the same */
    uint64_t step_before, step_total; /* as in train/evaluation.h */
};

DV_MUST_CHECK enum dv_status dv_inference_create(const struct dv_inference_options *options,
    struct dv_inference **ret_inference, struct dv_error *reterr);
struct dv_inference *dv_inference_destroy(struct dv_inference *inference);
void dv_inference_destroyp(struct dv_inference **inference);

/* `pixels` [batch, row, column, channel] to logits [batch, class], borrowed until the next call. */
const float *dv_inference_logits(struct dv_inference *inference, const float *pixels);

/* Add the answers on a split to `metrics`; *ret_seconds is what it took. */
DV_MUST_CHECK enum dv_status dv_inference_measure(struct dv_inference *inference,
    const struct dv_inference_split *split, const struct dv_train_callbacks *callbacks,
    struct dv_metrics *metrics, double *ret_seconds, struct dv_error *reterr);

/* Median seconds of one batch, of a few runs on an empty picture. */
double dv_inference_latency(struct dv_inference *inference);

#endif
