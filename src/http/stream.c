/* SPDX-License-Identifier: Apache-2.0 */
#include "http/stream.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "http/connection.h"
#include "http/http_limits.h"
#include "http/request.h"
#include "http/route.h"
#include "http/server_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <poll.h>
#include <string.h>

#define PIECE_SIZE 16384 /* what the library asks for at once */
/* A source that says "ask again" and gives nothing, as one that filters does, is asked so often
 * before the thread sees to its other connections. */
#define ASK_COUNT_MAX 16

struct dv_http_stream {
    struct dv_http_server *server;
    struct MHD_Connection *mhd;
    int fd;
    struct dv_http_stream_source source;
    struct dv_buffer pending; /* events, not sent yet from `sent` on */
    size_t sent;
    bool has_ended;

    /* Under the server's lock. */
    struct dv_http_stream *previous, *next;
    uint64_t heartbeat_ns; /* when the last was asked for */
    bool is_beating;       /* one is due */
    bool is_woken;
    bool is_suspended;
    bool is_gone; /* the client has hung up */
};

/* --- Life ------------------------------------------------------------------------------------- */

static bool link_stream(struct dv_http_stream *stream)
{
    struct dv_http_server *server = stream->server;

    pthread_mutex_lock(&server->lock);
    bool has_room = server->stream_count < server->options.limits.stream_count;
    if (has_room) {
        server->stream_count++;
        stream->next = server->streams;
        if (server->streams) {
            server->streams->previous = stream;
        }
        server->streams = stream;
    }
    pthread_mutex_unlock(&server->lock);
    return has_room;
}

static void unlink_stream(struct dv_http_stream *stream)
{
    struct dv_http_server *server = stream->server;

    pthread_mutex_lock(&server->lock);
    if (stream->previous) {
        stream->previous->next = stream->next;
    } else {
        server->streams = stream->next;
    }
    if (stream->next) {
        stream->next->previous = stream->previous;
    }
    server->stream_count--;
    pthread_mutex_unlock(&server->lock);
}

static void free_source(const struct dv_http_stream_source *source)
{
    if (source->free_data) {
        source->free_data(source->data);
    }
}

void dv_http_reply_stream(
    struct dv_http_request *request, const struct dv_http_stream_source *source)
{
    struct dv_http_stream *stream = dv_alloc(sizeof(*stream));

    stream->server = request->server;
    stream->mhd = request->mhd;
    stream->fd = request->connection->fd;
    stream->source = *source;
    stream->pending = (struct dv_buffer)DV_BUFFER_INIT(DV_HTTP_STREAM_BUFFER_MAX);
    stream->heartbeat_ns = dv_clock_monotonic_ns();
    if (!link_stream(stream)) {
        free_source(source);
        dv_free(stream);
        dv_http_reply_problem(request, 503, "too many event streams are open", NULL);
        return;
    }
    dv_buffer_printf(&stream->pending, "retry: %d\n\n", DV_HTTP_RETRY_MS);
    dv_http_reply_header(request, "X-Accel-Buffering", "no");
    request->reply.code = 200;
    request->reply.kind = DV_HTTP_REPLY_STREAM;
    request->reply.type = "text/event-stream";
    request->reply.stream = stream;
}

struct dv_http_stream *dv_http_stream_destroy(struct dv_http_stream *stream)
{
    if (!stream) {
        return NULL;
    }
    unlink_stream(stream);
    free_source(&stream->source);
    dv_buffer_finish(&stream->pending);
    return dv_free(stream);
}

/* --- Events ----------------------------------------------------------------------------------- */

void dv_http_stream_event(
    struct dv_http_stream *stream, int64_t id, const char *type, const struct dv_json *json)
{
    DV_CLEANUP(dv_freep) char *data = dv_json_print(json);

    assert(!strpbrk(type, "\r\n"));
    size_t size_before = stream->pending.size;
    if (stream->pending.is_over) {
        return; /* nothing may follow what was dropped: the client asks again after the last id */
    }
    if (id != 0) {
        dv_buffer_printf(&stream->pending, "id: %" PRId64 "\n", id);
    }
    dv_buffer_printf(&stream->pending, "event: %s\ndata: ", type);
    dv_buffer_append_text(&stream->pending, data);
    dv_buffer_append_text(&stream->pending, "\n\n");
    if (stream->pending.is_over) { /* no half of an event */
        stream->pending.size = size_before;
        stream->pending.data[size_before] = '\0';
    }
}

