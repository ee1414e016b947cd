/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from the end: dv_multipart_next() takes one step of the state it is in.
 *
 * A delimiter is CR LF "--" boundary, and a boundary holds no CR. So where a match breaks off, what
 * was matched is data, and a new match can begin at the byte that broke it at the earliest.
 */

#include "http/multipart.h"

#include "base/text.h"
#include "http/field.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static enum dv_multipart_event fail(struct dv_multipart *parser, const char *problem)
{
    parser->state = DV_MULTIPART_FAILED;
    parser->problem = problem;
    return DV_MULTIPART_BAD;
}

/* --- Boundary --------------------------------------------------------------------------------- */

/* RFC 2046 section 5.1.1 "bchars"; a blank may not be the last. */
static bool is_boundary(const char *text)
{
    size_t size = strlen(text);

    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool is_alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alphanumeric && !strchr("'()+_,-./:=? ", c)) {
            return false;
        }
    }
    return size > 0 && text[size - 1] != ' ';
}

bool dv_multipart_init(
    struct dv_multipart *parser, const char *content_type, const char **ret_problem)
{
    char boundary[DV_MULTIPART_BOUNDARY_SIZE_MAX + 1];

    memset(parser, 0, sizeof(*parser));
    parser->header = (struct dv_buffer)DV_BUFFER_INIT(DV_MULTIPART_HEADER_SIZE_MAX);
    if (!dv_field_parameter(content_type, "boundary", boundary, sizeof(boundary)) ||
        !is_boundary(boundary)) {
        *ret_problem = "multipart/form-data needs a boundary of 1 to 70 characters";
        return false;
    }
    memcpy(parser->delimiter, "\r\n--", 4);
    memcpy(parser->delimiter + 4, boundary, strlen(boundary) + 1);
    parser->delimiter_size = 4 + strlen(boundary);
    parser->matched = 2; /* the body begins as if after a line */
    return true;
}

void dv_multipart_finish(struct dv_multipart *parser)
{
    dv_buffer_finish(&parser->header);
}

bool dv_multipart_is_complete(const struct dv_multipart *parser)
{
    return parser->is_ended && parser->state != DV_MULTIPART_FAILED;
}

/* --- The header of a part --------------------------------------------------------------------- */

static bool is_plain(const char *text)
{
    return dv_text_is_utf8(text, strlen(text)) && dv_field_is_value(text, strlen(text));
}

static const char *read_disposition(struct dv_multipart *parser, const char *value)
{
    if (parser->part.name[0]) {
        return "a part has two Content-Disposition fields";
    }
    if (!dv_field_is_type(value, "form-data") ||
        !dv_field_parameter(value, "name", parser->part.name, sizeof(parser->part.name)) ||
        !parser->part.name[0] || !is_plain(parser->part.name)) {
        return "a part has no Content-Disposition with a name of 1 to 255 bytes of UTF-8";
    }
    if (strcasestr(value, "filename=")) {
        parser->part.has_file_name = true;
        if (!dv_field_parameter(
                value, "filename", parser->part.file_name, sizeof(parser->part.file_name)) ||
            !is_plain(parser->part.file_name)) {
            return "the file name of a part is malformed or longer than 255 bytes";
        }
    }
    return NULL;
}

static const char *read_field(struct dv_multipart *parser, const char *name, const char *value)
{
    if (strcasecmp(name, "Content-Disposition") == 0) {
        return read_disposition(parser, value);
    }
    if (strcasecmp(name, "Content-Type") == 0) {
        parser->part.has_type = true;
        if (strncasecmp(value, "multipart/", 10) == 0) {
            return "a part may not be multipart itself";
        }
        if (!dv_text_copy(parser->part.type, sizeof(parser->part.type), value)) {
            return "the Content-Type of a part is longer than 255 bytes";
        }
    }
    if (strcasecmp(name, "Content-Transfer-Encoding") == 0 && strcasecmp(value, "binary") != 0 &&
        strcasecmp(value, "8bit") != 0 && strcasecmp(value, "7bit") != 0) {
        return "a part may not have a Content-Transfer-Encoding";
    }
    return NULL;
}

