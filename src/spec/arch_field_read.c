/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one field of a row as the table of arch_field.c says, and words what is wrong with it. */
#include "spec/arch_field.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/check.h"
#include "spec/problem.h"

#include <assert.h>
#include <string.h>

/* What a program writes that fills in every field: "does not apply here". */
static bool is_neutral(const struct dv_json *value, const char *key)
{
    static const char *const ones[] = {"repeat", "stride", "groups", "expand"};
    double number = dv_json_to_number(value, -1);

    if (dv_json_is_string(value)) {
        return strcmp(dv_json_to_string(value, ""), "none") == 0;
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(ones); i++) {
        if (strcmp(key, ones[i]) == 0 && dv_json_to_integer(value, 0) == 1) {
            return true;
        }
    }
    return number >= 0 && number <= 0;
}

/* A field that the op does not take, or that nothing takes. */
static bool read_other(const struct dv_arch_place *place, const struct dv_json *json,
    const char *key, enum dv_arch_op op, bool is_known)
{
    struct dv_arena *arena = place->problems->arena;
    const char *names[DV_ARCH_FIELD_NAMES_MAX];
    const struct dv_json *value = dv_json_get(json, key);
    size_t count = dv_arch_field_names(op, names, DV_ARRAY_SIZE(names));

    if (!is_known) {
        dv_check_unknown(place->problems, json, place->pointer, place->where, key, names, count);
        return false;
    }
    if (is_neutral(value, key)) {
        return true;
    }
    dv_problems_add(place->problems, "E_FIELD", dv_check_pointer(arena, place->pointer, key),
        dv_arena_printf(arena, "remove \"%s\"", key), "%s%s takes no %s, found %s. Legal: %s.",
        place->where, dv_arch_op_name(op), key, dv_check_value(arena, value),
        dv_check_list(arena, names, count));
    return false;
}

/* "0 to 0.9", "odd, 1 to 11". */
static const char *legal_numbers(struct dv_arena *arena, const struct dv_arch_field *field)
{
    static const char *const but[] = {[DV_ARCH_LEGAL_ALL] = "",
        [DV_ARCH_LEGAL_ODD] = "odd, ",
        [DV_ARCH_LEGAL_OR_ZERO] = "0, or "};

    return dv_arena_printf(arena, "%s%s to %s", but[field->legal],
        dv_check_number(arena, field->minimum), dv_check_number(arena, field->maximum));
}

/* The legal number nearest to `value`. */
static double nearest_legal(const struct dv_arch_field *field, double value)
{
    if (field->legal == DV_ARCH_LEGAL_OR_ZERO && value < field->minimum / 2) {
        return 0;
    }
    if (value < field->minimum) {
        return field->minimum;
    }
    if (value > field->maximum) {
        return field->maximum;
    }
    if (field->type == DV_ARCH_FIELD_NUMBER) {
        return value;
    }
    int64_t whole = (int64_t)value;
    return (double)(field->legal == DV_ARCH_LEGAL_ODD && whole % 2 == 0 ? whole + 1 : whole);
}

static bool is_legal(const struct dv_arch_field *field, double value)
{
    bool is_zero = value >= 0 && value <= 0;

    if (field->legal == DV_ARCH_LEGAL_OR_ZERO && is_zero) {
        return true;
    }
    if (!(value >= field->minimum && value <= field->maximum)) {
        return false;
    }
    return field->legal != DV_ARCH_LEGAL_ODD || (int64_t)value % 2 == 1;
}

