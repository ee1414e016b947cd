/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_SERVER_H
#define DV_HTTP_SERVER_H

/*
 * An HTTP/1.1 server over libmicrohttpd that treats every byte as hostile: framing is checked
 * before anything is routed, paths are taken literally, every phase has a deadline and every buffer
 * a maximum. It routes by a table, reads bodies (JSON in memory, multipart streamed to files), and
 * knows nothing of what is served.
 *
 * Life:    dv_http_server_start(), requests, dv_http_server_stop().
 * Threads: handlers run on the server's threads, several at once, one for a request.
 */

#include "base/status.h"
#include "http/route.h"

#include <stdint.h>

struct dv_http_server;

/* Zero means the figure behind it. */
struct dv_http_limits {
    uint32_t connections;             /* 4096 at once; a further one is closed */
    uint32_t connections_per_address; /* 0: as many as there may be in all */
    uint32_t header_seconds;          /* 10, from connecting to the end of the header */
    uint32_t idle_seconds;            /* 60 between requests */
    uint32_t body_grace_seconds; /* 10: after these, and then every rate_seconds, body_rate holds */
    uint32_t body_rate;          /* 8192 bytes a second since it was looked at last */
    uint32_t drain_rate;         /* 4096 bytes a second of an answer; streams are exempt */
    uint32_t rate_seconds;       /* 30 */
    uint32_t header_size;        /* 16384 bytes */
    uint32_t header_count;       /* 64 */
    uint32_t target_size;        /* 8192 bytes */
    uint32_t json_size;          /* 1 MiB */
    uint32_t stream_count;       /* 256 SSE streams at once; more is 503 */
    uint32_t heartbeat_seconds;  /* 15 between those of a stream */
    uint32_t upload_count;       /* 64 multipart bodies at once; more is 503 */
};

struct dv_http_options {
    const char *host; /* "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;    /* 0: any that is free */
    const struct dv_http_route
        *routes; /* ends with an entry without a method; the longest match wins */
    void *user;  /* handed to every callback of a route */
    /*
     * Asked once the route is known, before a byte of the body is read; refuses by replying.
     * NULL: everything is let in.
     */
    void (*admit)(struct dv_http_request *request, void *user);
    /* Seen once a request is answered, for counting; may be NULL. */
    void (*on_done)(const struct dv_http_request *request, int code, void *user);
    /* Names that a Host header may have, NULL at the end (against DNS rebinding); NULL: any. */
    const char *const *hosts;
    struct dv_http_limits limits;
};

/* DV_CONFLICT: the address is in use. */
DV_MUST_CHECK enum dv_status dv_http_server_start(const struct dv_http_options *options,
    struct dv_http_server **ret_server, struct dv_error *reterr);

/* Where it listens: "http://127.0.0.1:8080". Borrowed. */
const char *dv_http_server_url(const struct dv_http_server *server);

/* Wake every stream to ask its source again. From any thread; quick. */
void dv_http_server_wake_streams(struct dv_http_server *server);

/* Requests under way get a moment to end, streams are closed, the rest is cut. Returns NULL. */
struct dv_http_server *dv_http_server_stop(struct dv_http_server *server);

#endif
