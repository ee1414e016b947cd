/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_PROMPT_H
#define DV_TRAIN_PROMPT_H

/*
 * What a language model is told. The first message is the same in every question, so that endpoints
 * may keep it: how a network is written and what tends to work. The second is made anew from the
 * history each time: the task and its limits, candidates worst first, the parent in full, what is
 * wanted. No figure of the test split is in a history, so none is in a prompt.
 *
 * Names of classes and former answers are other people's words: they are quoted, shortened and
 * never more than data here.
 *
 * Method: the prompts of the search that docs/decisions/0005-search.md describes; sizes are bounded
 * (DV_PROMPT_SIZE_MAX each) whatever the data set and however long the search.
 */

#include "train/proposer.h"

struct dv_json;
struct dv_problems;

#define DV_PROMPT_SIZE_MAX 24576 /* bytes of a message */

/* A document of llm/question.h; the caller's. */
struct dv_json *dv_prompt_question(
    const struct dv_search_history *history, const struct dv_slot *slot);

/* The same, to have a proposal mended that the gate refused for `problems`. */
struct dv_json *dv_prompt_repair(const struct dv_search_history *history,
    const struct dv_slot *slot, const struct dv_proposal *refused,
    const struct dv_problems *problems);

#endif
