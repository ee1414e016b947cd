/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_API_API_H
#define DV_API_API_H

/*
 * The HTTP API of contract/openapi.json over the store: routes as one table (api/routes.c), one
 * file a resource, access and errors each in one place.
 *
 * Life:    dv_api_create(), give dv_api_options() to dv_http_server_start(), dv_api_set_server(),
 *          and after the server's stop dv_api_destroy().
 * Threads: handlers run on the HTTP server's threads; everything here is read-only once started.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_api;
struct dv_http_options;
struct dv_http_server;
struct dv_json;
struct dv_store;
struct dv_supervisor;

/* What is configured of a language model. */
struct dv_api_llm {
    const struct dv_json *settings; /* "url" and "models" are shown; NULL: there is none */
    void *user;
    /* One small call, which may take a quarter of a minute; the caller's (app/llm_check.h). */
    struct dv_json *(*test)(void *user);
};

struct dv_api_options {
    struct dv_store *store;            /* borrowed */
    struct dv_supervisor *supervisor;  /* borrowed */
    const char *data_folder;           /* absolute */
    const struct dv_json *strategies;  /* what `dv worker --describe` printed; borrowed */
    int64_t thread_count;              /* of a worker */
    struct dv_api_llm llm;
    bool is_open;                      /* --no-auth */
};

struct dv_api *dv_api_create(const struct dv_api_options *options);
struct dv_api *dv_api_destroy(struct dv_api *api);

/* Fill in routes, callbacks and user of `ret_options`; host, port and limits are the caller's. */
void dv_api_http_options(struct dv_api *api, struct dv_http_options *ret_options);

/* What to wake when events are committed. */
void dv_api_set_server(struct dv_api *api, struct dv_http_server *server);

/*
 * The owner's token: read from DATA/owner-token, or made and written there (0600), and stored as
 * a hash. The caller's (dv_free).
 */
DV_MUST_CHECK enum dv_status dv_api_owner_token(
    struct dv_store *store, const char *data_folder, char **ret_token, struct dv_error *reterr);

#endif
