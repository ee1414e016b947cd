/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_HYPERPARAMETERS_H
#define DV_SPEC_HYPERPARAMETERS_H

/*
 * The hyperparameters: one struct, one table (names, types, ranges, choices, meaning) that makes
 * the checks, the JSON, the catalogue of GET /api/strategies and the --set option. Names hold
 * everywhere: API, files, database, a language model's JSON, page. Values of a choice are matched
 * without regard to case.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_problems;

enum dv_optimizer_kind { DV_OPTIMIZER_SGD, DV_OPTIMIZER_ADAM, DV_OPTIMIZER_ADAMW, DV_OPTIMIZER_RMSPROP };
enum dv_schedule_kind {
    DV_SCHEDULE_ONECYCLE,
    DV_SCHEDULE_COSINE,
    DV_SCHEDULE_STEP,
    DV_SCHEDULE_CONSTANT,
};
enum dv_augmentation {
    DV_AUGMENTATION_NONE,
    DV_AUGMENTATION_FLIP,   /* horizontal flip, pad and crop */
    DV_AUGMENTATION_CROP,   /* pad and crop, no flip: digits, letters, signs */
    DV_AUGMENTATION_CUTOUT, /* flip, pad and crop, cutout */
    DV_AUGMENTATION_STRONG, /* random resized crop, flip, colour jitter, cutout: photographs */
};

struct dv_hyperparameters {
    double learning_rate;
    int64_t batch_size;
    enum dv_optimizer_kind optimizer;
    double momentum; /* sgd (Nesterov) and rmsprop; adam: beta1 */
    double weight_decay;
    double dropout; /* before the head of a default network */
    int64_t epochs;
    enum dv_schedule_kind schedule;
    double warmup_epochs;
    double label_smoothing;
    enum dv_augmentation augmentation;
    int64_t image_size; /* side in pixels; 0: chosen for the data set */
    int64_t early_stopping_patience; /* epochs without a better validation accuracy; 0: never */
    double ema; /* decay of the averaged weights per step; 0: none */
    int64_t seed;
};

/* What the platform starts from before a strategy looks at the data. */
struct dv_hyperparameters dv_hyperparameters_default(void);

/*
 * Lay the members of `overrides` (an object, or NULL) over *hyperparameters. DV_INVALID: `problems`
 * (pointers start with `pointer_prefix`, "/hyperparameters") says which are unknown, of a wrong
 * type or out of range, and the target is untouched.
 */
DV_MUST_CHECK enum dv_status dv_hyperparameters_merge(struct dv_hyperparameters *hyperparameters,
    const struct dv_json *overrides, const char *pointer_prefix, struct dv_problems *problems,
    struct dv_error *reterr);

/*
 * Add "key=value" (from --set) to the object `overrides`, typed by the table; unknown keys and
 * values that are no number or choice are DV_INVALID with a message that lists what is legal.
 */
DV_MUST_CHECK enum dv_status dv_hyperparameters_set_text(
    struct dv_json *overrides, const char *assignment, struct dv_error *reterr);

/* All of them as an object; the caller's. */
struct dv_json *dv_hyperparameters_to_json(const struct dv_hyperparameters *hyperparameters);

/* [{"name", "type", "default", "minimum", "maximum", "choices", "title", "meaning"}, ...]. */
struct dv_json *dv_hyperparameters_catalogue(const struct dv_hyperparameters *defaults);

const char *dv_optimizer_kind_name(enum dv_optimizer_kind kind);
const char *dv_schedule_kind_name(enum dv_schedule_kind kind);
const char *dv_augmentation_name(enum dv_augmentation augmentation);

#endif
