/* SPDX-License-Identifier: Apache-2.0 */
#include "http/target.h"

#include "base/arena.h"
#include "base/text.h"

#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that %HH stands for; -1: malformed. */
static int escaped_byte(const char *text, size_t size)
{
    if (size < 3 || hex_value(text[1]) < 0 || hex_value(text[2]) < 0) {
        return -1;
    }
    return hex_value(text[1]) * 16 + hex_value(text[2]);
}

char *dv_http_decode(struct dv_arena *arena, const char *text, size_t size, bool is_query)
{
    char *result = dv_arena_alloc(arena, size + 1);
    size_t used = 0;

    for (size_t i = 0; i < size; i++) {
        int byte = (unsigned char)text[i];
        if (text[i] == '%') {
            byte = escaped_byte(text + i, size - i);
            i += 2;
        } else if (text[i] == '+' && is_query) {
            byte = ' ';
        }
        if (byte <= 0) {
            return NULL;
        }
        result[used++] = (char)byte;
    }
    return dv_text_is_utf8(result, used) ? result : NULL;
}

/* --- Path ------------------------------------------------------------------------------------- */

/* RFC 3986 pchar, and no escape of what could make another path of it. */
static bool is_literal(const char *segment)
{
    for (size_t i = 0; segment[i]; i++) {
        unsigned char c = (unsigned char)segment[i];
        if (c == '%') {
            int byte = escaped_byte(segment + i, strlen(segment + i));
            if (byte < 0x20 || byte == '.' || byte == '/' || byte == '\\' || byte == 0x7f) {
                return false;
            }
        } else if (c <= ' ' || c >= 0x7f || strchr("\"#<>?[\\]^`{|}", c)) {
            return false;
        }
    }
    return strcmp(segment, ".") != 0 && strcmp(segment, "..") != 0;
}

static const char *parse_path(
    const char *path, struct dv_arena *arena, struct dv_http_target *target)
{
    target->path = path;
    if (path[0] != '/') {
        return "the request target must begin with a slash";
    }
    char *segment = dv_arena_strdup(arena, path + 1);
    for (char *slash = segment; slash; segment = slash + 1) {
        slash = strchr(segment, '/');
        if (slash) {
            *slash = '\0';
        }
        if (target->segment_count == DV_HTTP_SEGMENT_COUNT_MAX) {
            return "the path has too many segments";
        }
        if (!is_literal(segment)) {
            return "the path is malformed";
        }
        target->segments[target->segment_count++] = segment;
        if (!slash) {
            break;
        }
    }
    return NULL;
}

/* --- Query ------------------------------------------------------------------------------------ */

static const char *parse_pair(
    const char *text, size_t size, struct dv_arena *arena, struct dv_http_target *target)
{
    const char *equals = memchr(text, '=', size);
    size_t name_size = equals ? (size_t)(equals - text) : size;
    struct dv_http_pair pair = {.name = dv_http_decode(arena, text, name_size, true), .value = ""};

    if (equals) {
        pair.value = dv_http_decode(arena, equals + 1, size - name_size - 1, true);
    }
    if (!pair.name || !pair.value) {
        return "the query is malformed";
    }
    for (size_t i = 0; i < target->query_count; i++) {
        if (dv_text_equal(target->query[i].name, pair.name)) {
            return "a query parameter is given twice";
        }
    }
    if (target->query_count == DV_HTTP_QUERY_COUNT_MAX) {
        return "there are too many query parameters";
    }
    target->query[target->query_count++] = pair;
    return NULL;
}

static const char *parse_query(
    const char *query, struct dv_arena *arena, struct dv_http_target *target)
{
    for (const char *at = query; *at;) {
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f || strchr("\"#<>", *at)) {
            return "the query is malformed";
        }
        at++;
    }
    while (*query) {
        size_t size = strcspn(query, "&");
        const char *problem = size > 0 ? parse_pair(query, size, arena, target) : NULL;
        if (problem) {
            return problem;
        }
        query += size + (query[size] == '&');
    }
    return NULL;
}

const char *dv_http_target_parse(
    const char *text, struct dv_arena *arena, struct dv_http_target *ret_target)
{
    struct dv_http_target target = {0};

    char *path = dv_arena_strdup(arena, text);
    char *query = strchr(path, '?');
    if (query) {
        *query++ = '\0';
    }
    const char *problem = parse_path(path, arena, &target);
    if (!problem && query) {
        problem = parse_query(query, arena, &target);
    }
    if (!problem) {
        *ret_target = target;
    }
    return problem;
}
