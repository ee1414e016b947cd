/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_CACHE_H
#define DV_DATA_CACHE_H

/*
 * Prepared pictures, decoded once: uint8 [sample, row, column, channel] in manifest order, in a
 * file that all loaders of a data set map read-only, or in memory. The exact pictures are what
 * dv_image_prepare() gives; the wide ones, of the training split only, are a quarter larger, so
 * that a random crop has pixels to choose from.
 *
 * Life:    dv_cache_open() builds the file when it is missing, of other pictures or other
 *          preprocessing, or damaged: by `thread_count` threads, under a lock, into a temporary
 *          name that is renamed at the end. On failure nothing is left.
 * Threads: any number may read an open cache.
 * Limits:  numbers in the file are the machine's own; a cache is not carried to another machine.
 */

#include "base/status.h"
#include "spec/dataset.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_cache;
struct dv_pack;
struct dv_preprocessing;

struct dv_cache_options {
    const struct dv_pack *pack;                   /* borrowed while opening */
    const struct dv_preprocessing *preprocessing; /* borrowed while opening */
    const char *path;      /* holds all splits; NULL: memory, and only what is asked for below */
    enum dv_split split;   /* the split that will be read */
    bool is_wide;          /* wide pictures will be read; `split` is DV_SPLIT_TRAIN */
    uint32_t thread_count; /* 0: 1 */
};

/* DV_CORRUPT: a picture of the pack cannot be read. DV_NO_SPACE: the disk is full. */
DV_MUST_CHECK enum dv_status dv_cache_open(
    const struct dv_cache_options *options, struct dv_cache **ret_cache, struct dv_error *reterr);
struct dv_cache *dv_cache_close(struct dv_cache *cache);

/* Pixels of the sample with this manifest number; it belongs to the split that was asked for. */
const uint8_t *dv_cache_exact(const struct dv_cache *cache, uint64_t sample);
const uint8_t *dv_cache_wide(const struct dv_cache *cache, uint64_t sample);

/* Rows or columns of a wide picture. */
uint32_t dv_cache_wide_side(uint32_t exact_side);

#endif
