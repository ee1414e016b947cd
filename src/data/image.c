/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image_impl.h"

#include "base/alloc.h"
#include "data/resize.h"
#include "spec/limits.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct dv_image_codec *const codecs[] = {
    &dv_image_codec_jpeg,
    &dv_image_codec_png,
    &dv_image_codec_webp,
    &dv_image_codec_gif,
    &dv_image_codec_bmp,
};

/* Formats that we know by sight but do not read, so that the message can name them. */
static const struct {
    const char *name;
    size_t offset;
    size_t size;
    const char *magic;
} unread_formats[] = {
    {"TIFF", 0, 4, "II*\0"},
    {"TIFF", 0, 4, "MM\0*"},
    {"icon (ICO)", 0, 4, "\0\0\1\0"},
    {"Photoshop", 0, 4, "8BPS"},
    {"HEIC or AVIF", 4, 4, "ftyp"},
    {"JPEG 2000", 0, 8, "\0\0\0\fjP  "},
    {"JPEG XL", 0, 2, "\xff\x0a"},
    {"PDF", 0, 4, "%PDF"},
    {"PNM (PBM)", 0, 2, "P1"},
    {"PNM (PGM)", 0, 2, "P2"},
    {"PNM (PPM)", 0, 2, "P3"},
    {"PNM (PBM)", 0, 2, "P4"},
    {"PNM (PGM)", 0, 2, "P5"},
    {"PNM (PPM)", 0, 2, "P6"},
    {"SVG or XML", 0, 4, "<svg"},
    {"SVG or XML", 0, 5, "<?xml"},
    {"HTML", 0, 5, "<html"},
    {"HTML", 0, 9, "<!DOCTYPE"},
};

static enum dv_status status_of(enum dv_finding_code finding)
{
    switch (finding) {
    case DV_FINDING_TOO_LARGE:
        return DV_TOO_LARGE;
    case DV_FINDING_UNSUPPORTED_FORMAT:
    case DV_FINDING_UNSUPPORTED_FEATURE:
        return DV_UNSUPPORTED;
    case DV_FINDING_EMPTY_FILE:
        return DV_INVALID;
    default:
        return DV_CORRUPT;
    }
}

enum dv_status dv_image_refuse(
    const struct dv_image_verdict *verdict, enum dv_finding_code finding, const char *format, ...)
{
    char text[256];
    va_list arguments;

    assert(verdict);
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    *verdict->ret_finding = finding;
    return dv_fail(verdict->reterr, status_of(finding), "%s", text);
}

enum dv_status dv_image_check_size(
    uint64_t rows, uint64_t columns, const struct dv_image_verdict *verdict)
{
    if (rows == 0 || columns == 0) {
        return dv_image_refuse(verdict, DV_FINDING_CORRUPT_IMAGE,
            "the picture says it is %llu x %llu pixels", (unsigned long long)columns,
            (unsigned long long)rows);
    }
    if (rows > DV_IMAGE_SIDE_MAX || columns > DV_IMAGE_SIDE_MAX) {
        return dv_image_refuse(verdict, DV_FINDING_TOO_LARGE,
            "%llu x %llu pixels; the limit is %u a side", (unsigned long long)columns,
            (unsigned long long)rows, DV_IMAGE_SIDE_MAX);
    }
    if (rows * columns > DV_IMAGE_PIXELS_MAX) {
        return dv_image_refuse(verdict, DV_FINDING_TOO_LARGE,
            "%llu x %llu pixels; the limit is %u in all", (unsigned long long)columns,
            (unsigned long long)rows, DV_IMAGE_PIXELS_MAX);
    }
    return DV_OK;
}

enum dv_status dv_image_create(uint64_t rows, uint64_t columns, uint32_t channels,
    struct dv_image *ret_image, const struct dv_image_verdict *verdict)
{
    void *memory;

    assert(channels >= 1);
    assert(channels <= 4);
    enum dv_status status = dv_image_check_size(rows, columns, verdict);
    if (status != DV_OK) {
        return status;
    }
    status = dv_try_alloc((size_t)(rows * columns), channels, &memory, verdict->reterr);
    if (status != DV_OK) {
        *verdict->ret_finding = DV_FINDING_TOO_LARGE;
        return status;
    }
    *ret_image = (struct dv_image){
        .pixels = memory,
        .rows = (uint32_t)rows,
        .columns = (uint32_t)columns,
        .channels = channels,
    };
    return DV_OK;
}

