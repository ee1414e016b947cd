/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_MULTIPART_H
#define DV_HTTP_MULTIPART_H

/*
 * A parser of multipart/form-data (RFC 7578) that is fed pieces of any size and keeps nothing but
 * the header of the part it is in. It is strict: no preamble, no epilogue, no folded lines, no
 * transfer encoding, no multipart within.
 *
 * Life:    dv_multipart_init(), dv_multipart_next() until it wants more, again with the next piece;
 *          dv_multipart_finish().
 * Limits:  http_limits.h: boundary, parts, part headers, names.
 */

#include "base/buffer.h"
#include "http/http_limits.h"

#include <stdbool.h>
#include <stddef.h>

enum dv_multipart_event {
    DV_MULTIPART_MORE, /* the piece is used up */
    DV_MULTIPART_PART, /* a part begins: `part` says which */
    DV_MULTIPART_DATA, /* bytes of it */
    DV_MULTIPART_PART_END,
    DV_MULTIPART_END, /* the last boundary was seen; nothing but a line end may follow */
    DV_MULTIPART_BAD, /* `problem` says why; nothing can be read any more */
};

enum dv_multipart_state {
    DV_MULTIPART_IN_START,
    DV_MULTIPART_IN_DELIMITER,
    DV_MULTIPART_IN_HEADER,
    DV_MULTIPART_IN_DATA,
    DV_MULTIPART_IN_EPILOGUE,
    DV_MULTIPART_FAILED,
};

struct dv_multipart {
    enum dv_multipart_state state;
    const char *problem; /* a constant */

    struct {
        char name[DV_MULTIPART_NAME_SIZE_MAX + 1];
        char file_name[DV_MULTIPART_NAME_SIZE_MAX + 1];
        char type[DV_MULTIPART_NAME_SIZE_MAX + 1];
        bool has_file_name; /* it is a file */
        bool has_type;
    } part;

    /* The parser's own. */
    char delimiter[DV_MULTIPART_BOUNDARY_SIZE_MAX + 5]; /* CR LF - - boundary */
    size_t delimiter_size;
    size_t matched;      /* bytes of it, or of what may follow it, seen */
    size_t given_back;   /* bytes of a delimiter that was none, already handed out */
    bool is_giving_back; /* `matched` bytes of the delimiter were data */
    bool is_ended;
    size_t part_count;
    struct dv_buffer header;
};

/* From the value of Content-Type. False: no usable boundary; *ret_problem says why. */
bool dv_multipart_init(
    struct dv_multipart *parser, const char *content_type, const char **ret_problem);
void dv_multipart_finish(struct dv_multipart *parser);

/*
 * The next event of the piece at *data, which is moved forward by what was used. With DATA,
 * *ret_bytes are at most `bytes_max` (above 0) bytes, borrowed until the next call.
 */
enum dv_multipart_event dv_multipart_next(struct dv_multipart *parser, const char **data,
    size_t *size, size_t bytes_max, const char **ret_bytes, size_t *ret_size);

/* Has the last boundary been seen? Else the body was cut off. */
bool dv_multipart_is_complete(const struct dv_multipart *parser);

#endif
