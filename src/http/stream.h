/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_STREAM_H
#define DV_HTTP_STREAM_H

/*
 * A stream of server-sent events in an answer: it asks its source for more when there is room,
 * and is suspended while the source has nothing.
 *
 * Life:    created with the reply, handed to libmicrohttpd with the response, destroyed with that.
 */

struct MHD_Response;
struct dv_http_server;
struct dv_http_stream;

/* Lets go of the source's data. NULL is fine. Returns NULL. */
struct dv_http_stream *dv_http_stream_destroy(struct dv_http_stream *stream);

/* A response that owns the stream; NULL, and the stream gone: no memory. */
struct MHD_Response *dv_http_stream_response(struct dv_http_stream *stream);

/* Under the server's lock: have every source asked again. */
void dv_http_streams_wake(struct dv_http_server *server);

/* Under the server's lock: wake those whose heartbeat is due or whose client has gone. */
void dv_http_streams_tick(struct dv_http_server *server);

#endif