void dv_image_finish(struct dv_image *image)
{
    if (image) {
        image->pixels = dv_free(image->pixels);
    }
}

void dv_image_flatten(struct dv_image *image, uint32_t channels)
{
    size_t count = (size_t)image->rows * image->columns;
    const uint8_t *from = image->pixels;
    uint8_t *to = image->pixels;

    assert(image->channels == 4);
    assert(channels == 1 || channels == 3);
    for (size_t i = 0; i < count; i++) {
        uint8_t alpha = from[3];
        for (uint32_t c = 0; c < channels; c++) {
            to[c] = dv_image_over_white(from[c], alpha);
        }
        from += 4;
        to += channels;
    }
    image->pixels = dv_realloc(image->pixels, count * channels);
    image->channels = channels;
}

/* Where the pixel that is shown at (row, column) lies in the stored picture. */
static size_t stored_index(
    const struct dv_image *stored, unsigned orientation, size_t row, size_t column)
{
    size_t last_row = stored->rows - 1;
    size_t last_column = stored->columns - 1;
    size_t from_row = orientation >= 5 ? column : row;
    size_t from_column = orientation >= 5 ? row : column;

    if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) {
        from_row = last_row - from_row;
    }
    if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {
        from_column = last_column - from_column;
    }
    return (from_row * stored->columns + from_column) * stored->channels;
}

enum dv_status dv_image_orient(
    struct dv_image *image, unsigned orientation, const struct dv_image_verdict *verdict)
{
    struct dv_image turned;

    if (orientation < 2 || orientation > 8) {
        return DV_OK;
    }
    uint32_t rows = orientation >= 5 ? image->columns : image->rows;
    uint32_t columns = orientation >= 5 ? image->rows : image->columns;
    enum dv_status status = dv_image_create(rows, columns, image->channels, &turned, verdict);
    if (status != DV_OK) {
        return status;
    }
    uint8_t *to = turned.pixels;
    for (size_t row = 0; row < rows; row++) {
        for (size_t column = 0; column < columns; column++) {
            memcpy(
                to, image->pixels + stored_index(image, orientation, row, column), image->channels);
            to += image->channels;
        }
    }
    dv_image_finish(image);
    *image = turned;
    return DV_OK;
}

static enum dv_status refuse_unknown(
    const unsigned char *data, size_t size, const struct dv_image_verdict *verdict)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(unread_formats); i++) {
        size_t end = unread_formats[i].offset + unread_formats[i].size;
        if (size >= end && memcmp(data + unread_formats[i].offset, unread_formats[i].magic,
                               unread_formats[i].size) == 0) {
            return dv_image_refuse(verdict, DV_FINDING_UNSUPPORTED_FORMAT,
                "%s files are not read; JPEG, PNG, WebP, GIF and BMP are", unread_formats[i].name);
        }
    }
    return dv_image_refuse(verdict, DV_FINDING_UNSUPPORTED_FORMAT,
        "it does not begin like a JPEG, PNG, WebP, GIF or BMP picture");
}

enum dv_status dv_image_decode(const void *data, size_t size, struct dv_image *ret_image,
    enum dv_finding_code *ret_finding, struct dv_error *reterr)
{
    const struct dv_image_verdict verdict = {.ret_finding = ret_finding, .reterr = reterr};

    assert(data || size == 0);
    assert(ret_image);
    assert(ret_finding);
    if (size == 0) {
        return dv_image_refuse(&verdict, DV_FINDING_EMPTY_FILE, "the file is empty");
    }
    if (size > DV_IMAGE_FILE_SIZE_MAX) {
        return dv_image_refuse(&verdict, DV_FINDING_TOO_LARGE,
            "the file has %zu bytes; the limit for a picture is %u", size, DV_IMAGE_FILE_SIZE_MAX);
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(codecs); i++) {
        if (codecs[i]->matches(data, size)) {
            return codecs[i]->decode(data, size, ret_image, &verdict);
        }
    }
    return refuse_unknown(data, size, &verdict);
}

enum dv_status dv_image_prepare(const struct dv_image *image,
    const struct dv_preprocessing *preprocessing, uint8_t *ret_pixels, struct dv_error *reterr)
{
    assert(preprocessing);

    const struct dv_resize_target target = {
        .rows = preprocessing->rows,
        .columns = preprocessing->columns,
        .channels = preprocessing->channels,
        .mode = preprocessing->resize,
    };
    return dv_resize_fit(image, &target, ret_pixels, reterr);
}
