/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_RANDOM_H
#define DV_BASE_RANDOM_H

/*
 * Seeded random numbers whose state is a key and a counter, so that any place in a run can make
 * its own stream from (seed, what it is for, where it is) and a resumed run draws the same numbers
 * without replaying. The generator is SplitMix64 (Steele, Lea, Flood 2014) on a mixed key: good
 * for training, not for secrets.
 */

#include <stddef.h>
#include <stdint.h>

struct dv_random {
    uint64_t state;
};

/* What a stream is for. Values are part of what a seed means: never renumber. */
enum dv_random_stream {
    DV_RANDOM_INIT = 1,    /* initial weights; position: tensor index */
    DV_RANDOM_ORDER = 2,   /* order of samples; position: epoch */
    DV_RANDOM_AUGMENT = 3, /* augmentation; position: epoch, then sample */
    DV_RANDOM_DROPOUT = 4, /* dropout masks; position: step, then node */
    DV_RANDOM_SPLIT = 5,   /* train/val/test split; position: class */
    DV_RANDOM_SAMPLE = 6,  /* dv sample; position: picture */
    DV_RANDOM_SEARCH = 7,  /* what a search tries next; position: slot, then try */
};

/* The stream for this purpose and position; `a` and `b` as the enum says, 0 where unused. */
struct dv_random dv_random_make(
    uint64_t seed, enum dv_random_stream stream, uint64_t a, uint64_t b);

uint64_t dv_random_u64(struct dv_random *random);
uint64_t dv_random_below(struct dv_random *random, uint64_t limit); /* 0 .. limit-1, unbiased */
double dv_random_unit(struct dv_random *random);                    /* [0, 1) */
double dv_random_normal(struct dv_random *random);                  /* mean 0, variance 1 */

/* Fisher-Yates. */
void dv_random_shuffle(struct dv_random *random, uint32_t *values, size_t count);

#endif
