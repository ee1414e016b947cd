/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torch.optim.Adam and AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019). They differ in
 * where the weight decay goes: into the gradient, or straight off the weight. With step t from 1:
 *     m = beta1 * m + (1 - beta1) * g        v = beta2 * v + (1 - beta2) * g^2
 *     p = p - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 */
#include "nn/optimizer_impl.h"

#include <math.h>

#define BETA2 0.999
#define EPSILON 1e-8f

static size_t adam_slot_count(const struct dv_optimizer_options *options)
{
    (void)options;
    return 2;
}

/* `coupled` is the decay that goes into the gradient, `decoupled` what each weight shrinks by. */
static void step_with(struct dv_optimizer *optimizer, double learning_rate, float coupled,
    float decoupled, float *restrict parameters, const float *restrict gradients)
{
    const float *restrict mask = optimizer->options.decay_mask;
    float *restrict first = optimizer->slots[0];
    float *restrict second = optimizer->slots[1];
    double t = (double)optimizer->steps;
    double beta1 = optimizer->options.momentum;
    float rate = (float)(learning_rate / (1.0 - pow(beta1, t)));
    float root_inverse = (float)(1.0 / sqrt(1.0 - pow(BETA2, t)));
    float keep1 = (float)beta1;
    float take1 = (float)(1.0 - beta1);
    float keep2 = (float)BETA2;
    float take2 = (float)(1.0 - BETA2);
    size_t count = optimizer->options.count;

#pragma omp parallel for simd schedule(static) if (count >= DV_OPTIMIZER_PARALLEL_FROM)
    for (size_t i = 0; i < count; i++) {
        float p = parameters[i];
        float g = gradients[i] + coupled * mask[i] * p;
        float m = keep1 * first[i] + take1 * g;
        float v = keep2 * second[i] + take2 * g * g;
        first[i] = m;
        second[i] = v;
        parameters[i] =
            p - decoupled * mask[i] * p - rate * m / (sqrtf(v) * root_inverse + EPSILON);
    }
}

static void adam_step(struct dv_optimizer *optimizer, double learning_rate,
    float *restrict parameters, const float *restrict gradients)
{
    float decay = (float)optimizer->options.weight_decay;

    step_with(optimizer, learning_rate, decay, 0.0f, parameters, gradients);
}

static void adamw_step(struct dv_optimizer *optimizer, double learning_rate,
    float *restrict parameters, const float *restrict gradients)
{
    float decay = (float)(learning_rate * optimizer->options.weight_decay);

    step_with(optimizer, learning_rate, 0.0f, decay, parameters, gradients);
}

const struct dv_optimizer_impl dv_optimizer_adam = {
    .name = "adam",
    .slot_count = adam_slot_count,
    .step = adam_step,
};

const struct dv_optimizer_impl dv_optimizer_adamw = {
    .name = "adamw",
    .slot_count = adam_slot_count,
    .step = adamw_step,
};
