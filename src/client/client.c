/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_SIZE_MAX (64u << 20)
#define EVENT_SIZE_MAX (4u << 20)
#define CONNECT_TIMEOUT_S 10L
#define SILENCE_TIMEOUT_S 60L /* the server's heartbeat comes every 15 s */
#define RETRY_MS 200

struct dv_client {
    char *url;
    char *authorization; /* a header; NULL: none */
    int interrupt_fd;
    double patience;
    CURL *curl;
};

/* --- Life ------------------------------------------------------------------------------------- */

enum dv_status dv_client_create(const struct dv_client_options *options,
    struct dv_client **ret_client, struct dv_error *reterr)
{
    assert(options->url);
    assert(ret_client);

    if (!dv_text_has_prefix(options->url, "http://") &&
        !dv_text_has_prefix(options->url, "https://")) {
        return dv_fail(reterr, DV_INVALID, "'%.200s' is no address of a server: it begins with "
                                           "http:// or https://",
            options->url);
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return dv_fail(reterr, DV_IO, "libcurl cannot be used");
    }
    struct dv_client *client = dv_alloc(sizeof(*client));
    client->url = dv_strdup(options->url);
    for (size_t size = strlen(client->url); size > 0 && client->url[size - 1] == '/'; size--) {
        client->url[size - 1] = '\0';
    }
    if (options->token && options->token[0]) {
        client->authorization = dv_strprintf("Authorization: Bearer %s", options->token);
    }
    client->interrupt_fd = options->interrupt_fd;
    client->patience = options->patience;
    client->curl = curl_easy_init();
    if (!client->curl) {
        (void)dv_client_destroy(client);
        return dv_fail(reterr, DV_NOMEM, "no memory for a connection");
    }
    *ret_client = client;
    return DV_OK;
}

struct dv_client *dv_client_destroy(struct dv_client *client)
{
    if (client) {
        curl_easy_cleanup(client->curl);
        dv_free(client->url);
        dv_free(client->authorization);
        dv_free(client);
    }
    return NULL;
}

void dv_client_ignore_interrupts(struct dv_client *client)
{
    client->interrupt_fd = 0;
}

/* --- One exchange ----------------------------------------------------------------------------- */

/* What one request is about, for libcurl's callbacks. */
struct exchange {
    struct dv_client *client;
    struct curl_slist *headers;
    struct dv_buffer answer;
    int file; /* of a download; -1: the answer is kept in memory */
    struct dv_error file_error;
    void (*on_progress)(void *user, uint64_t sent, uint64_t total);
    void *user;
    uint64_t upload_size;
    struct stream *stream; /* of one that is followed */
};

static bool is_interrupted(const struct dv_client *client)
{
    struct pollfd poller = {.fd = client->interrupt_fd, .events = POLLIN};

    return client->interrupt_fd > 0 && poll(&poller, 1, 0) > 0;
}

/* Called a few times a second, whatever happens. */
static int on_tick(void *user, curl_off_t total, curl_off_t now, curl_off_t upload_total,
    curl_off_t uploaded)
{
    struct exchange *exchange = user;

    (void)total;
    (void)now;
    (void)upload_total;
    if (exchange->on_progress && uploaded > 0) {
        exchange->on_progress(exchange->user, (uint64_t)uploaded, exchange->upload_size);
    }
    return is_interrupted(exchange->client);
}

static bool is_success(struct exchange *exchange)
{
    long code = 0;

    (void)curl_easy_getinfo(exchange->client->curl, CURLINFO_RESPONSE_CODE, &code);
    return code >= 200 && code < 300;
}

static size_t take_stream(struct stream *stream, const char *data, size_t size);

static size_t on_bytes(char *data, size_t unit, size_t count, void *user)
{
    struct exchange *exchange = user;
    size_t size = unit * count;

    if (exchange->stream && is_success(exchange)) {
        return take_stream(exchange->stream, data, size);
    }
    if (exchange->file >= 0 && is_success(exchange)) {
        return dv_file_write_all(exchange->file, data, size, &exchange->file_error) == DV_OK ? size : 0;
    }
    dv_buffer_append(&exchange->answer, data, size);
    return exchange->answer.is_over ? 0 : size;
}

