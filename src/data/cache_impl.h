/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_CACHE_IMPL_H
#define DV_DATA_CACHE_IMPL_H

/*
 * What cache.c (the life of a file) and cache_build.c (decoding into it) share: where each picture
 * lies. Nobody else includes this.
 */

#include "base/hash.h"
#include "data/cache.h"

#include <assert.h>
#include <stddef.h>

#define DV_CACHE_HEADER_SIZE 4096u /* a page, so that pictures start on one */

/* A range of samples kept at one size. */
struct dv_cache_region {
    uint64_t first, count;
    uint64_t offset; /* of the first picture, from the first exact one */
    uint32_t rows, columns, channels;
};

struct dv_cache_plan {
    struct dv_cache_region exact, wide;
    uint64_t size; /* of all pictures */
    unsigned char key[DV_SHA256_SIZE];
};

static inline size_t dv_cache_picture_size(const struct dv_cache_region *region)
{
    return (size_t)region->rows * region->columns * region->channels;
}

static inline uint64_t dv_cache_picture_offset(
    const struct dv_cache_region *region, uint64_t sample)
{
    assert(sample >= region->first);
    assert(sample - region->first < region->count);
    return region->offset + (sample - region->first) * dv_cache_picture_size(region);
}

/* All of `data` at `offset` of the file. */
DV_MUST_CHECK enum dv_status dv_cache_write(
    int fd, const void *data, size_t size, uint64_t offset, struct dv_error *reterr);

/* Decode and prepare all that the plan asks for, into `memory`, or when that is NULL into `fd`. */
DV_MUST_CHECK enum dv_status dv_cache_build(const struct dv_cache_options *options,
    const struct dv_cache_plan *plan, uint8_t *memory, int fd, struct dv_error *reterr);

#endif
