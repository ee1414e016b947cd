/* SPDX-License-Identifier: Apache-2.0 */
#include "http/guard.h"

#include "base/text.h"
#include "http/field.h"
#include "http/server.h"

#include <string.h>

struct refusal {
    int code;
    const char *detail;
};

static const struct refusal accepted = {0};

static struct refusal refuse(int code, const char *detail)
{
    return (struct refusal){code, detail};
}

/* --- Limits and characters -------------------------------------------------------------------- */

static struct refusal check_limits(
    const struct dv_http_head *head, const struct dv_http_limits *limits)
{
    if (strlen(head->whole_target) > limits->target_size) {
        return refuse(414, "the request target is too long");
    }
    if (head->field_count > limits->header_count) {
        return refuse(431, "there are too many header fields");
    }
    if (head->size > limits->header_size) {
        return refuse(431, "the header is too long");
    }
    return accepted;
}

static struct refusal check_characters(const struct dv_http_head *head)
{
    static const char *const methods[] = {
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    bool is_known = false;

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        is_known = is_known || dv_text_equal(head->method, methods[i]);
    }
    if (!dv_text_equal(head->version, "HTTP/1.1") && !dv_text_equal(head->version, "HTTP/1.0")) {
        return refuse(505, "this server speaks HTTP/1.1 and HTTP/1.0");
    }
    for (size_t i = 0; i < head->field_count; i++) {
        const struct dv_http_head_field *field = &head->fields[i];
        if (!dv_field_is_token(field->name, field->name_size)) {
            return refuse(400, "the name of a header field is malformed");
        }
        if (!dv_field_is_value(field->value, field->value_size)) {
            return refuse(400, "a header field holds a control character");
        }
    }
    for (const char *at = head->whole_target; *at; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f) {
            return refuse(400, "the request target holds a blank or a control character");
        }
    }
    if (!dv_field_is_token(head->method, strlen(head->method))) {
        return refuse(400, "the method is malformed");
    }
    return is_known ? accepted : refuse(501, "this method is not known here");
}

/* --- Places ----------------------------------------------------------------------------------- */

/*
 * Places are compared as numbers: where something was forgiven the strings need not be of one
 * object. Once a string stands where it must, the delimiters before it may be read.
 */
static bool is_delimited(uintptr_t place, size_t count)
{
    static const char nothing[2];

    return memcmp((const void *)place, nothing, count) == 0;
}

static struct refusal check_places(const struct dv_http_head *head)
{
    static const struct refusal odd = {400, "the lines of the header are not well-formed"};
    uintptr_t place = (uintptr_t)head->method + strlen(head->method) + 1;

    if (place != (uintptr_t)head->target) {
        return odd;
    }
    place += strlen(head->whole_target) + 1;
    if (place != (uintptr_t)head->version) {
        return odd;
    }
    place += strlen(head->version);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct dv_http_head_field *field = &head->fields[i];
        /* Between name and value stand a colon and blanks: the library skips nothing else. */
        if (place + 2 != (uintptr_t)field->name || !is_delimited(place, 2) ||
            (uintptr_t)field->value <= (uintptr_t)field->name + field->name_size) {
            return odd;
        }
        place = (uintptr_t)field->value + field->value_size;
    }
    if (place + 4 != (uintptr_t)head->method + head->size) {
        return odd;
    }
    return is_delimited(place, 2) && is_delimited(place + 2, 2) ? accepted : odd;
}

/* --- Fields that decide ----------------------------------------------------------------------- */

/* The one field of this name; NULL: none. *ret_count says how many there are. */
static const struct dv_http_head_field *find_field(
    const struct dv_http_head *head, const char *name, size_t *ret_count)
{
    const struct dv_http_head_field *found = NULL;

    *ret_count = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        if (dv_text_equal_nocase(head->fields[i].name, name)) {
            found = found ? found : &head->fields[i];
            (*ret_count)++;
        }
    }
    return found;
}

