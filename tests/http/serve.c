/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A server for the tests to talk to. Usage: serve FOLDER [LIMIT=VALUE...]
 * It prints its address, answers until a line (or the end) comes in on standard input, and then
 * stops. A line "wake" wakes the streams instead.
 */

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "http/server.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *folder;
static atomic_int open_count;  /* files that open_file made */
static atomic_int whole_count; /* and close_file was told are whole */
static atomic_int broken_count;
static atomic_int handled_count;
static atomic_int done_count;
static atomic_int stream_count;
static atomic_int admit_count;
static _Atomic int64_t event_count;

/* --- Handlers --------------------------------------------------------------------------------- */

static void count(struct dv_http_request *request, void *user)
{
    struct dv_json *json = dv_json_object();

    (void)user;
    dv_json_set_integer(json, "open", atomic_load(&open_count));
    dv_json_set_integer(json, "whole", atomic_load(&whole_count));
    dv_json_set_integer(json, "broken", atomic_load(&broken_count));
    dv_json_set_integer(json, "handled", atomic_load(&handled_count));
    dv_json_set_integer(json, "done", atomic_load(&done_count));
    dv_json_set_integer(json, "streams", atomic_load(&stream_count));
    dv_json_set_integer(json, "admitted", atomic_load(&admit_count));
    dv_http_reply_json(request, 200, json);
}

/* What the server made of the request. */
static void echo(struct dv_http_request *request, void *user)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *query = dv_json_object();
    const char *name, *value;

    (void)user;
    atomic_fetch_add(&handled_count, 1);
    for (size_t i = 0; dv_http_request_query_at(request, i, &name, &value); i++) {
        dv_json_set_string(query, name, value);
    }
    dv_json_set_string(json, "method", dv_http_request_method(request));
    dv_json_set_string(json, "path", dv_http_request_path(request));
    dv_json_set_string(json, "address", dv_http_request_address(request));
    dv_json_set_string(json, "pattern", dv_http_request_route(request)->pattern);
    dv_json_set(json, "query", query);
    dv_json_set_string(json, "x", dv_http_request_header(request, "X-Test"));
    dv_json_set_string(json, "cookie", dv_http_request_cookie(request, "dv"));
    if (strstr(dv_http_request_route(request)->pattern, "{id}")) {
        dv_json_set_string(json, "id", dv_http_request_parameter(request, "id"));
    }
    if (dv_text_has_suffix_nocase(dv_http_request_route(request)->pattern, "/*")) {
        dv_json_set_string(json, "rest", dv_http_request_parameter(request, "*"));
    }
    const struct dv_json *body = dv_http_request_json(request);
    dv_json_set(json, "body", body ? dv_json_copy(body) : dv_json_null());
    dv_http_reply_header(request, "X-Answer", "yes");
    dv_http_reply_json(request, 200, json);
}

static void page(struct dv_http_request *request, void *user)
{
    static const char text[] = "<!doctype html><title>t</title>";
    const struct dv_http_asset asset = {
        .data = text, .size = strlen(text), .type = "text/html; charset=utf-8", .etag = "p1"};

    (void)user;
    dv_http_reply_asset(request, &asset);
}

static void problem(struct dv_http_request *request, void *user)
{
    struct dv_json *errors = dv_json_array();
    struct dv_json *error = dv_json_object();

    (void)user;
    dv_json_set_string(error, "pointer", "/name");
    dv_json_set_string(error, "message", "is missing");
    dv_json_append(errors, error);
    dv_http_reply_problem(request, 422, "a name is needed", errors);
}

static void slow(struct dv_http_request *request, void *user)
{
    (void)user;
    (void)usleep(300000);
    dv_http_reply_bytes(request, 200, "text/plain", "slow", 4);
}

/* FOLDER/content, with ?name= as an attachment and ?offset= where it begins. */
static void file(struct dv_http_request *request, void *user)
{
    char path[DV_PATH_SIZE];
    uint64_t size = 0;
    uint64_t offset = 0;
    int fd = -1;

    (void)user;
    if (dv_path_format(path, NULL, "%s/content", folder) != DV_OK ||
        dv_file_open_read(path, &fd, NULL) != DV_OK || dv_file_size(fd, &size, NULL) != DV_OK) {
        dv_http_reply_problem(request, 404, "no content", NULL);
        return;
    }
    const char *text = dv_http_request_query(request, "offset");
    if (text) {
        (void)dv_text_to_uint64(text, &offset);
    }
    const struct dv_http_content content = {.fd = fd,
        .offset = offset,
        .size = size - offset,
        .type = "application/octet-stream",
        .name = dv_http_request_query(request, "name"),
        .etag = "abc"};
    dv_http_reply_file(request, &content);
}

