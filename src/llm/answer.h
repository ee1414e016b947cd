/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_ANSWER_H
#define DV_LLM_ANSWER_H

/*
 * The JSON object in what a model wrote: alone, in a fence, after its thoughts, with prose around
 * it. Strict about the object itself, and bounded: hostile text costs a few passes over it.
 */

#include "base/status.h"

#include <stddef.h>

struct dv_json;

#define DV_LLM_ANSWER_SIZE_MAX 65536u /* of the object */
#define DV_LLM_ANSWER_DEPTH_MAX 16u
#define DV_LLM_ANSWER_TRIES_MAX 8u /* places where one may begin */

/*
 * The first balanced {...} that is JSON; the caller's. DV_INVALID: there is none, or it is cut
 * off, has a key twice, is nested too deep. DV_TOO_LARGE: it is over the limit.
 */
DV_MUST_CHECK enum dv_status dv_llm_answer_extract(
    const char *text, size_t size, struct dv_json **ret_answer, struct dv_error *reterr);

/* The same, where nothing but blanks may stand around it. */
DV_MUST_CHECK enum dv_status dv_llm_answer_parse(
    const char *text, size_t size, struct dv_json **ret_answer, struct dv_error *reterr);

#endif
