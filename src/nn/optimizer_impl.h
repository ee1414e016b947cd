/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_OPTIMIZER_IMPL_H
#define DV_NN_OPTIMIZER_IMPL_H

/*
 * What an optimizer is made of. Only nn/optimizer.c and nn/optimizer/ include this.
 *
 * Adding an optimizer `foo`:
 *   1. a kind in spec/hyperparameters.h;
 *   2. nn/optimizer/foo.c with the constant dv_optimizer_foo: one pass over the block, each number
 *      on its own, so that the result does not depend on how threads share the work;
 *   3. declare the constant below, list it in find_impl() in nn/optimizer.c and the file in
 *      nn/meson.build;
 *   4. golden steps of PyTorch for it in tests/conformance/optimizers.c.
 */

#include "nn/optimizer.h"

#define DV_OPTIMIZER_SLOTS_MAX 2

/* Blocks shorter than this are not worth waking the other threads for. */
#define DV_OPTIMIZER_PARALLEL_FROM 32768

struct dv_optimizer {
    const struct dv_optimizer_impl *impl;
    struct dv_optimizer_options options;
    size_t slot_count;
    float *slots[DV_OPTIMIZER_SLOTS_MAX]; /* each `options.count` numbers, zero at first */
    uint64_t steps;                       /* taken, this one included */
};

struct dv_optimizer_impl {
    const char *name; /* in job specs: "sgd" */

    /* Required: how many blocks of state these options need. */
    size_t (*slot_count)(const struct dv_optimizer_options *options);

    /* Required. `optimizer->steps` is 1 at the first call. */
    void (*step)(struct dv_optimizer *optimizer, double learning_rate, float *restrict parameters,
        const float *restrict gradients);
};

extern const struct dv_optimizer_impl dv_optimizer_sgd;
extern const struct dv_optimizer_impl dv_optimizer_adam;
extern const struct dv_optimizer_impl dv_optimizer_adamw;
extern const struct dv_optimizer_impl dv_optimizer_rmsprop;

#endif
