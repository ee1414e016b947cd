/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_DROPOUT_H
#define DV_NN_DROPOUT_H

/*
 * Dropout masks from a counter: what happens to float `index` depends on the key of the step and
 * node alone, so that forward and backward agree without keeping a mask, and every backend drops
 * the same. The hash is the finaliser of MurmurHash3 (Appleby), on 32 bits so that it vectorises.
 */

#include <stddef.h>
#include <stdint.h>

/* 0, or 1 / (1 - drop). */
static inline float dv_dropout_factor(uint64_t key, size_t index, double drop)
{
    uint32_t h = (uint32_t)key ^ (uint32_t)index * 0x9e3779b9u;

    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h = (h + (uint32_t)(key >> 32)) * 0xc2b2ae35u;
    h ^= h >> 16;
    return (double)h < drop * 4294967296.0 ? 0.0f : (float)(1.0 / (1.0 - drop));
}

#endif
