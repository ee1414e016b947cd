/* SPDX-License-Identifier: Apache-2.0 */
#include "train/candidate.h"

#include "base/json.h"
#include "base/macro.h"
#include "train/proposer.h"

#include <assert.h>

#define X(code, name) [DV_OPERATOR_##code] = (name),
static const char *const operators[] = {DV_OPERATOR_MAP(X)};
#undef X
#define X(code, name) [DV_PROPOSAL_SOURCE_##code] = (name),
static const char *const sources[] = {DV_PROPOSAL_SOURCE_MAP(X)};
#undef X
#define X(code, name) [DV_CANDIDATE_##code] = (name),
static const char *const statuses[] = {DV_CANDIDATE_STATUS_MAP(X)};
#undef X
#define X(code, name) [DV_VERDICT_##code] = (name),
static const char *const verdicts[] = {DV_VERDICT_MAP(X)};
#undef X

const char *dv_operator_name(enum dv_operator operator_)
{
    assert(operator_ < DV_OPERATOR_COUNT);
    return operators[operator_];
}

const char *dv_proposal_source_name(enum dv_proposal_source source)
{
    assert(source < DV_PROPOSAL_SOURCE_COUNT);
    return sources[source];
}

const char *dv_candidate_status_name(enum dv_candidate_status status)
{
    assert(status < DV_CANDIDATE_STATUS_COUNT);
    return statuses[status];
}

const char *dv_verdict_name(enum dv_verdict verdict)
{
    assert(verdict < DV_VERDICT_COUNT);
    return verdicts[verdict];
}

struct dv_json *dv_candidate_recipe(const struct dv_candidate *candidate)
{
    static const char *const others[] = {
        "dropout", "epochs", "ema", "image_size", "early_stopping_patience", "seed"};
    struct dv_json *recipe = dv_hyperparameters_to_json(&candidate->hyperparameters);

    for (size_t i = 0; i < DV_ARRAY_SIZE(others); i++) {
        dv_json_remove(recipe, others[i]);
    }
    return recipe;
}

const struct dv_candidate *dv_search_history_find(
    const struct dv_search_history *history, uint32_t iteration)
{
    assert(history);
    for (size_t i = 0; iteration > 0 && i < history->count; i++) {
        if (history->candidates[i].iteration == iteration) {
            return &history->candidates[i];
        }
    }
    return NULL;
}
