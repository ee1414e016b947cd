/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_KERNELS_H
#define DV_NN_KERNELS_H

/*
 * The memory-bound loops that stand between convolutions: norms, activations, pooling, additions.
 * The sources, kernels*.c, are compiled once per instruction set; dv_kernels() picks the best at
 * run time. They see a value as planes of [place][lane], which is true of both layouts: NHWC has
 * one plane a picture with a lane per channel, BLOCKED has channels / 16 planes a picture of 16
 * lanes.
 *
 * Sums over a batch are split by the number of threads in a fixed way: the same thread count gives
 * the same bits.
 */

#include "spec/arch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_view {
    size_t pictures;
    size_t blocks; /* planes a picture */
    size_t places; /* rows x columns */
    size_t lanes;  /* floats a place; channels = blocks x lanes */
};

/* What a norm does once it knows its batch: x * scale + offset per channel, then act. */
struct dv_lines {
    const float *scale, *offset;
    enum dv_activation act;
};

/* What a scale has been made of, and whether its gradients are added to what is there. */
struct dv_scaled {
    const float *x, *gate;
    bool accumulates_x, accumulates_gate;
};

/* The channels of all pictures as channels of one. */
static inline struct dv_view dv_view_by_picture(struct dv_view view)
{
    return (struct dv_view){1, view.pictures * view.blocks, view.places, view.lanes};
}

/* Windows over rows and columns (pooling, depthwise convolution). */
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
    /* y = act(x * scale + offset), a line per channel. */
    void (*norm_apply)(
        const struct dv_view *view, const float *x, const struct dv_lines *lines, float *y);
    /* Per channel: sums of dy and of dy * (x - mean), dy times the slope of act where it is. */
    void (*norm_gradient_sums)(const struct dv_view *view, const float *x, const float *dy,
        const struct dv_lines *lines, const float *mean, double *partial, double *ret_sum,
        double *ret_product);
    /* dx = a * dy + b * x + c per channel, dy as above; dx may be dy. */
    void (*norm_gradient)(const struct dv_view *view, const float *x, const float *dy,
        const struct dv_lines *lines, const float *const coefficients[3], bool accumulates,
        float *dx);

    /*
     * The same sums per channel of every picture, as pairs [picture][channel][2], with lines and
     * means per channel of every picture: for norms within a picture. Their lines are drawn by
     * norm_apply() and norm_gradient(), for which dv_view_by_picture() makes every channel of
     * every picture one of its own. The same bits with any number of threads.
     */
    void (*picture_sums)(const struct dv_view *view, const float *x, double *ret_pairs);
    void (*picture_gradient_sums)(const struct dv_view *view, const float *x, const float *dy,
        const struct dv_lines *lines, const float *mean, double *ret_pairs);

    /* The mean over the places, a number per channel of every picture; and its way back. */
    void (*global_average)(const struct dv_view *in, const float *x, float *y);
    void (*global_average_gradient)(
        const struct dv_view *in, const float *dy, bool accumulates, float *dx);

    /* y = x * gate; gate: a number per channel of every picture. */
    void (*scale)(const struct dv_view *view, const float *x, const float *gate, float *y);
    /* dx = dy * gate (NULL: nobody asks), dgate = sum of dy * x over the places. */
    void (*scale_gradient)(const struct dv_view *view, const struct dv_scaled *scaled,
        const float *dy, float *dx, float *dgate);
    /* y = x * factor; a factor per picture of `count` floats. y may be x. */
    void (*scale_pictures)(size_t pictures, size_t count, const float *x, const float *factors,
        bool accumulates, float *y);

    void (*max_pool)(const struct dv_view *in, const struct dv_window *window, const float *x,
        float *y, uint8_t *ret_winner);
    /* Adds to dx. */
    void (*max_pool_gradient)(const struct dv_view *in, const struct dv_window *window,
        const uint8_t *winner, const float *dy, float *dx);
    void (*average_pool)(
        const struct dv_view *in, const struct dv_window *window, const float *x, float *y);
    void (*average_pool_gradient)(
        const struct dv_view *in, const struct dv_window *window, const float *dy, float *dx);

    /*
     * Of a depthwise convolution, the gradients of its weights [channel][row][column] and, unless
     * NULL, of its bias. `in` and dy's view are alike but for the places; windows up to 11 x 11.
     * `partial`: threads x channels x (window + 1) floats.
     */
    void (*depthwise_weights)(const struct dv_view *in, const struct dv_window *window,
        const float *x, const float *dy, float *partial, float *ret_weight, float *ret_bias);

    /* From NHWC to BLOCKED, whose view is given, or back; written or added to y. */
    void (*relayout)(const struct dv_view *blocked, const float *x, bool is_to_blocked,
        bool accumulates, float *y);

    /* y = act(x0 + x1 (+ ...)); y may be x0. */
    void (*add)(size_t count, const float *const *inputs, size_t input_count,
        enum dv_activation act, float *y);
    /* y = act(x); y may be x. */
    void (*activate)(size_t count, const float *x, enum dv_activation act, float *y);
    /* dx = (accumulates ? dx : 0) + dy * slope of act at x; dx may be dy. */
    void (*pass_gradient)(size_t count, const float *x, enum dv_activation act, const float *dy,
        bool accumulates, float *dx);
};

extern const struct dv_kernels dv_kernels_baseline;
extern const struct dv_kernels dv_kernels_avx2;
extern const struct dv_kernels dv_kernels_avx512;

/* The best set for this processor. */
const struct dv_kernels *dv_kernels(void);

/* All that it can run, best first; NULL past the end. */
const struct dv_kernels *dv_kernels_at(size_t index);

#endif
