/* SPDX-License-Identifier: Apache-2.0 */
#include "data/resize.h"

#include "base/alloc.h"
#include "data/image.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define PRECISION_BITS 22        /* Pillow's: 32 bits, less 8 of the pixel, less 2 of headroom */
#define BLOCK_SIZE ((size_t)256) /* values summed at a time in the vertical pass: stays in L1 */

/* One axis: `input` pixels become `full`, of which `count` from `first` on are wanted. */
struct axis {
    uint32_t input, full, first, count;
};

struct taps {
    uint32_t stride;  /* coefficients kept for each output */
    uint32_t *from;   /* [count]: first input of each output */
    uint32_t *length; /* [count] */
    int32_t *weights; /* [count, stride] */
};

static void taps_finish(struct taps *taps)
{
    taps->from = dv_free(taps->from);
    taps->length = dv_free(taps->length);
    taps->weights = dv_free(taps->weights);
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* The arithmetic of Pillow's precompute_coeffs(), in its order, so that every rounding agrees. */
static void fill_output(const struct axis *axis, struct taps *taps, uint32_t i, double *weights)
{
    double scale = (double)axis->input / (double)axis->full;
    double support = scale < 1.0 ? 1.0 : scale;
    double center = ((double)(axis->first + i) + 0.5) * scale;
    double inverse = 1.0 / support;
    double sum = 0.0;

    int from = (int)(center - support + 0.5);
    from = from < 0 ? 0 : from;
    int end = (int)(center + support + 0.5);
    end = end > (int)axis->input ? (int)axis->input : end;

    for (int x = from; x < end; x++) {
        weights[x - from] = triangle(((double)x - center + 0.5) * inverse);
        sum += weights[x - from];
    }
    int32_t *fixed = taps->weights + (size_t)i * taps->stride;
    for (int x = 0; x < end - from; x++) {
        double weight = sum != 0.0 ? weights[x] / sum : weights[x];
        fixed[x] = (int32_t)(0.5 + weight * (1 << PRECISION_BITS));
    }
    taps->from[i] = (uint32_t)from;
    taps->length[i] = (uint32_t)(end - from);
}

static enum dv_status taps_init(struct taps *taps, const struct axis *axis, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) double *weights = NULL;
    double scale = (double)axis->input / (double)axis->full;
    void *memory;

    *taps = (struct taps){.stride = (uint32_t)ceil(scale < 1.0 ? 1.0 : scale) * 2 + 1};
    taps->from = dv_alloc(axis->count * sizeof(uint32_t));
    taps->length = dv_alloc(axis->count * sizeof(uint32_t));
    weights = dv_alloc(taps->stride * sizeof(double));
    enum dv_status status =
        dv_try_alloc(axis->count, taps->stride * sizeof(int32_t), &memory, reterr);
    if (status != DV_OK) {
        taps_finish(taps);
        return status;
    }
    taps->weights = memory;
    for (uint32_t i = 0; i < axis->count; i++) {
        fill_output(axis, taps, i, weights);
    }
    return DV_OK;
}

static inline uint8_t to_byte(int32_t sum)
{
    int32_t value = sum >> PRECISION_BITS;
    return (uint8_t)(value > 255 ? 255 : value);
}

/* One row, [column, channel] to [output, channel]. */
static void resize_row(
    const uint8_t *from, uint32_t channels, const struct taps *taps, uint32_t count, uint8_t *to)
{
    for (uint32_t i = 0; i < count; i++) {
        const int32_t *weights = taps->weights + (size_t)i * taps->stride;
        const uint8_t *pixel = from + (size_t)taps->from[i] * channels;
        int32_t sum[3] = {
            1 << (PRECISION_BITS - 1), 1 << (PRECISION_BITS - 1), 1 << (PRECISION_BITS - 1)};

        if (channels == 1) {
            for (uint32_t x = 0; x < taps->length[i]; x++) {
                sum[0] += pixel[x] * weights[x];
            }
        } else {
            for (uint32_t x = 0; x < taps->length[i]; x++) {
                sum[0] += pixel[3 * x] * weights[x];
                sum[1] += pixel[3 * x + 1] * weights[x];
                sum[2] += pixel[3 * x + 2] * weights[x];
            }
        }
        for (uint32_t c = 0; c < channels; c++) {
            to[i * channels + c] = to_byte(sum[c]);
        }
    }
}

/* One output row from `length` input rows that are `width` values long. */
static void resize_column(
    const uint8_t *from, size_t width, const int32_t *weights, uint32_t length, uint8_t *to)
{
    int32_t sum[BLOCK_SIZE];

    for (size_t start = 0; start < width; start += BLOCK_SIZE) {
        size_t count = width - start < BLOCK_SIZE ? width - start : BLOCK_SIZE;
        for (size_t i = 0; i < count; i++) {
            sum[i] = 1 << (PRECISION_BITS - 1);
        }
        for (uint32_t y = 0; y < length; y++) {
            const uint8_t *row = from + y * width + start;
            for (size_t i = 0; i < count; i++) {
                sum[i] += row[i] * weights[y];
            }
        }
        for (size_t i = 0; i < count; i++) {
            to[start + i] = to_byte(sum[i]);
        }
    }
}

