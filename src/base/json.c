/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_SIZE 32 /* of a double in decimal, with much to spare */

/* struct dv_json is never defined: it is jansson's value under our name. */
static struct dv_json *ours(json_t *json)
{
    assert(json);
    return (struct dv_json *)json;
}

static json_t *theirs(const struct dv_json *json)
{
    return (json_t *)json;
}

struct dv_json *dv_json_object(void)
{
    return ours(json_object());
}

struct dv_json *dv_json_array(void)
{
    return ours(json_array());
}

struct dv_json *dv_json_null(void)
{
    return ours(json_null());
}

struct dv_json *dv_json_bool(bool value)
{
    return ours(json_boolean(value));
}

struct dv_json *dv_json_integer(int64_t value)
{
    return ours(json_integer(value));
}

struct dv_json *dv_json_number(double value)
{
    return isfinite(value) ? ours(json_real(value)) : dv_json_null();
}

struct dv_json *dv_json_string(const char *text)
{
    json_t *json = text ? json_string(text) : NULL;

    return json ? ours(json) : dv_json_null();
}

struct dv_json *dv_json_text(const char *text)
{
    if (!text || dv_text_is_utf8(text, strlen(text))) {
        return dv_json_string(text);
    }

    DV_CLEANUP(dv_freep) char *clean = dv_strdup(text);
    dv_text_make_utf8(clean);
    return dv_json_string(clean);
}

struct dv_json *dv_json_copy(const struct dv_json *json)
{
    return ours(json_deep_copy(theirs(json)));
}

struct dv_json *dv_json_ref(const struct dv_json *json)
{
    return ours(json_incref(theirs(json)));
}

struct dv_json *dv_json_unref(struct dv_json *json)
{
    json_decref(theirs(json));
    return NULL;
}

void dv_json_unrefp(struct dv_json **json)
{
    *json = dv_json_unref(*json);
}

/* jansson's own limit is 2048 levels; ours is checked before it builds anything. */
static bool is_too_deep(const char *text, size_t size)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DV_JSON_DEPTH_MAX) {
                return true;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

enum dv_status dv_json_parse(
    const char *text, size_t size, struct dv_json **ret_json, struct dv_error *reterr)
{
    json_error_t error;

    assert(text || size == 0);
    assert(ret_json);
    if (is_too_deep(text, size)) {
        return dv_fail(
            reterr, DV_INVALID, "the JSON is nested deeper than %d levels", DV_JSON_DEPTH_MAX);
    }

    json_t *json =
        json_loadb(text ? text : "", size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json) {
        return dv_fail(reterr, DV_INVALID, "not valid JSON (line %d, column %d): %s", error.line,
            error.column, error.text);
    }
    *ret_json = ours(json);
    return DV_OK;
}

enum dv_status dv_json_read_file(
    const char *path, size_t size_max, struct dv_json **ret_json, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    size_t size;

    enum dv_status status = dv_file_read(path, size_max, &text, &size, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_json_parse(text, size, ret_json, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "%s", path);
    }
    return status;
}

/* The fewest digits that are read back as the same number: 0.1, not 0.10000000000000001. */
static size_t print_shortest(double value, char ret_text[static NUMBER_SIZE])
{
    int length = 0;

    for (int precision = 15; precision <= 17; precision++) {
        length = snprintf(ret_text, NUMBER_SIZE - 2, "%.*g", precision, value);
        if (strtod(ret_text, NULL) == value) {
            break;
        }
    }
    assert(length > 0);
    if (!strpbrk(ret_text, ".e")) {
        memcpy(ret_text + length, ".0", 3); /* still no integer */
        length += 2;
    }
    return (size_t)length;
}

/* Bytes of the number with a point or an exponent that begins here; 0: none does. */
static size_t real_size(const char *at)
{
    size_t size = strspn(at, "-+.0123456789eE");

    return strchr("-0123456789", *at) && strcspn(at, ".eE") < size ? size : 0;
}

/* jansson prints each number with as many digits as the worst one needs. In place. */
static void shorten_numbers(char *text)
{
    char *to = text;
    bool in_string = false;

    for (const char *at = text; *at;) {
        char number[NUMBER_SIZE];
        size_t size = in_string ? 0 : real_size(at);
        size_t short_size = size > 0 ? print_shortest(strtod(at, NULL), number) : 0;
        if (size == 0) {
            size = in_string && *at == '\\' ? 2 : 1; /* what a backslash hides goes with it */
            in_string = *at == '"' ? !in_string : in_string;
        }
        if (short_size > 0 && short_size < size) {
            memcpy(to, number, short_size);
            to += short_size;
        } else {
            memmove(to, at, size);
            to += size;
        }
        at += size;
    }
    *to = '\0';
}

static char *print(const struct dv_json *json, size_t flags)
{
    char *text = json_dumps(theirs(json), flags | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));

    assert(text);
    shorten_numbers(text);
    return text;
}

