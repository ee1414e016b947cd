/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_PREPROCESSING_H
#define DV_SPEC_PREPROCESSING_H

/*
 * How a picture file becomes the network's input, the one definition for evaluation, prediction
 * and export: full-accuracy decode, EXIF orientation applied, alpha laid over white, converted to
 * `color`, antialiased bilinear resize as Pillow does it, divided by 255, minus mean, over std.
 * The network takes [channel, row, column] with channels in R, G, B order.
 */

#include "base/status.h"

#include <stdint.h>

struct dv_arena;
struct dv_json;
struct dv_problems;

enum dv_resize {
    DV_RESIZE_STRETCH, /* to the size, whatever the aspect */
    DV_RESIZE_CROP,    /* short side to the size, then the centre */
    DV_RESIZE_PAD,     /* long side to the size, centred on black */
};

struct dv_preprocessing {
    uint32_t rows;
    uint32_t columns;
    enum dv_resize resize;
    uint32_t channels; /* 1 grey (ITU-R 601 luma, as Pillow's "L"), 3 RGB */
    float mean[3];     /* on a 0..1 scale */
    float std[3];
    const char **classes; /* in the order of the logits */
    uint32_t class_count;
};

/* {"image_size": [h, w], "resize", "color", "mean", "std", "classes"}; the caller's. */
struct dv_json *dv_preprocessing_to_json(const struct dv_preprocessing *preprocessing);

/* Read and check; strings live in `arena`. Pointers in `problems` start with "/preprocessing". */
DV_MUST_CHECK enum dv_status dv_preprocessing_parse(const struct dv_json *json,
    struct dv_arena *arena, struct dv_problems *problems, struct dv_preprocessing *ret_preprocessing,
    struct dv_error *reterr);

#endif
