/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_REPLY_H
#define DV_HTTP_REPLY_H

/*
 * The answer of a request, kept until the callbacks of its route have returned, and then handed to
 * libmicrohttpd; or printed, for the one case in which that takes none (exchange.c).
 */

#include "http/http_limits.h"
#include "http/target.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Response;
struct dv_buffer;
struct dv_http_request;
struct dv_http_stream;

enum dv_http_reply_kind {
    DV_HTTP_REPLY_BYTES,
    DV_HTTP_REPLY_FILE,
    DV_HTTP_REPLY_STREAM,
};

struct dv_http_reply {
    int code; /* 0: there is none yet */
    enum dv_http_reply_kind kind;
    const char *type;                                            /* NULL: no body */
    struct dv_http_pair headers[DV_HTTP_REPLY_HEADER_COUNT_MAX]; /* in the request's arena */
    size_t header_count;
    char *owned;       /* bytes to be freed; NULL where `bytes` are a constant */
    const void *bytes; /* of BYTES */
    int fd;            /* of FILE: ours until it was handed over */
    uint64_t offset;
    uint64_t size; /* of BYTES and FILE */
    struct dv_http_stream *stream;
};

/* A response that has taken over what the reply held; NULL: no memory. */
struct MHD_Response *dv_http_reply_make(struct dv_http_request *request);

/* The whole answer as bytes, to end the connection with. Only for BYTES. */
void dv_http_reply_print(const struct dv_http_request *request, struct dv_buffer *text);

/* Let go of what was not handed over. */
void dv_http_reply_finish(struct dv_http_reply *reply);

/* "Not Found". */
const char *dv_http_code_title(int code);

#endif
