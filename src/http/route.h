/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_ROUTE_H
#define DV_HTTP_ROUTE_H

/*
 * What can be called, as a table, and what a handler sees of a request.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_http_part;
struct dv_http_request;
struct dv_json;

enum dv_http_body {
    DV_HTTP_BODY_NONE,      /* one that comes is refused with 400 */
    DV_HTTP_BODY_JSON,      /* in memory; 415 for another type, 400 for what does not parse */
    DV_HTTP_BODY_MULTIPART, /* text fields in memory, files through `open_file` */
};

/* Where the bytes of an uploaded file go. */
struct dv_http_file {
    int fd;            /* opened for writing by open_file; the server's, which closes it
                          before it calls close_file */
    uint64_t size;     /* bytes written so far */
    uint64_t size_max; /* more is 413; set by open_file */
    void *data;        /* the route's own */
};

struct dv_http_route {
    const char *method;  /* "GET" (answers HEAD too), "POST", ... */
    const char *pattern; /* "/api/jobs/{id}/logs": a parameter is one whole, literal segment;
                            a last segment of a star matches the rest of the path */
    enum dv_http_body body;
    const void *data; /* the owner's: what access it takes, whether it is audited */
    /* Replies exactly once. */
    void (*handle)(struct dv_http_request *request, void *user);
    /*
     * Multipart only. A file part begins: the fields before it are there. DV_OK: it goes to
     * ret_file->fd; anything else: it has replied. close_file is called for each file opened,
     * `is_whole` once all bytes are written and fsynced (then handle() follows), else when the
     * client has gone or something failed: the owner removes what there is.
     */
    enum dv_status (*open_file)(struct dv_http_request *request, const struct dv_http_part *part,
        struct dv_http_file *ret_file, void *user);
    void (*close_file)(
        struct dv_http_request *request, struct dv_http_file *file, bool is_whole, void *user);
};

/* A part of a multipart body, its strings borrowed for the call. */
struct dv_http_part {
    const char *name;
    const char *file_name; /* as sent: never a path of ours; NULL: none */
    const char *type;      /* NULL: none */
};

/* --- Asking: what is returned is borrowed until the reply --------------------------------- */

const struct dv_http_route *dv_http_request_route(const struct dv_http_request *request);
const char *dv_http_request_method(const struct dv_http_request *request);
const char *dv_http_request_path(const struct dv_http_request *request); /* as sent, no query */
/* "127.0.0.1" */
const char *dv_http_request_address(const struct dv_http_request *request);
/* A path parameter, percent-decoded; never NULL for a name that the pattern has. */
const char *dv_http_request_parameter(const struct dv_http_request *request, const char *name);
/* A query parameter, percent-decoded, or NULL. One given twice is refused before routing. */
const char *dv_http_request_query(const struct dv_http_request *request, const char *name);
/* Walk all of them; false at the end. */
bool dv_http_request_query_at(const struct dv_http_request *request, size_t index,
    const char **ret_name, const char **ret_value);
/* A header by name in any case, or NULL. */
const char *dv_http_request_header(const struct dv_http_request *request, const char *name);
/* A cookie, or NULL. */
const char *dv_http_request_cookie(const struct dv_http_request *request, const char *name);
/* The parsed body of a JSON route; NULL: it was empty. */
const struct dv_json *dv_http_request_json(const struct dv_http_request *request);
/* A text field of a multipart body, or NULL; and by number. */
const char *dv_http_request_field(const struct dv_http_request *request, const char *name);
bool dv_http_request_field_at(const struct dv_http_request *request, size_t index,
    const char **ret_name, const char **ret_value);
/* The file of a multipart body; NULL: none came. */
const struct dv_http_file *dv_http_request_file(const struct dv_http_request *request);
/* The owner's own value for this request, and what lets go of it. */
void dv_http_request_set_data(
    struct dv_http_request *request, void *data, void (*free_data)(void *));
void *dv_http_request_data(const struct dv_http_request *request);
bool dv_http_request_is_replied(const struct dv_http_request *request);

/* --- Replying: once ------------------------------------------------------------------------ */

/* A header for the reply to come; both are copied. */
void dv_http_reply_header(struct dv_http_request *request, const char *name, const char *value);
/* Bytes are copied. */
void dv_http_reply_bytes(
    struct dv_http_request *request, int code, const char *type, const void *data, size_t size);
/* Takes the value. */
void dv_http_reply_json(struct dv_http_request *request, int code, struct dv_json *json);
/*
 * application/problem+json (RFC 9457): `title` is the code's, `detail` a sentence to act on,
 * `errors` NULL or [{"pointer", "message"}], taken.
 */
void dv_http_reply_problem(
    struct dv_http_request *request, int code, const char *detail, struct dv_json *errors);

struct dv_http_content {
    int fd;          /* the server's from now on, closed when sent */
    uint64_t offset; /* of the content in the file */
    uint64_t size;
    const char *type;
    const char *name; /* of the attachment, any UTF-8; NULL: inline */
    const char *etag; /* without quotes: a hash; NULL: none */
};
/* A file, with Range (single), If-Range, If-None-Match and ETag obeyed; sent without copying. */
void dv_http_reply_file(struct dv_http_request *request, const struct dv_http_content *content);

/* Bytes that are part of the program. */
struct dv_http_asset {
    const void *data; /* not copied */
    size_t size;
    const char *type;
    const char *etag; /* as above */
};
/* The same with the program's own bytes: ETag and If-None-Match, no ranges. */
void dv_http_reply_asset(struct dv_http_request *request, const struct dv_http_asset *asset);

/*
 * A stream of server-sent events. `next` is asked when the stream begins, after each wake and each
 * time it gave something: it appends whole events with dv_http_stream_event() and returns
 * DV_OK (ask again once sent), DV_NOT_FOUND (nothing now: wait for a wake), anything else ends it.
 * A heartbeat goes out every 15 s, and `next` is asked with it, so that it can see a right
 * withdrawn.
 */
struct dv_http_stream;
struct dv_http_stream_source {
    void *data;
    enum dv_status (*next)(struct dv_http_stream *stream, void *data);
    void (*free_data)(void *data);
};
void dv_http_reply_stream(
    struct dv_http_request *request, const struct dv_http_stream_source *source);
/* `id` 0: without one. `json` is printed on one line and stays the caller's. */
void dv_http_stream_event(
    struct dv_http_stream *stream, int64_t id, const char *type, const struct dv_json *json);

#endif
