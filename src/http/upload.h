/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_UPLOAD_H
#define DV_HTTP_UPLOAD_H

/*
 * The body of a multipart request on its way to memory (text fields) and disk (a file). Two blocks
 * an upload: one is filled while the other is written; when both are full the connection is
 * suspended until the disk has caught up.
 *
 * Life:    created when the request was let in, fed on the connection's thread, ended, destroyed
 *          with the request, which waits for the disk and says close_file() to the route.
 * Limits:  one file, as the last part; http_limits.h.
 */

#include <stdbool.h>
#include <stddef.h>

struct dv_http_file;
struct dv_http_request;
struct dv_http_upload;

/* NULL: refused, the reply is set. */
struct dv_http_upload *dv_http_upload_create(struct dv_http_request *request);
struct dv_http_upload *dv_http_upload_destroy(struct dv_http_upload *upload);

enum dv_http_progress {
    DV_HTTP_PROGRESS_ON,      /* everything was taken; or, at the end, the route may handle it */
    DV_HTTP_PROGRESS_WAITS,   /* suspended: it is fed again when resumed */
    DV_HTTP_PROGRESS_REFUSED, /* the reply is set */
    DV_HTTP_PROGRESS_LOST,    /* the server stops: nothing will come of it */
};

/* Take from the body; *size becomes what was not taken. */
enum dv_http_progress dv_http_upload_feed(
    struct dv_http_upload *upload, const char *data, size_t *size);

/* The body has ended: flush, fsync, close_file(). Called again after each wait. */
enum dv_http_progress dv_http_upload_end(struct dv_http_upload *upload);

bool dv_http_upload_field_at(const struct dv_http_upload *upload, size_t index,
    const char **ret_name, const char **ret_value);

/* NULL: none came. */
const struct dv_http_file *dv_http_upload_file(const struct dv_http_upload *upload);

#endif
