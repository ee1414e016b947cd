/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_PREDICT_H
#define DV_TRAIN_PREDICT_H

/*
 * A model ready to answer: picture bytes in, class probabilities out, prepared exactly as the
 * model's preprocessing says.
 *
 * Life:    dv_predictor_create(), dv_predictor_predict() any number of times,
 * dv_predictor_destroy(). Threads: one predictor belongs to one thread.
 */

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct dv_predictor;

/* `model_folder` is as training leaves it, or an archive of it. `thread_count` 0: all cores. */
DV_MUST_CHECK enum dv_status dv_predictor_create(const char *model_folder, uint32_t thread_count,
    struct dv_predictor **ret_predictor, struct dv_error *reterr);
struct dv_predictor *dv_predictor_destroy(struct dv_predictor *predictor);

uint32_t dv_predictor_class_count(const struct dv_predictor *predictor);

/* Borrowed for the predictor's life. */
const char *dv_predictor_class_name(const struct dv_predictor *predictor, uint32_t class_index);

/*
 * One picture file's bytes to class_count probabilities (softmax), in class order. DV_INVALID,
 * DV_UNSUPPORTED, ...: not a picture that can be read; reterr says why.
 */
DV_MUST_CHECK enum dv_status dv_predictor_predict(struct dv_predictor *predictor, const void *data,
    size_t size, float *ret_probabilities, struct dv_error *reterr);

/* The same before the softmax, for tests against other frameworks. */
DV_MUST_CHECK enum dv_status dv_predictor_logits(struct dv_predictor *predictor, const void *data,
    size_t size, float *ret_logits, struct dv_error *reterr);

/* Class numbers of the `top_count` most probable, best first; ties by class number. */
void dv_predictor_rank(const struct dv_predictor *predictor, const float *probabilities,
    uint32_t top_count, uint32_t *ret_classes);

#endif
