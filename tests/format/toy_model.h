/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_FORMAT_TOY_MODEL_H
#define DV_TESTS_FORMAT_TOY_MODEL_H

/*
 * A model with made-up weights for any architecture, as content for dv_model_write(). Tests and
 * make_model use it; it ends the process when the architecture is not legal.
 */

#include "format/model_file.h"

#include <stdint.h>

#include <stdbool.h>

struct toy_model {
    struct dv_model_content content;
    struct dv_preprocessing preprocessing;
    struct dv_arena *arena;
    struct dv_json *metrics, *history, *hyperparameters;
};

struct toy_model_options {
    const char *arch; /* JSON: an architecture, or a string that names a preset */
    uint32_t rows, columns, channels;
    enum dv_resize resize;
    bool hides_blocks; /* rows whose graph is that of no block: model.py goes node by node */
};

void toy_model_init(struct toy_model *model, const struct toy_model_options *options);
void toy_model_finish(struct toy_model *model);

#endif
