/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_FIELD_H
#define DV_HTTP_FIELD_H

/*
 * What stands in header fields (RFC 9110 section 5.6): tokens, values with parameters, cookies.
 * Pure functions on untrusted text.
 */

#include <stdbool.h>
#include <stddef.h>

/* RFC 9110 "tchar". */
bool dv_field_is_token_char(unsigned char c);
bool dv_field_is_token(const char *text, size_t size);

/* Neither a control byte but tab, nor DEL. */
bool dv_field_is_value(const char *text, size_t size);

/*
 * Is `value` of this media type, say "application/json"? Parameters do not matter.
 */
bool dv_field_is_type(const char *value, const char *type);

/*
 * The parameter `name` of "text; name=token; name2=\"quoted\"", unquoted, into `ret_text`.
 * False: there is none, it is there twice, it does not fit, or the value is malformed.
 */
bool dv_field_parameter(const char *value, const char *name, char *ret_text, size_t size);

/*
 * The cookie `name` of a Cookie header (RFC 6265 section 4.2.1) into `ret_text`. False: none, or
 * it does not fit; the first of several counts.
 */
bool dv_field_cookie(const char *value, const char *name, char *ret_text, size_t size);

/*
 * Is an entity tag in a list such as `"a", W/"b"` or `*`? Compared weakly, or strongly, where
 * W/ tags equal nothing (RFC 9110 section 8.8.3.2). `etag` is without quotes; NULL matches nothing.
 */
bool dv_field_has_etag(const char *list, const char *etag, bool is_weak);

#endif
