/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_BREAKER_H
#define DV_LLM_BREAKER_H

/*
 * After three questions in a row that got no answer, the next five are not asked; then one is, to
 * see. A run that asks goes on without answers meanwhile.
 */

#include <stdbool.h>

#define DV_LLM_BREAKER_FAILURES 3u
#define DV_LLM_BREAKER_SKIPS 5u

/* All zero at first. */
struct dv_llm_breaker {
    unsigned failures; /* in a row */
    unsigned skips;    /* questions that are still not to be asked */
};

/* May this question be asked? If not, it has been counted. */
bool dv_llm_breaker_admits(struct dv_llm_breaker *breaker);

/* How one that was asked went. */
void dv_llm_breaker_note(struct dv_llm_breaker *breaker, bool is_success);

#endif
