/* SPDX-License-Identifier: Apache-2.0 */
#include "http/range.h"

#include "http/field.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Digits at *text, saturating; false when there are none. */
static bool read_number(const char **text, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (**text < '0' || **text > '9') {
        return false;
    }
    for (; **text >= '0' && **text <= '9'; (*text)++) {
        uint64_t digit = (uint64_t)(**text - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* One range of `size` bytes; a code of 200 where it is to be ignored. */
static struct dv_http_slice read_range(const char *text, uint64_t size)
{
    const struct dv_http_slice all = {200, 0, size};
    const struct dv_http_slice none = {416, 0, 0};
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;

    if (strncasecmp(text, "bytes=", 6) != 0) {
        return all;
    }
    text = skip_blanks(text + 6);
    bool has_first = read_number(&text, &first);
    if (*text++ != '-') {
        return all;
    }
    bool has_last = read_number(&text, &last);
    if (*skip_blanks(text) != '\0' || (!has_first && !has_last)) {
        return all;
    }
    if (!has_first) { /* the last so many */
        if (last == 0 || size == 0) {
            return none;
        }
        first = last < size ? size - last : 0;
        return (struct dv_http_slice){206, first, size - first};
    }
    if (last < first) {
        return all;
    }
    if (first >= size) {
        return none;
    }
    last = last < size - 1 ? last : size - 1;
    return (struct dv_http_slice){206, first, last - first + 1};
}

struct dv_http_slice dv_http_slice_choose(
    const struct dv_http_conditions *conditions, const char *etag, uint64_t size)
{
    if (conditions->if_match && !dv_field_has_etag(conditions->if_match, etag, false)) {
        return (struct dv_http_slice){412, 0, 0};
    }
    if (conditions->if_none_match && dv_field_has_etag(conditions->if_none_match, etag, true)) {
        return (struct dv_http_slice){304, 0, size};
    }
    /* A date in If-Range equals no tag either. */
    if (!conditions->range ||
        (conditions->if_range && (conditions->if_range[0] != '"' ||
                                     !dv_field_has_etag(conditions->if_range, etag, false)))) {
        return (struct dv_http_slice){200, 0, size};
    }
    return read_range(conditions->range, size);
}
