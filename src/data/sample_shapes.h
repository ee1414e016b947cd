/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_SAMPLE_SHAPES_H
#define DV_DATA_SAMPLE_SHAPES_H

/*
 * A made-up picture set to try things with: a ZIP archive of class folders with 32 x 32 RGB PNG
 * pictures of one drawn shape each, in random colours, places, sizes and turns, under noise.
 * The same options give the same bytes.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define DV_SAMPLE_CLASSES_MIN 2u
#define DV_SAMPLE_CLASSES_MAX 12u
#define DV_SAMPLE_COUNT_MAX 1000000u

struct dv_sample_shapes_options {
    uint32_t class_count;   /* 0: 10 */
    uint32_t picture_count; /* of all classes together, dealt out evenly; 0: 300 a class */
    uint64_t seed;
    bool (*is_cancelled)(void); /* asked before each picture; NULL: it is not */
};

/*
 * Make or replace the archive at `path`. DV_INVALID: too many or too few classes or pictures (each
 * class needs two). DV_NO_SPACE: the disk is full; DV_CANCELLED; either way nothing is left behind.
 */
DV_MUST_CHECK enum dv_status dv_sample_shapes_write(
    const char *path, const struct dv_sample_shapes_options *options, struct dv_error *reterr);

/* The name of class `index`, below DV_SAMPLE_CLASSES_MAX. */
const char *dv_sample_shapes_class(uint32_t index);

#endif
