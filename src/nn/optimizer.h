/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_OPTIMIZER_H
#define DV_NN_OPTIMIZER_H

/*
 * An optimizer turns gradients into new weights in one fused pass over a flat block. This is the
 * header for those who use one; those who write one read nn/optimizer_impl.h. Formulas are
 * PyTorch's (torch.optim SGD with nesterov, Adam, AdamW, RMSprop), weight decay masked.
 */

#include "base/status.h"
#include "spec/hyperparameters.h"

#include <stddef.h>
#include <stdint.h>

struct dv_optimizer;

struct dv_optimizer_options {
    enum dv_optimizer_kind kind;
    size_t count;            /* numbers in the block */
    const float *decay_mask; /* 1 or 0 per number; borrowed */
    double momentum;         /* sgd, rmsprop; adam: beta1 */
    double weight_decay;
};

DV_MUST_CHECK enum dv_status dv_optimizer_create(const struct dv_optimizer_options *options,
    struct dv_optimizer **ret_optimizer, struct dv_error *reterr);
struct dv_optimizer *dv_optimizer_destroy(struct dv_optimizer *optimizer);

/* One step. `gradients` are read only. */
void dv_optimizer_step(struct dv_optimizer *optimizer, double learning_rate, float *parameters,
    const float *gradients);

/* State, for checkpoints: `slot_count` blocks of `count` numbers, and the number of steps taken. */
size_t dv_optimizer_slot_count(const struct dv_optimizer *optimizer);
float *dv_optimizer_slot(struct dv_optimizer *optimizer, size_t slot);
uint64_t dv_optimizer_steps(const struct dv_optimizer *optimizer);
void dv_optimizer_set_steps(struct dv_optimizer *optimizer, uint64_t steps);

#endif
