/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_JSON_H
#define DV_BASE_JSON_H

/*
 * JSON values, on jansson. Parsing is strict: UTF-8, no duplicate keys, depth at most 32, nothing
 * after the value. Values are reference-counted: what a function returns as `struct dv_json *` is
 * the caller's (dv_json_unref); what dv_json_get() and dv_json_at() return is borrowed from the
 * container; what dv_json_set() and dv_json_append() are given is theirs afterwards.
 *
 * Numbers: integers are int64, everything else double, written with the fewest digits that are read
 * back as the same; NaN and infinities become null when written.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;

#define DV_JSON_DEPTH_MAX 32

/* --- Life ------------------------------------------------------------------------------- */

struct dv_json *dv_json_object(void);
struct dv_json *dv_json_array(void);
struct dv_json *dv_json_null(void);
struct dv_json *dv_json_bool(bool value);
struct dv_json *dv_json_integer(int64_t value);
struct dv_json *dv_json_number(double value);    /* not finite: null */
struct dv_json *dv_json_string(const char *text); /* NULL or not UTF-8: null */
struct dv_json *dv_json_text(const char *text);   /* NULL: null; not UTF-8: '?' for such bytes */
struct dv_json *dv_json_copy(const struct dv_json *json); /* deep */
struct dv_json *dv_json_ref(const struct dv_json *json);
struct dv_json *dv_json_unref(struct dv_json *json); /* returns NULL */
void dv_json_unrefp(struct dv_json **json);

/* --- Reading and writing ---------------------------------------------------------------- */

/* DV_INVALID: not JSON, with line and column in the message. */
DV_MUST_CHECK enum dv_status dv_json_parse(
    const char *text, size_t size, struct dv_json **ret_json, struct dv_error *reterr);

/* Read a file of at most `size_max` bytes. */
DV_MUST_CHECK enum dv_status dv_json_read_file(
    const char *path, size_t size_max, struct dv_json **ret_json, struct dv_error *reterr);

/* One line without blanks, keys in the order they were set. The caller frees with dv_free(). */
char *dv_json_print(const struct dv_json *json);

/* The same with keys sorted: for hashing and comparing. */
char *dv_json_print_canonical(const struct dv_json *json);

/* Indented by two, with a newline at the end: for files that people read. */
char *dv_json_print_pretty(const struct dv_json *json);

/* --- Building --------------------------------------------------------------------------- */

void dv_json_set(struct dv_json *object, const char *key, struct dv_json *value);
void dv_json_set_string(struct dv_json *object, const char *key, const char *text);
void dv_json_set_text(struct dv_json *object, const char *key, const char *text);
void dv_json_set_integer(struct dv_json *object, const char *key, int64_t value);
void dv_json_set_number(struct dv_json *object, const char *key, double value);
void dv_json_set_bool(struct dv_json *object, const char *key, bool value);
void dv_json_remove(struct dv_json *object, const char *key);
void dv_json_append(struct dv_json *array, struct dv_json *value);

/* --- Queries: all accept NULL and answer as for null ------------------------------------- */

bool dv_json_is_object(const struct dv_json *json);
bool dv_json_is_array(const struct dv_json *json);
bool dv_json_is_string(const struct dv_json *json);
bool dv_json_is_integer(const struct dv_json *json);
bool dv_json_is_number(const struct dv_json *json); /* integers too */
bool dv_json_is_bool(const struct dv_json *json);
bool dv_json_is_null(const struct dv_json *json); /* and NULL */
const char *dv_json_type_name(const struct dv_json *json); /* "an object", "a string", ... */

/* Member of an object, or NULL; borrowed. */
struct dv_json *dv_json_get(const struct dv_json *object, const char *key);

/* Items of an array, members of an object; 0 for everything else. */
size_t dv_json_count(const struct dv_json *json);

/* Item of an array, or NULL; borrowed. */
struct dv_json *dv_json_at(const struct dv_json *array, size_t index);

/* Walk the members: for (void *i = dv_json_first(o); i; i = dv_json_next(o, i)). */
void *dv_json_first(const struct dv_json *object);
void *dv_json_next(const struct dv_json *object, void *iterator);
const char *dv_json_key(void *iterator);
struct dv_json *dv_json_value(void *iterator);

/* The value, or the fallback when it has another type. Strings are borrowed. */
const char *dv_json_to_string(const struct dv_json *json, const char *fallback);
int64_t dv_json_to_integer(const struct dv_json *json, int64_t fallback);
double dv_json_to_number(const struct dv_json *json, double fallback);
bool dv_json_to_bool(const struct dv_json *json, bool fallback);

/* Shorthand for dv_json_to_...(dv_json_get(object, key), fallback). */
const char *dv_json_get_string(const struct dv_json *object, const char *key, const char *fallback);
int64_t dv_json_get_integer(const struct dv_json *object, const char *key, int64_t fallback);
double dv_json_get_number(const struct dv_json *object, const char *key, double fallback);
bool dv_json_get_bool(const struct dv_json *object, const char *key, bool fallback);

#endif
