/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_IMAGE_IMPL_H
#define DV_DATA_IMAGE_IMPL_H

/*
 * What a picture decoder is made of. Only image.c and image_*.c include this.
 *
 * Adding a format `foo`:
 *   1. image_foo.c with the constant dv_image_codec_foo;
 *   2. declare it below, list it in codecs[] in image.c and the file in meson.build;
 *   3. tests/data/test_image.c: files that are good, damaged, and odd.
 *
 * A decoder gets at least one byte and at most DV_IMAGE_FILE_SIZE_MAX. It checks the size that the
 * header declares with dv_image_create() before it lets a library allocate for it.
 */

#include "data/image.h"

#include <stdbool.h>

/* Why a picture is refused; filled in once, by dv_image_refuse(). */
struct dv_image_verdict {
    enum dv_finding_code *ret_finding;
    struct dv_error *reterr;
};

struct dv_image_codec {
    const char *name; /* "JPEG" */

    /* Required: do the first bytes say that it is this format? */
    bool (*matches)(const unsigned char *data, size_t size);

    /* Required: decode; on failure *ret_image is untouched and the verdict is filled in. */
    enum dv_status (*decode)(const unsigned char *data, size_t size, struct dv_image *ret_image,
        const struct dv_image_verdict *verdict);
};

extern const struct dv_image_codec dv_image_codec_jpeg;
extern const struct dv_image_codec dv_image_codec_png;
extern const struct dv_image_codec dv_image_codec_webp;
extern const struct dv_image_codec dv_image_codec_gif;
extern const struct dv_image_codec dv_image_codec_bmp;

/* Set the finding, write the message, return the status that goes with the finding. */
enum dv_status dv_image_refuse(const struct dv_image_verdict *verdict, enum dv_finding_code finding,
    const char *format, ...) DV_PRINTF(3, 4);

/* Is a picture of this size within the limits? */
DV_MUST_CHECK enum dv_status dv_image_check_size(
    uint64_t rows, uint64_t columns, const struct dv_image_verdict *verdict);

/* A black picture of a size within the limits. `channels`: those of the buffer, 1 to 4. */
DV_MUST_CHECK enum dv_status dv_image_create(uint64_t rows, uint64_t columns, uint32_t channels,
    struct dv_image *ret_image, const struct dv_image_verdict *verdict);

/* RGBA in place to RGB, or to grey (its R) when `channels` is 1, laid over white. */
void dv_image_flatten(struct dv_image *image, uint32_t channels);

/* Turn the picture as EXIF orientation `orientation` (1..8, anything else as 1) asks. */
DV_MUST_CHECK enum dv_status dv_image_orient(
    struct dv_image *image, unsigned orientation, const struct dv_image_verdict *verdict);

/*
 * Orientation from EXIF data: a TIFF header with its first directory, with or without "Exif\0\0"
 * in front. 1 when there is none or it is damaged: it is a hint, never a reason to refuse.
 */
unsigned dv_exif_orientation(const unsigned char *data, size_t size);

/* `colour` laid over white with `alpha`; rounds as Pillow's Image.paste() with a mask does. */
static inline uint8_t dv_image_over_white(uint32_t colour, uint32_t alpha)
{
    uint32_t sum = colour * alpha + 255u * (255u - alpha) + 128u;
    return (uint8_t)((sum + (sum >> 8)) >> 8);
}

#endif
