/* SPDX-License-Identifier: Apache-2.0 */
#include "train/strategy.h"
#include "train/strategy_impl.h"

#include "base/text.h"

#include <assert.h>

#define X(name) &dv_strategy_##name,
static const struct dv_strategy *const strategies[] = {DV_STRATEGIES(X)};
#undef X

#define X(name) #name,
static const char *const names[] = {DV_STRATEGIES(X) NULL};
#undef X

const char *const *dv_strategy_names(void)
{
    return names;
}

const struct dv_strategy *dv_strategy_at(size_t index)
{
    return index < DV_ARRAY_SIZE(strategies) ? strategies[index] : NULL;
}

const struct dv_strategy *dv_strategy_find(const char *name)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(strategies); i++) {
        if (dv_text_equal(strategies[i]->name, name)) {
            return strategies[i];
        }
    }
    return NULL;
}

const char *dv_strategy_name(const struct dv_strategy *strategy)
{
    assert(strategy);
    return strategy->name;
}

const char *dv_strategy_title(const struct dv_strategy *strategy)
{
    assert(strategy);
    return strategy->title;
}

bool dv_strategy_has_candidates(const struct dv_strategy *strategy)
{
    assert(strategy);
    return strategy->has_candidates;
}

enum dv_status dv_strategy_validate(
    const struct dv_strategy *strategy, const struct dv_train_task *task, struct dv_error *reterr)
{
    assert(strategy);
    assert(task);
    assert(strategy->validate);

    return strategy->validate(task, reterr);
}

enum dv_status dv_strategy_default_hyperparameters(const struct dv_strategy *strategy,
    const struct dv_train_task *task, struct dv_hyperparameters *ret_hyperparameters,
    struct dv_error *reterr)
{
    assert(strategy);
    assert(task);
    assert(ret_hyperparameters);
    assert(strategy->default_hyperparameters);

    return strategy->default_hyperparameters(task, ret_hyperparameters, reterr);
}

enum dv_status dv_strategy_train(const struct dv_strategy *strategy,
    const struct dv_train_task *task, const struct dv_hyperparameters *hyperparameters,
    struct dv_trained *ret_trained, struct dv_error *reterr)
{
    assert(strategy);
    assert(task);
    assert(hyperparameters);
    assert(ret_trained);
    assert(strategy->train);

    return strategy->train(task, hyperparameters, ret_trained, reterr);
}
