/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_AUGMENT_H
#define DV_DATA_AUGMENT_H

/*
 * From the bytes of a prepared picture to the floats that the network sees: random changes, then
 * (value / 255 - mean) / std per channel. What is done depends only on the random stream; the
 * order of draws is part of what a seed means.
 *
 *   none     as it is
 *   crop     moved by up to 1/16 of the side, the edge reflected
 *   flip     the same, and mirrored left to right half of the time
 *   cutout   the same, and a square of 3/8 of the side set to the mean
 *   strong   a box of 35 to 100 % of the area and 3:4 to 4:3 of the aspect resized to the whole,
 *            mirrored half of the time, brightness, contrast and saturation changed by up to
 *            20 %, a square of 1/4 of the side set to the mean
 *
 * Threads: a struct dv_augment is only read; each thread has its own scratch.
 */

#include "spec/hyperparameters.h"
#include "spec/preprocessing.h"

#include <stddef.h>
#include <stdint.h>

struct dv_random;

struct dv_augment {
    enum dv_augmentation kind;
    uint32_t rows, columns, channels;     /* of the result */
    uint32_t source_rows, source_columns; /* of the prepared picture; larger only for strong */
    float mean[3], std[3];
    float table[3][256]; /* [channel, byte]: the normalised value */
};

struct dv_augment_scratch {
    uint32_t *left, *right; /* [column]: offsets of two neighbours in a row of the source */
    float *weight;          /* [column]: of the right one */
};

void dv_augment_init(struct dv_augment *augment, const struct dv_preprocessing *preprocessing,
    enum dv_augmentation kind, uint32_t source_rows, uint32_t source_columns);

void dv_augment_scratch_init(struct dv_augment_scratch *scratch, const struct dv_augment *augment);
void dv_augment_scratch_finish(struct dv_augment_scratch *scratch);

/* `source` and `ret_pixels` are [row, column, channel]. */
void dv_augment_picture(const struct dv_augment *augment, struct dv_random *random,
    const uint8_t *source, struct dv_augment_scratch *scratch, float *ret_pixels);

#endif
