/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_ACTIVATION_H
#define DV_NN_ACTIVATION_H

/*
 * What program.c, the backends and their kernels agree on about activations (spec/arch.h).
 */

#include "spec/arch.h"

#include <stdbool.h>

#define DV_LEAKY_RELU_SLOPE 0.01f /* as PyTorch's default */

/*
 * Is the slope at x also the slope at act(x)? Then backward can do with the output, and the op
 * before need not keep what the activation was made of.
 */
static inline bool dv_activation_keeps_slope(enum dv_activation act)
{
    return act == DV_ACT_NONE || act == DV_ACT_RELU || act == DV_ACT_RELU6 ||
           act == DV_ACT_LEAKY_RELU;
}

#endif
