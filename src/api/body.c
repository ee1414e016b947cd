/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api_impl.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/text.h"

#include <string.h>

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 500
#define NAME_SIZE_SHOWN 200u /* of a member in a pointer */
#define ERRORS_MAX 16u       /* told of one body: who sent more has sent something else */

/* --- Path and query --------------------------------------------------------------------------- */

const char *dv_api_id(struct dv_http_request *request, const char *noun)
{
    const char *id = dv_http_request_parameter(request, "id");
    struct dv_error error;

    if (dv_uuid_is_valid(id)) {
        return id;
    }
    (void)dv_fail(&error, DV_NOT_FOUND, "there is no %s with this id: ids are UUIDs in lower case",
        noun);
    dv_api_fail(request, &error);
    return NULL;
}

static bool refuse_query(struct dv_http_request *request, const char *name, const char *legal)
{
    DV_CLEANUP(dv_freep) char *pointer = dv_strprintf("/query/%s", name);
    DV_CLEANUP(dv_freep) char *message = dv_strprintf("the query parameter %s must be %s", name, legal);

    dv_api_refuse(request, 422, pointer, message);
    return false;
}

bool dv_api_query_integer(struct dv_http_request *request, const char *name, int64_t minimum,
    int64_t maximum, int64_t *ret_value)
{
    const char *text = dv_http_request_query(request, name);
    int64_t value;

    if (!text) {
        return true;
    }
    if (!dv_text_to_int64(text, &value) || value < minimum || value > maximum) {
        DV_CLEANUP(dv_freep)
        char *legal = dv_strprintf(
            "an integer from %lld to %lld", (long long)minimum, (long long)maximum);
        return refuse_query(request, name, legal);
    }
    *ret_value = value;
    return true;
}

bool dv_api_page(struct dv_http_request *request, struct dv_page *ret_page)
{
    struct dv_page page = {.limit = LIMIT_DEFAULT,
        .cursor = dv_http_request_query(request, "cursor"),
        .sort = dv_http_request_query(request, "sort")};

    if (!dv_api_query_integer(request, "limit", 1, LIMIT_MAX, &page.limit)) {
        return false;
    }
    *ret_page = page;
    return true;
}

static bool is_one_of(const char *const *words, const char *text)
{
    for (size_t i = 0; words[i]; i++) {
        if (dv_text_equal(words[i], text)) {
            return true;
        }
    }
    return false;
}

/* "draft, ready or error"; the caller frees. */
static char *list_words(const char *const *words)
{
    char *text = dv_strdup("");

    for (size_t i = 0; words[i]; i++) {
        const char *link = i == 0 ? "" : words[i + 1] ? ", " : " or ";
        char *longer = dv_strprintf("%s%s%s", text, link, words[i]);
        dv_free(text);
        text = longer;
    }
    return text;
}

bool dv_api_check_choice(struct dv_http_request *request, const char *name, const char *const *words)
{
    const char *text = dv_http_request_query(request, name);

    if (!text || is_one_of(words, text)) {
        return true;
    }
    DV_CLEANUP(dv_freep) char *legal = list_words(words);
    return refuse_query(request, name, legal);
}

bool dv_api_check_query_id(struct dv_http_request *request, const char *name)
{
    const char *text = dv_http_request_query(request, name);

    return !text || dv_uuid_is_valid(text) || refuse_query(request, name, "an id, a UUID");
}

/* --- Bodies ----------------------------------------------------------------------------------- */

/* What is wrong with this text; NULL: nothing; else the caller's. So with those that follow. */
static char *judge_size(const struct dv_api_field *field, const char *text)
{
    return strlen(text) <= field->size_max
               ? NULL
               : dv_strprintf("%s has %zu bytes, %zu are the most", field->name, strlen(text),
                     field->size_max);
}

