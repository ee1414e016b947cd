/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_ADDRESS_H
#define DV_LLM_ADDRESS_H

/*
 * Where an endpoint may lie. The base URL is the operator's, taken apart strictly here; the
 * address that a name resolves to is checked when it is connected to, so that a name which answers
 * differently the second time gains nothing.
 *
 *   public address            https only
 *   loopback, private         https and http, where the base URL itself says that address (or
 *                             "localhost"), or where the operator lists it
 *   link-local, and the other addresses of clouds' metadata services
 *                             only where the operator lists it
 *   0.0.0.0, multicast, ...   never
 *
 * A list (DV_LLM_ALLOW_ADDRESSES) is "10.0.0.0/8, fd00::1": what is in it may be connected to,
 * with http too.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

#define DV_LLM_URL_SIZE 512u
#define DV_LLM_NETWORKS_MAX 16u

struct dv_llm_network {
    uint8_t bytes[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
};

struct dv_llm_address {
    char url[DV_LLM_URL_SIZE];  /* as given, without a slash at the end */
    char host[DV_LLM_URL_SIZE]; /* without brackets */
    char root[DV_LLM_URL_SIZE]; /* scheme, host and port alone */
    bool is_https;
    bool is_literal; /* the host is an address or "localhost": what it says may be connected to */
    bool is_local;   /* ... on this machine or a private network: slow, and costs nothing */
    struct dv_llm_network networks[DV_LLM_NETWORKS_MAX];
    size_t network_count;
};

/* `allowed` may be NULL. DV_INVALID: the URL or the list is none. DV_DENIED: it may not be used. */
DV_MUST_CHECK enum dv_status dv_llm_address_parse(const char *url, const char *allowed,
    struct dv_llm_address *ret_address, struct dv_error *reterr);

/* May this endpoint be reached there? DV_DENIED: no, and why. */
DV_MUST_CHECK enum dv_status dv_llm_address_check(const struct dv_llm_address *address,
    const struct sockaddr *target, struct dv_error *reterr);

#endif
