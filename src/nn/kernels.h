/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_KERNELS_H
#define DV_NN_KERNELS_H

/*
 * The memory-bound loops that stand between convolutions: batch norm, pooling, additions. One
 * source, kernels.c, compiled once per instruction set; dv_kernels() picks the best at run time.
 * They see a value as planes of [place][lane], which is true of both layouts: NHWC has one plane a
 * picture with a lane per channel, BLOCKED has channels / 16 planes a picture of 16 lanes.
 *
 * Sums over a batch are split by the number of threads in a fixed way: the same thread count gives
 * the same bits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_view {
    size_t pictures;
    size_t blocks; /* planes a picture */
    size_t places; /* rows x columns */
    size_t lanes;  /* floats a place; channels = blocks x lanes */
};

/* Windows over rows and columns (pooling). */
struct dv_window {
    size_t rows, columns, rows_out, columns_out;
    size_t kernel, stride, padding;
};

struct dv_kernels {
    const char *name; /* "avx512", for plan.json */

    /*
     * Sums over all pictures and places, per channel: of x - shift and of its square, with shift
     * the first value of the channel. `partial`: 2 x threads x channels doubles.
     */
    void (*norm_sums)(const struct dv_view *view, const float *x, double *partial, double *ret_sum,
        double *ret_squares);
    /* y = x * scale + offset per channel, then max(0, .) if asked. */
    void (*norm_apply)(const struct dv_view *view, const float *x, const float *scale,
        const float *offset, bool has_relu, float *y);
    /* Per channel: sums of dy and of dy * (x - mean); dy counts where x * scale + offset > 0. */
    void (*norm_gradient_sums)(const struct dv_view *view, const float *x, const float *dy,
        const float *scale, const float *offset, const float *mean, bool has_relu, double *partial,
        double *ret_sum, double *ret_product);
    /* dx = a * dy + b * x + c per channel, dy masked as above; dx may be dy. */
    void (*norm_gradient)(const struct dv_view *view, const float *x, const float *dy,
        const float *scale, const float *offset, const float *const coefficients[3], bool has_relu,
        bool accumulates, float *dx);

    void (*max_pool)(const struct dv_view *in, const struct dv_window *window, const float *x,
        float *y, uint8_t *ret_winner);
    /* Adds to dx. */
    void (*max_pool_gradient)(const struct dv_view *in, const struct dv_window *window,
        const uint8_t *winner, const float *dy, float *dx);
    void (*average_pool)(
        const struct dv_view *in, const struct dv_window *window, const float *x, float *y);
    void (*average_pool_gradient)(
        const struct dv_view *in, const struct dv_window *window, const float *dy, float *dx);

    /* y = x0 + x1 (+ ...), then max(0, .) if asked. */
    void (*add)(
        size_t count, const float *const *inputs, size_t input_count, bool has_relu, float *y);
    void (*relu)(size_t count, const float *x, float *y);
    /* dx = (accumulates ? dx : 0) + (y > 0 ? dy : 0); y NULL: no mask. dx may be dy. */
    void (*pass_gradient)(
        size_t count, const float *y, const float *dy, bool accumulates, float *dx);
};

extern const struct dv_kernels dv_kernels_baseline;
extern const struct dv_kernels dv_kernels_avx2;
extern const struct dv_kernels dv_kernels_avx512;

/* The best set for this processor. */
const struct dv_kernels *dv_kernels(void);

/* All that it can run, best first; NULL past the end. */
const struct dv_kernels *dv_kernels_at(size_t index);

#endif