static char *judge_text(const struct dv_api_field *field, const char *text)
{
    if (field->type == DV_API_NAME && text[strspn(text, " \t\r\n")] == '\0') {
        return dv_strprintf("%s must not be empty", field->name);
    }
    if (field->words && !is_one_of(field->words, text)) {
        DV_CLEANUP(dv_freep) char *legal = list_words(field->words);
        return dv_strprintf("%s must be %s", field->name, legal);
    }
    return judge_size(field, text);
}

/* Rows that hold one are listed by the hundreds: its size counts as it is stored. */
static char *judge_object(const struct dv_api_field *field, const struct dv_json *value)
{
    if (!dv_json_is_object(value)) {
        return dv_strprintf("%s must be an object, found %s", field->name, dv_json_type_name(value));
    }
    DV_CLEANUP(dv_freep) char *text = dv_json_print(value);
    return judge_size(field, text);
}

static char *judge_member(const struct dv_api_field *fields, size_t count, const char *name,
    const struct dv_json *value)
{
    for (size_t i = 0; i < count; i++) {
        const struct dv_api_field *field = &fields[i];
        if (!dv_text_equal(field->name, name)) {
            continue;
        }
        if (field->type == DV_API_OBJECT) {
            return judge_object(field, value);
        }
        if (!dv_json_is_string(value)) {
            return dv_strprintf("%s must be a string, found %s", name, dv_json_type_name(value));
        }
        return judge_text(field, dv_json_to_string(value, ""));
    }
    return dv_strdup("there is no such field");
}

/* RFC 6901, cut where a name is absurdly long. */
static char *make_pointer(const char *name)
{
    DV_CLEANUP(dv_freep) char *shown = dv_strdup(name);
    size_t size = 0;

    (void)dv_text_clip(shown, NAME_SIZE_SHOWN);
    char *pointer = dv_alloc(2 * strlen(shown) + 2);
    pointer[size++] = '/';
    for (const char *c = shown; *c; c++) {
        if (*c == '~' || *c == '/') {
            pointer[size++] = '~';
            pointer[size++] = *c == '~' ? '0' : '1';
        } else {
            pointer[size++] = *c;
        }
    }
    pointer[size] = '\0';
    return pointer;
}

static void append_error(struct dv_json *errors, const char *name, const char *message)
{
    DV_CLEANUP(dv_freep) char *pointer = make_pointer(name);
    struct dv_json *item = dv_json_object();

    dv_json_set_string(item, "pointer", pointer);
    dv_json_set_string(item, "message", message);
    dv_json_append(errors, item);
}

static bool refuse_if_any(struct dv_http_request *request, struct dv_json *errors)
{
    if (dv_json_count(errors) == 0) {
        dv_json_unref(errors);
        return true;
    }
    DV_CLEANUP(dv_freep)
    char *detail = dv_strdup(dv_json_get_string(dv_json_at(errors, 0), "message", ""));
    dv_http_reply_problem(request, 422, detail, errors);
    return false;
}

bool dv_api_check_body(
    struct dv_http_request *request, const struct dv_api_field *fields, size_t count)
{
    const struct dv_json *body = dv_http_request_json(request);
    struct dv_json *errors = dv_json_array();

    if (!dv_json_is_object(body)) {
        dv_json_unref(errors);
        dv_api_refuse(request, 422, "", "the body must be an object");
        return false;
    }
    for (void *i = dv_json_first(body); i && dv_json_count(errors) < ERRORS_MAX;
         i = dv_json_next(body, i)) {
        DV_CLEANUP(dv_freep)
        char *wrong = judge_member(fields, count, dv_json_key(i), dv_json_value(i));
        if (wrong) {
            append_error(errors, dv_json_key(i), wrong);
        }
    }
    return refuse_if_any(request, errors);
}

bool dv_api_check_text(
    struct dv_http_request *request, const struct dv_api_field *field, const char *value)
{
    struct dv_json *errors = dv_json_array();

    DV_CLEANUP(dv_freep) char *wrong = value ? judge_text(field, value) : NULL;
    if (wrong) {
        append_error(errors, field->name, wrong);
    }
    return refuse_if_any(request, errors);
}
