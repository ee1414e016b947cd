/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_RATE_H
#define DV_LLM_RATE_H

/*
 * What an endpoint says about how much may be asked, and when again: the headers of every answer,
 * and the words of a refusal.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DV_LLM_UNKNOWN (-1)

/* Of one answer; what it did not say is DV_LLM_UNKNOWN. */
struct dv_llm_rate {
    int64_t retry_after_ms;
    int64_t tokens_limit;     /* per minute */
    int64_t tokens_remaining;
    int64_t tokens_reset_ms;
    int64_t requests_remaining;
    int64_t requests_reset_ms;
};

/* Nothing known. */
struct dv_llm_rate dv_llm_rate_none(void);

/* Take in one header line ("name: value"), if it is one of these; true then. */
bool dv_llm_rate_header(struct dv_llm_rate *rate, const char *line, size_t size, int64_t now_s);

/*
 * How long to wait for a text to hold again, DV_LLM_UNKNOWN if it does not say: "2m59.56s" (Go),
 * "7.5" (seconds). At most a year comes out, whatever is written.
 */
int64_t dv_llm_rate_duration_ms(const char *text);

/* The same out of "... Please try again in 5.289s." */
int64_t dv_llm_rate_try_again_ms(const char *message);

/* The wait that a refusal with these asks for: as said, or when the tokens are there again. */
int64_t dv_llm_rate_wait_ms(const struct dv_llm_rate *rate, const char *message);

#endif
