/* SPDX-License-Identifier: Apache-2.0 */
#include "data/augment.h"

#include "base/alloc.h"
#include "base/random.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define AREA_MIN 0.35
#define ASPECT_MAX (4.0 / 3.0)
#define JITTER 0.2

void dv_augment_init(struct dv_augment *augment, const struct dv_preprocessing *preprocessing,
    enum dv_augmentation kind, uint32_t source_rows, uint32_t source_columns)
{
    assert(preprocessing->channels == 1 || preprocessing->channels == 3);
    assert(kind == DV_AUGMENTATION_STRONG || source_rows == preprocessing->rows);
    assert(kind == DV_AUGMENTATION_STRONG || source_columns == preprocessing->columns);

    *augment = (struct dv_augment){
        .kind = kind,
        .rows = preprocessing->rows,
        .columns = preprocessing->columns,
        .channels = preprocessing->channels,
        .source_rows = source_rows,
        .source_columns = source_columns,
    };
    for (uint32_t c = 0; c < augment->channels; c++) {
        augment->mean[c] = preprocessing->mean[c];
        augment->std[c] = preprocessing->std[c];
        for (int value = 0; value < 256; value++) {
            /* The same single-precision steps as in exported code. */
            augment->table[c][value] =
                ((float)value / 255.0f - preprocessing->mean[c]) / preprocessing->std[c];
        }
    }
}

void dv_augment_scratch_init(struct dv_augment_scratch *scratch, const struct dv_augment *augment)
{
    scratch->left = dv_alloc(augment->columns * sizeof(uint32_t));
    scratch->right = dv_alloc(augment->columns * sizeof(uint32_t));
    scratch->weight = dv_alloc(augment->columns * sizeof(float));
}

void dv_augment_scratch_finish(struct dv_augment_scratch *scratch)
{
    scratch->left = dv_free(scratch->left);
    scratch->right = dv_free(scratch->right);
    scratch->weight = dv_free(scratch->weight);
}

/* --- As it is, and moved ------------------------------------------------------------------ */

static void normalise(const struct dv_augment *augment, const uint8_t *source, float *to)
{
    size_t count = (size_t)augment->rows * augment->columns;

    if (augment->channels == 1) {
        for (size_t i = 0; i < count; i++) {
            to[i] = augment->table[0][source[i]];
        }
        return;
    }
    for (size_t i = 0; i < 3 * count; i += 3) {
        to[i] = augment->table[0][source[i]];
        to[i + 1] = augment->table[1][source[i + 1]];
        to[i + 2] = augment->table[2][source[i + 2]];
    }
}

/* Mirror an index that is less than `count` outside of 0 .. count - 1; the edge comes once. */
static uint32_t reflect(int64_t index, uint32_t count)
{
    index = index < 0 ? -index : index;
    index = index >= count ? 2 * ((int64_t)count - 1) - index : index;
    return (uint32_t)index;
}

/*
 * A sixteenth of the side: two pixels of 28 or 32, as the recipes do that train in about ten
 * epochs (hlb-CIFAR10, airbench).
 */
static int64_t draw_shift(struct dv_random *random, uint32_t side)
{
    int64_t sixteenth = (side + 8) / 16;
    int64_t most = sixteenth < (int64_t)side - 1 ? sixteenth : (int64_t)side - 1;

    return (int64_t)dv_random_below(random, (uint64_t)(2 * most + 1)) - most;
}

static bool draw_flip(const struct dv_augment *augment, struct dv_random *random)
{
    bool heads = dv_random_u64(random) >> 63;

    return heads && augment->kind != DV_AUGMENTATION_CROP;
}

static void move(const struct dv_augment *augment, struct dv_random *random, const uint8_t *source,
    struct dv_augment_scratch *scratch, float *to)
{
    uint32_t channels = augment->channels;
    uint32_t columns = augment->columns;
    int64_t down = draw_shift(random, augment->rows);
    int64_t right = draw_shift(random, columns);
    bool is_flipped = draw_flip(augment, random);

