/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/preprocessing.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/check.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const char *const resizes[] = {
    [DV_RESIZE_STRETCH] = "stretch",
    [DV_RESIZE_CROP] = "crop",
    [DV_RESIZE_PAD] = "pad",
};
static const char *const colors[] = {"grey", "rgb"};
static const char *const members[] = {"image_size", "resize", "color", "mean", "std", "classes"};

/* --- Writing ------------------------------------------------------------------------------ */

/* As a double that prints short and reads back as the same float: 0.5, 0.2860406. */
static struct dv_json *float_to_json(float value)
{
    char text[32];
    double number = (double)value;

    (void)snprintf(text, sizeof(text), "%.9g", number);
    (void)dv_text_to_double(text, &number);
    return dv_json_number(number);
}

static struct dv_json *floats_to_json(const float *values, uint32_t count)
{
    struct dv_json *list = dv_json_array();

    for (uint32_t i = 0; i < count; i++) {
        dv_json_append(list, float_to_json(values[i]));
    }
    return list;
}

struct dv_json *dv_preprocessing_to_json(const struct dv_preprocessing *preprocessing)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *size = dv_json_array();
    struct dv_json *classes = dv_json_array();

    assert(preprocessing);
    assert(preprocessing->channels == 1 || preprocessing->channels == 3);

    dv_json_append(size, dv_json_integer(preprocessing->rows));
    dv_json_append(size, dv_json_integer(preprocessing->columns));
    for (uint32_t i = 0; i < preprocessing->class_count; i++) {
        dv_json_append(classes, dv_json_string(preprocessing->classes[i]));
    }
    dv_json_set(json, "image_size", size);
    dv_json_set_string(json, "resize", resizes[preprocessing->resize]);
    dv_json_set_string(json, "color", colors[preprocessing->channels == 3]);
    dv_json_set(json, "mean", floats_to_json(preprocessing->mean, preprocessing->channels));
    dv_json_set(json, "std", floats_to_json(preprocessing->std, preprocessing->channels));
    dv_json_set(json, "classes", classes);
    return json;
}

/* --- Reading ------------------------------------------------------------------------------ */

static void problem(struct dv_problems *problems, const char *code, const char *member,
    const struct dv_json *json, const char *legal, const char *fix)
{
    const char *pointer = dv_check_pointer(problems->arena, "/preprocessing", member);

    if (!json) {
        dv_problems_add(problems, "E_FIELD", pointer, fix,
            "the field \"%s\" is missing. Legal: %s.", member, legal);
        return;
    }
    dv_problems_add(problems, code, pointer, fix, "%s: found %s. Legal: %s.", member,
        dv_check_value(problems->arena, json), legal);
}

static void read_size(const struct dv_json *json, struct dv_problems *problems,
    struct dv_preprocessing *preprocessing)
{
    int64_t sides[2];

    for (size_t i = 0; i < 2; i++) {
        sides[i] = dv_json_to_integer(dv_json_at(json, i), 0);
        if (dv_json_count(json) != 2 || sides[i] < 1 || sides[i] > DV_IMAGE_SIDE_MAX) {
            problem(problems, "E_VALUE", "image_size", json,
                dv_arena_printf(
                    problems->arena, "[rows, columns], each 1 to %u", DV_IMAGE_SIDE_MAX),
                "set image_size=[224,224]");
            return;
        }
    }
    preprocessing->rows = (uint32_t)sides[0];
    preprocessing->columns = (uint32_t)sides[1];
}

/* The index of a word in a list; 0 with a problem where it is none of them. */
static size_t read_word(const struct dv_json *json, const char *member, const char *const *words,
    size_t count, struct dv_problems *problems)
{
    const char *text = dv_json_to_string(json, "");

    for (size_t i = 0; i < count; i++) {
        if (dv_text_equal_nocase(text, words[i])) {
            return i;
        }
    }
    const char *nearest = dv_check_nearest(text, words, count);
    problem(problems, json && !dv_json_is_string(json) ? "E_TYPE" : "E_VALUE", member, json,
        dv_check_list(problems->arena, words, count),
        dv_arena_printf(
            problems->arena, "set %s=\"%s\"", member, nearest ? nearest : words[count - 1]));
    return 0;
}

