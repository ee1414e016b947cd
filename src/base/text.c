/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool dv_text_equal(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool dv_text_equal_nocase(const char *a, const char *b)
{
    return a == b || (a && b && strcasecmp(a, b) == 0);
}

bool dv_text_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool dv_text_has_suffix_nocase(const char *text, const char *suffix)
{
    size_t length = strlen(text);
    size_t suffix_length = strlen(suffix);

    return length >= suffix_length && strcasecmp(text + length - suffix_length, suffix) == 0;
}

static bool starts_number(const char *text, const char *first_characters)
{
    return text && text[0] != '\0' && strchr(first_characters, text[0]);
}

bool dv_text_to_int64(const char *text, int64_t *ret_value)
{
    char *end;

    if (!starts_number(text, "-0123456789")) {
        return false;
    }
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text) {
        return false;
    }
    *ret_value = value;
    return true;
}

bool dv_text_to_uint64(const char *text, uint64_t *ret_value)
{
    char *end;

    if (!starts_number(text, "0123456789")) {
        return false;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        return false;
    }
    *ret_value = value;
    return true;
}

bool dv_text_to_double(const char *text, double *ret_value)
{
    char *end;

    if (!starts_number(text, "-.0123456789") || strpbrk(text, "xXpPiInN")) {
        return false;
    }
    errno = 0;
    double value = strtod(text, &end);
    if (*end != '\0' || end == text || !isfinite(value)) {
        return false;
    }
    *ret_value = value;
    return true;
}

bool dv_text_copy(char *field, size_t size, const char *text)
{
    size_t length = strnlen(text, size);

    if (length < size) {
        memcpy(field, text, length + 1);
        return true;
    }
    memcpy(field, text, size - 1);
    field[size - 1] = '\0';
    return false;
}

/* Length of the well-formed sequence that starts here, or 0. */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
    unsigned char first = at[0];
    size_t length = first < 0x80   ? 1
                    : first < 0xc2 ? 0
                    : first < 0xe0 ? 2
                    : first < 0xf0 ? 3
                    : first < 0xf5 ? 4
                                   : 0;

    if (first == 0 || length == 0 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) ||
        (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f)) {
        return 0; /* overlong, surrogate, or past U+10FFFF */
    }
    return length;
}

bool dv_text_is_utf8(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    while (size > 0) {
        size_t length = utf8_sequence(at, size);
        if (length == 0) {
            return false;
        }
        at += length;
        size -= length;
    }
    return true;
}

/* U+0000 to U+001F, U+007F, U+0080 to U+009F. */
static bool is_control(const unsigned char *at, size_t length)
{
    return at[0] < 0x20 || at[0] == 0x7f || (length == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

static void replace_bytes(char *text, bool with_controls)
{
    unsigned char *at = (unsigned char *)text;
    size_t left = strlen(text);

    while (left > 0) {
        size_t length = utf8_sequence(at, left);
        if (length == 0 || (with_controls && is_control(at, length))) {
            length = length == 0 ? 1 : length;
            memset(at, '?', length);
        }
        at += length;
        left -= length;
    }
}

bool dv_text_clip(char *text, size_t size_max)
{
    size_t size = size_max;

    if (strlen(text) <= size_max) {
        return false;
    }
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) {
        size--; /* back to the first byte of a sequence */
    }
    text[size] = '\0';
    return true;
}

void dv_text_make_utf8(char *text)
{
    replace_bytes(text, false);
}

void dv_text_make_printable(char *text)
{
    replace_bytes(text, true);
}

void dv_text_hex(const void *bytes, size_t size, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = digits[at[i] >> 4];
        ret_text[2 * i + 1] = digits[at[i] & 15];
    }
    ret_text[2 * size] = '\0';
}

void dv_text_size(uint64_t bytes, char ret_text[static 16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 999.5 && unit < 6) {
        value /= 1000;
        unit++;
    }
    const char *format = unit > 0 && value < 99.95 ? "%.1f %s" : "%.0f %s";
    (void)snprintf(ret_text, 16, format, value, units[unit]);
}