/* --- Uploads ---------------------------------------------------------------------------------- */

static enum dv_status open_file(struct dv_http_request *request, const struct dv_http_part *part,
    struct dv_http_file *ret_file, void *user)
{
    const char *name = dv_http_request_field(request, "name");
    char id[DV_UUID_TEXT_SIZE];
    char path[DV_PATH_SIZE];

    (void)user;
    if (!name || !dv_text_equal(part->name, "file")) {
        dv_http_reply_problem(request, 422, "name must come before file", NULL);
        return DV_INVALID;
    }
    dv_uuid_make(id);
    enum dv_status status = dv_path_format(path, NULL, "%s/upload-%s", folder, id);
    assert(status == DV_OK);
    ret_file->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert(ret_file->fd >= 0);
    ret_file->size_max = dv_text_equal(name, "small") ? 1000 : UINT64_MAX;
    ret_file->data = dv_strdup(path);
    atomic_fetch_add(&open_count, 1);
    return DV_OK;
}

static void close_file(
    struct dv_http_request *request, struct dv_http_file *file_, bool is_whole, void *user)
{
    (void)user;
    assert(file_->fd == -1);
    assert(dv_http_request_field(request, "name"));
    if (!is_whole) {
        (void)unlink(file_->data);
        file_->data = dv_free(file_->data);
    }
    atomic_fetch_add(is_whole ? &whole_count : &broken_count, 1);
}

static void upload(struct dv_http_request *request, void *user)
{
    const struct dv_http_file *whole = dv_http_request_file(request);
    struct dv_json *json = dv_json_object();
    const char *name, *value;

    (void)user;
    atomic_fetch_add(&handled_count, 1);
    for (size_t i = 0; dv_http_request_field_at(request, i, &name, &value); i++) {
        dv_json_set_string(json, name, value);
    }
    if (whole) {
        dv_json_set_integer(json, "size", (int64_t)whole->size);
        dv_json_set_string(json, "path", strrchr(whole->data, '/') + 1);
        dv_free(whole->data);
    }
    dv_http_reply_json(request, 201, json);
}

/* --- Streams ---------------------------------------------------------------------------------- */

struct position {
    int64_t last;
};

/* Ten events at a time, up to as many as POST /events has made. */
static enum dv_status next_events(struct dv_http_stream *stream, void *data)
{
    struct position *position = data;
    int64_t end = atomic_load(&event_count);
    bool has_any = false;

    if (end < 0) {
        return DV_DENIED;
    }
    for (int i = 0; i < 10 && position->last < end; i++) {
        struct dv_json *json = dv_json_object();
        dv_json_set_integer(json, "n", ++position->last);
        dv_http_stream_event(stream, position->last, "number", json);
        dv_json_unref(json);
        has_any = true;
    }
    return has_any ? DV_OK : DV_NOT_FOUND;
}

static void free_position(void *data)
{
    atomic_fetch_sub(&stream_count, 1);
    dv_free(data);
}

static void events(struct dv_http_request *request, void *user)
{
    struct position *position = dv_alloc(sizeof(*position));
    const char *last = dv_http_request_header(request, "Last-Event-ID");
    const struct dv_http_stream_source source = {
        .data = position, .next = next_events, .free_data = free_position};

    (void)user;
    if (last) {
        (void)dv_text_to_int64(last, &position->last);
    }
    atomic_fetch_add(&stream_count, 1);
    dv_http_reply_stream(request, &source);
}

/* So many more events; below 0: the streams end. */
static void make_events(struct dv_http_request *request, void *user)
{
    _Atomic(struct dv_http_server *) *server = user;
    int64_t more = dv_json_get_integer(dv_http_request_json(request), "count", 1);

    atomic_store(&event_count, more < 0 ? -1 : atomic_load(&event_count) + more);
    dv_http_server_wake_streams(atomic_load(server));
    dv_http_reply_bytes(request, 204, NULL, NULL, 0);
}

