/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_TRANSPORT_H
#define DV_LLM_TRANSPORT_H

/*
 * One HTTP exchange with the endpoint, over libcurl: certificates are verified, redirects and
 * proxies are not followed, the address is checked when it is connected to, the answer is bounded
 * in size and in time.
 *
 * Life:    dv_llm_transport_create(), exchange, dv_llm_transport_destroy().
 * Threads: one at a time.
 */

#include "base/status.h"
#include "llm/rate.h"
#include "llm/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_llm_address;
struct dv_llm_transport;

#define DV_LLM_BODY_SIZE_MAX (1u << 20)
#define DV_LLM_REQUEST_ID_SIZE 80u

struct dv_llm_transport_options {
    const struct dv_llm_address *address; /* borrowed until it is destroyed */
    const char *key;                      /* NULL: none; copied */
    const char *ca_file;                  /* NULL: the system's */
    bool (*is_cancelled)(void *user);     /* asked a few times a second; NULL: never */
    void *user;
};

struct dv_llm_exchange {
    const char *url;
    const char *body; /* NULL: GET */
    int64_t connect_timeout_ms;
    int64_t total_timeout_ms;
    int64_t body_timeout_ms; /* from the first byte of the answer to its last */
};

struct dv_llm_response {
    int status;                  /* 0: there was no answer; `failure` says why */
    enum dv_llm_verdict failure; /* NETWORK, ENDLESS, DESTINATION, CANCELLED */
    char reason[DV_LLM_REASON_SIZE];
    char *body; /* dv_free(); never NULL; the key is masked */
    size_t size;
    struct dv_llm_rate rate;
    char request_id[DV_LLM_REQUEST_ID_SIZE];
};

/* What has to be loaded before a process locks itself in. */
DV_MUST_CHECK enum dv_status dv_llm_transport_prepare(struct dv_error *reterr);

DV_MUST_CHECK enum dv_status dv_llm_transport_create(const struct dv_llm_transport_options *options,
    struct dv_llm_transport **ret_transport, struct dv_error *reterr);
struct dv_llm_transport *dv_llm_transport_destroy(struct dv_llm_transport *transport);

/* The caller frees ret_response->body. */
void dv_llm_transport_exchange(struct dv_llm_transport *transport,
    const struct dv_llm_exchange *exchange, struct dv_llm_response *ret_response);

#endif
