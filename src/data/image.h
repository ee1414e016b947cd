/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_IMAGE_H
#define DV_DATA_IMAGE_H

/*
 * Pictures: format by magic, limits from the header before any decoder runs, full decode to 8-bit
 * grey or RGB with EXIF orientation applied, alpha laid over white, 16 bits scaled down, CMYK
 * converted, palettes expanded; the first frame of what is animated.
 */

#include "base/status.h"
#include "spec/dataset.h"
#include "spec/preprocessing.h"

#include <stddef.h>
#include <stdint.h>

struct dv_image {
    uint8_t *pixels; /* [row, column, channel], tightly packed */
    uint32_t rows, columns, channels; /* channels: 1 or 3 */
};

/*
 * Decode. On failure *ret_finding says which finding it is (CORRUPT_IMAGE, UNSUPPORTED_FORMAT,
 * UNSUPPORTED_FEATURE, TOO_LARGE, EMPTY_FILE) and reterr why. The caller finishes the image.
 */
DV_MUST_CHECK enum dv_status dv_image_decode(const void *data, size_t size,
    struct dv_image *ret_image, enum dv_finding_code *ret_finding, struct dv_error *reterr);
void dv_image_finish(struct dv_image *image);

/* Resize, crop or pad and convert colour as `preprocessing` says: uint8 [row, column, channel]. */
DV_MUST_CHECK enum dv_status dv_image_prepare(const struct dv_image *image,
    const struct dv_preprocessing *preprocessing, uint8_t *ret_pixels, struct dv_error *reterr);

/* A JPEG no larger than side x side, aspect kept; dv_free() the bytes. */
DV_MUST_CHECK enum dv_status dv_image_preview(const struct dv_image *image, uint32_t side,
    unsigned char **ret_data, size_t *ret_size, struct dv_error *reterr);

#endif
