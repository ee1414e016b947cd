/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torch.optim.SGD(nesterov=True): with d = g + weight_decay * p,
 *     velocity = momentum * velocity + d   (the first step: velocity = d)
 *     p = p - rate * (d + momentum * velocity)
 */
#include "nn/optimizer_impl.h"

static size_t sgd_slot_count(const struct dv_optimizer_options *options)
{
    return options->momentum > 0.0 ? 1 : 0;
}

static void step_plain(struct dv_optimizer *optimizer, float rate, float *restrict parameters,
    const float *restrict gradients)
{
    const float *restrict mask = optimizer->options.decay_mask;
    float decay = (float)optimizer->options.weight_decay;
    size_t count = optimizer->options.count;

#pragma omp parallel for simd schedule(static) if (count >= DV_OPTIMIZER_PARALLEL_FROM)
    for (size_t i = 0; i < count; i++) {
        parameters[i] -= rate * (gradients[i] + decay * mask[i] * parameters[i]);
    }
}

static void sgd_step(struct dv_optimizer *optimizer, double learning_rate,
    float *restrict parameters, const float *restrict gradients)
{
    if (optimizer->slot_count == 0) {
        step_plain(optimizer, (float)learning_rate, parameters, gradients);
        return;
    }

    const float *restrict mask = optimizer->options.decay_mask;
    float *restrict velocity = optimizer->slots[0];
    float rate = (float)learning_rate;
    float momentum = (float)optimizer->options.momentum;
    float decay = (float)optimizer->options.weight_decay;
    size_t count = optimizer->options.count;

    /* The velocity is zero before the first step, so the general formula gives PyTorch's first. */
#pragma omp parallel for simd schedule(static) if (count >= DV_OPTIMIZER_PARALLEL_FROM)
    for (size_t i = 0; i < count; i++) {
        float d = gradients[i] + decay * mask[i] * parameters[i];
        float v = momentum * velocity[i] + d;
        velocity[i] = v;
        parameters[i] -= rate * (d + momentum * v);
    }
}

const struct dv_optimizer_impl dv_optimizer_sgd = {
    .name = "sgd",
    .slot_count = sgd_slot_count,
    .step = sgd_step,
};