static bool read_number(const struct dv_arch_place *place, const struct dv_arch_field *field,
    const struct dv_json *value, struct dv_arch_row *row)
{
    struct dv_arena *arena = place->problems->arena;
    bool is_integer = field->type == DV_ARCH_FIELD_INTEGER;
    bool has_type = is_integer ? dv_json_is_integer(value) : dv_json_is_number(value);
    double number = dv_json_to_number(value, 0);
    const char *text = dv_json_to_string(value, NULL);

    if (has_type && is_legal(field, number)) {
        if (is_integer) {
            dv_arch_field_set(field, row, (uint32_t)number);
        } else {
            dv_arch_field_set_number(field, row, number);
        }
        return true;
    }
    if (text && !dv_text_to_double(text, &number)) {
        number = 0;
    }
    if (!has_type && !dv_json_is_number(value) && !text) {
        const struct dv_arch_row usual = dv_arch_row_default(row->op);
        number = is_integer ? dv_arch_field_get(field, &usual) : 0;
    }
    const char *pointer = dv_check_pointer(arena, place->pointer, field->name);
    const char *fix = dv_arena_printf(arena, "set %s.%s=%s", place->name, field->name,
        dv_check_number(arena, nearest_legal(field, number)));
    if (!has_type) {
        dv_problems_add(place->problems, "E_TYPE", pointer, fix,
            "%s%s must be %s, found %s. Legal: %s.", place->where, field->name,
            is_integer ? "an integer" : "a number", dv_check_value(arena, value),
            legal_numbers(arena, field));
    } else {
        dv_problems_add(place->problems, "E_VALUE", pointer, fix,
            "%s%s=%s is out of range. Legal: %s.", place->where, field->name,
            dv_check_value(arena, value), legal_numbers(arena, field));
    }
    return false;
}

static void choice_problem(const struct dv_arch_place *place, const struct dv_arch_field *field,
    const struct dv_json *value)
{
    struct dv_arena *arena = place->problems->arena;
    const char *words[DV_ARCH_WORDS_MAX];
    const char *text = dv_json_to_string(value, NULL);
    size_t count = 0;

    for (const struct dv_arch_word *word = field->words; word->text; word++) {
        if (!word->is_alias) {
            assert(count < DV_ARCH_WORDS_MAX);
            words[count++] = word->text;
        }
    }
    const char *nearest = text ? dv_check_nearest(text, words, count) : NULL;
    const char *pointer = dv_check_pointer(arena, place->pointer, field->name);
    const char *fix = dv_arena_printf(
        arena, "set %s.%s=\"%s\"", place->name, field->name, nearest ? nearest : words[0]);
    const char *legal = dv_check_list(arena, words, count);
    if (!text) {
        dv_problems_add(place->problems, "E_TYPE", pointer, fix,
            "%s%s must be a string, found %s. Legal: %s.", place->where, field->name,
            dv_check_value(arena, value), legal);
    } else {
        dv_problems_add(place->problems, "E_VALUE", pointer, fix,
            "%s%s \"%s\" is not known. Legal: %s.", place->where, field->name,
            dv_check_text(arena, text), legal);
    }
}

static bool read_choice(const struct dv_arch_place *place, const struct dv_arch_field *field,
    const struct dv_json *value, struct dv_arch_row *row)
{
    const char *text = dv_json_to_string(value, NULL);

    for (const struct dv_arch_word *word = field->words; text && word->text; word++) {
        if (!dv_text_equal_nocase(text, word->text)) {
            continue;
        }
        dv_arch_field_set(field, row, (uint32_t)word->value);
        if (word->is_alias) {
            place->arch->notes[place->arch->note_count++] =
                dv_arena_printf(place->arena, "\"%s\".%s=%s, written %s", row->name,
                    field->name, dv_arch_field_word(field, word->value), word->text);
        }
        return true;
    }
    choice_problem(place, field, value);
    return false;
}

bool dv_arch_field_read(const struct dv_arch_place *place, const struct dv_json *json,
    const char *key, struct dv_arch_row *row)
{
    bool is_known;
    const struct dv_arch_field *field = dv_arch_field_find(key, row->op, &is_known);
    const struct dv_json *value = dv_json_get(json, key);

    assert(value);

    if (!field) {
        return read_other(place, json, key, row->op, is_known);
    }
    switch (field->type) {
    case DV_ARCH_FIELD_CHOICE:
        return read_choice(place, field, value, row);
    case DV_ARCH_FIELD_INTEGER:
    case DV_ARCH_FIELD_NUMBER:
        break;
    }
    return read_number(place, field, value, row);
}
