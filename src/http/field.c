/* SPDX-License-Identifier: Apache-2.0 */
#include "http/field.h"

#include "base/text.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

bool dv_field_is_token_char(unsigned char c)
{
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

    return is_letter || (c >= '0' && c <= '9') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

bool dv_field_is_token(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!dv_field_is_token_char((unsigned char)text[i])) {
            return false;
        }
    }
    return size > 0;
}

bool dv_field_is_value(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

bool dv_field_is_type(const char *value, const char *type)
{
    size_t size = strlen(type);

    if (!value || strncasecmp(value, type, size) != 0) {
        return false;
    }
    value = skip_blanks(value + size);
    return *value == '\0' || *value == ';';
}

/* --- Parameters ------------------------------------------------------------------------------- */

/*
 * Read a token or a quoted string at `text` into `ret_text` (NULL: only skip it). Returns what
 * follows, NULL when it is malformed or does not fit.
 */
static const char *read_word(const char *text, char *ret_text, size_t size)
{
    bool is_quoted = *text == '"';
    size_t used = 0;

    for (text += is_quoted; *text; text++) {
        if (is_quoted ? *text == '"' : !dv_field_is_token_char((unsigned char)*text)) {
            break;
        }
        if (is_quoted && *text == '\\' && *++text == '\0') {
            return NULL;
        }
        if (ret_text) {
            if (used + 1 >= size) {
                return NULL;
            }
            ret_text[used++] = *text;
        }
    }
    if (ret_text) {
        ret_text[used] = '\0';
    }
    if (is_quoted) {
        return *text == '"' ? text + 1 : NULL;
    }
    return text;
}

bool dv_field_parameter(const char *value, const char *name, char *ret_text, size_t size)
{
    size_t name_size = strlen(name);
    bool is_found = false;

    assert(size > 0);
    for (const char *at = strchr(value, ';'); at && *at; at = skip_blanks(at)) {
        if (*at != ';') {
            return false;
        }
        at = skip_blanks(at + 1);
        if (*at == '\0') {
            break; /* a last semicolon with nothing after it */
        }
        const char *end = at;
        while (dv_field_is_token_char((unsigned char)*end)) {
            end++;
        }
        if (end == at || *end != '=') {
            return false;
        }
        bool is_it = (size_t)(end - at) == name_size && strncasecmp(at, name, name_size) == 0;
        if (is_it && is_found) {
            return false;
        }
        at = read_word(end + 1, is_it ? ret_text : NULL, size);
        if (!at) {
            return false;
        }
        is_found = is_found || is_it;
    }
    return is_found;
}

/* --- Cookies ---------------------------------------------------------------------------------- */

bool dv_field_cookie(const char *value, const char *name, char *ret_text, size_t size)
{
    size_t name_size = strlen(name);

    assert(size > 0);
    for (const char *at = value; at; at = strchr(at, ';')) {
        at = skip_blanks(at + (*at == ';'));
        if (strncmp(at, name, name_size) != 0 || at[name_size] != '=') {
            continue;
        }
        at += name_size + 1;
        size_t length = strcspn(at, "; \t");
        if (length >= 2 && at[0] == '"' && at[length - 1] == '"') {
            at++;
            length -= 2;
        }
        if (length >= size) {
            return false;
        }
        memcpy(ret_text, at, length);
        ret_text[length] = '\0';
        return true;
    }
    return false;
}

/* --- Entity tags ------------------------------------------------------------------------------ */

bool dv_field_has_etag(const char *list, const char *etag, bool is_weak)
{
    if (!etag) {
        return false;
    }
    const char *at = skip_blanks(list);
    if (*at == '*') {
        return *skip_blanks(at + 1) == '\0';
    }
    for (size_t size = strlen(etag); *at; at += strspn(at, " \t,")) {
        bool is_marked = at[0] == 'W' && at[1] == '/';
        at += is_marked ? 2 : 0;
        const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
        if (!end) {
            return false;
        }
        bool is_same = (size_t)(end - at - 1) == size && memcmp(at + 1, etag, size) == 0;
        if (is_same && (is_weak || !is_marked)) {
            return true;
        }
        at = end + 1;
    }
    return false;
}
