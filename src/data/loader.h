/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_LOADER_H
#define DV_DATA_LOADER_H

/*
 * Batches for training and evaluation: loader threads take prepared pictures (decoded once, then
 * from the cache), augment them and write normalised floats straight into batch buffers. What a
 * batch holds depends only on (seed, epoch, step), never on timing or thread count.
 */

#include "base/status.h"
#include "spec/dataset.h"
#include "spec/hyperparameters.h"
#include "spec/preprocessing.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_pack;
struct dv_loader;

struct dv_loader_options {
    const struct dv_pack *pack;                    /* borrowed */
    const struct dv_preprocessing *preprocessing;  /* borrowed */
    const char *cache_path; /* decoded pictures of all splits, made if missing; NULL: in memory */
    enum dv_split split;
    uint32_t batch_size;
    uint32_t thread_count; /* 0: 1 */
    bool is_shuffled;      /* and then the last, smaller batch of an epoch is dropped if > 1 batch */
    enum dv_augmentation augmentation;
    uint64_t seed;
};

struct dv_batch {
    const float *pixels;   /* [picture, row, column, channel] (NHWC), 64-byte aligned */
    const uint32_t *labels; /* class index per picture */
    uint32_t count;        /* pictures that are real; the rest up to batch_size are zeros */
    uint64_t first_sample; /* manifest number of the first picture when not shuffled */
};

DV_MUST_CHECK enum dv_status dv_loader_create(const struct dv_loader_options *options,
    struct dv_loader **ret_loader, struct dv_error *reterr);
struct dv_loader *dv_loader_destroy(struct dv_loader *loader);

uint64_t dv_loader_sample_count(const struct dv_loader *loader);
uint64_t dv_loader_step_count(const struct dv_loader *loader); /* batches an epoch */

/* Begin an epoch at `step`: whatever was in flight is dropped. */
void dv_loader_start(struct dv_loader *loader, uint64_t epoch, uint64_t step);

/* The next batch, valid until the next call; *ret_has_batch false at the end of the epoch. */
DV_MUST_CHECK enum dv_status dv_loader_next(struct dv_loader *loader, struct dv_batch *ret_batch,
    bool *ret_has_batch, struct dv_error *reterr);

/* Mean and standard deviation per channel (0..1) over the training split's prepared pictures. */
DV_MUST_CHECK enum dv_status dv_loader_statistics(const struct dv_loader_options *options,
    float ret_mean[3], float ret_std[3], struct dv_error *reterr);

#endif
