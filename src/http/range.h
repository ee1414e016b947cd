/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_RANGE_H
#define DV_HTTP_RANGE_H

/*
 * What of a file is asked for (RFC 9110 sections 13 and 14): preconditions and one byte range.
 * A pure function on untrusted text.
 */

#include <stdint.h>

/* Header values, NULL where there is none. */
struct dv_http_conditions {
    const char *range;
    const char *if_range;
    const char *if_match;
    const char *if_none_match;
};

struct dv_http_slice {
    int code; /* 200, 206, 304, 412 or 416 */
    uint64_t offset;
    uint64_t size; /* of the body; with 304 of what it would be */
};

/*
 * Of content with `size` bytes and this entity tag (without quotes; NULL: none). Several ranges and
 * malformed ones are answered with all of it: a range may be ignored, and answering many would
 * send more than the file.
 */
struct dv_http_slice dv_http_slice_choose(
    const struct dv_http_conditions *conditions, const char *etag, uint64_t size);

#endif
