/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pooling, elementwise loops, and the table of one instruction set: DV_KERNELS is its name and
 * DV_KERNELS_NAME what people call the set (see meson.build).
 */
#include "nn/kernels_impl.h"

#include <omp.h>
#include <string.h>

/* --- Pooling -------------------------------------------------------------------------------- */

/* The place in the input under tap `k` of the output place `o`; false: in the padding. */
static inline bool tap_place(const struct dv_window *w, size_t o, size_t k, size_t *ret_place)
{
    size_t row = o / w->columns_out * w->stride + k / w->kernel;
    size_t column = o % w->columns_out * w->stride + k % w->kernel;

    if (row < w->padding || column < w->padding || row - w->padding >= w->rows ||
        column - w->padding >= w->columns) {
        return false;
    }
    *ret_place = (row - w->padding) * w->columns + column - w->padding;
    return true;
}

/*
 * The winners are bytes and the values are floats: left to itself the compiler takes 64 lanes at
 * once or one by one with a branch that nothing predicts. So 16 or 4 at a time, the winners widened,
 * with masks for branches.
 */
#define WINNER_LANES 16
#define WINNER_LANES_FEW 4

DV_UNROLLED void take_larger_lanes(
    const float *x, size_t width, uint8_t k, float *restrict y, uint8_t *restrict winner)
{
    int32_t now[WINNER_LANES];

#pragma omp simd
    for (size_t l = 0; l < width; l++) {
        int32_t is_larger = -(int32_t)(x[l] > y[l]);
        now[l] = (winner[l] & ~is_larger) | (k & is_larger);
    }
#pragma omp simd
    for (size_t l = 0; l < width; l++) {
        y[l] = x[l] > y[l] ? x[l] : y[l];
    }
#pragma omp simd
    for (size_t l = 0; l < width; l++) {
        winner[l] = (uint8_t)now[l];
    }
}

static inline void take_larger(
    const float *x, size_t lanes, uint8_t k, float *restrict y, uint8_t *restrict winner)
{
    size_t l = 0;

    for (; l + WINNER_LANES <= lanes; l += WINNER_LANES) {
        take_larger_lanes(x + l, WINNER_LANES, k, y + l, winner + l);
    }
    for (; l + WINNER_LANES_FEW <= lanes; l += WINNER_LANES_FEW) {
        take_larger_lanes(x + l, WINNER_LANES_FEW, k, y + l, winner + l);
    }
    take_larger_lanes(x + l, lanes - l, k, y + l, winner + l);
}

static void max_pool(const struct dv_view *in, const struct dv_window *window, const float *x,
    float *y, uint8_t *ret_winner)
{
    const struct dv_window w = *window;
    size_t lanes = in->lanes;
    size_t places_out = w.rows_out * w.columns_out;
    size_t total = in->pictures * in->blocks * places_out;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < total; i++) {
        const float *plane = x + i / places_out * in->places * lanes;
        float *to = y + i * lanes;
        uint8_t *winner = ret_winner + i * lanes;
        bool is_first = true;
        size_t place;
        for (size_t k = 0; k < w.kernel * w.kernel; k++) {
            if (!tap_place(&w, i % places_out, k, &place)) {
                continue;
            }
            if (is_first) {
                memcpy(to, plane + place * lanes, lanes * sizeof(float));
                memset(winner, (int)k, lanes);
                is_first = false;
            } else {
                take_larger(plane + place * lanes, lanes, (uint8_t)k, to, winner);
            }
        }
    }
}

DV_UNROLLED void give_to_winner_lanes(
    const float *dy, const uint8_t *winner, size_t width, uint8_t k, float *restrict dx)
{
    int32_t is_winner[WINNER_LANES];

#pragma omp simd
    for (size_t l = 0; l < width; l++) {
        is_winner[l] = -(int32_t)(winner[l] == k);
    }
#pragma omp simd
    for (size_t l = 0; l < width; l++) {
        int32_t bits;
        float given;
        memcpy(&bits, &dy[l], sizeof(bits));
        bits &= is_winner[l];
        memcpy(&given, &bits, sizeof(given));
        dx[l] += given;
    }
}