/* Of these a second one could be read by somebody else than the first. */
static struct refusal check_single(const struct dv_http_head *head)
{
    static const char *const singles[] = {"Authorization", "Content-Disposition",
        "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Expect", "Host",
        "If-Match", "If-None-Match", "If-Range", "Last-Event-ID", "Origin", "Range",
        "Sec-Fetch-Site", "Transfer-Encoding"};

    for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++) {
        size_t count;
        (void)find_field(head, singles[i], &count);
        if (count > 1) {
            return refuse(400, "a header field that may be there once is there twice");
        }
    }
    return accepted;
}

static bool is_port(const char *text)
{
    uint64_t port;

    return *text == '\0' || (strspn(text, "0123456789") == strlen(text) && strlen(text) <= 5 &&
                                dv_text_to_uint64(text, &port) && port > 0 && port <= 65535);
}

/* "name", "name:port", "[address]", "[address]:port". */
static bool is_host(const char *text)
{
    const char *end = text;

    if (*text == '[') {
        end = text + 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (*end != ']' || end == text + 1) {
            return false;
        }
        end++;
    } else {
        while ((dv_field_is_token_char((unsigned char)*end) && !strchr("#%^`|", *end))) {
            end++;
        }
        if (end == text) {
            return false;
        }
    }
    return *end == '\0' || (*end == ':' && is_port(end + 1));
}

static struct refusal check_host(const struct dv_http_head *head)
{
    size_t count;
    const struct dv_http_head_field *host = find_field(head, "Host", &count);

    if (!host) {
        return dv_text_equal(head->version, "HTTP/1.0") ? accepted
                                                        : refuse(400, "the Host field is missing");
    }
    return is_host(host->value) ? accepted : refuse(400, "the Host field is malformed");
}

static struct refusal read_framing(const struct dv_http_head *head, struct dv_http_framing *framing)
{
    size_t count;
    const struct dv_http_head_field *coding = find_field(head, "Transfer-Encoding", &count);
    const struct dv_http_head_field *length = find_field(head, "Content-Length", &count);
    const struct dv_http_head_field *expect = find_field(head, "Expect", &count);
    bool is_old = dv_text_equal(head->version, "HTTP/1.0");

    if (coding && (length || is_old)) {
        return refuse(400, "Transfer-Encoding stands beside Content-Length or HTTP/1.0");
    }
    if (coding && !dv_text_equal_nocase(coding->value, "chunked")) {
        return refuse(501, "the only transfer coding here is chunked");
    }
    if (length && (strspn(length->value, "0123456789") != length->value_size ||
                      !dv_text_to_uint64(length->value, &framing->length))) {
        return refuse(400, "Content-Length is not a number of bytes");
    }
    if (expect && !is_old && !dv_text_equal_nocase(expect->value, "100-continue")) {
        return refuse(417, "the only expectation met here is 100-continue");
    }
    framing->is_chunked = coding != NULL;
    framing->expects_continue = expect && !is_old;
    framing->must_close = is_old || coding;
    return accepted;
}

int dv_http_guard(const struct dv_http_head *head, const struct dv_http_limits *limits,
    struct dv_http_framing *ret_framing, const char **ret_detail)
{
    struct dv_http_framing framing = {0};

    struct refusal refusal = check_limits(head, limits);
    if (refusal.code == 0) {
        refusal = check_characters(head);
    }
    if (refusal.code == 0) {
        refusal = check_places(head);
    }
    if (refusal.code == 0) {
        refusal = check_single(head);
    }
    if (refusal.code == 0) {
        refusal = check_host(head);
    }
    if (refusal.code == 0) {
        refusal = read_framing(head, &framing);
    }
    if (refusal.code != 0) {
        *ret_detail = refusal.detail;
        return refusal.code;
    }
    *ret_framing = framing;
    return 0;
}
