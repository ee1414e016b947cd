/* SPDX-License-Identifier: Apache-2.0 */

/* Answers that have an entity tag: files, in whole or in part, and bytes of the program. */

#include "base/arena.h"
#include "base/buffer.h"
#include "base/text.h"
#include "http/range.h"
#include "http/request.h"
#include "http/route.h"

#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define NAME_SIZE_MAX 1024 /* of an attachment, encoded */

/* RFC 6266 and 8187: an ASCII name for old clients, the real one for the others. */
static void set_attachment(struct dv_http_request *request, const char *name)
{
    struct dv_buffer value = DV_BUFFER_INIT(4 * NAME_SIZE_MAX);

    dv_buffer_append_text(&value, "attachment; filename=\"");
    for (const char *at = name; *at && value.size < NAME_SIZE_MAX; at++) {
        unsigned char c = (unsigned char)*at;
        dv_buffer_printf(&value, "%c", c >= 0x20 && c < 0x7f && !strchr("\"\\%/", c) ? c : '_');
    }
    dv_buffer_append_text(&value, "\"; filename*=UTF-8''");
    for (const char *at = name; *at && value.size < 3 * NAME_SIZE_MAX; at++) {
        unsigned char c = (unsigned char)*at;
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || (c != '\0' && strchr("-._~", c));
        dv_buffer_printf(&value, is_plain ? "%c" : "%%%02X", c);
    }
    dv_http_reply_header(request, "Content-Disposition", dv_buffer_text(&value));
    dv_buffer_finish(&value);
}

static void set_tag(struct dv_http_request *request, const char *etag)
{
    if (etag) {
        assert(strlen(etag) <= DV_HTTP_ETAG_SIZE_MAX);
        dv_http_reply_header(request, "ETag", dv_arena_printf(request->arena, "\"%s\"", etag));
    }
}

static struct dv_http_slice choose(
    const struct dv_http_request *request, const char *etag, uint64_t size, bool has_ranges)
{
    bool is_get = dv_text_equal(request->head.method, "GET");
    struct dv_http_conditions conditions = {0};

    if (is_get || dv_text_equal(request->head.method, "HEAD")) {
        conditions.if_match = dv_http_request_header(request, "If-Match");
        conditions.if_none_match = dv_http_request_header(request, "If-None-Match");
    }
    if (is_get && has_ranges) {
        conditions.range = dv_http_request_header(request, "Range");
        conditions.if_range = dv_http_request_header(request, "If-Range");
    }
    return dv_http_slice_choose(&conditions, etag, size);
}

void dv_http_reply_file(struct dv_http_request *request, const struct dv_http_content *content)
{
    struct dv_http_reply *reply = &request->reply;

    assert(reply->code == 0);
    assert(content->fd >= 0);
    struct dv_http_slice slice = choose(request, content->etag, content->size, true);
    dv_http_reply_header(request, "Accept-Ranges", "bytes");
    set_tag(request, content->etag);
    if (slice.code == 412 || slice.code == 416) {
        (void)close(content->fd);
        if (slice.code == 416) {
            dv_http_reply_header(request, "Content-Range",
                dv_arena_printf(request->arena, "bytes */%" PRIu64, content->size));
        }
        dv_http_reply_problem(request, slice.code,
            slice.code == 416 ? "the range lies beyond the end of the file"
                              : "the file is another one by now",
            NULL);
        return;
    }
    if (slice.code == 206) {
        dv_http_reply_header(request, "Content-Range",
            dv_arena_printf(request->arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, slice.offset,
                slice.offset + slice.size - 1, content->size));
    }
    if (content->name) {
        set_attachment(request, content->name);
    }
    reply->code = slice.code;
    reply->kind = DV_HTTP_REPLY_FILE;
    reply->type = dv_arena_strdup(request->arena, content->type);
    reply->fd = content->fd;
    reply->offset = content->offset + slice.offset;
    reply->size = slice.size;
}

void dv_http_reply_asset(struct dv_http_request *request, const struct dv_http_asset *asset)
{
    struct dv_http_reply *reply = &request->reply;

    assert(reply->code == 0);
    struct dv_http_slice slice = choose(request, asset->etag, asset->size, false);
    set_tag(request, asset->etag);
    if (slice.code == 412) {
        dv_http_reply_problem(request, 412, "the file is another one by now", NULL);
        return;
    }
    dv_http_reply_header(request, "Cache-Control", "no-cache"); /* keep it, but ask each time */
    reply->code = slice.code;
    reply->type = dv_arena_strdup(request->arena, asset->type);
    reply->bytes = asset->data;
    reply->size = slice.size;
}
