/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_FORMAT_MODEL_FILE_H
#define DV_FORMAT_MODEL_FILE_H

/*
 * The files of a trained model, as a folder: what it is, its weights, the same as PyTorch source,
 * how it was measured and trained, and a card for people. Training writes it; prediction,
 * evaluation and transfer read it back. format/archive.h makes one file of it.
 *
 * Limits: the description 16 MiB; the weights what their file holds.
 */

#include "base/status.h"
#include "spec/preprocessing.h"

#include <stddef.h>

struct dv_arch;
struct dv_arena;
struct dv_graph;
struct dv_json;

#define DV_MODEL_DESCRIPTION "model.json"
#define DV_MODEL_WEIGHTS "weights.safetensors"
#define DV_MODEL_PYTHON "model.py"
#define DV_MODEL_TRAINING "train.py" /* only where hyperparameters are known */
#define DV_MODEL_METRICS "metrics.json"
#define DV_MODEL_HISTORY "history.jsonl"
#define DV_MODEL_CARD "card.md"

#define DV_MODEL_FORMAT_VERSION 1

/* What goes into a model's folder; everything is borrowed. */
struct dv_model_content {
    const char *name; /* as its owner named it, any UTF-8 */
    const struct dv_arch *arch;
    const struct dv_graph *graph; /* of `arch` */
    const struct dv_preprocessing *preprocessing;
    const float *values;                   /* all tensors, canonical layout, in graph order */
    const char *strategy;                  /* or NULL */
    const struct dv_json *hyperparameters; /* an object, or NULL */
    const struct dv_json *metrics;         /* an object as train/report.c makes it, or NULL */
    const struct dv_json *history;         /* an array with an object per epoch, or NULL */
    const struct dv_json *dataset;         /* as dv_dataset_summary_to_json(), or NULL */
};

/* A model that was read; all of it lives in the arena it was read into. */
struct dv_model {
    const char *name;
    const char *created_at;
    struct dv_arch *arch;
    struct dv_graph *graph;
    struct dv_preprocessing preprocessing;
    const float *values; /* as in dv_model_content */
    size_t value_count;
};

/*
 * Write the folder: made beside its place as "<folder>.staging", durable, then published in one
 * step. A folder that is there already is replaced; on failure it stays as it was. The folder
 * above must be writable.
 */
DV_MUST_CHECK enum dv_status dv_model_write(
    const struct dv_model_content *content, const char *folder, struct dv_error *reterr);

/*
 * Read a model's folder, or an archive of one. DV_CORRUPT: files are missing, contradict each
 * other, or the weights do not have the hash that was stored. DV_UNSUPPORTED: a newer format.
 */
DV_MUST_CHECK enum dv_status dv_model_read(
    const char *path, struct dv_arena *arena, struct dv_model **ret_model, struct dv_error *reterr);

/* --- For model_file_write.c: the card ------------------------------------------------------ */

struct dv_buffer;

/* Append card.md: data, training, figures, the worst confusions, limits, files. Never fails. */
void dv_model_card(const struct dv_model_content *content, struct dv_buffer *buffer);

#endif
