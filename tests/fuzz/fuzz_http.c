/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as the header of a request. They go through a model of how libmicrohttpd 0.9.75 parses
 * them in place, with all that it forgives, and then through the guard, the target, the router and
 * the fields. What the guard lets through is well-formed to the letter, as a second, strict reader
 * of the untouched bytes says.
 */

#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"
#include "http/field.h"
#include "http/guard.h"
#include "http/range.h"
#include "http/router.h"
#include "http/server.h"
#include "http/target.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define SIZE_MAX_FUZZED 4096
#define FIELD_COUNT_FUZZED 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct dv_http_limits limits = {
    .header_size = 2048, .header_count = 12, .target_size = 512};

/* --- The model of the library ----------------------------------------------------------------- */

struct model {
    char bytes[SIZE_MAX_FUZZED];
    char folded[SIZE_MAX_FUZZED]; /* a name that a folded line was appended to moves in here */
    size_t folded_used;
    size_t size;
    size_t at;
    char whole_target[SIZE_MAX_FUZZED];
    struct dv_http_head_field fields[FIELD_COUNT_FUZZED];
    struct dv_http_head head;
};

/* get_next_header_line(): ends at CR LF or a bare LF, which become NUL. */
static char *next_line(struct model *model, size_t *ret_size)
{
    for (size_t i = model->at; i < model->size; i++) {
        bool is_crlf =
            model->bytes[i] == '\r' && i + 1 < model->size && model->bytes[i + 1] == '\n';
        if (!is_crlf && model->bytes[i] != '\n') {
            continue;
        }
        char *line = model->bytes + model->at;
        *ret_size = i - model->at;
        model->bytes[i++] = '\0';
        if (is_crlf) {
            model->bytes[i++] = '\0';
        }
        model->at = i;
        return line;
    }
    return NULL;
}

/* parse_initial_message_line() with discipline 0. */
static bool parse_first_line(struct model *model, char *line, size_t size)
{
    char *target = memchr(line, ' ', size);

    if (!target || target == line) {
        return false;
    }
    *target++ = '\0';
    while (*target == ' ') {
        target++;
    }
    if (target == line + size) {
        return false;
    }
    char *version = line + size - 1;
    while (*version == ' ' && version > target) {
        version--;
    }
    while (*version != ' ' && version > target) {
        version--;
    }
    if (version == target) {
        return false;
    }
    *version++ = '\0';
    if ((size_t)(line + size - version) != 8 || memcmp(version, "HTTP/1.", 7) != 0 ||
        version[7] < '0' || version[7] > '9') {
        return false;
    }
    memcpy(model->whole_target, target, strlen(target) + 1);
    char *query = strchr(target, '?');
    if (query) {
        *query = '\0';
    }
    model->head.method = line;
    model->head.target = target;
    model->head.whole_target = model->whole_target;
    model->head.version = version;
    return true;
}

static void add_field(struct model *model, char *name, char *value)
{
    if (model->head.field_count < FIELD_COUNT_FUZZED) {
        model->fields[model->head.field_count] =
            (struct dv_http_head_field){name, strlen(name), value, strlen(value)};
    }
    model->head.field_count++;
}

/* process_broken_line(): a folded line goes after the NAME, in a new place. */
static bool fold(struct model *model, char **name, const char *line)
{
    size_t name_size = strlen(*name);
    size_t line_size = strlen(line);

    if (model->folded_used + name_size + line_size + 1 > sizeof(model->folded)) {
        return false;
    }
    char *place = model->folded + model->folded_used;
    memcpy(place, *name, name_size);
    memcpy(place + name_size, line, line_size + 1);
    model->folded_used += name_size + line_size + 1;
    *name = place;
    return true;
}

/* False: the library refuses it by itself. */
static bool parse(struct model *model)
{
    char *name = NULL, *value = NULL, *line;
    size_t size;

    do { /* empty lines before the first are skipped */
        line = next_line(model, &size);
    } while (line && line[0] == '\0');
    if (!line || !parse_first_line(model, line, size)) {
        return false;
    }
    while ((line = next_line(model, &size))) {
        if (name && (line[0] == ' ' || line[0] == '\t')) {
            if (!fold(model, &name, line + strspn(line, " \t"))) {
                return false;
            }
            continue;
        }
        if (name) {
            add_field(model, name, value);
        }
        if (line[0] == '\0') {
            model->head.size = (size_t)(model->bytes + model->at - model->head.method);
            return true;
        }
        char *colon = strchr(line, ':');
        if (!colon) {
            return false;
        }
        *colon++ = '\0';
        name = line;
        value = colon + strspn(colon, " \t");
    }
    return false;
}

/* --- The strict reader ------------------------------------------------------------------------ */

static const char *end_of_text(const char *text, const char *end)
{
    while (text < end && *text != '\r' && *text != '\n' && *text != '\0') {
        text++;
    }
    return text;
}

/* CR LF, or a NUL and a bare line feed, which the library makes the same of. */
static void check_line_end(const char *text)
{
    assert(memcmp(text, "\r\n", 2) == 0 || memcmp(text, "\0\n", 2) == 0);
}

static void check_first_line(const char *text, const char *line_end)
{
    const char *blank = memchr(text, ' ', (size_t)(line_end - text));

    assert(blank);
    assert(dv_field_is_token(text, (size_t)(blank - text)));
    const char *second = memchr(blank + 1, ' ', (size_t)(line_end - blank - 1));
    assert(second);
    assert(second > blank + 1);
    assert(line_end - second == 9);
    assert(memcmp(second, " HTTP/1.", 8) == 0);
    assert(second[8] == '0' || second[8] == '1');
}

