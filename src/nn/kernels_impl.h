/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_KERNELS_IMPL_H
#define DV_NN_KERNELS_IMPL_H

/*
 * What the files of the kernels share. Each is compiled once per instruction set with DV_KERNELS
 * naming the set's table (see meson.build); what one file has for another gets the set's name in
 * front, so that all sets can be in one program.
 */

#include "nn/kernels.h"

#define DV_KERNEL_PASTE(set, name) set##_##name
#define DV_KERNEL_IN(set, name) DV_KERNEL_PASTE(set, name)
#define DV_KERNEL(name) DV_KERNEL_IN(DV_KERNELS, name)

/*
 * For loops over lanes that are given their number as a constant: inlined, they become single
 * registers. Left to itself gcc stops doing that in the middle of a file that grows.
 */
#define DV_UNROLLED static inline __attribute__((always_inline))

/* --- kernels_activation.c: of one thread, on what is in its cache ---------------------------- */

/* y = act(x); y may be x. */
void DV_KERNEL(activate)(enum dv_activation act, size_t count, const float *x, float *y);

/* d = dy * slope of act at x; d may be x or dy. */
void DV_KERNEL(activation_gradient)(
    enum dv_activation act, size_t count, const float *x, const float *dy, float *d);

/* --- kernels_norm.c: what struct dv_kernels says of them ---------------------------------------
 */

void DV_KERNEL(norm_sums)(const struct dv_view *view, const float *x, double *partial,
    double *ret_sum, double *ret_squares);
void DV_KERNEL(norm_apply)(
    const struct dv_view *view, const float *x, const struct dv_lines *lines, float *y);
void DV_KERNEL(norm_gradient_sums)(const struct dv_view *view, const float *x, const float *dy,
    const struct dv_lines *lines, const float *mean, double *partial, double *ret_sum,
    double *ret_product);
void DV_KERNEL(picture_sums)(const struct dv_view *view, const float *x, double *ret_pairs);
void DV_KERNEL(picture_gradient_sums)(const struct dv_view *view, const float *x, const float *dy,
    const struct dv_lines *lines, const float *mean, double *ret_pairs);
void DV_KERNEL(norm_gradient)(const struct dv_view *view, const float *x, const float *dy,
    const struct dv_lines *lines, const float *const coefficients[3], bool accumulates, float *dx);

/* --- kernels_picture.c: likewise -----------------------------------------------------------------
 */

void DV_KERNEL(global_average)(const struct dv_view *in, const float *x, float *y);
void DV_KERNEL(global_average_gradient)(
    const struct dv_view *in, const float *dy, bool accumulates, float *dx);
void DV_KERNEL(scale)(const struct dv_view *view, const float *x, const float *gate, float *y);
void DV_KERNEL(scale_gradient)(const struct dv_view *view, const struct dv_scaled *scaled,
    const float *dy, float *dx, float *dgate);
void DV_KERNEL(scale_pictures)(size_t pictures, size_t count, const float *x, const float *factors,
    bool accumulates, float *y);

/* --- kernels_depthwise.c ------------------------------------------------------------------------
 */

void DV_KERNEL(depthwise_weights)(const struct dv_view *in, const struct dv_window *window,
    const float *x, const float *dy, float *partial, float *ret_weight, float *ret_bias);

#endif
