/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_QUESTION_H
#define DV_LLM_QUESTION_H

/*
 * Questions and replies as documents, for those who ask from another process (`dv llm`,
 * wire/message.h). What is short stands in the message itself.
 *
 *   question  {"messages": [{"role", "content"}, ...], "short_messages": ...|null, "schema": {...}|null,
 *              "schema_name": "..."|null, "temperature": 0.4, "output_max": 0, "seed": -1}
 *   reply     {"answer": {...}|null, "mismatch": "..."|null, "rung": "strict", "is_prompt_cut": false,
 *              "exchanges": [...], "memory": {...}}
 */

#include "base/status.h"

#include <stddef.h>

struct dv_json;
struct dv_llm;
struct dv_llm_question;
struct dv_llm_reply;

#define DV_LLM_QUESTION_SIZE_MAX (4u << 20)
#define DV_LLM_REPLY_SIZE_MAX (16u << 20) /* 16 exchanges, each with what was asked and answered */

struct dv_json *dv_llm_question_to_json(const struct dv_llm_question *question);

/* Borrows from `json`. DV_INVALID: not to the letter; whether it may be asked dv_llm_ask() says. */
DV_MUST_CHECK enum dv_status dv_llm_question_from_json(
    const struct dv_json *json, struct dv_llm_question *ret_question, struct dv_error *reterr);

/* With what `llm` has learned. */
struct dv_json *dv_llm_reply_to_json(const struct dv_llm_reply *reply, const struct dv_llm *llm);

/* DV_INVALID: not to the letter. */
DV_MUST_CHECK enum dv_status dv_llm_reply_validate(
    const struct dv_json *json, struct dv_error *reterr);

#endif
