/* SPDX-License-Identifier: Apache-2.0 */
/* Activations and their slopes as they are defined, in double. */
#include "nn/backend/ref_private.h"

#include <math.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x; /* NaN stays */
}

static double normal_mass(double x)
{
    return 0.5 * (1 + erf(x / sqrt(2)));
}

double dv_ref_activate(enum dv_activation act, double x)
{
    switch (act) {
    case DV_ACT_RELU:
        return x < 0 ? 0 : x; /* NaN stays */
    case DV_ACT_RELU6:
        return clamp(x, 0, 6);
    case DV_ACT_LEAKY_RELU:
        return x > 0 ? x : DV_LEAKY_RELU_SLOPE * x;
    case DV_ACT_SILU:
        return x * sigmoid(x);
    case DV_ACT_GELU:
        return x * normal_mass(x);
    case DV_ACT_HARDSWISH:
        return x * clamp(x + 3, 0, 6) / 6;
    case DV_ACT_SIGMOID:
        return sigmoid(x);
    case DV_ACT_HARDSIGMOID:
        return clamp(x + 3, 0, 6) / 6;
    case DV_ACT_NONE:
    case DV_ACT_COUNT:
        break;
    }
    return x;
}

double dv_ref_slope(enum dv_activation act, double x)
{
    switch (act) {
    case DV_ACT_RELU:
        return x > 0;
    case DV_ACT_RELU6:
        return x > 0 && x < 6;
    case DV_ACT_LEAKY_RELU:
        return x > 0 ? 1 : DV_LEAKY_RELU_SLOPE;
    case DV_ACT_SILU:
        return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
    case DV_ACT_GELU:
        return normal_mass(x) + x * exp(-x * x / 2) / sqrt(2 * acos(-1));
    case DV_ACT_HARDSWISH:
        return x < -3 ? 0 : x > 3 ? 1 : x / 3 + 0.5;
    case DV_ACT_SIGMOID:
        return sigmoid(x) * (1 - sigmoid(x));
    case DV_ACT_HARDSIGMOID:
        return x > -3 && x < 3 ? 1.0 / 6 : 0;
    case DV_ACT_NONE:
    case DV_ACT_COUNT:
        break;
    }
    return 1;
}