/* One line, without its end; taken apart in place. */
static const char *read_line(struct dv_multipart *parser, char *line, size_t size)
{
    char *colon = memchr(line, ':', size);

    if (!colon || !dv_field_is_token(line, (size_t)(colon - line)) ||
        !dv_field_is_value(colon + 1, size - (size_t)(colon + 1 - line))) {
        return "the header of a part is malformed";
    }
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t length = strlen(value);
    while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) {
        value[--length] = '\0';
    }
    return read_field(parser, line, value);
}

/* Lines that end in CR LF, without the empty one. */
static const char *read_header(struct dv_multipart *parser)
{
    char *line = parser->header.data;
    char *end = line + parser->header.size;

    memset(&parser->part, 0, sizeof(parser->part));
    while (line < end) {
        char *line_end = memmem(line, (size_t)(end - line), "\r\n", 2);
        assert(line_end);
        *line_end = '\0';
        const char *problem = read_line(parser, line, (size_t)(line_end - line));
        if (problem) {
            return problem;
        }
        line = line_end + 2;
    }
    return parser->part.name[0] ? NULL : "a part has no Content-Disposition";
}

static enum dv_multipart_event step_header(
    struct dv_multipart *parser, const char **data, size_t *size)
{
    struct dv_buffer *header = &parser->header;

    while (*size > 0) {
        dv_buffer_append(header, *data, 1);
        (*data)++;
        (*size)--;
        if (header->is_over) {
            return fail(parser, "the header of a part is longer than 8 KiB");
        }
        bool is_line = header->size >= 2 && memcmp(header->data + header->size - 2, "\r\n", 2) == 0;
        bool is_end =
            is_line &&
            (header->size == 2 ||
                (header->size >= 4 && memcmp(header->data + header->size - 4, "\r\n", 2) == 0));
        if (!is_end) {
            continue;
        }
        header->size -= 2;
        const char *problem = read_header(parser);
        if (problem) {
            return fail(parser, problem);
        }
        parser->state = DV_MULTIPART_IN_DATA;
        parser->matched = 0;
        return DV_MULTIPART_PART;
    }
    return DV_MULTIPART_MORE;
}

/* --- Delimiters ------------------------------------------------------------------------------- */

/* The first line: nothing may stand before it. */
static enum dv_multipart_event step_start(
    struct dv_multipart *parser, const char **data, size_t *size)
{
    for (; *size > 0 && parser->matched < parser->delimiter_size; (*data)++, (*size)--) {
        if (**data != parser->delimiter[parser->matched++]) {
            return fail(parser, "the body does not begin with its boundary");
        }
    }
    if (parser->matched == parser->delimiter_size) {
        parser->state = DV_MULTIPART_IN_DELIMITER;
        parser->matched = 0;
    }
    return DV_MULTIPART_MORE;
}

/* After a delimiter: a line end and another part, or two hyphens and the end. */
static enum dv_multipart_event step_delimiter(
    struct dv_multipart *parser, const char **data, size_t *size)
{
    char c = **data;

    (*data)++;
    (*size)--;
    if (parser->matched == 0) {
        if (c != '\r' && c != '-') {
            return fail(parser, "a boundary is not followed by a line end");
        }
        parser->matched = c == '\r' ? 1 : 2;
        return DV_MULTIPART_MORE;
    }
    if (c != (parser->matched == 1 ? '\n' : '-')) {
        return fail(parser, "a boundary is not followed by a line end");
    }
    if (parser->matched == 2) {
        parser->state = DV_MULTIPART_IN_EPILOGUE;
        parser->matched = 0;
        parser->is_ended = true;
        return DV_MULTIPART_END;
    }
    if (parser->part_count++ == DV_MULTIPART_PART_COUNT_MAX) {
        return fail(parser, "the body has more than 16 parts");
    }
    parser->state = DV_MULTIPART_IN_HEADER;
    dv_buffer_consume(&parser->header, parser->header.size);
    return DV_MULTIPART_MORE;
}

