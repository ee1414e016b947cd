/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_MEMORY_PLAN_H
#define DV_NN_MEMORY_PLAN_H

/*
 * Where each buffer of a step lies in one block: buffers whose lifetimes do not meet may share
 * bytes. Placement is greedy, largest first, at the lowest offset that is free for the whole
 * lifetime (the "greedy by size" of Pisarchyk and Lee, 2020, arXiv 2001.03288).
 */

#include <stddef.h>
#include <stdint.h>

struct dv_memory_item {
    size_t size;    /* bytes; 0 takes no room */
    uint32_t first; /* first moment it is used */
    uint32_t last;  /* last moment, inclusive */
    size_t offset;  /* result, a multiple of 64 */
};

/* Fill in the offsets; returns the size of the block. */
size_t dv_memory_plan(struct dv_memory_item *items, size_t count);

#endif