static void add_header(struct exchange *exchange, const char *line)
{
    struct curl_slist *longer = curl_slist_append(exchange->headers, line);

    assert(longer); /* bookkeeping: as of dv_alloc() */
    exchange->headers = longer;
}

static void begin(
    struct exchange *exchange, struct dv_client *client, const char *method, const char *path)
{
    CURL *curl = client->curl;
    DV_CLEANUP(dv_freep) char *url = dv_strprintf("%s%s", client->url, path);

    *exchange = (struct exchange){
        .client = client, .file = -1, .answer = DV_BUFFER_INIT(ANSWER_SIZE_MAX)};
    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SILENCE_TIMEOUT_S);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_tick);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "dv/" DV_VERSION);
    if (client->authorization) {
        add_header(exchange, client->authorization);
    }
    add_header(exchange, "Expect:"); /* a refusal is seen while sending, too */
}

static void finish(struct exchange *exchange)
{
    curl_slist_free_all(exchange->headers);
    dv_buffer_finish(&exchange->answer);
}

/* The status, detail and pointers of a problem document. */
static enum dv_status read_problem(
    const struct exchange *exchange, long code, struct dv_error *reterr)
{
    static const struct {
        long code;
        enum dv_status status;
    } codes[] = {{400, DV_INVALID}, {401, DV_DENIED}, {403, DV_DENIED}, {404, DV_NOT_FOUND},
        {409, DV_CONFLICT}, {413, DV_TOO_LARGE}, {422, DV_INVALID}, {429, DV_UNAVAILABLE},
        {503, DV_UNAVAILABLE}, {507, DV_NO_SPACE}};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *problem = NULL;
    enum dv_status status = DV_IO;

    for (size_t i = 0; i < DV_ARRAY_SIZE(codes); i++) {
        status = codes[i].code == code ? codes[i].status : status;
    }
    if (dv_json_parse(dv_buffer_text(&exchange->answer), exchange->answer.size, &problem, NULL) !=
        DV_OK) {
        return dv_fail(reterr, status, "the server answered %ld", code);
    }
    const char *detail = dv_json_get_string(problem, "detail", "no reason given");
    const struct dv_json *first = dv_json_at(dv_json_get(problem, "errors"), 0);
    const char *fix = dv_json_get_string(first, "fix", "");
    if (code == 401 && !exchange->client->authorization) {
        return dv_fail(
            reterr, status, "%s wants a token: set DV_TOKEN to one", exchange->client->url);
    }
    return fix[0] ? dv_fail(reterr, status, "%s Fix: %s.", detail, fix)
                  : dv_fail(reterr, status, "%s", detail);
}

/* Send and read; DV_OK: an answer of the 200s. */
static enum dv_status perform(struct exchange *exchange, struct dv_error *reterr)
{
    CURL *curl = exchange->client->curl;
    long code = 0;

    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, exchange->headers);
    CURLcode result = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    if (result == CURLE_ABORTED_BY_CALLBACK) {
        return dv_fail(reterr, DV_CANCELLED, "interrupted");
    }
    if (exchange->file_error.text[0]) {
        return dv_fail(reterr, exchange->file_error.status, "%s", exchange->file_error.text);
    }
    if (code >= 400) {
        return read_problem(exchange, code, reterr); /* also where it closed before all was sent */
    }
    if (result != CURLE_OK) {
        return dv_fail(reterr, DV_UNAVAILABLE, "cannot reach %s: %s", exchange->client->url,
            curl_easy_strerror(result));
    }
    if (code < 200 || code >= 300) {
        return dv_fail(reterr, DV_IO, "the server answered %ld", code);
    }
    return DV_OK;
}

static enum dv_status take_answer(
    const struct exchange *exchange, struct dv_json **ret_answer, struct dv_error *reterr)
{
    if (exchange->answer.size == 0) {
        *ret_answer = NULL;
        return DV_OK;
    }
    return dv_json_parse(
        dv_buffer_text(&exchange->answer), exchange->answer.size, ret_answer, reterr);
}

