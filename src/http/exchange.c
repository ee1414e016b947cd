/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from dv_http_exchange_handle(). libmicrohttpd calls it once with the header, then with each
 * piece of the body, then once more at the end. It takes a response in the first call, after which
 * it closes the connection without reading on, and in the last, after which it goes on to the next
 * request; between the two it takes none. So an early refusal goes out in one of four ways:
 *
 *   the framing cannot be believed     in the first call: nothing more may be read
 *   there is no body, or a small one   in the last call: the body is dropped, the connection kept
 *   the client waits for 100 Continue  in the first call: it has sent no body
 *   else                               straight to the socket, and what comes in is dropped until
 *                                      the client has seen the answer and hung up: were the
 *                                      socket closed on it, it would see a reset and no answer
 */

#include "http/exchange.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "http/connection.h"
#include "http/field.h"
#include "http/request.h"
#include "http/server_impl.h"
#include "http/upload.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* --- Connections ------------------------------------------------------------------------------ */

enum MHD_Result dv_http_exchange_accept(
    void *user, const struct sockaddr *address, socklen_t address_size)
{
    (void)address;
    (void)address_size;
    return dv_http_connection_make_room(user) ? MHD_YES : MHD_NO;
}

void dv_http_exchange_connection(void *user, struct MHD_Connection *mhd, void **context,
    enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        *context = dv_http_connection_close(*context);
        return;
    }
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *address =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    *context = dv_http_connection_open(user, fd->connect_fd, address->client_addr);
}

/* --- Replies ---------------------------------------------------------------------------------- */

static enum MHD_Result send_reply(struct dv_http_request *request)
{
    bool is_stream = request->reply.kind == DV_HTTP_REPLY_STREAM;
    struct MHD_Response *response = dv_http_reply_make(request);

    if (!response) {
        return MHD_NO;
    }
    dv_http_connection_set_phase(
        request->connection, is_stream ? DV_HTTP_PHASE_STREAM : DV_HTTP_PHASE_REPLY);
    request->stage = DV_HTTP_STAGE_REPLIED;
    enum MHD_Result result =
        MHD_queue_response(request->mhd, (unsigned)request->reply.code, response);
    MHD_destroy_response(response);
    return result;
}

/* Past libmicrohttpd, which has nothing to send at this moment. */
static enum MHD_Result send_and_linger(struct dv_http_request *request)
{
    struct dv_buffer text = DV_BUFFER_INIT(DV_HTTP_STREAM_BUFFER_MAX);
    int fd = request->connection->fd;

    if (request->reply.kind != DV_HTTP_REPLY_BYTES) {
        return MHD_NO; /* no refusal looks like that */
    }
    dv_http_reply_print(request, &text);
    /* It goes into an empty socket buffer, and what does not is lost to a client that did not read
     * what it was answered before. */
    (void)send(fd, text.data, text.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    dv_buffer_finish(&text);
    dv_http_connection_set_phase(request->connection, DV_HTTP_PHASE_LINGER);
    request->stage = DV_HTTP_STAGE_LINGER;
    return MHD_YES;
}

/* The reply was set in the first call, and the framing can be believed. */
static enum MHD_Result refuse_early(struct dv_http_request *request)
{
    const struct dv_http_framing *framing = &request->framing;