/* --- Server ----------------------------------------------------------------------------------- */

static void admit(struct dv_http_request *request, void *user)
{
    (void)user;
    atomic_fetch_add(&admit_count, 1);
    if (dv_text_equal(dv_http_request_header(request, "Authorization"), "Bearer wrong")) {
        dv_http_reply_header(request, "WWW-Authenticate", "Bearer");
        dv_http_reply_problem(request, 401, "the token is not known", NULL);
    }
}

static void note_done(const struct dv_http_request *request, int code, void *user)
{
    (void)request;
    (void)user;
    assert(code >= 200);
    atomic_fetch_add(&done_count, 1);
}

static const struct dv_http_route routes[] = {
    {.method = "GET", .pattern = "/", .handle = page},
    {.method = "GET", .pattern = "/count", .handle = count},
    {.method = "GET", .pattern = "/echo", .handle = echo},
    {.method = "POST", .pattern = "/echo", .body = DV_HTTP_BODY_JSON, .handle = echo},
    {.method = "GET", .pattern = "/echo/{id}", .handle = echo},
    {.method = "DELETE", .pattern = "/echo/{id}", .handle = echo},
    {.method = "GET", .pattern = "/echo/literal", .handle = echo},
    {.method = "GET", .pattern = "/echo/{id}/deep/*", .handle = echo},
    {.method = "GET", .pattern = "/problem", .handle = problem},
    {.method = "GET", .pattern = "/slow", .handle = slow},
    {.method = "GET", .pattern = "/file", .handle = file},
    {.method = "POST",
        .pattern = "/upload",
        .body = DV_HTTP_BODY_MULTIPART,
        .handle = upload,
        .open_file = open_file,
        .close_file = close_file},
    {.method = "GET", .pattern = "/events", .handle = events},
    {.method = "POST", .pattern = "/events", .body = DV_HTTP_BODY_JSON, .handle = make_events},
    {0},
};

static const struct {
    const char *name;
    size_t offset;
} limits[] = {
#define LIMIT(name)                                                                                \
    {                                                                                              \
#name, offsetof(struct dv_http_limits, name)                                               \
    }
    LIMIT(connections),
    LIMIT(connections_per_address),
    LIMIT(header_seconds),
    LIMIT(idle_seconds),
    LIMIT(body_grace_seconds),
    LIMIT(body_rate),
    LIMIT(drain_rate),
    LIMIT(rate_seconds),
    LIMIT(header_size),
    LIMIT(header_count),
    LIMIT(target_size),
    LIMIT(json_size),
    LIMIT(stream_count),
    LIMIT(heartbeat_seconds),
    LIMIT(upload_count),
};

static bool set_limit(struct dv_http_options *options, const char *text)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(limits); i++) {
        size_t size = strlen(limits[i].name);
        uint64_t value;
        if (strncmp(text, limits[i].name, size) == 0 && text[size] == '=' &&
            dv_text_to_uint64(text + size + 1, &value)) {
            uint32_t number = (uint32_t)value;
            memcpy((char *)&options->limits + limits[i].offset, &number, sizeof(number));
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "test", NULL};
    _Atomic(struct dv_http_server *) shared = NULL; /* handlers may run before start returns */
    struct dv_http_server *server = NULL;
    struct dv_http_options options = {.host = "127.0.0.1",
        .routes = routes,
        .user = &shared,
        .admit = admit,
        .on_done = note_done,
        .hosts = hosts};
    struct dv_error error;
    char line[64];

    assert(argc >= 2);
    folder = argv[1];
    for (int i = 2; i < argc; i++) {
        bool is_limit = set_limit(&options, argv[i]);
        assert(is_limit);
    }
    if (dv_http_server_start(&options, &server, &error) != DV_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    atomic_store(&shared, server);
    (void)printf("%s\n", dv_http_server_url(server));
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin) && strcmp(line, "wake\n") == 0) {
        dv_http_server_wake_streams(server);
    }
    server = dv_http_server_stop(server);
    (void)printf("stopped %d %d %d %d\n", atomic_load(&open_count), atomic_load(&whole_count),
        atomic_load(&broken_count), atomic_load(&stream_count));
    return 0;
}
