/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_METRICS_H
#define DV_TRAIN_METRICS_H

/*
 * What a model's answers on a set of pictures add up to: accuracy, loss, per-class precision,
 * recall and F1, confusion matrix, calibration. Sums are doubles and whole numbers, added in the
 * order of the pictures.
 *
 * Life: dv_metrics_create(), dv_metrics_add() per batch, queries, dv_metrics_destroy().
 */

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_metrics;

DV_MUST_CHECK enum dv_status dv_metrics_create(
    uint32_t class_count, struct dv_metrics **ret_metrics, struct dv_error *reterr);
struct dv_metrics *dv_metrics_destroy(struct dv_metrics *metrics);
void dv_metrics_destroyp(struct dv_metrics **metrics);

/* `logits` [picture, class]; ties go to the smaller class number. */
void dv_metrics_add(
    struct dv_metrics *metrics, const float *logits, const uint32_t *labels, uint32_t count);

uint32_t dv_metrics_class_count(const struct dv_metrics *metrics);
uint64_t dv_metrics_total(const struct dv_metrics *metrics);
double dv_metrics_accuracy(const struct dv_metrics *metrics); /* NaN when there are no pictures */
double dv_metrics_loss(const struct dv_metrics *metrics);     /* mean cross-entropy; NaN likewise */

/*
 * {"accuracy", "loss", "correct", "total", "macro_f1", "per_class": [...], "confusion": [[...]],
 * "calibration": {"ece", "bins"}}; figures of nothing are null. The confusion matrix is left out
 * above 200 classes. The caller's.
 */
struct dv_json *dv_metrics_to_json(const struct dv_metrics *metrics, const char *const *classes);

/* Softmax in double, then float: probabilities [class] of one picture. */
void dv_metrics_softmax(const float *logits, uint32_t class_count, float *ret_probabilities);

/*
 * How steadily a run went, from its losses per epoch: 1 minus the part of all movement that was
 * upwards, sum of rises / sum of |changes|. 1: the loss fell at every epoch; about 0.5: a random
 * walk; 0: it only rose. NaN with fewer than three losses; values that are not finite count as
 * rises from the value before.
 */
double dv_metrics_stability(const double *losses, size_t count);

/* {"cpu_seconds", "memory_peak_bytes"} of this process so far; the caller's. */
struct dv_json *dv_metrics_usage(void);

#endif
