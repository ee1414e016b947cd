/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_TRAIN_TOY_H
#define DV_TESTS_TRAIN_TOY_H

/*
 * Doubles of dv_network and dv_loader for tests of the trainer: softmax regression on made-up
 * points, with noise that depends on the step as dropout does, and a running statistic. A program
 * that links toy.c gets these instead of the real ones.
 */

#include "spec/dataset.h"

#include <stdint.h>

#define TOY_FEATURES 6u
#define TOY_CLASSES 3u
#define TOY_FLOATS (TOY_FEATURES * TOY_CLASSES + TOY_FEATURES) /* of all tensors */

/* Pictures per split; tests change them. */
extern uint32_t toy_train_count;
extern uint32_t toy_val_count;

/* The loss is no number once a weight is larger. */
extern float toy_weight_max;

/* The step that leaves a weight which is no number; the loss goes on as if nothing had been. */
extern uint64_t toy_break_step;

/* Where to write the tensors as they are when each step begins; NULL: nowhere. */
extern float (*toy_trace)[TOY_FLOATS];

/* Mean cross-entropy of a split with these tensors, in their canonical order. */
double toy_loss(const float *tensors, enum dv_split split);

#endif
