/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_GUARD_H
#define DV_HTTP_GUARD_H

/*
 * Decides whether the head of a request may be believed, before anything is done with it: that
 * there is one way to read where it ends, what it is called and who it is for. A pure function on
 * what libmicrohttpd made of the bytes.
 *
 * libmicrohttpd 0.9.75 parses leniently and hides what it forgave: folded lines, bare line feeds,
 * NUL bytes. It parses in place, though, putting a NUL over each delimiter, so the strings it hands
 * out lie in one buffer in the order they came in, and each begins where the strict grammar says
 * if, and only if, nothing was forgiven between two of them. `size` closes the row at its end.
 * What cannot be seen so are NULs beside bare line feeds where CR LF would stand, which then look
 * like it; and the lines of a chunked body, which is why a connection is not used again after one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_http_limits;

/* Borrowed, NUL-terminated, and in the places the library parsed them in. */
struct dv_http_head_field {
    const char *name;
    size_t name_size;
    const char *value;
    size_t value_size;
};

struct dv_http_head {
    const char *method;
    const char *target; /* its place; the library has cut the query off it meanwhile */
    const char *whole_target;
    const char *version;
    const struct dv_http_head_field *fields; /* as many as fit, in the order they came */
    size_t field_count;                      /* of all */
    size_t size;                             /* from method to the empty line's end */
};

/* What the head says of the body. */
struct dv_http_framing {
    uint64_t length; /* 0 also when there is none */
    bool is_chunked;
    bool expects_continue; /* and sends nothing before it got it */
    bool must_close;       /* the connection is not used again */
};

/*
 * 0, or the status code to refuse with; *ret_detail then says why (a constant). `fields` holds at
 * least the limit's count when `field_count` is above it.
 */
int dv_http_guard(const struct dv_http_head *head, const struct dv_http_limits *limits,
    struct dv_http_framing *ret_framing, const char **ret_detail);

#endif
