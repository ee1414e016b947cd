/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_TARGET_H
#define DV_HTTP_TARGET_H

/*
 * The target of a request, "/path/of/segments?name=value&name=value", taken apart without being
 * changed: segments stay as they were sent, nothing is normalised, and whatever would need it is
 * refused. A pure function on untrusted text.
 */

#include "http/http_limits.h"

#include <stdbool.h>
#include <stddef.h>

struct dv_arena;

struct dv_http_pair {
    const char *name;
    const char *value;
};

struct dv_http_target {
    const char *path;                                /* as sent */
    const char *segments[DV_HTTP_SEGMENT_COUNT_MAX]; /* as sent; "/" is one empty segment */
    size_t segment_count;
    struct dv_http_pair query[DV_HTTP_QUERY_COUNT_MAX]; /* decoded */
    size_t query_count;
};

/* NULL, or why it is refused (a constant). Everything lives in the arena. */
const char *dv_http_target_parse(
    const char *text, struct dv_arena *arena, struct dv_http_target *ret_target);

/*
 * Decode %HH (and + as a blank, where `is_query`) into the arena. NULL: an escape is malformed, or
 * the result holds a NUL or is not UTF-8.
 */
char *dv_http_decode(struct dv_arena *arena, const char *text, size_t size, bool is_query);

#endif