struct orders {
    bool is_beating;
    bool is_over;
};

static struct orders take_orders(struct dv_http_stream *stream)
{
    pthread_mutex_lock(&stream->server->lock);
    struct orders orders = {.is_beating = stream->is_beating,
        .is_over = stream->is_gone || stream->server->is_stopping};
    stream->is_beating = false;
    stream->is_woken = false;
    pthread_mutex_unlock(&stream->server->lock);
    return orders;
}

/* Suspend until the next wake; false: there has been one meanwhile. */
static bool fall_asleep(struct dv_http_stream *stream)
{
    pthread_mutex_lock(&stream->server->lock);
    bool can_sleep = !stream->is_woken && !stream->server->is_stopping && !stream->is_gone;
    if (can_sleep) {
        stream->is_suspended = true;
        MHD_suspend_connection(stream->mhd);
    }
    pthread_mutex_unlock(&stream->server->lock);
    return can_sleep;
}

/* Ask the source until there is something to send or nothing to be had; true: it sleeps. */
static bool gather(struct dv_http_stream *stream)
{
    for (int count = 0; stream->pending.size == stream->sent && !stream->has_ended; count++) {
        struct orders orders = take_orders(stream);
        if (orders.is_over) {
            stream->has_ended = true;
            return false;
        }
        if (orders.is_beating) {
            dv_buffer_append_text(&stream->pending, ": still here\n\n");
        }
        enum dv_status status = stream->source.next(stream, stream->source.data);
        stream->has_ended = (status != DV_OK && status != DV_NOT_FOUND) || stream->pending.is_over;
        bool is_empty = stream->pending.size == stream->sent;
        if (status == DV_NOT_FOUND && is_empty && fall_asleep(stream)) {
            return true;
        }
        if (status == DV_OK && is_empty && count >= ASK_COUNT_MAX && fall_asleep(stream)) {
            dv_http_server_wake_streams(stream->server);
            return true;
        }
    }
    return false;
}

/* For libmicrohttpd: up to `size` bytes; 0 once suspended. */
static ssize_t read_stream(void *user, uint64_t position, char *buffer, size_t size)
{
    struct dv_http_stream *stream = user;

    (void)position;
    if (gather(stream)) {
        return 0;
    }
    size_t left = stream->pending.size - stream->sent;
    if (left == 0) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (size > left) {
        size = left;
    }
    memcpy(buffer, stream->pending.data + stream->sent, size);
    stream->sent += size;
    if (stream->sent == stream->pending.size) {
        dv_buffer_consume(&stream->pending, stream->sent);
        stream->sent = 0;
    }
    return (ssize_t)size;
}

static void free_stream(void *user)
{
    (void)dv_http_stream_destroy(user);
}

struct MHD_Response *dv_http_stream_response(struct dv_http_stream *stream)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, PIECE_SIZE, read_stream, stream, free_stream);

    if (!response) {
        (void)dv_http_stream_destroy(stream);
    }
    return response;
}

/* --- The reaper's side ------------------------------------------------------------------------ */

static void wake(struct dv_http_stream *stream)
{
    stream->is_woken = true;
    if (stream->is_suspended) {
        stream->is_suspended = false;
        MHD_resume_connection(stream->mhd);
    }
}

void dv_http_streams_wake(struct dv_http_server *server)
{
    for (struct dv_http_stream *at = server->streams; at; at = at->next) {
        wake(at);
    }
}

/* A suspended connection is not watched by the library. */
static bool has_hung_up(const struct dv_http_stream *stream)
{
    struct pollfd poll_fd = {.fd = stream->fd, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) == 1;
}

void dv_http_streams_tick(struct dv_http_server *server)
{
    uint64_t now_ns = dv_clock_monotonic_ns();
    uint64_t interval_ns = server->options.limits.heartbeat_seconds * 1000000000ull;

    for (struct dv_http_stream *at = server->streams; at; at = at->next) {
        if (!at->is_suspended) {
            continue; /* the library watches the socket; a heartbeat would only queue up */
        }
        at->is_gone = has_hung_up(at);
        at->is_beating = now_ns - at->heartbeat_ns >= interval_ns;
        if (at->is_beating) {
            at->heartbeat_ns = now_ns;
        }
        if (at->is_gone || at->is_beating) {
            wake(at);
        }
    }
}
