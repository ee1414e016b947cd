/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_REQUEST_H
#define DV_HTTP_REQUEST_H

/*
 * A request while it is answered, on the thread of its connection. What handlers see of it is in
 * route.h.
 */

#include "base/buffer.h"
#include "http/guard.h"
#include "http/http_limits.h"
#include "http/reply.h"
#include "http/route.h"
#include "http/router.h"
#include "http/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;
struct dv_arena;
struct dv_http_connection;
struct dv_http_server;
struct dv_http_upload;

enum dv_http_stage {
    DV_HTTP_STAGE_NEW,     /* its first line is there */
    DV_HTTP_STAGE_BODY,    /* let in: the body follows, or its end at once */
    DV_HTTP_STAGE_REFUSED, /* the reply goes out when the body, which is dropped, has ended */
    DV_HTTP_STAGE_LINGER,  /* the reply is out, the body is dropped, then the connection ends */
    DV_HTTP_STAGE_REPLIED, /* the reply is libmicrohttpd's */
};

struct dv_http_request {
    struct dv_http_server *server;
    struct dv_http_connection *connection;
    struct MHD_Connection *mhd;
    struct dv_arena *arena;
    enum dv_http_stage stage;

    struct dv_http_head_field fields[DV_HTTP_FIELD_COUNT_MAX];
    struct dv_http_head head;
    struct dv_http_framing framing;
    struct dv_http_target target;
    struct dv_http_match match;

    struct dv_buffer body;
    size_t body_memory; /* taken of the server's */
    struct dv_json *json;
    struct dv_http_upload *upload;

    struct dv_http_reply reply;
    void *data;
    void (*free_data)(void *data);
};

struct dv_http_request *dv_http_request_create(struct dv_http_server *server,
    struct dv_http_connection *connection, struct MHD_Connection *mhd, const char *target);

/* Frees everything, an unfinished upload and an unsent reply too. Returns NULL. */
struct dv_http_request *dv_http_request_destroy(struct dv_http_request *request);

bool dv_http_request_has_body(const struct dv_http_request *request);

#endif