static enum dv_status resize_with_taps(const struct dv_image *image, const struct taps *across,
    uint32_t columns, const struct taps *down, uint32_t rows, uint8_t *to, size_t to_stride,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) uint8_t *between = NULL; /* [row, output column, channel] */
    size_t width = (size_t)columns * image->channels;
    uint32_t first = down->from[0];
    uint32_t end = down->from[rows - 1] + down->length[rows - 1];
    void *memory;

    enum dv_status status = dv_try_alloc(end - first, width, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    between = memory;
    for (uint32_t y = first; y < end; y++) {
        resize_row(image->pixels + (size_t)y * image->columns * image->channels, image->channels,
            across, columns, between + (size_t)(y - first) * width);
    }
    for (uint32_t y = 0; y < rows; y++) {
        resize_column(between + (size_t)(down->from[y] - first) * width, width,
            down->weights + (size_t)y * down->stride, down->length[y], to + y * to_stride);
    }
    return DV_OK;
}

static enum dv_status resize(const struct dv_image *image, const struct axis *columns,
    const struct axis *rows, uint8_t *to, size_t to_stride, struct dv_error *reterr)
{
    DV_CLEANUP(taps_finish) struct taps across = {0};
    DV_CLEANUP(taps_finish) struct taps down = {0};

    enum dv_status status = taps_init(&across, columns, reterr);
    if (status == DV_OK) {
        status = taps_init(&down, rows, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    return resize_with_taps(
        image, &across, columns->count, &down, rows->count, to, to_stride, reterr);
}

static enum dv_status copy_as_grey(
    const struct dv_image *image, struct dv_image *ret_grey, struct dv_error *reterr)
{
    size_t count = (size_t)image->rows * image->columns;
    void *memory;

    enum dv_status status = dv_try_alloc(count, 1, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    uint8_t *grey = memory;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        grey[i] = (uint8_t)((19595u * p[0] + 38470u * p[1] + 7471u * p[2] + 0x8000u) >> 16);
    }
    *ret_grey = (struct dv_image){
        .pixels = grey, .rows = image->rows, .columns = image->columns, .channels = 1};
    return DV_OK;
}

/* Grey to RGB in place, from the end so that nothing is overwritten before it is read. */
static void spread_grey(uint8_t *pixels, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        uint8_t value = pixels[i];
        pixels[3 * i] = value;
        pixels[3 * i + 1] = value;
        pixels[3 * i + 2] = value;
    }
}

static uint32_t scaled(uint32_t size, uint32_t numerator, uint32_t denominator)
{
    uint64_t value = ((uint64_t)size * numerator + denominator / 2) / denominator;
    return value < 1 ? 1 : (uint32_t)value;
}

/* How the header says the picture is laid into the target. */
static void place(const struct dv_image *image, const struct dv_resize_target *target,
    struct axis *ret_columns, struct axis *ret_rows)
{
    bool is_wide =
        (uint64_t)image->columns * target->rows >= (uint64_t)image->rows * target->columns;
    uint32_t columns = target->columns;
    uint32_t rows = target->rows;

    if (target->mode == DV_RESIZE_CROP && is_wide) {
        columns = scaled(image->columns, target->rows, image->rows);
    } else if (target->mode == DV_RESIZE_CROP) {
        rows = scaled(image->rows, target->columns, image->columns);
    } else if (target->mode == DV_RESIZE_PAD && is_wide) {
        rows = scaled(image->rows, target->columns, image->columns);
    } else if (target->mode == DV_RESIZE_PAD) {
        columns = scaled(image->columns, target->rows, image->rows);
    }
    *ret_columns = (struct axis){.input = image->columns, .full = columns, .count = columns};
    *ret_rows = (struct axis){.input = image->rows, .full = rows, .count = rows};
    if (columns > target->columns) {
        ret_columns->first = (columns - target->columns) / 2;
        ret_columns->count = target->columns;
    }
    if (rows > target->rows) {
        ret_rows->first = (rows - target->rows) / 2;
        ret_rows->count = target->rows;
    }
}

enum dv_status dv_resize_fit(const struct dv_image *image, const struct dv_resize_target *target,
    uint8_t *ret_pixels, struct dv_error *reterr)
{
    DV_CLEANUP(dv_image_finish) struct dv_image grey = {0};
    const struct dv_image *source = image;
    struct axis columns, rows;
    enum dv_status status = DV_OK;

    assert(image);
    assert(image->rows > 0);
    assert(image->columns > 0);
    assert(image->channels == 1 || image->channels == 3);
    assert(target->rows > 0);
    assert(target->columns > 0);
    assert(target->channels == 1 || target->channels == 3);

    if (image->channels == 3 && target->channels == 1) {
        status = copy_as_grey(image, &grey, reterr);
        source = &grey;
    }
    if (status != DV_OK) {
        return status;
    }
    size_t stride = (size_t)target->columns * source->channels;
    place(source, target, &columns, &rows);
    memset(ret_pixels, 0, stride * target->rows);
    uint8_t *to = ret_pixels + (target->rows - rows.count) / 2 * stride +
                  (size_t)(target->columns - columns.count) / 2 * source->channels;
    status = resize(source, &columns, &rows, to, stride, reterr);
    if (status == DV_OK && source->channels == 1 && target->channels == 3) {
        spread_grey(ret_pixels, (size_t)target->rows * target->columns);
    }
    return status;
}