static inline void give_to_winner(
    const float *dy, const uint8_t *winner, size_t lanes, uint8_t k, float *restrict dx)
{
    size_t l = 0;

    for (; l + WINNER_LANES <= lanes; l += WINNER_LANES) {
        give_to_winner_lanes(dy + l, winner + l, WINNER_LANES, k, dx + l);
    }
    for (; l + WINNER_LANES_FEW <= lanes; l += WINNER_LANES_FEW) {
        give_to_winner_lanes(dy + l, winner + l, WINNER_LANES_FEW, k, dx + l);
    }
    give_to_winner_lanes(dy + l, winner + l, lanes - l, k, dx + l);
}

static void max_pool_gradient(const struct dv_view *in, const struct dv_window *window,
    const uint8_t *winner, const float *dy, float *dx)
{
    const struct dv_window w = *window;
    size_t lanes = in->lanes;
    size_t places_out = w.rows_out * w.columns_out;

#pragma omp parallel for schedule(static)
    for (size_t plane = 0; plane < in->pictures * in->blocks; plane++) {
        float *to = dx + plane * in->places * lanes;
        for (size_t o = 0; o < places_out; o++) {
            size_t from = (plane * places_out + o) * lanes;
            size_t place;
            for (size_t k = 0; k < w.kernel * w.kernel; k++) {
                if (tap_place(&w, o, k, &place)) {
                    give_to_winner(dy + from, winner + from, lanes, (uint8_t)k, to + place * lanes);
                }
            }
        }
    }
}

static inline void add_scaled(const float *x, size_t lanes, float scale, float *restrict y)
{
    for (size_t l = 0; l < lanes; l++) {
        y[l] += scale * x[l];
    }
}

static void average_pool(
    const struct dv_view *in, const struct dv_window *window, const float *x, float *y)
{
    const struct dv_window w = *window;
    size_t lanes = in->lanes;
    size_t places_out = w.rows_out * w.columns_out;
    float scale = 1.0f / (float)(w.kernel * w.kernel);

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < in->pictures * in->blocks * places_out; i++) {
        const float *plane = x + i / places_out * in->places * lanes;
        size_t place;
        memset(y + i * lanes, 0, lanes * sizeof(float));
        for (size_t k = 0; k < w.kernel * w.kernel; k++) {
            if (tap_place(&w, i % places_out, k, &place)) {
                add_scaled(plane + place * lanes, lanes, scale, y + i * lanes);
            }
        }
    }
}

static void average_pool_gradient(
    const struct dv_view *in, const struct dv_window *window, const float *dy, float *dx)
{
    const struct dv_window w = *window;
    size_t lanes = in->lanes;
    size_t places_out = w.rows_out * w.columns_out;
    float scale = 1.0f / (float)(w.kernel * w.kernel);

#pragma omp parallel for schedule(static)
    for (size_t plane = 0; plane < in->pictures * in->blocks; plane++) {
        float *to = dx + plane * in->places * lanes;
        for (size_t o = 0; o < places_out; o++) {
            const float *from = dy + (plane * places_out + o) * lanes;
            size_t place;
            for (size_t k = 0; k < w.kernel * w.kernel; k++) {
                if (tap_place(&w, o, k, &place)) {
                    add_scaled(from, lanes, scale, to + place * lanes);
                }
            }
        }
    }
}

/* --- Between layouts: both are runs of 16 channels, in another order -------------------------- */

enum { BLOCK = 16 };

/* A thread's share: short enough that a run's channels stay in the cache from block to block. */
static const size_t relayout_places = 32;

static inline void relayout_block(
    const float *x, size_t stride, size_t count, bool accumulates, float *y, size_t stride_out)
{
    for (size_t p = 0; p < count; p++, x += stride, y += stride_out) {
#pragma omp simd
        for (size_t l = 0; l < BLOCK; l++) {
            y[l] = accumulates ? y[l] + x[l] : x[l];
        }
    }
}

