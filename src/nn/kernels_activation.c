/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations and their slopes, each written once for one number and run in loops that the
 * compiler turns into vectors. What is no number stays none: it must reach the loss to be found.
 *
 * A gradient is multiplied with the slope also where that is 0 or 1: told to choose, gcc loads
 * with masks and keeps sums in memory, at half the speed.
 */
#include "nn/kernels_impl.h"

#include <math.h>
#include <string.h>

static inline float clamp(float x, float low, float high)
{
    float above = x < low ? low : x;

    return above > high ? high : above;
}

static inline float float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint32_t bits_of_float(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/*
 * e^x to 2 units in the last place, for x from -87 to 88 and as at these ends beyond: 2^n e^r with
 * the polynomial of Cephes (Moshier, expf.c). Adding 1.5 * 2^23 leaves n in the low bits.
 */
static inline float exponential(float x)
{
    float bounded = clamp(x, -87.0f, 88.0f);
    float shifted = bounded * 1.44269504f + 12582912.0f;
    float n = shifted - 12582912.0f;
    float r = bounded - n * 0.693359375f;
    float p = 1.9875691500e-4f;

    r = r - n * -2.12194440e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * float_of_bits((bits_of_float(shifted) + 127u) << 23);
}

static inline float sigmoid(float x)
{
    return 1.0f / (1.0f + exponential(-x));
}

static inline float sigmoid_slope(float x)
{
    float s = sigmoid(x);

    return s * (1.0f - s);
}

/* max(0, x) */
static inline float relu(float x)
{
    return x < 0 ? 0 : x;
}

static inline float relu_slope(float x)
{
    return x > 0 ? 1.0f : 0.0f;
}

static inline float relu6(float x)
{
    return clamp(x, 0.0f, 6.0f);
}

static inline float relu6_slope(float x)
{
    float below = x < 6 ? 1.0f : 0.0f;

    return x > 0 ? below : 0;
}

static inline float leaky_relu(float x)
{
    return x > 0 ? x : DV_LEAKY_RELU_SLOPE * x;
}

static inline float leaky_relu_slope(float x)
{
    return x > 0 ? 1.0f : DV_LEAKY_RELU_SLOPE;
}

static inline float silu(float x)
{
    return x * sigmoid(x);
}

static inline float silu_slope(float x)
{
    float s = sigmoid(x);

    return s * (1.0f + x * (1.0f - s));
}

/*
 * The normal distribution's mass below x. The error function's tail is that of Abramowitz and
 * Stegun, 7.1.26, good to 1.5e-7; `density_root` is e^(-x^2/2).
 */
static inline float normal_mass(float x, float density_root)
{
    float t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * fabsf(x));
    float p = 1.061405429f;

    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float tail = 0.5f * p * t * density_root;
    return x < 0 ? tail : 1.0f - tail;
}

static inline float gelu(float x)
{
    return x * normal_mass(x, exponential(-0.5f * x * x));
}

static inline float gelu_slope(float x)
{
    float root = exponential(-0.5f * x * x);

    return normal_mass(x, root) + x * root * 0.39894228f; /* 1 / sqrt(2 pi) */
}

static inline float hardsigmoid(float x)
{
    return clamp(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6.0f);
}

static inline float hardsigmoid_slope(float x)
{
    float below = x < 3 ? 1.0f / 6.0f : 0.0f;

    return x > -3 ? below : 0;
}

static inline float hardswish(float x)
{
    return x * hardsigmoid(x);
}

static inline float hardswish_slope(float x)
{
    float inside = x > -3 ? x * (1.0f / 3.0f) + 0.5f : 0.0f;

    return x < 3 ? inside : 1.0f;
}

/* clang-format off */
#define DV_ACTIVATIONS(X)           \
    X(DV_ACT_RELU, relu)            \
    X(DV_ACT_RELU6, relu6)          \
    X(DV_ACT_LEAKY_RELU, leaky_relu) \
    X(DV_ACT_SILU, silu)            \
    X(DV_ACT_GELU, gelu)            \
    X(DV_ACT_HARDSWISH, hardswish)  \
    X(DV_ACT_SIGMOID, sigmoid)      \
    X(DV_ACT_HARDSIGMOID, hardsigmoid)
/* clang-format on */

#define X(act, name)                                                                               \
    static void name##_all(size_t count, const float *x, float *y)                                 \
    {                                                                                              \
        _Pragma("omp simd") for (size_t i = 0; i < count; i++)                                     \
        {                                                                                          \
            y[i] = name(x[i]);                                                                     \
        }                                                                                          \
    }                                                                                              \
    static void name##_gradient_all(size_t count, const float *x, const float *dy, float *d)       \
    {                                                                                              \
        _Pragma("omp simd") for (size_t i = 0; i < count; i++)                                     \
        {                                                                                          \
            d[i] = dy[i] * name##_slope(x[i]);                                                     \
        }                                                                                          \
    }
DV_ACTIVATIONS(X)
#undef X

static const struct {
    void (*value)(size_t count, const float *x, float *y);
    void (*gradient)(size_t count, const float *x, const float *dy, float *d);
} activations[DV_ACT_COUNT] = {
#define X(act, name) [act] = {name##_all, name##_gradient_all},
    DV_ACTIVATIONS(X)
#undef X
};

void DV_KERNEL(activate)(enum dv_activation act, size_t count, const float *x, float *y)
{
    if (act != DV_ACT_NONE) {
        activations[act].value(count, x, y);
    } else if (y != x) {
        memcpy(y, x, count * sizeof(*y));
    }
}

void DV_KERNEL(activation_gradient)(
    enum dv_activation act, size_t count, const float *x, const float *dy, float *d)
{
    if (act != DV_ACT_NONE) {
        activations[act].gradient(count, x, dy, d);
    } else if (d != dy) {
        memcpy(d, dy, count * sizeof(*d));
    }
}
