/* SPDX-License-Identifier: Apache-2.0 */
#include "http/router.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/text.h"
#include "http/route.h"

#include <assert.h>
#include <string.h>

#define ALLOW_SIZE_MAX 128

enum segment_kind {
    SEGMENT_LITERAL,
    SEGMENT_PARAMETER,
    SEGMENT_STAR,
};

struct pattern {
    const struct dv_http_route *route;
    const char *segments[DV_HTTP_SEGMENT_COUNT_MAX]; /* a parameter's is its name */
    enum segment_kind kinds[DV_HTTP_SEGMENT_COUNT_MAX];
    size_t segment_count;
};

struct dv_http_router {
    struct dv_arena *arena;
    struct pattern *patterns;
    size_t pattern_count;
};

/* --- The table -------------------------------------------------------------------------------- */

static void compile_segment(struct pattern *pattern, char *text)
{
    size_t size = strlen(text);
    enum segment_kind kind = SEGMENT_LITERAL;

    assert(pattern->segment_count < DV_HTTP_SEGMENT_COUNT_MAX);
    if (text[0] == '{') {
        assert(size > 2);
        assert(text[size - 1] == '}');
        text[size - 1] = '\0';
        text++;
        kind = SEGMENT_PARAMETER;
    } else if (strcmp(text, "*") == 0) {
        kind = SEGMENT_STAR;
    }
    pattern->segments[pattern->segment_count] = text;
    pattern->kinds[pattern->segment_count] = kind;
    pattern->segment_count++;
}

static void compile(
    struct pattern *pattern, const struct dv_http_route *route, struct dv_arena *arena)
{
    size_t parameter_count = 0;

    assert(route->pattern[0] == '/');
    assert(route->handle);
    assert(route->body != DV_HTTP_BODY_MULTIPART || (route->open_file && route->close_file));
    pattern->route = route;
    char *segment = dv_arena_strdup(arena, route->pattern + 1);
    for (char *slash = segment; slash; segment = slash + 1) {
        slash = strchr(segment, '/');
        if (slash) {
            *slash = '\0';
        }
        compile_segment(pattern, segment);
        if (!slash) {
            break;
        }
        assert(pattern->kinds[pattern->segment_count - 1] != SEGMENT_STAR); /* the last only */
    }
    for (size_t i = 0; i < pattern->segment_count; i++) {
        parameter_count += pattern->kinds[i] != SEGMENT_LITERAL;
    }
    assert(parameter_count <= DV_HTTP_PARAMETER_COUNT_MAX);
}

struct dv_http_router *dv_http_router_create(const struct dv_http_route *routes)
{
    struct dv_http_router *router = dv_alloc(sizeof(*router));
    size_t count = 0;

    while (routes[count].method) {
        count++;
    }
    assert(count <= DV_HTTP_ROUTE_COUNT_MAX);
    router->arena = dv_arena_create(0);
    router->patterns = dv_arena_array(router->arena, count + 1, sizeof(*router->patterns));
    router->pattern_count = count;
    for (size_t i = 0; i < count; i++) {
        compile(&router->patterns[i], &routes[i], router->arena);
    }
    return router;
}

struct dv_http_router *dv_http_router_destroy(struct dv_http_router *router)
{
    if (router) {
        dv_arena_destroy(router->arena);
        dv_free(router);
    }
    return NULL;
}

/* --- Finding ---------------------------------------------------------------------------------- */

static bool has_path(const struct pattern *pattern, const struct dv_http_target *target)
{
    for (size_t i = 0; i < pattern->segment_count; i++) {
        if (i >= target->segment_count) {
            return false;
        }
        if (pattern->kinds[i] == SEGMENT_STAR) {
            return true;
        }
        const char *segment = target->segments[i];
        if (pattern->kinds[i] == SEGMENT_LITERAL ? strcmp(segment, pattern->segments[i]) != 0
                                                 : segment[0] == '\0') {
            return false;
        }
    }
    return pattern->segment_count == target->segment_count;
}

/* Does `a` go before `b`, both having the path? */
static bool is_closer(const struct pattern *a, const struct pattern *b)
{
    for (size_t i = 0; i < a->segment_count && i < b->segment_count; i++) {
        if (a->kinds[i] != b->kinds[i]) {
            return a->kinds[i] < b->kinds[i];
        }
    }
    return false;
}

static bool has_method(const struct pattern *pattern, const char *method)
{
    return dv_text_equal(pattern->route->method, method) ||
           (dv_text_equal(method, "HEAD") && dv_text_equal(pattern->route->method, "GET"));
}

static void add_method(struct dv_buffer *allow, const char *method)
{
    for (const char *at = dv_buffer_text(allow); (at = strstr(at, method)); at++) {
        size_t size = strlen(method);
        if (at[size] == ',' || at[size] == '\0') {
            return;
        }
    }
    dv_buffer_printf(allow, "%s%s", allow->size > 0 ? ", " : "", method);
    if (dv_text_equal(method, "GET")) {
        dv_buffer_append_text(allow, ", HEAD");
    }
}

static const char *join_rest(
    const struct dv_http_target *target, size_t first, struct dv_arena *arena)
{
    const char *rest = target->path;

    for (size_t i = 0; i <= first; i++) {
        rest = strchr(rest, '/') + 1;
    }
    return dv_http_decode(arena, rest, strlen(rest), false);
}

static void read_parameters(const struct pattern *pattern, const struct dv_http_target *target,
    struct dv_arena *arena, struct dv_http_match *match)
{
    for (size_t i = 0; i < pattern->segment_count; i++) {
        struct dv_http_pair pair = {.name = pattern->segments[i]};
        if (pattern->kinds[i] == SEGMENT_LITERAL) {
            continue;
        }
        if (pattern->kinds[i] == SEGMENT_STAR) {
            pair.value = join_rest(target, i, arena);
        } else {
            const char *segment = target->segments[i];
            pair.value = dv_http_decode(arena, segment, strlen(segment), false);
        }
        match->is_malformed = match->is_malformed || !pair.value;
        match->parameters[match->parameter_count++] = pair;
    }
}

void dv_http_router_find(const struct dv_http_router *router, const char *method,
    const struct dv_http_target *target, struct dv_arena *arena, struct dv_http_match *ret_match)
{
    struct dv_buffer allow = DV_BUFFER_INIT(ALLOW_SIZE_MAX);
    const struct pattern *best = NULL;

    memset(ret_match, 0, sizeof(*ret_match));
    for (size_t i = 0; i < router->pattern_count; i++) {
        const struct pattern *pattern = &router->patterns[i];
        if (!has_path(pattern, target)) {
            continue;
        }
        add_method(&allow, pattern->route->method);
        if (has_method(pattern, method) && (!best || is_closer(pattern, best))) {
            best = pattern;
        }
    }
    if (allow.size > 0) {
        add_method(&allow, "OPTIONS");
        ret_match->allow = dv_arena_strdup(arena, dv_buffer_text(&allow));
    }
    if (best) {
        ret_match->route = best->route;
        read_parameters(best, target, arena, ret_match);
    }
    dv_buffer_finish(&allow);
}