static void read_floats(const struct dv_json *json, const char *member, uint32_t count,
    double minimum, float *ret_values, struct dv_problems *problems)
{
    bool is_legal = dv_json_is_array(json) && dv_json_count(json) == count;

    for (uint32_t i = 0; i < count && is_legal; i++) {
        const struct dv_json *value = dv_json_at(json, i);
        double number = dv_json_to_number(value, 0);
        is_legal =
            dv_json_is_number(value) && isfinite(number) && number >= minimum && number <= 1000;
        ret_values[i] = is_legal ? (float)number : 0;
    }
    if (!is_legal) {
        const char *legal = dv_arena_printf(problems->arena, "%u numbers from %s to 1000", count,
            dv_check_number(problems->arena, minimum));
        const char *fix = dv_arena_printf(
            problems->arena, count == 1 ? "set %s=[0.5]" : "set %s=[0.5,0.5,0.5]", member);
        problem(problems, "E_VALUE", member, json, legal, fix);
    }
}

static void read_classes(const struct dv_json *json, struct dv_arena *arena,
    struct dv_problems *problems, struct dv_preprocessing *preprocessing)
{
    size_t count = dv_json_count(json);
    const char *legal = dv_arena_printf(
        problems->arena, "1 to %u names of 1 to %u bytes", DV_CLASSES_MAX, DV_CLASS_NAME_SIZE_MAX);

    if (!dv_json_is_array(json) || count == 0 || count > DV_CLASSES_MAX) {
        problem(problems, json && !dv_json_is_array(json) ? "E_TYPE" : "E_VALUE", "classes", json,
            legal, "list the classes in the order of the logits");
        return;
    }
    preprocessing->classes = dv_arena_array(arena, count, sizeof(preprocessing->classes[0]));
    preprocessing->class_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        const char *name = dv_json_to_string(dv_json_at(json, i), "");
        if (name[0] == '\0' || strlen(name) > DV_CLASS_NAME_SIZE_MAX) {
            const char *member = dv_arena_printf(problems->arena, "classes[%zu]", i);
            dv_problems_add(problems, "E_VALUE",
                dv_arena_printf(problems->arena, "/preprocessing/classes/%zu", i),
                dv_arena_printf(problems->arena, "set %s=\"class_%zu\"", member, i),
                "%s: found %s. Legal: %s.", member,
                dv_check_value(problems->arena, dv_json_at(json, i)), legal);
            return;
        }
        preprocessing->classes[i] = dv_arena_strdup(arena, name);
    }
}

static void check_members(const struct dv_json *json, struct dv_problems *problems)
{
    for (void *i = dv_json_first(json); i; i = dv_json_next(json, i)) {
        bool is_known = false;
        for (size_t j = 0; j < DV_ARRAY_SIZE(members); j++) {
            is_known = is_known || strcmp(members[j], dv_json_key(i)) == 0;
        }
        if (!is_known) {
            dv_check_unknown(problems, json, "/preprocessing", "", dv_json_key(i), members,
                DV_ARRAY_SIZE(members));
        }
    }
}

enum dv_status dv_preprocessing_parse(const struct dv_json *json, struct dv_arena *arena,
    struct dv_problems *problems, struct dv_preprocessing *ret_preprocessing,
    struct dv_error *reterr)
{
    struct dv_preprocessing read = {.channels = 3};

    assert(arena);
    assert(problems);
    assert(ret_preprocessing);

    size_t count_before = problems->count;
    if (!dv_json_is_object(json)) {
        dv_problems_add(problems, "E_TYPE", "/preprocessing", "",
            "preprocessing must be an object, found %s.", dv_json_type_name(json));
        return dv_check_finish(problems, count_before, reterr);
    }
    check_members(json, problems);
    read_size(dv_json_get(json, "image_size"), problems, &read);
    read.resize = (enum dv_resize)read_word(
        dv_json_get(json, "resize"), "resize", resizes, DV_ARRAY_SIZE(resizes), problems);
    size_t color =
        read_word(dv_json_get(json, "color"), "color", colors, DV_ARRAY_SIZE(colors), problems);
    read.channels = color == 0 ? 1 : 3;
    read_floats(dv_json_get(json, "mean"), "mean", read.channels, -1000, read.mean, problems);
    read_floats(dv_json_get(json, "std"), "std", read.channels, 1e-6, read.std, problems);
    read_classes(dv_json_get(json, "classes"), arena, problems, &read);

    enum dv_status status = dv_check_finish(problems, count_before, reterr);
    if (status == DV_OK) {
        *ret_preprocessing = read;
    }
    return status;
}