char *dv_json_print(const struct dv_json *json)
{
    return print(json, JSON_COMPACT);
}

char *dv_json_print_canonical(const struct dv_json *json)
{
    return print(json, JSON_COMPACT | JSON_SORT_KEYS);
}

char *dv_json_print_pretty(const struct dv_json *json)
{
    char *text = print(json, JSON_INDENT(2));
    char *line = dv_strprintf("%s\n", text);

    dv_free(text);
    return line;
}

void dv_json_set(struct dv_json *object, const char *key, struct dv_json *value)
{
    int result = json_object_set_new(theirs(object), key, theirs(value));

    assert(result == 0);
    (void)result;
}

void dv_json_set_string(struct dv_json *object, const char *key, const char *text)
{
    dv_json_set(object, key, dv_json_string(text));
}

void dv_json_set_text(struct dv_json *object, const char *key, const char *text)
{
    dv_json_set(object, key, dv_json_text(text));
}

void dv_json_set_integer(struct dv_json *object, const char *key, int64_t value)
{
    dv_json_set(object, key, dv_json_integer(value));
}

void dv_json_set_number(struct dv_json *object, const char *key, double value)
{
    dv_json_set(object, key, dv_json_number(value));
}

void dv_json_set_bool(struct dv_json *object, const char *key, bool value)
{
    dv_json_set(object, key, dv_json_bool(value));
}

void dv_json_remove(struct dv_json *object, const char *key)
{
    (void)json_object_del(theirs(object), key);
}

void dv_json_append(struct dv_json *array, struct dv_json *value)
{
    int result = json_array_append_new(theirs(array), theirs(value));

    assert(result == 0);
    (void)result;
}

bool dv_json_is_object(const struct dv_json *json)
{
    return json_is_object(theirs(json));
}

bool dv_json_is_array(const struct dv_json *json)
{
    return json_is_array(theirs(json));
}

bool dv_json_is_string(const struct dv_json *json)
{
    return json_is_string(theirs(json));
}

bool dv_json_is_integer(const struct dv_json *json)
{
    return json_is_integer(theirs(json));
}

bool dv_json_is_number(const struct dv_json *json)
{
    return json_is_number(theirs(json));
}

bool dv_json_is_bool(const struct dv_json *json)
{
    return json_is_boolean(theirs(json));
}

bool dv_json_is_null(const struct dv_json *json)
{
    return !json || json_is_null(theirs(json));
}

const char *dv_json_type_name(const struct dv_json *json)
{
    if (dv_json_is_null(json)) {
        return "null";
    }
    switch (json_typeof(theirs(json))) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    default:
        return "a boolean";
    }
}

struct dv_json *dv_json_get(const struct dv_json *object, const char *key)
{
    return (struct dv_json *)json_object_get(theirs(object), key);
}

size_t dv_json_count(const struct dv_json *json)
{
    return dv_json_is_array(json) ? json_array_size(theirs(json)) : json_object_size(theirs(json));
}

struct dv_json *dv_json_at(const struct dv_json *array, size_t index)
{
    return (struct dv_json *)json_array_get(theirs(array), index);
}

void *dv_json_first(const struct dv_json *object)
{
    return json_object_iter(theirs(object));
}

void *dv_json_next(const struct dv_json *object, void *iterator)
{
    return json_object_iter_next(theirs(object), iterator);
}

const char *dv_json_key(void *iterator)
{
    return json_object_iter_key(iterator);
}

struct dv_json *dv_json_value(void *iterator)
{
    return (struct dv_json *)json_object_iter_value(iterator);
}

const char *dv_json_to_string(const struct dv_json *json, const char *fallback)
{
    return dv_json_is_string(json) ? json_string_value(theirs(json)) : fallback;
}

int64_t dv_json_to_integer(const struct dv_json *json, int64_t fallback)
{
    return dv_json_is_integer(json) ? json_integer_value(theirs(json)) : fallback;
}

double dv_json_to_number(const struct dv_json *json, double fallback)
{
    return dv_json_is_number(json) ? json_number_value(theirs(json)) : fallback;
}

bool dv_json_to_bool(const struct dv_json *json, bool fallback)
{
    return dv_json_is_bool(json) ? json_is_true(theirs(json)) : fallback;
}

const char *dv_json_get_string(const struct dv_json *object, const char *key, const char *fallback)
{
    return dv_json_to_string(dv_json_get(object, key), fallback);
}

int64_t dv_json_get_integer(const struct dv_json *object, const char *key, int64_t fallback)
{
    return dv_json_to_integer(dv_json_get(object, key), fallback);
}

double dv_json_get_number(const struct dv_json *object, const char *key, double fallback)
{
    return dv_json_to_number(dv_json_get(object, key), fallback);
}

bool dv_json_get_bool(const struct dv_json *object, const char *key, bool fallback)
{
    return dv_json_to_bool(dv_json_get(object, key), fallback);
}
