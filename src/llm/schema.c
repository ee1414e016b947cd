/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/schema.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <math.h>

#define PLACE_SIZE 160u
#define SCHEMA_DEPTH_MAX 5u

/* Where in the value we are, as a JSON Pointer; cut where it is too long. */
struct place {
    char text[PLACE_SIZE];
};

static struct place below(const struct place *place, const char *name)
{
    struct place result;

    (void)snprintf(result.text, sizeof(result.text), "%.100s/%.40s", place->text, name);
    dv_text_make_utf8(result.text);
    return result;
}

static const char *place_name(const struct place *place)
{
    return place->text[0] ? place->text : "the answer";
}

/* --- Values against a schema ------------------------------------------------------------- */

static bool is_integer(const struct dv_json *value)
{
    double number = dv_json_to_number(value, (double)NAN);

    return dv_json_is_number(value) && isfinite(number) && number == floor(number);
}

static bool has_type(const struct dv_json *value, const char *type)
{
    return (dv_text_equal(type, "object") && dv_json_is_object(value)) ||
           (dv_text_equal(type, "array") && dv_json_is_array(value)) ||
           (dv_text_equal(type, "string") && dv_json_is_string(value)) ||
           (dv_text_equal(type, "integer") && is_integer(value)) ||
           (dv_text_equal(type, "number") && dv_json_is_number(value)) ||
           (dv_text_equal(type, "boolean") && dv_json_is_bool(value)) ||
           (dv_text_equal(type, "null") && dv_json_is_null(value));
}

static bool is_one_of(const struct dv_json *choices, const struct dv_json *value)
{
    for (size_t i = 0; i < dv_json_count(choices); i++) {
        const struct dv_json *choice = dv_json_at(choices, i);
        bool is_number = dv_json_is_number(choice) && dv_json_is_number(value) &&
                         dv_json_to_number(choice, 0) == dv_json_to_number(value, 1);
        bool is_text = dv_json_is_string(choice) && dv_text_equal(dv_json_to_string(choice, NULL),
                                                        dv_json_to_string(value, NULL));
        if (is_number || is_text) {
            return true;
        }
    }
    return false;
}

static enum dv_status check_value(const struct dv_json *schema, const struct dv_json *value,
    const struct place *place, struct dv_error *reterr);

static enum dv_status check_members(const struct dv_json *schema, const struct dv_json *value,
    const struct place *place, struct dv_error *reterr)
{
    const struct dv_json *properties = dv_json_get(schema, "properties");
    const struct dv_json *required = dv_json_get(schema, "required");
    bool is_open = dv_json_get_bool(schema, "additionalProperties", true);
    enum dv_status status = DV_OK;

    for (size_t i = 0; i < dv_json_count(required); i++) {
        const char *name = dv_json_to_string(dv_json_at(required, i), "");
        if (!dv_json_get(value, name)) {
            return dv_fail(
                reterr, DV_INVALID, "%s: '%.60s' is missing", place_name(place), name);
        }
    }
    for (void *i = dv_json_first(value); i && status == DV_OK; i = dv_json_next(value, i)) {
        const struct dv_json *inner = dv_json_get(properties, dv_json_key(i));
        struct place at = below(place, dv_json_key(i));
        if (inner) {
            status = check_value(inner, dv_json_value(i), &at, reterr);
        } else if (!is_open) {
            status = dv_fail(reterr, DV_INVALID, "%s: there is no such field", place_name(&at));
        }
    }
    return status;
}

static enum dv_status check_items(const struct dv_json *items, const struct dv_json *value,
    const struct place *place, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    for (size_t i = 0; items && i < dv_json_count(value) && status == DV_OK; i++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "%zu", i);
        struct place at = below(place, name);
        status = check_value(items, dv_json_at(value, i), &at, reterr);
    }
    return status;
}

static enum dv_status check_value(const struct dv_json *schema, const struct dv_json *value,
    const struct place *place, struct dv_error *reterr)
{
    const char *type = dv_json_get_string(schema, "type", NULL);
    const struct dv_json *choices = dv_json_get(schema, "enum");

    if (type && !has_type(value, type)) {
        return dv_fail(reterr, DV_INVALID, "%s: is %s, must be of type %s", place_name(place),
            dv_json_type_name(value), type);
    }
    if (choices && !is_one_of(choices, value)) {
        DV_CLEANUP(dv_freep) char *found = dv_json_print(value);
        DV_CLEANUP(dv_freep) char *legal = dv_json_print(choices);
        return dv_fail(reterr, DV_INVALID, "%s: is %.60s, must be one of %.200s",
            place_name(place), found, legal);
    }
    if (dv_json_is_object(value)) {
        return check_members(schema, value, place, reterr);
    }
    return dv_json_is_array(value) ? check_items(dv_json_get(schema, "items"), value, place, reterr)
                                   : DV_OK;
}

enum dv_status dv_llm_schema_check(
    const struct dv_json *schema, const struct dv_json *value, struct dv_error *reterr)
{
    return check_value(schema, value, &(struct place){0}, reterr);
}

/* --- The schema itself ------------------------------------------------------------------- */

static enum dv_status validate_level(
    const struct dv_json *schema, unsigned depth, struct dv_error *reterr)
{
    static const char *const keywords[] = {"type", "properties", "required", "items", "enum",
        "description", "additionalProperties"};
    enum dv_status status = DV_OK;

    if (!dv_json_is_object(schema) || depth > SCHEMA_DEPTH_MAX) {
        return dv_fail(reterr, DV_INVALID, "a schema is an object of at most %u levels",
            SCHEMA_DEPTH_MAX);
    }
    for (void *i = dv_json_first(schema); i; i = dv_json_next(schema, i)) {
        bool is_known = false;
        for (size_t k = 0; k < DV_ARRAY_SIZE(keywords); k++) {
            is_known = is_known || dv_text_equal(keywords[k], dv_json_key(i));
        }
        if (!is_known) {
            return dv_fail(reterr, DV_INVALID, "not every endpoint takes '%.40s' in a schema",
                dv_json_key(i));
        }
    }
    const struct dv_json *properties = dv_json_get(schema, "properties");
    for (void *i = dv_json_first(properties); i && status == DV_OK; i = dv_json_next(properties, i)) {
        status = validate_level(dv_json_value(i), depth + 1, reterr);
    }
    const struct dv_json *items = dv_json_get(schema, "items");
    return status == DV_OK && items ? validate_level(items, depth, reterr) : status;
}

enum dv_status dv_llm_schema_validate(const struct dv_json *schema, struct dv_error *reterr)
{
    return validate_level(schema, 1, reterr);
}
