/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled once per instruction set, with DV_KERNELS naming the table and DV_KERNELS_NAME the set
 * (see meson.build). Order to read: the strips, batch norm, pooling, elementwise.
 *
 * Batch norm works on strips: up to 16 channels of a run of places, whose accumulators stay in
 * registers. A run is short enough (run_places) that all strips of its places stay in the L1 cache.
 */
#include "nn/kernels.h"

#include <omp.h>
#include <string.h>

#define STRIP 16

static const size_t run_places = 64;

/* A run of places in one plane, cut out of the whole so that threads share the work evenly. */
struct run {
    size_t plane;
    size_t first;
    size_t count;
};

static size_t run_count(const struct dv_view *v)
{
    size_t runs_a_plane = (v->places + run_places - 1) / run_places;

    return v->pictures * v->blocks * runs_a_plane;
}

static struct run run_at(const struct dv_view *v, size_t index)
{
    size_t runs_a_plane = (v->places + run_places - 1) / run_places;
    struct run run = {.plane = index / runs_a_plane, .first = index % runs_a_plane * run_places};
    size_t left = v->places - run.first;

    run.count = left < run_places ? left : run_places;
    return run;
}

static size_t strip_width(const struct dv_view *v, size_t lane)
{
    return v->lanes - lane < STRIP ? v->lanes - lane : STRIP;
}

/* --- Batch norm: sums ---------------------------------------------------------------------- */

/* Written for a width known when compiling, so that the inner loops become single registers. */
static inline void strip_sums(
    const float *x, size_t stride, size_t count, const float *shift, size_t width, double *ret)
{
    float sum[STRIP] = {0};
    float squares[STRIP] = {0};

    for (size_t p = 0; p < count; p++, x += stride) {
        for (size_t l = 0; l < width; l++) {
            float difference = x[l] - shift[l];
            sum[l] += difference;
            squares[l] += difference * difference;
        }
    }
    for (size_t l = 0; l < width; l++) {
        ret[2 * l] += (double)sum[l];
        ret[2 * l + 1] += (double)squares[l];
    }
}

struct strip_gradient {
    const float *scale, *offset, *mean;
    bool has_relu;
};

static inline void strip_gradient_sums(const float *x, const float *dy, size_t stride, size_t count,
    const struct strip_gradient *g, size_t width, double *ret)
{
    float sum[STRIP] = {0};
    float product[STRIP] = {0};

    for (size_t p = 0; p < count; p++, x += stride, dy += stride) {
        for (size_t l = 0; l < width; l++) {
            float gate = x[l] * g->scale[l] + g->offset[l];
            float d = g->has_relu && !(gate > 0) ? 0 : dy[l];
            sum[l] += d;
            product[l] += d * (x[l] - g->mean[l]);
        }
    }
    for (size_t l = 0; l < width; l++) {
        ret[2 * l] += (double)sum[l];
        ret[2 * l + 1] += (double)product[l];
    }
}

/* Add up the threads' partial sums in the order of the threads. */
static void combine(
    const double *partial, size_t threads, size_t channels, double *ret_a, double *ret_b)
{
    for (size_t c = 0; c < channels; c++) {
        double a = 0;
        double b = 0;
        for (size_t t = 0; t < threads; t++) {
            a += partial[2 * (t * channels + c)];
            b += partial[2 * (t * channels + c) + 1];
        }
        ret_a[c] = a;
        ret_b[c] = b;
    }
}

static void norm_sums(const struct dv_view *view, const float *x, double *partial, double *ret_sum,
    double *ret_squares)
{
    const struct dv_view v = *view;
    size_t channels = v.blocks * v.lanes;
    size_t threads = (size_t)omp_get_max_threads();

    memset(partial, 0, 2 * threads * channels * sizeof(double));
#pragma omp parallel
    {
        double *own = partial + 2 * channels * (size_t)omp_get_thread_num();
#pragma omp for schedule(static)
        for (size_t r = 0; r < run_count(&v); r++) {
            struct run run = run_at(&v, r);
            size_t block = run.plane % v.blocks;
            const float *start = x + (run.plane * v.places + run.first) * v.lanes;
            const float *shift = x + block * v.places * v.lanes;
            for (size_t l = 0; l < v.lanes; l += STRIP) {
                double *to = own + 2 * (block * v.lanes + l);
                if (strip_width(&v, l) == STRIP) {
                    strip_sums(start + l, v.lanes, run.count, shift + l, STRIP, to);
                } else {
                    strip_sums(start + l, v.lanes, run.count, shift + l, strip_width(&v, l), to);
                }
            }
        }
    }
    combine(partial, threads, channels, ret_sum, ret_squares);
}

static void norm_gradient_sums(const struct dv_view *view, const float *x, const float *dy,
    const float *scale, const float *offset, const float *mean, bool has_relu, double *partial,
    double *ret_sum, double *ret_product)
{
    const struct dv_view v = *view;
    size_t channels = v.blocks * v.lanes;
    size_t threads = (size_t)omp_get_max_threads();

    memset(partial, 0, 2 * threads * channels * sizeof(double));
#pragma omp parallel
    {
        double *own = partial + 2 * channels * (size_t)omp_get_thread_num();
#pragma omp for schedule(static)
        for (size_t r = 0; r < run_count(&v); r++) {
            struct run run = run_at(&v, r);
            size_t start = (run.plane * v.places + run.first) * v.lanes;
            for (size_t l = 0; l < v.lanes; l += STRIP) {
                size_t c = run.plane % v.blocks * v.lanes + l;
                struct strip_gradient g = {scale + c, offset + c, mean + c, has_relu};
                const float *from = x + start + l;
                const float *d = dy + start + l;
                if (strip_width(&v, l) == STRIP) {
                    strip_gradient_sums(from, d, v.lanes, run.count, &g, STRIP, own + 2 * c);
                } else {
                    strip_gradient_sums(
                        from, d, v.lanes, run.count, &g, strip_width(&v, l), own + 2 * c);
                }
            }
        }
    }
    combine(partial, threads, channels, ret_sum, ret_product);
}

