/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_RESIZE_H
#define DV_DATA_RESIZE_H

/*
 * Resizing as Pillow's Image.resize(size, BILINEAR) does it, bit for bit: antialiased triangle
 * filter, coefficients with 22 fractional bits, columns first, then rows, with 8 bits between
 * (Pillow 13 swaps the two passes when that is less work; in Python, resize to (W, h) first and then
 * to (W, H), which is the same in all versions).
 * RGB becomes grey before resizing (Pillow's convert("L")), grey becomes RGB after.
 *
 * The three ways to fit (w x h is the picture, W x H the target, divisions round half up):
 *   stretch  resize to W x H.
 *   crop     if w H >= h W: resize to max(W, (w H + h/2) / h) x H, else to W x max(H, (h W + w/2)
 *            / w); then cut W x H out at floor((size - target) / 2).
 *   pad      if w H >= h W: resize to W x max(1, (h W + w/2) / w), else to max(1, (w H + h/2) / h)
 *            x H; then lay it on black at floor((target - size) / 2).
 */

#include "base/status.h"
#include "spec/preprocessing.h"

#include <stdint.h>

struct dv_image;

struct dv_resize_target {
    uint32_t rows, columns;
    uint32_t channels; /* 1 or 3 */
    enum dv_resize mode;
};

/* `ret_pixels` holds rows x columns x channels bytes. DV_NOMEM: no memory for what is between. */
DV_MUST_CHECK enum dv_status dv_resize_fit(const struct dv_image *image,
    const struct dv_resize_target *target, uint8_t *ret_pixels, struct dv_error *reterr);

#endif
