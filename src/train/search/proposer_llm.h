/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_PROPOSER_LLM_H
#define DV_TRAIN_PROPOSER_LLM_H

/*
 * The proposer that asks a language model, through the callbacks of the job. It asks for a slot
 * while the candidate before it trains, so that the endpoint's delay costs nothing, and a question
 * has a number (slot and attempt), so that a search that is gone on with hears the same answer.
 */

#include "train/proposer.h"

#include <stdint.h>

struct dv_train_callbacks;

struct dv_proposer_llm {
    const struct dv_train_callbacks *callbacks; /* with ask and hear */
    int64_t asked;                              /* the last question that was asked; -1: none */
    uint32_t attempt;                           /* of the slot; 0: as proposed */
};

/*
 * The proposer's self is `llm`, the caller's. propose(), repair(): DV_UNAVAILABLE: the language
 * model has not answered, and why.
 */
struct dv_proposer dv_proposer_llm_init(
    struct dv_proposer_llm *llm, const struct dv_train_callbacks *callbacks);

#endif