static void relayout(
    const struct dv_view *blocked, const float *x, bool is_to_blocked, bool accumulates, float *y)
{
    const struct dv_view v = *blocked;
    const size_t channels = v.blocks * BLOCK;
    const size_t runs = (v.places + relayout_places - 1) / relayout_places;

#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < v.pictures * runs; i++) {
        size_t n = i / runs;
        size_t first = i % runs * relayout_places;
        size_t left = v.places - first;
        size_t count = left < relayout_places ? left : relayout_places;
        for (size_t b = 0; b < v.blocks; b++) {
            size_t plain = (n * v.places + first) * channels + b * BLOCK;
            size_t block = ((n * v.blocks + b) * v.places + first) * BLOCK;
            if (is_to_blocked) {
                relayout_block(x + plain, channels, count, accumulates, y + block, BLOCK);
            } else {
                relayout_block(x + block, BLOCK, count, accumulates, y + plain, channels);
            }
        }
    }
}

/* --- Elementwise ---------------------------------------------------------------------------- */

/* What a thread does at a time: a few streams of it stay in the L1 cache. */
enum { CHUNK = 2048 };

static size_t chunk_count(size_t count)
{
    return (count + CHUNK - 1) / CHUNK;
}

static size_t chunk_width(size_t count, size_t first)
{
    return count - first < CHUNK ? count - first : CHUNK;
}

static inline void add_two(size_t count, const float *a, const float *b, float *y)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        y[i] = a[i] + b[i];
    }
}

static void add(
    size_t count, const float *const *inputs, size_t input_count, enum dv_activation act, float *y)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < chunk_count(count); c++) {
        size_t first = c * CHUNK;
        size_t width = chunk_width(count, first);
        const float *sum = inputs[0] + first;
        for (size_t k = 1; k < input_count; k++) {
            add_two(width, sum, inputs[k] + first, y + first);
            sum = y + first;
        }
        DV_KERNEL(activate)(act, width, sum, y + first);
    }
}

static void activate_all(size_t count, const float *x, enum dv_activation act, float *y)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < chunk_count(count); c++) {
        size_t first = c * CHUNK;
        DV_KERNEL(activate)(act, chunk_width(count, first), x + first, y + first);
    }
}

static void pass_gradient(size_t count, const float *x, enum dv_activation act, const float *dy,
    bool accumulates, float *dx)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < chunk_count(count); c++) {
        size_t first = c * CHUNK;
        size_t width = chunk_width(count, first);
        float passed[CHUNK];
        if (!accumulates) {
            DV_KERNEL(activation_gradient)(act, width, x + first, dy + first, dx + first);
        } else if (act == DV_ACT_NONE) {
            add_two(width, dx + first, dy + first, dx + first);
        } else {
            DV_KERNEL(activation_gradient)(act, width, x + first, dy + first, passed);
            add_two(width, dx + first, passed, dx + first);
        }
    }
}

const struct dv_kernels DV_KERNELS = {
    .name = DV_KERNELS_NAME,
    .norm_sums = DV_KERNEL(norm_sums),
    .norm_apply = DV_KERNEL(norm_apply),
    .norm_gradient_sums = DV_KERNEL(norm_gradient_sums),
    .norm_gradient = DV_KERNEL(norm_gradient),
    .picture_sums = DV_KERNEL(picture_sums),
    .picture_gradient_sums = DV_KERNEL(picture_gradient_sums),
    .global_average = DV_KERNEL(global_average),
    .global_average_gradient = DV_KERNEL(global_average_gradient),
    .scale = DV_KERNEL(scale),
    .scale_gradient = DV_KERNEL(scale_gradient),
    .scale_pictures = DV_KERNEL(scale_pictures),
    .max_pool = max_pool,
    .max_pool_gradient = max_pool_gradient,
    .average_pool = average_pool,
    .average_pool_gradient = average_pool_gradient,
    .depthwise_weights = DV_KERNEL(depthwise_weights),
    .relayout = relayout,
    .add = add,
    .activate = activate_all,
    .pass_gradient = pass_gradient,
};
