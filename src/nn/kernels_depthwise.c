/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradients of the weights of depthwise convolutions, where oneDNN has no kernel for them: for
 * windows other than 3x3 it takes one made for groups of many channels, at a tenth of this speed.
 *
 * A strip of 16 channels of a picture is taken row by row: one row of dy against one row of x gives
 * a row of taps, whose sums stay in registers.
 */
#include "nn/kernels_impl.h"

#include <assert.h>
#include <omp.h>
#include <string.h>

enum { STRIP = 16, KERNEL_MAX = 11 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Output columns from `first` to before `last`: those whose window lies inside the row. */
struct columns {
    size_t first, last;
};

static struct columns find_inside(const struct dv_window *w)
{
    struct columns inside = {smaller((w->padding + w->stride - 1) / w->stride, w->columns_out), 0};

    if (w->columns + w->padding >= w->kernel) {
        inside.last = (w->columns + w->padding - w->kernel) / w->stride + 1;
    }
    inside.last = smaller(inside.last, w->columns_out);
    inside.last = inside.last < inside.first ? inside.first : inside.last;
    return inside;
}

/* Columns from `first` to before `last`, some of whose taps are in the padding. */
DV_UNROLLED void add_border(const float *x, const float *dy, const struct dv_window *w,
    size_t lanes, size_t width, struct columns columns, float *sums)
{
    for (size_t o = columns.first; o < columns.last; o++) {
        size_t start = o * w->stride;
        size_t first = start < w->padding ? w->padding - start : 0;
        size_t end = w->columns + w->padding;
        size_t last = start < end ? smaller(w->kernel, end - start) : 0;
        for (size_t k = first; k < last; k++) {
            const float *from = x + (start + k - w->padding) * lanes;
#pragma omp simd
            for (size_t l = 0; l < width; l++) {
                sums[k * STRIP + l] += dy[o * lanes + l] * from[l];
            }
        }
    }
}

/* sums[tap][lane] += over the columns inside, for a kernel and a width known when compiling. */
DV_UNROLLED void add_inside(const float *x, const float *dy, const struct dv_window *w,
    struct columns inside, size_t lanes, size_t kernel, size_t width, float *sums)
{
    float taps[KERNEL_MAX][STRIP] = {{0}};

    for (size_t o = inside.first; o < inside.last; o++) {
        const float *from = x + (o * w->stride - w->padding) * lanes;
        const float *d = dy + o * lanes;
        for (size_t k = 0; k < kernel; k++) {
#pragma omp simd
            for (size_t l = 0; l < width; l++) {
                taps[k][l] += d[l] * from[k * lanes + l];
            }
        }
    }
    for (size_t k = 0; k < kernel; k++) {
#pragma omp simd
        for (size_t l = 0; l < width; l++) {
            sums[k * STRIP + l] += taps[k][l];
        }
    }
}

/* One row of dy against one row of x, for a kernel and a width known when compiling. */
DV_UNROLLED void add_row(const float *x, const float *dy, const struct dv_window *w, size_t lanes,
    size_t kernel, size_t width, float *sums)
{
    const struct columns inside = find_inside(w);
    const struct columns left = {0, inside.first};
    const struct columns right = {inside.last, w->columns_out};

    add_border(x, dy, w, lanes, width, left, sums);
    add_inside(x, dy, w, inside, lanes, kernel, width, sums);
    add_border(x, dy, w, lanes, width, right, sums);
}

/* All rows of a strip of one plane: sums [kernel][kernel][STRIP]. */
DV_UNROLLED void add_rows(const float *x, const float *dy, const struct dv_window *w, size_t lanes,
    size_t kernel, size_t width, float *sums)
{
    for (size_t o = 0; o < w->rows_out; o++) {
        for (size_t k = 0; k < kernel; k++) {
            size_t row = o * w->stride + k;
            if (row >= w->padding && row - w->padding < w->rows) {
                add_row(x + (row - w->padding) * w->columns * lanes,
                    dy + o * w->columns_out * lanes, w, lanes, kernel, width,
                    sums + k * kernel * STRIP);
            }
        }
    }
}

static void add_plane(const float *x, const float *dy, const struct dv_window *w, size_t lanes,
    size_t width, float *sums)
{
    if (width < STRIP) {
        add_rows(x, dy, w, lanes, w->kernel, width, sums);
        return;
    }
    switch (w->kernel) {
    case 3:
        add_rows(x, dy, w, lanes, 3, STRIP, sums);
        break;
    case 5:
        add_rows(x, dy, w, lanes, 5, STRIP, sums);
        break;
    case 7:
        add_rows(x, dy, w, lanes, 7, STRIP, sums);
        break;
    default:
        add_rows(x, dy, w, lanes, w->kernel, STRIP, sums);
    }
}

/* Sums of dy of a strip of one plane. */
static void add_bias(const float *dy, size_t places, size_t lanes, size_t width, float *sums)
{
    for (size_t p = 0; p < places; p++) {
        for (size_t l = 0; l < width; l++) {
            sums[l] += dy[p * lanes + l];
        }
    }
}

/* Add up the threads' sums [thread][tap][channel], taps and then the bias, in their order. */
static void combine(const float *partial, size_t threads, size_t channels, size_t taps,
    float *ret_weight, float *ret_bias)
{
#pragma omp parallel for schedule(static)
    for (size_t c = 0; c < channels; c++) {
        for (size_t k = 0; k <= taps; k++) {
            float sum = 0;
            for (size_t t = 0; t < threads; t++) {
                sum += partial[(t * (taps + 1) + k) * channels + c];
            }
            if (k < taps) {
                ret_weight[c * taps + k] = sum;
            } else if (ret_bias) {
                ret_bias[c] = sum;
            }
        }
    }
}

void DV_KERNEL(depthwise_weights)(const struct dv_view *in, const struct dv_window *window,
    const float *x, const float *dy, float *partial, float *ret_weight, float *ret_bias)
{
    const struct dv_view v = *in;
    const struct dv_window w = *window;
    const size_t channels = v.blocks * v.lanes;
    const size_t threads = (size_t)omp_get_max_threads();
    const size_t taps = w.kernel * w.kernel;
    const size_t places_out = w.rows_out * w.columns_out;

    assert(w.kernel <= KERNEL_MAX);
    memset(partial, 0, threads * (taps + 1) * channels * sizeof(*partial));
#pragma omp parallel
    {
        float *own = partial + (size_t)omp_get_thread_num() * (taps + 1) * channels;
#pragma omp for schedule(static)
        for (size_t plane = 0; plane < v.pictures * v.blocks; plane++) {
            for (size_t l = 0; l < v.lanes; l += STRIP) {
                float sums[(KERNEL_MAX * KERNEL_MAX + 1) * STRIP];
                size_t width = smaller(v.lanes - l, STRIP);
                size_t channel = plane % v.blocks * v.lanes + l;
                const float *d = dy + plane * places_out * v.lanes + l;
                memset(sums, 0, (taps + 1) * STRIP * sizeof(*sums));
                add_plane(x + plane * v.places * v.lanes + l, d, &w, v.lanes, width, sums);
                if (ret_bias) {
                    add_bias(d, places_out, v.lanes, width, sums + taps * STRIP);
                }
                for (size_t k = 0; k <= taps; k++) {
                    for (size_t i = 0; i < width; i++) {
                        own[k * channels + channel + i] += sums[k * STRIP + i];
                    }
                }
            }
        }
    }
    combine(partial, threads, channels, taps, ret_weight, ret_bias);
}
