/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_MODEL_IO_H
#define DV_TRAIN_MODEL_IO_H

/*
 * Between training's view of a model and the files of `format`.
 */

#include "base/hash.h"
#include "base/status.h"
#include "spec/preprocessing.h"

struct dv_arch;
struct dv_arena;
struct dv_graph;
struct dv_json;
struct dv_train_task;
struct dv_trained;

/* A model read from its folder; everything lives in the arena it was read into. */
struct dv_model_io {
    struct dv_arch *arch;
    struct dv_graph *graph;
    struct dv_preprocessing preprocessing;
    const float *weights; /* canonical, in graph order */
};

/* `result` is the job's result: what of it belongs into metrics.json, card.md and the like is
 * taken from there. */
DV_MUST_CHECK enum dv_status dv_model_io_save(const struct dv_train_task *task,
    const struct dv_trained *trained, const struct dv_json *result, struct dv_error *reterr);

/* DV_CORRUPT: the files do not fit together. */
DV_MUST_CHECK enum dv_status dv_model_io_load(const char *folder, struct dv_arena *arena,
    struct dv_model_io *ret_model, struct dv_error *reterr);

#endif