    for (uint32_t x = 0; x < columns; x++) {
        uint32_t shown = is_flipped ? columns - 1 - x : x;
        scratch->left[shown] = reflect((int64_t)x - right, columns) * channels;
    }
    for (uint32_t y = 0; y < augment->rows; y++) {
        const uint8_t *row =
            source + (size_t)reflect((int64_t)y - down, augment->rows) * columns * channels;
        if (channels == 1) {
            for (uint32_t x = 0; x < columns; x++) {
                to[x] = augment->table[0][row[scratch->left[x]]];
            }
        } else {
            for (uint32_t x = 0; x < columns; x++) {
                const uint8_t *pixel = row + scratch->left[x];
                to[3 * x] = augment->table[0][pixel[0]];
                to[3 * x + 1] = augment->table[1][pixel[1]];
                to[3 * x + 2] = augment->table[2][pixel[2]];
            }
        }
        to += (size_t)columns * channels;
    }
}

/* A square around any pixel, cut at the edges, set to 0: the mean. */
static void cut_out(
    const struct dv_augment *augment, struct dv_random *random, uint32_t side, float *pixels)
{
    int64_t top = (int64_t)dv_random_below(random, augment->rows) - side / 2;
    int64_t left = (int64_t)dv_random_below(random, augment->columns) - side / 2;
    int64_t bottom = top + side < augment->rows ? top + side : augment->rows;
    int64_t right = left + side < augment->columns ? left + side : augment->columns;

    top = top < 0 ? 0 : top;
    left = left < 0 ? 0 : left;
    if (right <= left) {
        return;
    }
    for (int64_t y = top; y < bottom; y++) {
        size_t start = (size_t)(y * augment->columns + left) * augment->channels;
        memset(pixels + start, 0, (size_t)(right - left) * augment->channels * sizeof(float));
    }
}

/* --- Photographs -------------------------------------------------------------------------- */

struct box {
    double top, left, rows, columns; /* in pixels of the source */
};

static struct box draw_box(const struct dv_augment *augment, struct dv_random *random)
{
    double area = AREA_MIN + (1.0 - AREA_MIN) * dv_random_unit(random);
    double aspect = 1.0 + (ASPECT_MAX - 1.0) * dv_random_unit(random);
    double wide = dv_random_u64(random) >> 63 ? aspect : 1.0 / aspect;
    double rows = fmin(1.0, sqrt(area / wide)) * augment->source_rows;
    double columns = fmin(1.0, sqrt(area * wide)) * augment->source_columns;

    return (struct box){
        .rows = rows,
        .columns = columns,
        .top = (augment->source_rows - rows) * dv_random_unit(random),
        .left = (augment->source_columns - columns) * dv_random_unit(random),
    };
}

/* Two neighbours of output `i` of `count`, and the weight of the second. */
static float neighbours(double start, double length, uint32_t i, uint32_t count,
    uint32_t source_count, uint32_t *ret_first, uint32_t *ret_second)
{
    double at = start + ((double)i + 0.5) * length / count - 0.5;
    double last = (double)source_count - 1;

    at = fmin(fmax(at, 0.0), last);
    *ret_first = (uint32_t)at;
    *ret_second = *ret_first + 1 < source_count ? *ret_first + 1 : *ret_first;
    return (float)(at - (double)*ret_first);
}

/* One row of the box as bytes' values in floats: between two rows, then between two columns. */
static void sample_row(const struct dv_augment *augment, const uint8_t *upper, const uint8_t *lower,
    float weight, const struct dv_augment_scratch *scratch, float *to)
{
    uint32_t channels = augment->channels;

    for (uint32_t x = 0; x < augment->columns; x++) {
        uint32_t left = scratch->left[x];
        uint32_t right = scratch->right[x];
        for (uint32_t c = 0; c < channels; c++) {
            float a = (float)upper[left + c];
            float b = (float)upper[right + c];
            a += ((float)lower[left + c] - a) * weight;
            b += ((float)lower[right + c] - b) * weight;
            to[x * channels + c] = a + (b - a) * scratch->weight[x];
        }
    }
}

