/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_STRATEGY_IMPL_H
#define DV_TRAIN_STRATEGY_IMPL_H

/*
 * What a strategy is made of. Only train/strategy.c and the strategies include this.
 *
 * Adding a strategy `foo`:
 *   1. train/strategy_foo.c with the constant dv_strategy_foo;
 *   2. list it in DV_STRATEGIES below and the file in meson.build;
 *   3. tests/conformance/strategies.c runs over it by itself.
 * A strategy keeps nothing between calls but what is in the job's folder.
 */

#include "train/strategy.h"

#include <stdbool.h>

struct dv_strategy {
    const char *name;  /* in job specs: "native" */
    const char *title; /* for people */
    bool has_candidates; /* train() tries several networks, each with its own attempts */

    /* Required: called before anything else. */
    enum dv_status (*validate)(const struct dv_train_task *task, struct dv_error *reterr);

    /* Required: called once validate() was content. */
    enum dv_status (*default_hyperparameters)(const struct dv_train_task *task,
        struct dv_hyperparameters *ret_hyperparameters, struct dv_error *reterr);

    /* Required: called with merged, range-checked hyperparameters. */
    enum dv_status (*train)(const struct dv_train_task *task,
        const struct dv_hyperparameters *hyperparameters, struct dv_trained *ret_trained,
        struct dv_error *reterr);
};

/* The strategies there are: X(native) is the constant dv_strategy_native and "native" in jobs. */
#define DV_STRATEGIES(X) X(native) X(search) X(llm)

#define X(name) extern const struct dv_strategy dv_strategy_##name;
DV_STRATEGIES(X)
#undef X

/* What `search` and `llm` have in common. */
enum dv_status dv_strategy_search_validate(
    const struct dv_train_task *task, struct dv_error *reterr);
enum dv_status dv_strategy_search_defaults(const struct dv_train_task *task,
    struct dv_hyperparameters *ret_hyperparameters, struct dv_error *reterr);

#endif
