/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_TEXT_H
#define DV_BASE_TEXT_H

/*
 * Small helpers on NUL-terminated text: whole-string number parsing (no leading blanks, nothing
 * left over), copies into fixed fields, comparisons, UTF-8.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool dv_text_equal(const char *a, const char *b);        /* NULL equals only NULL */
bool dv_text_equal_nocase(const char *a, const char *b); /* ASCII letters only */
bool dv_text_has_prefix(const char *text, const char *prefix);
bool dv_text_has_suffix_nocase(const char *text, const char *suffix);

/* The whole of `text` as a decimal number; false if it is none or out of range. */
bool dv_text_to_int64(const char *text, int64_t *ret_value);
bool dv_text_to_uint64(const char *text, uint64_t *ret_value);

/* The same for a finite decimal floating-point number. */
bool dv_text_to_double(const char *text, double *ret_value);

/* Copy into a field of `size` bytes, always NUL-terminated; false if it had to be cut. */
bool dv_text_copy(char *field, size_t size, const char *text);

/* Are these `size` bytes well-formed UTF-8 without NUL (RFC 3629: no surrogates, no overlong)? */
bool dv_text_is_utf8(const void *bytes, size_t size);

/* Put '?' for each byte that is no part of well-formed UTF-8: the text can go into JSON then. */
void dv_text_make_utf8(char *text);

/* The same, and for control characters too: a terminal shows the text and obeys nothing in it. */
void dv_text_make_printable(char *text);

/* Shorten to at most `size_max` bytes, between two characters of UTF-8; true if it had to be. */
bool dv_text_clip(char *text, size_t size_max);

/* Lower-case hexadecimal of `size` bytes into `ret_text`, which holds 2 * size + 1. */
void dv_text_hex(const void *bytes, size_t size, char *ret_text);

/* "1.4 GB", "37 kB": powers of 1000. `ret_text` holds 16 bytes. */
void dv_text_size(uint64_t bytes, char ret_text[static 16]);

#endif
