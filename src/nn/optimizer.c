/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/optimizer.h"
#include "nn/optimizer_impl.h"

#include "base/alloc.h"

#include <assert.h>

static const struct dv_optimizer_impl *find_impl(enum dv_optimizer_kind kind)
{
    switch (kind) {
    case DV_OPTIMIZER_SGD:
        return &dv_optimizer_sgd;
    case DV_OPTIMIZER_ADAM:
        return &dv_optimizer_adam;
    case DV_OPTIMIZER_ADAMW:
        return &dv_optimizer_adamw;
    case DV_OPTIMIZER_RMSPROP:
        return &dv_optimizer_rmsprop;
    }
    return NULL;
}

enum dv_status dv_optimizer_create(const struct dv_optimizer_options *options,
    struct dv_optimizer **ret_optimizer, struct dv_error *reterr)
{
    assert(options);
    assert(ret_optimizer);
    assert(options->decay_mask);

    const struct dv_optimizer_impl *impl = find_impl(options->kind);
    if (!impl) {
        return dv_fail(reterr, DV_NOT_FOUND, "no optimizer has the number %d", (int)options->kind);
    }
    assert(impl->slot_count);
    assert(impl->step);

    size_t slot_size;
    if (!dv_size_mul(options->count, sizeof(float), &slot_size)) {
        return dv_fail(reterr, DV_TOO_LARGE, "%zu parameters are too many", options->count);
    }

    struct dv_optimizer *optimizer = dv_alloc(sizeof(*optimizer));
    optimizer->impl = impl;
    optimizer->options = *options;
    optimizer->slot_count = impl->slot_count(options);
    assert(optimizer->slot_count <= DV_OPTIMIZER_SLOTS_MAX);
    for (size_t i = 0; i < optimizer->slot_count; i++) {
        void *slot;
        enum dv_status status = dv_try_alloc_aligned(slot_size, &slot, reterr);
        if (status != DV_OK) {
            dv_optimizer_destroy(optimizer);
            return status;
        }
        optimizer->slots[i] = slot;
    }
    *ret_optimizer = optimizer;
    return DV_OK;
}

struct dv_optimizer *dv_optimizer_destroy(struct dv_optimizer *optimizer)
{
    if (!optimizer) {
        return NULL;
    }
    for (size_t i = 0; i < DV_OPTIMIZER_SLOTS_MAX; i++) {
        dv_free(optimizer->slots[i]);
    }
    return dv_free(optimizer);
}

void dv_optimizer_step(
    struct dv_optimizer *optimizer, double learning_rate, float *parameters, const float *gradients)
{
    assert(optimizer);
    assert(parameters);
    assert(gradients);

    optimizer->steps++;
    optimizer->impl->step(optimizer, learning_rate, parameters, gradients);
}

size_t dv_optimizer_slot_count(const struct dv_optimizer *optimizer)
{
    assert(optimizer);
    return optimizer->slot_count;
}

float *dv_optimizer_slot(struct dv_optimizer *optimizer, size_t slot)
{
    assert(optimizer);
    assert(slot < optimizer->slot_count);
    return optimizer->slots[slot];
}

uint64_t dv_optimizer_steps(const struct dv_optimizer *optimizer)
{
    assert(optimizer);
    return optimizer->steps;
}

void dv_optimizer_set_steps(struct dv_optimizer *optimizer, uint64_t steps)
{
    assert(optimizer);
    optimizer->steps = steps;
}