    if (!dv_http_request_has_body(request) || (!framing->expects_continue && !framing->is_chunked &&
                                                  framing->length <= DV_HTTP_DISCARD_SIZE_MAX)) {
        request->stage = DV_HTTP_STAGE_REFUSED;
        dv_http_connection_set_phase(request->connection, DV_HTTP_PHASE_BODY);
        return MHD_YES;
    }
    return framing->expects_continue ? send_reply(request) : send_and_linger(request);
}

/* The reply was set in the middle of the body. */
static enum MHD_Result refuse_late(struct dv_http_request *request, size_t *size)
{
    *size = 0;
    enum MHD_Result result = send_and_linger(request);
    request->upload = dv_http_upload_destroy(request->upload); /* its file need not wait */
    return result;
}

/* --- The first call --------------------------------------------------------------------------- */

void *dv_http_exchange_line(void *user, const char *target, struct MHD_Connection *mhd)
{
    struct dv_http_server *server = user;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct dv_http_connection *connection = info->socket_context;

    if (!target) {
        return NULL;
    }
    pthread_mutex_lock(&server->lock);
    bool is_first = connection->phase == DV_HTTP_PHASE_FIRST;
    server->request_count++;
    pthread_mutex_unlock(&server->lock);
    if (!is_first) {
        dv_http_connection_set_phase(connection, DV_HTTP_PHASE_HEADER);
    }
    return dv_http_request_create(server, connection, mhd, target);
}

size_t dv_http_exchange_unescape(void *user, struct MHD_Connection *mhd, char *text)
{
    (void)user;
    (void)mhd;
    return strlen(text);
}

static enum MHD_Result take_field(void *user, enum MHD_ValueKind kind, const char *name,
    size_t name_size, const char *value, size_t value_size)
{
    struct dv_http_request *request = user;
    struct dv_http_head *head = &request->head;

    (void)kind;
    if (head->field_count < DV_HTTP_FIELD_COUNT_MAX) {
        request->fields[head->field_count] =
            (struct dv_http_head_field){name, name_size, value ? value : "", value_size};
    }
    head->field_count++;
    return MHD_YES;
}

/* 0, or the code to refuse with because the framing cannot be believed. */
static int read_head(struct dv_http_request *request, const char *method, const char *version,
    const char **ret_detail)
{
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    request->head.method = method;
    request->head.version = version;
    request->head.size = size ? size->header_size : 0;
    (void)MHD_get_connection_values_n(request->mhd, MHD_HEADER_KIND, take_field, request);
    int code = dv_http_guard(
        &request->head, &request->server->options.limits, &request->framing, ret_detail);
    if (request->head.field_count > DV_HTTP_FIELD_COUNT_MAX) {
        request->head.field_count = DV_HTTP_FIELD_COUNT_MAX;
    }
    return code;
}

/* Against DNS rebinding: is this a name that the server goes by? */
static bool has_known_host(const struct dv_http_request *request)
{
    const char *const *hosts = request->server->options.hosts;
    const char *host = dv_http_request_header(request, "Host");

    if (!hosts || !host) {
        return !hosts;
    }
    const char *colon = strrchr(host, ':');
    size_t size = colon && !strchr(colon, ']') ? (size_t)(colon - host) : strlen(host);
    for (; *hosts; hosts++) {
        if (strlen(*hosts) == size && strncasecmp(*hosts, host, size) == 0) {
            return true;
        }
    }
    return false;
}

static void find_route(struct dv_http_request *request)
{
    const char *method = request->head.method;
    struct dv_http_match *match = &request->match;
    const char *problem =
        dv_http_target_parse(request->head.whole_target, request->arena, &request->target);

    if (problem) {
        dv_http_reply_problem(request, 400, problem, NULL);
        return;
    }
    dv_http_router_find(request->server->router, method, &request->target, request->arena, match);
    if (match->is_malformed) {
        dv_http_reply_problem(request, 400, "the path is not UTF-8", NULL);
    } else if (!match->allow) {
        dv_http_reply_problem(request, 404, "there is nothing at this path", NULL);
    } else if (!match->route) {
        dv_http_reply_header(request, "Allow", match->allow);
        if (dv_text_equal(method, "OPTIONS")) {
            dv_http_reply_bytes(request, 204, NULL, NULL, 0);
        } else {
            dv_http_reply_problem(request, 405, "this path has no such method", NULL);
        }
    }
}

/* Can the body that is announced be what the route reads? */
static void check_body(struct dv_http_request *request)
{
    const struct dv_http_limits *limits = &request->server->options.limits;
    const char *type = dv_http_request_header(request, "Content-Type");
    bool has_body = dv_http_request_has_body(request);

    switch (request->match.route->body) {
    case DV_HTTP_BODY_NONE:
        if (has_body) {
            dv_http_reply_problem(request, 400, "this call takes no body", NULL);
        }
        return;
    case DV_HTTP_BODY_JSON:
        if (has_body && !dv_field_is_type(type, "application/json")) {
            dv_http_reply_problem(request, 415, "the body must be application/json", NULL);
        } else if (request->framing.length > limits->json_size) {
            dv_http_reply_problem(request, 413, "the body is too long", NULL);
        }
        return;
    case DV_HTTP_BODY_MULTIPART:
        if (!dv_field_is_type(type, "multipart/form-data")) {
            dv_http_reply_problem(request, 415, "the body must be multipart/form-data", NULL);
        } else {
            request->upload = dv_http_upload_create(request);
        }
        return;
    }
}

static void let_in(struct dv_http_request *request)
{
    const struct dv_http_options *options = &request->server->options;

    pthread_mutex_lock(&request->server->lock);
    bool is_stopping = request->server->is_stopping;
    pthread_mutex_unlock(&request->server->lock);
    if (is_stopping) {
        request->framing.must_close = true;
        dv_http_reply_problem(request, 503, "the server is stopping", NULL);
    } else if (!has_known_host(request)) {
        dv_http_reply_problem(request, 421, "this server is not called that", NULL);
    } else {
        find_route(request);
    }
    if (!dv_http_request_is_replied(request) && options->admit) {
        options->admit(request, options->user);
    }
    if (!dv_http_request_is_replied(request) &&
        dv_http_request_header(request, "Content-Encoding")) {
        dv_http_reply_problem(request, 415, "the body must come without a content coding", NULL);
    }
    if (!dv_http_request_is_replied(request)) {
        check_body(request);
    }
}

static enum MHD_Result begin(
    struct dv_http_request *request, const char *method, const char *version)
{
    const char *detail = NULL;

