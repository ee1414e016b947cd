/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_EXCHANGES_H
#define DV_STORE_EXCHANGES_H

/*
 * Rows of `llm_exchanges`, one for each question that a job asked of a language model: number,
 * purpose, outcome, reason, model, request, request_hash (SHA-256 of the request as text),
 * response (the reply with every exchange that it took, masked), prompt_tokens, completion_tokens,
 * dollars, latency_ms, created_at. A row is written before its answer is used and never changed:
 * who asks a number again is given the same answer.
 */

#include "base/status.h"
#include "store/store.h"

struct dv_exchange {
    int64_t number;
    const char *purpose, *outcome;
    const char *reason, *model; /* NULL: none */
    const char *request;        /* JSON, as it was sent */
    const char *response;       /* JSON; {} where nobody answered */
    int64_t prompt_tokens, completion_tokens, latency_ms;
    double dollars;
};

/*
 * Of the running job. A number that is there already is left as it is.
 * DV_CONFLICT: the job is another's now.
 */
DV_MUST_CHECK enum dv_status dv_exchanges_put(struct dv_store *store, const char *job_id,
    int64_t fence, const struct dv_exchange *exchange, struct dv_error *reterr);

/* DV_NOT_FOUND: this one was not answered yet. */
DV_MUST_CHECK enum dv_status dv_exchanges_get(struct dv_store *store, const char *job_id,
    int64_t number, struct dv_json **ret_row, struct dv_error *reterr);

/* Those of a job in order of number, as a list. */
DV_MUST_CHECK enum dv_status dv_exchanges_list(struct dv_store *store, const char *job_id,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr);

/* Within a transaction: {"questions", "answered", "prompt_tokens", "completion_tokens", "dollars"}. */
DV_MUST_CHECK enum dv_status dv_exchange_bill(struct dv_store *store, const char *job_id,
    struct dv_json **ret_bill, struct dv_error *reterr);

#endif