/* --- Calls ------------------------------------------------------------------------------------ */

enum dv_status dv_client_call(struct dv_client *client, const char *method, const char *path,
    const struct dv_json *body, struct dv_json **ret_answer, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = body ? dv_json_print(body) : NULL;
    struct exchange exchange;

    assert(ret_answer);
    begin(&exchange, client, method, path);
    if (text) {
        add_header(&exchange, "Content-Type: application/json");
        (void)curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, text);
    }
    enum dv_status status = perform(&exchange, reterr);
    if (status == DV_OK) {
        status = take_answer(&exchange, ret_answer, reterr);
    }
    finish(&exchange);
    return status;
}

static void add_field(curl_mime *form, const char *name, const char *value)
{
    curl_mimepart *part = curl_mime_addpart(form);

    assert(part);
    (void)curl_mime_name(part, name);
    (void)curl_mime_data(part, value, CURL_ZERO_TERMINATED);
}

enum dv_status dv_client_upload(struct dv_client *client, const char *path,
    const struct dv_json *fields, const char *file_path,
    void (*on_progress)(void *user, uint64_t sent, uint64_t total), void *user,
    struct dv_json **ret_answer, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    struct exchange exchange;
    uint64_t size = 0;

    enum dv_status status = dv_file_open_read(file_path, &fd, reterr);
    if (status == DV_OK) {
        status = dv_file_size(fd, &size, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    begin(&exchange, client, "POST", path);
    exchange.on_progress = on_progress;
    exchange.user = user;
    exchange.upload_size = size;
    curl_mime *form = curl_mime_init(client->curl);
    assert(form);
    for (void *i = dv_json_first(fields); i; i = dv_json_next(fields, i)) {
        add_field(form, dv_json_key(i), dv_json_to_string(dv_json_value(i), ""));
    }
    curl_mimepart *part = curl_mime_addpart(form);
    assert(part);
    (void)curl_mime_name(part, "file");
    if (curl_mime_filedata(part, file_path) != CURLE_OK) {
        status = dv_fail(reterr, DV_IO, "cannot read %s", file_path);
    }
    (void)curl_mime_filename(part, "upload.zip");
    (void)curl_easy_setopt(client->curl, CURLOPT_MIMEPOST, form);
    if (status == DV_OK) {
        status = perform(&exchange, reterr);
    }
    if (status == DV_OK) {
        status = take_answer(&exchange, ret_answer, reterr);
    }
    curl_mime_free(form);
    finish(&exchange);
    return status;
}

enum dv_status dv_client_download(
    struct dv_client *client, const char *path, const char *file_path, struct dv_error *reterr)
{
    char part[DV_PATH_SIZE];
    struct exchange exchange;
    int fd;

    enum dv_status status = dv_path_format(part, reterr, "%s.part", file_path);
    if (status == DV_OK) {
        status = dv_file_create(part, &fd, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    begin(&exchange, client, "GET", path);
    exchange.file = fd;
    status = perform(&exchange, reterr);
    if (status == DV_OK) {
        status = dv_file_sync(fd, reterr);
    }
    dv_file_closep(&fd);
    if (status == DV_OK) {
        status = dv_file_rename(part, file_path, reterr);
    }
    if (status != DV_OK) {
        (void)unlink(part);
    }
    finish(&exchange);
    return status;
}

/* --- Streams ---------------------------------------------------------------------------------- */

/* Server-sent events as they arrive: fields of lines, an event at each empty one (WHATWG HTML 9.2). */
struct stream {
    bool (*on_event)(void *user, int64_t id, const char *type, const struct dv_json *data);
    void *user;
    struct dv_buffer pending; /* bytes that are no whole line yet */
    struct dv_buffer data;
    char type[64];
    int64_t id;      /* of the last whole event: where to go on */
    int64_t next_id; /* of the one that is coming in */
    bool is_over;
    bool was_heard; /* since the connection was made */
};

static void end_event(struct stream *stream)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;

    stream->id = stream->next_id;
    if (stream->data.size > 0 &&
        dv_json_parse(stream->data.data, stream->data.size, &json, NULL) == DV_OK) {
        stream->is_over = !stream->on_event(
            stream->user, stream->id, stream->type[0] ? stream->type : "message", json);
    }
    dv_buffer_consume(&stream->data, stream->data.size);
    stream->type[0] = '\0';
}

static void take_line(struct stream *stream, char *line)
{
    size_t size = strlen(line);

    if (size > 0 && line[size - 1] == '\r') {
        line[--size] = '\0';
    }
    if (size == 0) {
        end_event(stream);
        return;
    }
    char *value = strchr(line, ':');
    if (!value || value == line) {
        return; /* a comment: the heartbeat */
    }
    *value++ = '\0';
    value += *value == ' ';
    if (dv_text_equal(line, "id")) {
        (void)dv_text_to_int64(value, &stream->next_id);
    } else if (dv_text_equal(line, "event")) {
        (void)dv_text_copy(stream->type, sizeof(stream->type), value);
    } else if (dv_text_equal(line, "data")) {
        dv_buffer_append_text(&stream->data, value);
    }
}

static size_t take_stream(struct stream *stream, const char *data, size_t size)
{
    char *end;

    stream->was_heard = true;
    dv_buffer_append(&stream->pending, data, size);
    while (!stream->is_over && stream->pending.size > 0 &&
           (end = memchr(stream->pending.data, '\n', stream->pending.size))) {
        *end = '\0';
        size_t used = (size_t)(end - stream->pending.data) + 1;
        take_line(stream, stream->pending.data);
        dv_buffer_consume(&stream->pending, used);
    }
    bool is_broken = stream->pending.is_over || stream->data.is_over;
    return stream->is_over || is_broken ? 0 : size;
}

static enum dv_status follow_once(
    struct dv_client *client, const char *path, struct stream *stream, struct dv_error *reterr)
{
    struct exchange exchange;

    begin(&exchange, client, "GET", path);
    exchange.stream = stream;
    add_header(&exchange, "Accept: text/event-stream");
    if (stream->id > 0) {
        DV_CLEANUP(dv_freep)
        char *last = dv_strprintf("Last-Event-ID: %lld", (long long)stream->id);
        add_header(&exchange, last);
    }
    enum dv_status status = perform(&exchange, reterr);
    finish(&exchange);
    return status;
}

enum dv_status dv_client_follow(struct dv_client *client, const char *path, int64_t *last_id,
    bool (*on_event)(void *user, int64_t id, const char *type, const struct dv_json *data),
    void *user, struct dv_error *reterr)
{
    struct stream stream = {.on_event = on_event,
        .user = user,
        .id = *last_id,
        .next_id = *last_id,
        .pending = DV_BUFFER_INIT(EVENT_SIZE_MAX),
        .data = DV_BUFFER_INIT(EVENT_SIZE_MAX)};
    uint64_t silent_since_ns = dv_clock_monotonic_ns();
    enum dv_status status;

    for (;;) {
        stream.was_heard = false;
        status = follow_once(client, path, &stream, reterr);
        if (stream.is_over) {
            status = DV_OK;
            break;
        }
        if (stream.was_heard) {
            silent_since_ns = dv_clock_monotonic_ns();
        }
        bool may_return = status == DV_OK || status == DV_UNAVAILABLE;
        if (!may_return || dv_clock_seconds_since(silent_since_ns) > client->patience) {
            status = status == DV_OK ? dv_fail(reterr, DV_UNAVAILABLE, "the server closes the stream")
                                     : status;
            break;
        }
        /* What was cut off in the middle comes again. */
        dv_buffer_consume(&stream.pending, stream.pending.size);
        dv_buffer_consume(&stream.data, stream.data.size);
        stream.type[0] = '\0';
        stream.next_id = stream.id;
        struct pollfd poller = {
            .fd = client->interrupt_fd > 0 ? client->interrupt_fd : -1, .events = POLLIN};
        (void)poll(&poller, 1, RETRY_MS);
    }
    *last_id = stream.id;
    dv_buffer_finish(&stream.pending);
    dv_buffer_finish(&stream.data);
    return status;
}
