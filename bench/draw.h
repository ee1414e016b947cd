/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BENCH_DRAW_H
#define DV_BENCH_DRAW_H

/*
 * Random networks as a search proposes them: a stem and two to four stages that halve the map and
 * widen, of any block, with and without gates, of all norms and activations; and what they are
 * trained on. The same number draws the same.
 */

#include "spec/graph.h"

#include <stdint.h>

struct dv_arena;

struct drawn {
    struct dv_arch *arch;
    struct dv_graph *graph; /* its input's shape is the pictures' */
    uint32_t batch_size;
    char text[128]; /* "mbconv x3, 48 px, batch 64" */
};

struct drawn draw_network(uint64_t number, struct dv_arena *arena);

#endif
