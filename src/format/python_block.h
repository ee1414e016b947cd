/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_FORMAT_PYTHON_BLOCK_H
#define DV_FORMAT_PYTHON_BLOCK_H

/*
 * Recognises the nodes of one architecture row as a block of the generated Python and writes the
 * expression that makes it. Only python_source.c uses this.
 */

#include "spec/arch.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_buffer;
struct dv_graph;

enum dv_python_block {
    DV_PYTHON_BLOCK_CONV,
    DV_PYTHON_BLOCK_RESIDUAL,
    DV_PYTHON_BLOCK_BOTTLENECK,
    DV_PYTHON_BLOCK_MBCONV,
    DV_PYTHON_BLOCK_DWSEP,
    DV_PYTHON_BLOCK_LINEAR, /* nn.Linear and a norm, in an nn.Sequential with their names */
};

/* The nodes of one row: from `first` to `last`, which gives the row's value. */
struct dv_python_row {
    uint32_t row;
    uint32_t first;
    uint32_t last;
    enum dv_python_block block;
};

/*
 * Is the row that begins at node `first` one block, or a sequence of blocks of one kind? False:
 * it has to be written node by node.
 */
bool dv_python_block_match(const struct dv_arch *arch, const struct dv_graph *graph, uint32_t first,
    struct dv_python_row *ret_row);

/* Append the expression, "ConvBlock(3, 32)", for a row that dv_python_block_match() gave. */
void dv_python_block_write(const struct dv_arch *arch, const struct dv_graph *graph,
    const struct dv_python_row *row, struct dv_buffer *buffer);

/* "nn.SiLU"; "None" for none. */
const char *dv_python_activation_module(enum dv_activation act);

/* The Python text of a block's class; NULL for one that needs none. */
const char *dv_python_block_class(enum dv_python_block block);

#endif