static enum dv_multipart_event step_epilogue(
    struct dv_multipart *parser, const char **data, size_t *size)
{
    for (; *size > 0; (*data)++, (*size)--) {
        if (parser->matched == 2 || **data != "\r\n"[parser->matched++]) {
            return fail(parser, "something follows the last boundary");
        }
    }
    return DV_MULTIPART_MORE;
}

/* --- Data ------------------------------------------------------------------------------------- */

/* Bytes that looked like a delimiter. */
static enum dv_multipart_event give_back(
    struct dv_multipart *parser, size_t bytes_max, const char **ret_bytes, size_t *ret_size)
{
    size_t left = parser->matched - parser->given_back;
    size_t size = left < bytes_max ? left : bytes_max;

    *ret_bytes = parser->delimiter + parser->given_back;
    *ret_size = size;
    parser->given_back += size;
    if (parser->given_back == parser->matched) {
        parser->is_giving_back = false;
        parser->matched = 0;
    }
    return DV_MULTIPART_DATA;
}

/* How many bytes there are before what may be, as far as it can be seen, a delimiter. */
static size_t count_data(const struct dv_multipart *parser, const char *data, size_t size)
{
    const char *end = data + size;

    for (const char *at = data; (at = memchr(at, '\r', (size_t)(end - at))); at++) {
        size_t left = (size_t)(end - at);
        size_t seen = left < parser->delimiter_size ? left : parser->delimiter_size;
        if (memcmp(at, parser->delimiter, seen) == 0) {
            return (size_t)(at - data);
        }
    }
    return size;
}

static enum dv_multipart_event step_data(struct dv_multipart *parser, const char **data,
    size_t *size, size_t bytes_max, const char **ret_bytes, size_t *ret_size)
{
    if (parser->is_giving_back) {
        return give_back(parser, bytes_max, ret_bytes, ret_size);
    }
    for (; *size > 0 && parser->matched > 0; (*data)++, (*size)--) {
        if (**data != parser->delimiter[parser->matched]) {
            parser->is_giving_back = true;
            parser->given_back = 0;
            return give_back(parser, bytes_max, ret_bytes, ret_size);
        }
        if (++parser->matched == parser->delimiter_size) {
            (*data)++;
            (*size)--;
            parser->state = DV_MULTIPART_IN_DELIMITER;
            parser->matched = 0;
            return DV_MULTIPART_PART_END;
        }
    }
    if (*size == 0) {
        return DV_MULTIPART_MORE;
    }
    size_t limit = *size < bytes_max ? *size : bytes_max;
    size_t length = count_data(parser, *data, limit);
    *ret_bytes = *data;
    *ret_size = length;
    parser->matched = length < limit;
    *data += length + parser->matched;
    *size -= length + parser->matched;
    return length > 0 ? DV_MULTIPART_DATA : DV_MULTIPART_MORE;
}

enum dv_multipart_event dv_multipart_next(struct dv_multipart *parser, const char **data,
    size_t *size, size_t bytes_max, const char **ret_bytes, size_t *ret_size)
{
    enum dv_multipart_event event = DV_MULTIPART_MORE;

    assert(bytes_max > 0);
    while (event == DV_MULTIPART_MORE && *size > 0) {
        switch (parser->state) {
        case DV_MULTIPART_IN_START:
            event = step_start(parser, data, size);
            break;
        case DV_MULTIPART_IN_DELIMITER:
            event = step_delimiter(parser, data, size);
            break;
        case DV_MULTIPART_IN_HEADER:
            event = step_header(parser, data, size);
            break;
        case DV_MULTIPART_IN_DATA:
            event = step_data(parser, data, size, bytes_max, ret_bytes, ret_size);
            break;
        case DV_MULTIPART_IN_EPILOGUE:
            event = step_epilogue(parser, data, size);
            break;
        case DV_MULTIPART_FAILED:
            event = DV_MULTIPART_BAD;
            break;
        }
    }
    return event;
}