/* max(0, value), but what is no number stays none: it must reach the loss to be found. */
static inline float cut(float value)
{
    return value < 0 ? 0 : value;
}

/* --- Batch norm: per-channel lines ---------------------------------------------------------- */

static inline void strip_apply(const float *x, float *y, size_t stride, size_t count,
    const float *scale, const float *offset, bool has_relu, size_t width)
{
    for (size_t p = 0; p < count; p++, x += stride, y += stride) {
        for (size_t l = 0; l < width; l++) {
            float value = x[l] * scale[l] + offset[l];
            y[l] = has_relu ? cut(value) : value;
        }
    }
}

static void norm_apply(const struct dv_view *view, const float *x, const float *scale,
    const float *offset, bool has_relu, float *y)
{
    const struct dv_view v = *view;

#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < run_count(&v); r++) {
        struct run run = run_at(&v, r);
        size_t start = (run.plane * v.places + run.first) * v.lanes;
        for (size_t l = 0; l < v.lanes; l += STRIP) {
            size_t c = run.plane % v.blocks * v.lanes + l;
            const float *from = x + start + l;
            float *to = y + start + l;
            if (strip_width(&v, l) == STRIP) {
                strip_apply(from, to, v.lanes, run.count, scale + c, offset + c, has_relu, STRIP);
            } else {
                strip_apply(from, to, v.lanes, run.count, scale + c, offset + c, has_relu,
                    strip_width(&v, l));
            }
        }
    }
}

struct strip_line {
    const float *scale, *offset, *a, *b, *c;
    bool has_relu, accumulates;
};

static inline void strip_gradient(const float *x, const float *dy, float *dx, size_t stride,
    size_t count, const struct strip_line *s, size_t width)
{
    for (size_t p = 0; p < count; p++, x += stride, dy += stride, dx += stride) {
#pragma omp simd
        for (size_t l = 0; l < width; l++) {
            float gate = x[l] * s->scale[l] + s->offset[l];
            float d = s->has_relu && !(gate > 0) ? 0 : dy[l];
            float value = s->a[l] * d + s->b[l] * x[l] + s->c[l];
            dx[l] = s->accumulates ? dx[l] + value : value;
        }
    }
}

static void norm_gradient(const struct dv_view *view, const float *x, const float *dy,
    const float *scale, const float *offset, const float *const coefficients[3], bool has_relu,
    bool accumulates, float *dx)
{
    const struct dv_view v = *view;

#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < run_count(&v); r++) {
        struct run run = run_at(&v, r);
        size_t start = (run.plane * v.places + run.first) * v.lanes;
        for (size_t l = 0; l < v.lanes; l += STRIP) {
            size_t c = run.plane % v.blocks * v.lanes + l;
            struct strip_line s = {scale + c, offset + c, coefficients[0] + c, coefficients[1] + c,
                coefficients[2] + c, has_relu, accumulates};
            size_t i = start + l;
            if (strip_width(&v, l) == STRIP) {
                strip_gradient(x + i, dy + i, dx + i, v.lanes, run.count, &s, STRIP);
            } else {
                strip_gradient(x + i, dy + i, dx + i, v.lanes, run.count, &s, strip_width(&v, l));
            }
        }
    }
}

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

static inline void take_larger(
    const float *x, size_t lanes, uint8_t k, float *restrict y, uint8_t *restrict winner)
{
    for (size_t l = 0; l < lanes; l++) {
        bool is_larger = x[l] > y[l];
        y[l] = is_larger ? x[l] : y[l];
        winner[l] = is_larger ? k : winner[l];
    }
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

static inline void give_to_winner(
    const float *dy, const uint8_t *winner, size_t lanes, uint8_t k, float *restrict dx)
{
    for (size_t l = 0; l < lanes; l++) {
        dx[l] += winner[l] == k ? dy[l] : 0;
    }
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

/* --- Elementwise ---------------------------------------------------------------------------- */

static void add(
    size_t count, const float *const *inputs, size_t input_count, bool has_relu, float *y)
{
    const float *a = inputs[0];

    for (size_t k = 1; k < input_count; k++) {
        const float *b = inputs[k];
        bool is_cut = has_relu && k + 1 == input_count;
#pragma omp parallel for simd schedule(static)
        for (size_t i = 0; i < count; i++) {
            float sum = a[i] + b[i];
            y[i] = is_cut ? cut(sum) : sum;
        }
        a = y;
    }
}

static void relu(size_t count, const float *x, float *y)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        y[i] = cut(x[i]);
    }
}

static void pass_gradient(
    size_t count, const float *y, const float *dy, bool accumulates, float *dx)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        float d = !y || y[i] > 0 ? dy[i] : 0;
        dx[i] = accumulates ? dx[i] + d : d;
    }
}

const struct dv_kernels DV_KERNELS = {
    .name = DV_KERNELS_NAME,
    .norm_sums = norm_sums,
    .norm_apply = norm_apply,
    .norm_gradient_sums = norm_gradient_sums,
    .norm_gradient = norm_gradient,
    .max_pool = max_pool,
    .max_pool_gradient = max_pool_gradient,
    .average_pool = average_pool,
    .average_pool_gradient = average_pool_gradient,
    .add = add,
    .relu = relu,
    .pass_gradient = pass_gradient,
};