struct counts {
    size_t length, coding, host;
};

static void check_field(const char *text, const char *line_end, struct counts *counts)
{
    const char *colon = memchr(text, ':', (size_t)(line_end - text));

    assert(colon);
    size_t size = (size_t)(colon - text);
    assert(dv_field_is_token(text, size));
    assert(dv_field_is_value(colon + 1, (size_t)(line_end - colon - 1)));
    counts->length += size == 14 && strncasecmp(text, "Content-Length", size) == 0;
    counts->coding += size == 17 && strncasecmp(text, "Transfer-Encoding", size) == 0;
    counts->host += size == 4 && strncasecmp(text, "Host", size) == 0;
}

/* The end of the last line and the empty one after it. The library makes NULs of both, so here too
 * NULs beside bare line feeds look like CR LF; but nothing else can stand in these four bytes. */
static void check_end(const char *text)
{
    for (size_t i = 0; i < 4; i++) {
        assert(text[i] == '\r' || text[i] == '\n' || text[i] == '\0');
    }
    assert(text[3] == '\n');
}

static void check_strictly(
    const char *text, size_t size, const struct dv_http_framing *framing, bool is_old)
{
    const char *end = text + size;
    struct counts counts = {0};

    const char *line_end = end_of_text(text, end);
    check_first_line(text, line_end);
    while (end - line_end > 4) {
        check_line_end(line_end);
        text = line_end + 2;
        line_end = end_of_text(text, end);
        check_field(text, line_end, &counts);
    }
    assert(end - line_end == 4);
    check_end(line_end);
    assert(counts.length + counts.coding <= 1);
    assert(framing->is_chunked == (counts.coding == 1));
    assert(framing->length == 0 || counts.length == 1);
    assert(counts.host == 1 || (counts.host == 0 && is_old));
    assert(framing->must_close || (!is_old && counts.coding == 0));
}

/* --- What follows the guard ------------------------------------------------------------------- */

static void handle(struct dv_http_request *request, void *user)
{
    (void)request;
    (void)user;
}

static const struct dv_http_route routes[] = {
    {.method = "GET", .pattern = "/", .handle = handle},
    {.method = "GET", .pattern = "/a/{id}/b", .handle = handle},
    {.method = "POST", .pattern = "/a/{id}", .body = DV_HTTP_BODY_JSON, .handle = handle},
    {.method = "GET", .pattern = "/a/b", .handle = handle},
    {.method = "GET", .pattern = "/c/{id}/*", .handle = handle},
    {0},
};

static void check_target(const struct dv_http_head *head)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_http_router *router = dv_http_router_create(routes);
    struct dv_http_target target;
    struct dv_http_match match;

    if (!dv_http_target_parse(head->whole_target, arena, &target)) {
        assert(target.path[0] == '/');
        assert(target.segment_count > 0);
        for (size_t i = 0; i < target.segment_count; i++) {
            assert(strcmp(target.segments[i], "..") != 0);
        }
        for (size_t i = 0; i < target.query_count; i++) {
            assert(dv_text_is_utf8(target.query[i].name, strlen(target.query[i].name)));
            assert(dv_text_is_utf8(target.query[i].value, strlen(target.query[i].value)));
        }
        dv_http_router_find(router, head->method, &target, arena, &match);
        assert(!match.route || match.allow);
        for (size_t i = 0; match.route && !match.is_malformed && i < match.parameter_count; i++) {
            const char *value = match.parameters[i].value;
            assert(strcmp(value, "..") != 0);
            for (const char *at = value; (at = strstr(at, "/..")); at++) {
                assert(at[3] != '/');
                assert(at[3] != '\0');
            }
        }
    }
    router = dv_http_router_destroy(router);
}

static void check_values(const struct dv_http_head *head)
{
    char text[64];

    for (size_t i = 0; i < head->field_count; i++) {
        const char *value = head->fields[i].value;
        const struct dv_http_conditions conditions = {.range = value,
            .if_range = i % 2 ? value : NULL,
            .if_match = i % 3 == 1 ? value : NULL,
            .if_none_match = i % 3 == 2 ? value : NULL};
        struct dv_http_slice slice = dv_http_slice_choose(&conditions, "tag", 1000);
        assert(slice.size <= 1000);
        assert(slice.offset <= 1000 - slice.size);
        assert(slice.code != 206 || slice.size > 0);
        (void)dv_field_parameter(value, "boundary", text, sizeof(text));
        (void)dv_field_cookie(value, "dv", text, sizeof(text));
        (void)dv_field_is_type(value, "application/json");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model model; /* large, and there is one thread */
    struct dv_http_framing framing;
    const char *detail = NULL;

    if (size >= SIZE_MAX_FUZZED) {
        return 0;
    }
    memset(&model, 0, sizeof(model));
    memcpy(model.bytes, data, size);
    model.size = size;
    model.head.fields = model.fields;
    if (!parse(&model)) {
        return 0;
    }
    int code = dv_http_guard(&model.head, &limits, &framing, &detail);
    assert(code == 0 || (code >= 400 && code < 600 && detail));
    if (code == 0) {
        size_t begin = (size_t)(model.head.method - model.bytes);
        check_strictly((const char *)data + begin, model.head.size, &framing,
            strcmp(model.head.version, "HTTP/1.0") == 0);
        check_target(&model.head);
        check_values(&model.head);
    }
    return 0;
}
