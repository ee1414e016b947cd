/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_CLIENT_CLIENT_H
#define DV_CLIENT_CLIENT_H

/*
 * A client of the HTTP API, for the command line: over libcurl, so that https, proxies and IPv6
 * are somebody's well-kept work.
 *
 * Life:    dv_client_create(), calls, dv_client_destroy().
 * Threads: one at a time.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_client;
struct dv_json;

struct dv_client_options {
    const char *url;   /* "http://127.0.0.1:8080" */
    const char *token; /* "dv_..."; NULL: none */
    int interrupt_fd;  /* when readable, calls end with DV_CANCELLED; 0: none */
    double patience;   /* seconds without an answer after which a stream is given up */
};

DV_MUST_CHECK enum dv_status dv_client_create(const struct dv_client_options *options,
    struct dv_client **ret_client, struct dv_error *reterr);
struct dv_client *dv_client_destroy(struct dv_client *client);

/* From now on calls are made to their end: for what is left to say after an interrupt. */
void dv_client_ignore_interrupts(struct dv_client *client);

/*
 * One call. `body` NULL: none. The answer (the caller's) may be NULL where there is none. A problem
 * document becomes a status (404: DV_NOT_FOUND, 409: DV_CONFLICT, 422: DV_INVALID, 503 and no
 * answer at all: DV_UNAVAILABLE, 507: DV_NO_SPACE, 401 and 403: DV_DENIED) and its detail, with
 * its pointers, the message.
 */
DV_MUST_CHECK enum dv_status dv_client_call(struct dv_client *client, const char *method,
    const char *path, const struct dv_json *body, struct dv_json **ret_answer,
    struct dv_error *reterr);

/* POST multipart/form-data: text fields (an object of strings), then `file_path` streamed as "file". */
DV_MUST_CHECK enum dv_status dv_client_upload(struct dv_client *client, const char *path,
    const struct dv_json *fields, const char *file_path,
    void (*on_progress)(void *user, uint64_t sent, uint64_t total), void *user,
    struct dv_json **ret_answer, struct dv_error *reterr);

/* GET into a file, made whole or not at all. */
DV_MUST_CHECK enum dv_status dv_client_download(
    struct dv_client *client, const char *path, const char *file_path, struct dv_error *reterr);

/*
 * Follow an SSE stream from the event after `*last_id` until `on_event` returns false; a lost
 * connection is taken up again with Last-Event-ID, until nothing was heard for as long as the
 * client's patience (then DV_UNAVAILABLE). `*last_id` becomes that of the last event.
 */
DV_MUST_CHECK enum dv_status dv_client_follow(struct dv_client *client, const char *path,
    int64_t *last_id,
    bool (*on_event)(void *user, int64_t id, const char *type, const struct dv_json *data),
    void *user, struct dv_error *reterr);

#endif
