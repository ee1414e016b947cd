/* SPDX-License-Identifier: Apache-2.0 */
#include "http/reply.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"
#include "http/request.h"
#include "http/route.h"
#include "http/stream.h"

#include <assert.h>
#include <microhttpd.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STANDARD_COUNT 8
#define RETRY_AFTER "5" /* seconds, where the route said nothing better */

/* A page of ours may load what comes from here and nothing else. */
static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'";
/* Whatever else a browser opens as a document, an uploaded file say, can do nothing at all. */
static const char data_policy[] = "default-src 'none'; frame-ancestors 'none'; sandbox";

const char *dv_http_code_title(int code)
{
    return MHD_get_reason_phrase_for((unsigned)code);
}

/* --- Headers ---------------------------------------------------------------------------------- */

static bool has_header(const struct dv_http_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->header_count; i++) {
        if (dv_text_equal_nocase(reply->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* Those that every answer has, less those the route set itself. */
static size_t list_headers(const struct dv_http_request *request,
    struct dv_http_pair ret_list[static DV_HTTP_REPLY_HEADER_COUNT_MAX + STANDARD_COUNT + 1])
{
    const struct dv_http_reply *reply = &request->reply;
    bool is_page = reply->type && dv_text_has_prefix(reply->type, "text/html");
    bool is_later = reply->code == 429 || reply->code == 503;
    const struct dv_http_pair standard[STANDARD_COUNT] = {
        {"Content-Type", reply->type},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Content-Security-Policy", is_page ? page_policy : data_policy},
        {"Cache-Control", "no-store"},
        {"Retry-After", is_later ? RETRY_AFTER : NULL},
    };
    size_t count = reply->header_count;

    memcpy(ret_list, reply->headers, count * sizeof(*ret_list));
    for (size_t i = 0; i < STANDARD_COUNT; i++) {
        if (standard[i].value && !has_header(reply, standard[i].name)) {
            ret_list[count++] = standard[i];
        }
    }
    if (request->framing.must_close) {
        ret_list[count++] = (struct dv_http_pair){"Connection", "close"};
    }
    return count;
}

void dv_http_reply_header(struct dv_http_request *request, const char *name, const char *value)
{
    struct dv_http_reply *reply = &request->reply;

    assert(reply->header_count < DV_HTTP_REPLY_HEADER_COUNT_MAX);
    assert(!strpbrk(value, "\r\n")); /* what goes in here is ours, or was checked */
    reply->headers[reply->header_count].name = dv_arena_strdup(request->arena, name);
    reply->headers[reply->header_count].value = dv_arena_strdup(request->arena, value);
    reply->header_count++;
}

/* --- Setting it ------------------------------------------------------------------------------- */

static struct dv_http_reply *begin(struct dv_http_request *request, int code, const char *type)
{
    struct dv_http_reply *reply = &request->reply;

    assert(reply->code == 0); /* once */
    assert(code >= 200 && code <= 599);
    reply->code = code;
    reply->type = type ? dv_arena_strdup(request->arena, type) : NULL;
    return reply;
}

static void reply_owned(struct dv_http_request *request, int code, const char *type, char *bytes)
{
    struct dv_http_reply *reply = begin(request, code, type);

    reply->owned = bytes;
    reply->bytes = bytes;
    reply->size = strlen(bytes);
}

void dv_http_reply_bytes(
    struct dv_http_request *request, int code, const char *type, const void *data, size_t size)
{
    struct dv_http_reply *reply = begin(request, code, type);

    if (size > 0) {
        reply->owned = dv_alloc(size);
        memcpy(reply->owned, data, size);
    }
    reply->bytes = reply->owned;
    reply->size = size;
}

void dv_http_reply_json(struct dv_http_request *request, int code, struct dv_json *json)
{
    reply_owned(request, code, "application/json", dv_json_print(json));
    dv_json_unref(json);
}

void dv_http_reply_problem(
    struct dv_http_request *request, int code, const char *detail, struct dv_json *errors)
{
    struct dv_json *problem = dv_json_object();

    dv_json_set_string(problem, "type", "about:blank");
    dv_json_set_string(problem, "title", dv_http_code_title(code));
    dv_json_set_integer(problem, "status", code);
    dv_json_set_string(problem, "detail", detail);
    if (errors) {
        dv_json_set(problem, "errors", errors);
    }
    reply_owned(request, code, "application/problem+json", dv_json_print(problem));
    dv_json_unref(problem);
}

/* --- Sending it ------------------------------------------------------------------------------- */

static void free_bytes(void *bytes)
{
    dv_free(bytes);
}

static struct MHD_Response *make_body(struct dv_http_reply *reply)
{
    struct MHD_Response *response = NULL;

    if (reply->kind == DV_HTTP_REPLY_STREAM) {
        response = dv_http_stream_response(reply->stream);
        reply->stream = NULL;
    } else if (reply->kind == DV_HTTP_REPLY_FILE && reply->size > 0) {
        response = MHD_create_response_from_fd_at_offset64(reply->size, reply->fd, reply->offset);
        reply->fd = response ? -1 : reply->fd;
    } else if (reply->owned) {
        response = MHD_create_response_from_buffer_with_free_callback(
            (size_t)reply->size, reply->owned, free_bytes);
        reply->owned = response ? NULL : reply->owned;
    } else {
        /* Constants: the library does not write to what is persistent. */
        response = MHD_create_response_from_buffer(
            (size_t)reply->size, (void *)(uintptr_t)reply->bytes, MHD_RESPMEM_PERSISTENT);
    }
    return response;
}

struct MHD_Response *dv_http_reply_make(struct dv_http_request *request)
{
    struct dv_http_pair headers[DV_HTTP_REPLY_HEADER_COUNT_MAX + STANDARD_COUNT + 1];

    assert(request->reply.code != 0);
    struct MHD_Response *response = make_body(&request->reply);
    size_t count = list_headers(request, headers);
    for (size_t i = 0; response && i < count; i++) {
        if (MHD_add_response_header(response, headers[i].name, headers[i].value) != MHD_YES) {
            MHD_destroy_response(response);
            response = NULL;
        }
    }
    return response;
}

void dv_http_reply_print(const struct dv_http_request *request, struct dv_buffer *text)
{
    const struct dv_http_reply *reply = &request->reply;
    struct dv_http_pair headers[DV_HTTP_REPLY_HEADER_COUNT_MAX + STANDARD_COUNT + 1];
    time_t now = time(NULL);
    struct tm utc;
    char date[64];

    assert(reply->kind == DV_HTTP_REPLY_BYTES);
    gmtime_r(&now, &utc);
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    dv_buffer_printf(
        text, "HTTP/1.1 %d %s\r\nDate: %s\r\n", reply->code, dv_http_code_title(reply->code), date);
    size_t count = list_headers(request, headers);
    for (size_t i = 0; i < count; i++) {
        if (!dv_text_equal_nocase(headers[i].name, "Connection")) {
            dv_buffer_printf(text, "%s: %s\r\n", headers[i].name, headers[i].value);
        }
    }
    dv_buffer_printf(
        text, "Content-Length: %llu\r\nConnection: close\r\n\r\n", (unsigned long long)reply->size);
    if (!dv_text_equal(request->head.method, "HEAD")) {
        dv_buffer_append(text, reply->bytes, (size_t)reply->size);
    }
}

void dv_http_reply_finish(struct dv_http_reply *reply)
{
    reply->owned = dv_free(reply->owned);
    reply->stream = dv_http_stream_destroy(reply->stream);
    if (reply->fd >= 0) {
        (void)close(reply->fd);
        reply->fd = -1;
    }
}
