/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torch.optim.RMSprop: with d = g + weight_decay * p,
 *     square = alpha * square + (1 - alpha) * d^2
 *     velocity = momentum * velocity + d / (sqrt(square) + epsilon)
 *     p = p - rate * velocity
 */
#include "nn/optimizer_impl.h"

#include <math.h>

#define ALPHA 0.99
#define EPSILON 1e-8f

static size_t rmsprop_slot_count(const struct dv_optimizer_options *options)
{
    (void)options;
    return 2;
}

static void rmsprop_step(struct dv_optimizer *optimizer, double learning_rate,
    float *restrict parameters, const float *restrict gradients)
{
    const float *restrict mask = optimizer->options.decay_mask;
    float *restrict square = optimizer->slots[0];
    float *restrict velocity = optimizer->slots[1];
    float rate = (float)learning_rate;
    float momentum = (float)optimizer->options.momentum;
    float decay = (float)optimizer->options.weight_decay;
    float keep = (float)ALPHA;
    float take = (float)(1.0 - ALPHA);
    size_t count = optimizer->options.count;

#pragma omp parallel for simd schedule(static) if (count >= DV_OPTIMIZER_PARALLEL_FROM)
    for (size_t i = 0; i < count; i++) {
        float d = gradients[i] + decay * mask[i] * parameters[i];
        float s = keep * square[i] + take * d * d;
        float v = momentum * velocity[i] + d / (sqrtf(s) + EPSILON);
        square[i] = s;
        velocity[i] = v;
        parameters[i] -= rate * v;
    }
}

const struct dv_optimizer_impl dv_optimizer_rmsprop = {
    .name = "rmsprop",
    .slot_count = rmsprop_slot_count,
    .step = rmsprop_step,
};