    int code = read_head(request, method, version, &detail);
    if (code != 0) {
        request->framing.must_close = true;
        dv_http_reply_problem(request, code, detail, NULL);
        return send_reply(request);
    }
    let_in(request);
    if (dv_http_request_is_replied(request)) {
        return refuse_early(request);
    }
    request->stage = DV_HTTP_STAGE_BODY;
    dv_http_connection_set_phase(request->connection, DV_HTTP_PHASE_BODY);
    return MHD_YES;
}

/* --- The body --------------------------------------------------------------------------------- */

static void take_text(struct dv_http_request *request, const char *data, size_t size)
{
    if (!dv_http_server_take_memory(request->server, size)) {
        dv_http_reply_problem(request, 503, "too much is being sent at the moment", NULL);
        return;
    }
    request->body_memory += size;
    dv_buffer_append(&request->body, data, size);
    if (request->body.is_over) {
        dv_http_reply_problem(request, 413, "the body is too long", NULL);
    }
}

static enum MHD_Result take_body(struct dv_http_request *request, const char *data, size_t *size)
{
    size_t size_before = *size;
    enum dv_http_progress progress = DV_HTTP_PROGRESS_ON;

    if (request->stage != DV_HTTP_STAGE_BODY) {
        atomic_fetch_add(&request->connection->received, *size);
        *size = 0;
        return MHD_YES;
    }
    if (request->upload) {
        progress = dv_http_upload_feed(request->upload, data, size);
    } else {
        take_text(request, data, *size);
        *size = 0;
    }
    atomic_fetch_add(&request->connection->received, size_before - *size);
    if (progress == DV_HTTP_PROGRESS_LOST) {
        return MHD_NO;
    }
    return dv_http_request_is_replied(request) ? refuse_late(request, size) : MHD_YES;
}

/* --- The last call ---------------------------------------------------------------------------- */

static void parse_json(struct dv_http_request *request)
{
    struct dv_error error;

    if (request->body.size == 0) {
        return;
    }
    enum dv_status status =
        dv_json_parse(request->body.data, request->body.size, &request->json, &error);
    dv_buffer_finish(&request->body);
    if (status != DV_OK) {
        dv_http_reply_problem(request, 400, error.text, NULL);
    }
}

static enum MHD_Result end(struct dv_http_request *request)
{
    const struct dv_http_route *route = request->match.route;

    if (request->stage == DV_HTTP_STAGE_LINGER) {
        return MHD_NO; /* all was read: closing the socket resets nothing */
    }
    if (request->stage == DV_HTTP_STAGE_BODY) {
        dv_http_connection_set_phase(request->connection, DV_HTTP_PHASE_WORKING);
        if (route->body == DV_HTTP_BODY_JSON) {
            parse_json(request);
        } else if (route->body == DV_HTTP_BODY_MULTIPART) {
            enum dv_http_progress progress = dv_http_upload_end(request->upload);
            if (progress == DV_HTTP_PROGRESS_WAITS || progress == DV_HTTP_PROGRESS_LOST) {
                return progress == DV_HTTP_PROGRESS_WAITS ? MHD_YES : MHD_NO;
            }
        }
        if (!dv_http_request_is_replied(request)) {
            route->handle(request, request->server->options.user);
            assert(dv_http_request_is_replied(request));
        }
    }
    return send_reply(request);
}

enum MHD_Result dv_http_exchange_handle(void *user, struct MHD_Connection *mhd, const char *path,
    const char *method, const char *version, const char *data, size_t *size, void **context)
{
    struct dv_http_request *request = *context;

    (void)user;
    (void)mhd;
    (void)path; /* cut off at a NUL that was sent: the guard looks at the whole */
    if (!request) {
        return MHD_NO;
    }
    if (request->stage == DV_HTTP_STAGE_NEW) {
        return begin(request, method, version);
    }
    return *size > 0 ? take_body(request, data, size) : end(request);
}

void dv_http_exchange_done(
    void *user, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
    struct dv_http_server *server = user;
    struct dv_http_request *request = *context;
    const struct dv_http_options *options = &server->options;

    (void)mhd;
    (void)code;
    if (!request) {
        return;
    }
    if (options->on_done &&
        (request->stage == DV_HTTP_STAGE_REPLIED || request->stage == DV_HTTP_STAGE_LINGER)) {
        options->on_done(request, request->reply.code, options->user);
    }
    dv_http_connection_set_phase(request->connection, DV_HTTP_PHASE_IDLE);
    *context = dv_http_request_destroy(request);
    pthread_mutex_lock(&server->lock);
    if (--server->request_count == 0) {
        pthread_cond_broadcast(&server->has_ended);
    }
    pthread_mutex_unlock(&server->lock);
}