static void sample_box(const struct dv_augment *augment, const struct box *box, bool is_flipped,
    const uint8_t *source, struct dv_augment_scratch *scratch, float *to)
{
    size_t stride = (size_t)augment->source_columns * augment->channels;

    for (uint32_t x = 0; x < augment->columns; x++) {
        uint32_t left, right;
        uint32_t shown = is_flipped ? augment->columns - 1 - x : x;
        scratch->weight[shown] = neighbours(
            box->left, box->columns, x, augment->columns, augment->source_columns, &left, &right);
        scratch->left[shown] = left * augment->channels;
        scratch->right[shown] = right * augment->channels;
    }
    for (uint32_t y = 0; y < augment->rows; y++) {
        uint32_t upper, lower;
        float weight =
            neighbours(box->top, box->rows, y, augment->rows, augment->source_rows, &upper, &lower);
        sample_row(augment, source + upper * stride, source + lower * stride, weight, scratch,
            to + (size_t)y * augment->columns * augment->channels);
    }
}

static float draw_factor(struct dv_random *random)
{
    return (float)(1.0 - JITTER + 2.0 * JITTER * dv_random_unit(random));
}

static inline float clamp_byte(float value)
{
    value = value < 0.0f ? 0.0f : value;
    return value > 255.0f ? 255.0f : value;
}

/*
 * Saturation s about the luma, brightness b, contrast k about the data set's mean m, all linear:
 * value -> k b s value + k b (1 - s) luma + (1 - k) m; then clamped and normalised.
 */
static void jitter_and_normalise(
    const struct dv_augment *augment, struct dv_random *random, float *pixels)
{
    size_t count = (size_t)augment->rows * augment->columns;
    float brightness = draw_factor(random);
    float contrast = draw_factor(random);
    float saturation = draw_factor(random);
    float offset[3], scale[3], shift[3];

    for (uint32_t c = 0; c < augment->channels; c++) {
        offset[c] = (1.0f - contrast) * augment->mean[c] * 255.0f;
        scale[c] = 1.0f / (255.0f * augment->std[c]);
        shift[c] = -augment->mean[c] / augment->std[c];
    }
    if (augment->channels == 1) {
        float gain = contrast * brightness;
        for (size_t i = 0; i < count; i++) {
            pixels[i] = clamp_byte(gain * pixels[i] + offset[0]) * scale[0] + shift[0];
        }
        return;
    }
    float own = contrast * brightness * saturation;
    float grey = contrast * brightness * (1.0f - saturation);
    for (size_t i = 0; i < count; i++) {
        float *p = pixels + 3 * i;
        float luma = grey * (0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2]);
        p[0] = clamp_byte(own * p[0] + luma + offset[0]) * scale[0] + shift[0];
        p[1] = clamp_byte(own * p[1] + luma + offset[1]) * scale[1] + shift[1];
        p[2] = clamp_byte(own * p[2] + luma + offset[2]) * scale[2] + shift[2];
    }
}

void dv_augment_picture(const struct dv_augment *augment, struct dv_random *random,
    const uint8_t *source, struct dv_augment_scratch *scratch, float *ret_pixels)
{
    uint32_t side = augment->rows < augment->columns ? augment->rows : augment->columns;

    switch (augment->kind) {
    case DV_AUGMENTATION_NONE:
        normalise(augment, source, ret_pixels);
        break;
    case DV_AUGMENTATION_FLIP:
    case DV_AUGMENTATION_CROP:
        move(augment, random, source, scratch, ret_pixels);
        break;
    case DV_AUGMENTATION_CUTOUT:
        move(augment, random, source, scratch, ret_pixels);
        cut_out(augment, random, side * 3 / 8, ret_pixels);
        break;
    case DV_AUGMENTATION_STRONG: {
        struct box box = draw_box(augment, random);
        sample_box(augment, &box, draw_flip(augment, random), source, scratch, ret_pixels);
        jitter_and_normalise(augment, random, ret_pixels);
        cut_out(augment, random, side / 4, ret_pixels);
        break;
    }
    }
}
