/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_FORMAT_PYTHON_SOURCE_H
#define DV_FORMAT_PYTHON_SOURCE_H

/*
 * Writes `model.py`: a readable PyTorch module that loads the weights file beside it, prepares
 * picture files as spec/preprocessing.h says, and predicts. Rows of the architecture become
 * blocks (ConvBlock, ResidualBlock, ...) with the names that the tensors have in every file; a
 * row whose nodes do not have the shape of such a block is written node by node, so that every
 * graph can be written.
 *
 * What a person named never becomes code: classes and the model's name are string literals with
 * everything but printable ASCII escaped, and rows named like something of Python's or PyTorch's
 * are reached by their name as a string.
 */

#include "base/status.h"

struct dv_arch;
struct dv_buffer;
struct dv_graph;
struct dv_preprocessing;

struct dv_python_source {
    const char *name; /* of the model */
    const struct dv_arch *arch;
    const struct dv_graph *graph;
    const struct dv_preprocessing *preprocessing;
};

/* Append the whole file. DV_TOO_LARGE: it does not fit the buffer's maximum. */
DV_MUST_CHECK enum dv_status dv_python_source_write(
    const struct dv_python_source *source, struct dv_buffer *buffer, struct dv_error *reterr);

/* Append `text` (UTF-8) as a Python string literal in double quotes. */
void dv_python_source_string(struct dv_buffer *buffer, const char *text);

#endif
