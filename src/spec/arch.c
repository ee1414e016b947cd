/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an architecture. In reading order: dv_arch_parse() at the end, read_row(), then the
 * parts of a row: name, op, from. A row that is wrong is reported and reading goes on, so that one
 * answer names several mistakes. The other fields: arch_field_read.c, their table: arch_field.c.
 */
#include "spec/arch.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/arch_field.h"
#include "spec/check.h"
#include "spec/limits.h"
#include "spec/preset.h"
#include "spec/problem.h"

#include <assert.h>
#include <string.h>

enum { EARLIER_NAMES_SHOWN = 12, ARCH_NAME_SIZE_MAX = 200 };

struct reader {
    const struct dv_json *layers;
    struct dv_arena *arena;
    struct dv_problems *problems;
    struct dv_arch *arch;

    /* The row that is being read. */
    uint32_t index;
    struct dv_arch_place place;
};

/* --- Name and op ------------------------------------------------------------------------ */

static bool name_is_legal(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size >= DV_ARCH_NAME_SIZE || name[0] < 'a' || name[0] > 'z') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == size &&
           strcmp(name, "input") != 0;
}

static bool name_is_used(const struct reader *reader, const char *name)
{
    for (size_t i = 0; i < dv_json_count(reader->layers); i++) {
        const char *other = dv_json_get_string(dv_json_at(reader->layers, i), "name", "");
        if (strcmp(name, other) == 0) {
            return true;
        }
    }
    return false;
}

/* A legal name that no row of the file has, near to what was written. */
static const char *free_name(const struct reader *reader, const char *wish)
{
    char stem[13] = "row";
    size_t size = 0;

    for (const char *c = wish; *c && size < sizeof(stem) - 1; c++) {
        char lower = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        bool is_letter = lower >= 'a' && lower <= 'z';
        if (is_letter || (size > 0 && ((lower >= '0' && lower <= '9') || lower == '_'))) {
            stem[size++] = lower;
            stem[size] = '\0';
        }
    }
    const char *name = stem;
    for (uint32_t number = 2; !name_is_legal(name) || name_is_used(reader, name); number++) {
        name = dv_arena_printf(reader->arena, "%s_%u", stem, number);
    }
    return dv_arena_strdup(reader->arena, name);
}

static void name_problem(
    struct reader *reader, const char *code, const char *wish, const char *what, const char *legal)
{
    const char *fix = dv_arena_printf(
        reader->arena, "set layers[%u].name=\"%s\"", reader->index, free_name(reader, wish));
    const char *pointer = dv_check_pointer(reader->arena, reader->place.pointer, "name");

    dv_problems_add(
        reader->place.problems, code, pointer, fix, "%s%s %s", reader->place.where, what, legal);
}

static void read_name(struct reader *reader, const struct dv_json *json, struct dv_arch_row *row)
{
    static const char legal[] =
        "Legal: a letter a-z, then up to 23 of a-z, 0-9 and _; not \"input\".";
    const struct dv_json *value = dv_json_get(json, "name");
    const char *name = dv_json_to_string(value, NULL);
    const char *wish = dv_json_get_string(json, "op", "row");

    reader->place.where = dv_arena_printf(reader->arena, "layers[%u]: ", reader->index);
    reader->place.name = dv_arena_printf(reader->arena, "layers[%u]", reader->index);
    if (!value) {
        name_problem(reader, "E_FIELD", wish, "the field \"name\" is missing.", legal);
        return;
    }
    if (!name) {
        const char *what = dv_arena_printf(
            reader->arena, "name must be a string, found %s.", dv_json_type_name(value));
        name_problem(reader, "E_TYPE", wish, what, legal);
        return;
    }
    const char *shown = dv_check_text(reader->arena, name);
    reader->place.where =
        dv_arena_printf(reader->arena, "layers[%u] \"%s\": ", reader->index, shown);
    if (!name_is_legal(name)) {
        name_problem(reader, "E_NAME", name, "the name is not legal.", legal);
        return;
    }
    reader->place.name = shown;
    for (uint32_t i = 0; i < reader->index; i++) {
        if (strcmp(reader->arch->rows[i].name, name) == 0) {
            const char *what =
                dv_arena_printf(reader->arena, "the name is already that of layers[%u].", i);
            name_problem(reader, "E_DUP_NAME", name, what, "Each row needs its own.");
            return;
        }
    }
    (void)dv_text_copy(row->name, sizeof(row->name), name);
}

static bool read_op(struct reader *reader, const struct dv_json *json, enum dv_arch_op *ret_op)
{
    const struct dv_json *value = dv_json_get(json, "op");
    const char *text = dv_json_to_string(value, NULL);
    const char *pointer = dv_check_pointer(reader->arena, reader->place.pointer, "op");
    const char *names[DV_ARCH_OP_COUNT];

    if (text && dv_arch_op_parse(text, ret_op)) {
        return true;
    }
    for (size_t i = 0; i < DV_ARCH_OP_COUNT; i++) {
        names[i] = dv_arch_op_name((enum dv_arch_op)i);
    }
    const char *nearest = dv_check_nearest(text ? text : "", names, DV_ARRAY_SIZE(names));
    const char *fix = dv_arena_printf(
        reader->arena, "set %s.op=\"%s\"", reader->place.name, nearest ? nearest : "conv");
    const char *legal = dv_check_list(reader->arena, names, DV_ARRAY_SIZE(names));
    if (!value) {
        dv_problems_add(reader->place.problems, "E_FIELD", pointer, fix,
            "%sthe field \"op\" is missing. Legal: %s.", reader->place.where, legal);
    } else if (!text) {
        dv_problems_add(reader->place.problems, "E_TYPE", pointer, fix,
            "%sop must be a string, found %s. Legal: %s.", reader->place.where,
            dv_json_type_name(value), legal);
    } else {
        dv_problems_add(reader->place.problems, "E_VALUE", pointer, fix,
            "%sthere is no op \"%s\". Legal: %s.", reader->place.where,
            dv_check_text(reader->arena, text), legal);
    }
    return false;
}

/* --- From -------------------------------------------------------------------------------- */

/* "input, stem, s1, s2": the last ones when there are many. */
static const char *earlier_names(const struct reader *reader)
{
    const char *names[EARLIER_NAMES_SHOWN + 2];
    uint32_t first = reader->index > EARLIER_NAMES_SHOWN ? reader->index - EARLIER_NAMES_SHOWN : 0;
    size_t count = 0;

    names[count++] = "input";
    if (first > 0) {
        names[count++] = "...";
    }
    for (uint32_t i = first; i < reader->index; i++) {
        if (reader->arch->rows[i].name[0]) {
            names[count++] = reader->arch->rows[i].name;
        }
    }
    return dv_check_list(reader->arena, names, count);
}

static bool find_earlier(const struct reader *reader, const char *name, uint32_t *ret_from)
{
    if (strcmp(name, "input") == 0) {
        *ret_from = DV_ARCH_FROM_INPUT;
        return true;
    }
    for (uint32_t i = 0; i < reader->index; i++) {
        if (strcmp(name, reader->arch->rows[i].name) == 0) {
            *ret_from = i;
            return true;
        }
    }
    return false;
}

/* The nearest earlier name, or that of the row before. */
static const char *name_for_fix(const struct reader *reader, const char *wish, uint32_t back)
{
    for (uint32_t i = reader->index; i > 0 && wish; i--) {
        const char *name = reader->arch->rows[i - 1].name;
        if (dv_check_nearest(wish, &name, 1)) {
            return name;
        }
    }
    if (reader->index < back || !reader->arch->rows[reader->index - back].name[0]) {
        return "input";
    }
    return reader->arch->rows[reader->index - back].name;
}

static void from_count_problem(struct reader *reader, enum dv_arch_op op, size_t count)
{
    const char *pointer = dv_check_pointer(reader->arena, reader->place.pointer, "from");
    bool is_join = dv_arch_op_is_join(op);
    const char *previous = name_for_fix(reader, NULL, 1);
    const char *fix = is_join ? dv_arena_printf(reader->arena, "set %s.from=[\"%s\",\"%s\"]",
                                    reader->place.name, name_for_fix(reader, NULL, 2), previous)
                              : dv_arena_printf(reader->arena, "set %s.from=[\"%s\"]",
                                    reader->place.name, previous);

    dv_problems_add(reader->place.problems, "E_FROM", pointer, fix,
        "%s%s takes %s, found %zu in from. Earlier: %s.", reader->place.where, dv_arch_op_name(op),
        is_join ? "2 to 4 inputs" : "one input", count, earlier_names(reader));
}

static void read_from_item(
    struct reader *reader, const struct dv_json *value, size_t at, struct dv_arch_row *row)
{
    const char *name = dv_json_to_string(value, NULL);
    const char *list = dv_check_pointer(reader->arena, reader->place.pointer, "from");
    const char *pointer =
        dv_check_pointer(reader->arena, list, dv_arena_printf(reader->arena, "%zu", at));

    if (name && find_earlier(reader, name, &row->from[at])) {
        return;
    }
    const char *fix = dv_arena_printf(reader->arena, "set %s.from[%zu]=\"%s\"", reader->place.name,
        at, name_for_fix(reader, name, 1));
    if (!name) {
        dv_problems_add(reader->place.problems, "E_TYPE", pointer, fix,
            "%sfrom must hold names of earlier layers, found %s. Earlier: %s.", reader->place.where,
            dv_json_type_name(value), earlier_names(reader));
        return;
    }
    dv_problems_add(reader->place.problems, "E_FROM", pointer, fix,
        "%sfrom \"%s\" is not an earlier layer. Earlier: %s.", reader->place.where,
        dv_check_text(reader->arena, name), earlier_names(reader));
}

static void read_from(struct reader *reader, const struct dv_json *json, struct dv_arch_row *row)
{
    const struct dv_json *value = dv_json_get(json, "from");
    size_t count = dv_json_count(value);
    bool is_join = dv_arch_op_is_join(row->op);

    if (value && !dv_json_is_array(value)) {
        const char *name = dv_json_to_string(value, NULL);
        const char *fix = dv_arena_printf(reader->arena, "set %s.from=[\"%s\"]", reader->place.name,
            name_for_fix(reader, name, 1));
        dv_problems_add(reader->place.problems, "E_TYPE",
            dv_check_pointer(reader->arena, reader->place.pointer, "from"), fix,
            "%sfrom must be an array of names, found %s. Earlier: %s.", reader->place.where,
            dv_json_type_name(value), earlier_names(reader));
        return;
    }
    if (is_join ? count < 2 || count > DV_ARCH_INPUTS_MAX : count > 1) {
        from_count_problem(reader, row->op, count);
        return;
    }
    if (count == 0) {
        row->from[0] = reader->index > 0 ? reader->index - 1 : DV_ARCH_FROM_INPUT;
        row->from_count = 1;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        read_from_item(reader, dv_json_at(value, i), i, row);
    }
    row->from_count = (uint32_t)count;
}

/* --- Rows -------------------------------------------------------------------------------- */

/* Is a field there that the op takes? One that it does not take may be there and say nothing. */
static bool has_field(const struct dv_json *json, const char *key, enum dv_arch_op op)
{
    bool is_known;

    return dv_json_get(json, key) && dv_arch_field_find(key, op, &is_known);
}

static void read_fields(struct reader *reader, const struct dv_json *json, struct dv_arch_row *row)
{
    size_t count_before = reader->place.problems->count;

    for (void *i = dv_json_first(json); i; i = dv_json_next(json, i)) {
        const char *key = dv_json_key(i);
        if (strcmp(key, "name") != 0 && strcmp(key, "op") != 0 && strcmp(key, "from") != 0) {
            (void)dv_arch_field_read(&reader->place, json, key, row);
        }
    }
    if (reader->place.problems->count > count_before) {
        return; /* what follows from the fields would only repeat them */
    }
    dv_arch_row_derive(
        row, has_field(json, "stride", row->op), has_field(json, "padding", row->op));
    if (row->op == DV_ARCH_POOL && 2 * row->padding > row->kernel) {
        dv_problems_add(reader->place.problems, "E_VALUE",
            dv_check_pointer(reader->arena, reader->place.pointer, "padding"),
            dv_arena_printf(
                reader->arena, "set %s.padding=%u", reader->place.name, row->kernel / 2),
            "%spadding=%u is more than half the kernel of %u. Legal: 0 to %u.", reader->place.where,
            row->padding, row->kernel, row->kernel / 2);
    }
}

static void read_row(struct reader *reader, const struct dv_json *json)
{
    struct dv_arch_row *row = &reader->arch->rows[reader->index];
    enum dv_arch_op op = DV_ARCH_CONV;
    char name[DV_ARCH_NAME_SIZE];

    reader->place.pointer = dv_arena_printf(reader->arena, "/layers/%u", reader->index);
    if (!dv_json_is_object(json)) {
        const char *fix =
            dv_arena_printf(reader->arena, "write layers[%u] as {\"name\":\"%s\",\"op\":\"conv\"}",
                reader->index, free_name(reader, "conv"));
        dv_problems_add(reader->place.problems, "E_TYPE", reader->place.pointer, fix,
            "layers[%u] must be an object, found %s.", reader->index, dv_json_type_name(json));
        return;
    }
    read_name(reader, json, row);
    if (!read_op(reader, json, &op)) {
        return;
    }
    memcpy(name, row->name, sizeof(name));
    *row = dv_arch_row_default(op);
    memcpy(row->name, name, sizeof(name));
    read_from(reader, json, row);
    read_fields(reader, json, row);
}

/* --- The whole -------------------------------------------------------------------------- */

static void check_last(struct reader *reader)
{
    uint32_t last = reader->arch->row_count - 1;

    if (reader->arch->rows[last].op != DV_ARCH_LINEAR) {
        const char *fix = dv_arena_printf(reader->arena,
            "add {\"name\":\"%s\",\"op\":\"linear\"} at the end", free_name(reader, "head"));
        dv_problems_add(reader->place.problems, "E_HEAD",
            dv_arena_printf(reader->arena, "/layers/%u", last), fix,
            "layers[%u] \"%s\": the last row must be linear, found %s.", last,
            reader->arch->rows[last].name, dv_arch_op_name(reader->arch->rows[last].op));
    }
}

/* A row that nothing takes would be trained for nothing: surely a slip of the pen. */
static void check_unused(struct reader *reader)
{
    uint32_t count = reader->arch->row_count;
    bool *is_used = dv_arena_array(reader->arena, count, sizeof(*is_used));

    for (uint32_t i = 0; i < count; i++) {
        const struct dv_arch_row *row = &reader->arch->rows[i];
        for (uint32_t j = 0; j < row->from_count; j++) {
            if (row->from[j] != DV_ARCH_FROM_INPUT) {
                is_used[row->from[j]] = true;
            }
        }
    }
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (is_used[i]) {
            continue;
        }
        const char *name = reader->arch->rows[i].name;
        dv_problems_add(reader->place.problems, "E_UNUSED",
            dv_arena_printf(reader->arena, "/layers/%u", i),
            dv_arena_printf(reader->arena, "remove layers[%u] \"%s\"", i, name),
            "layers[%u] \"%s\": no later layer takes its output.", i, name);
    }
}

static void read_layers(struct reader *reader)
{
    size_t count = dv_json_count(reader->layers);

    reader->arch->rows = dv_arena_array(reader->arena, count, sizeof(struct dv_arch_row));
    reader->arch->row_count = (uint32_t)count;
    reader->arch->notes =
        dv_arena_array(reader->arena, DV_ARCH_ROW_NOTES_MAX * count, sizeof(char *));
    for (size_t i = 0; i < count && !reader->place.problems->has_more; i++) {
        reader->index = (uint32_t)i;
        read_row(reader, dv_json_at(reader->layers, i));
    }
}

static void read_top(struct reader *reader, const struct dv_json *json)
{
    static const char *const members[] = {"name", "layers"};
    struct dv_problems *problems = reader->place.problems;
    const struct dv_json *name = dv_json_get(json, "name");

    for (void *i = dv_json_first(json); i; i = dv_json_next(json, i)) {
        const char *key = dv_json_key(i);
        if (strcmp(key, "name") != 0 && strcmp(key, "layers") != 0) {
            dv_check_unknown(problems, json, "", "", key, members, DV_ARRAY_SIZE(members));
        }
    }
    reader->arch->name = dv_arena_strdup(reader->arena, dv_json_to_string(name, "network"));
    if (name && !dv_json_is_string(name)) {
        dv_problems_add(problems, "E_TYPE", "/name", "set name=\"network\"",
            "name must be a string, found %s.", dv_json_type_name(name));
    } else if (strlen(reader->arch->name) > ARCH_NAME_SIZE_MAX) {
        dv_problems_add(problems, "E_VALUE", "/name", "set name=\"network\"",
            "name is %zu bytes long. Legal: at most %d.", strlen(reader->arch->name),
            ARCH_NAME_SIZE_MAX);
    }
}

static bool layers_are_readable(struct reader *reader)
{
    static const char fix[] = "set layers=[{\"name\":\"stem\",\"op\":\"conv\",\"out\":16},"
                              "{\"name\":\"head\",\"op\":\"linear\"}]";
    struct dv_problems *problems = reader->place.problems;
    size_t count = dv_json_count(reader->layers);

    if (!reader->layers) {
        dv_problems_add(problems, "E_FIELD", "/layers", fix, "the field \"layers\" is missing.");
        return false;
    }
    if (!dv_json_is_array(reader->layers)) {
        dv_problems_add(problems, "E_TYPE", "/layers", fix,
            "layers must be an array of rows, found %s.", dv_json_type_name(reader->layers));
        return false;
    }
    if (count == 0 || count > DV_ARCH_ROWS_MAX) {
        dv_problems_add(problems, "E_VALUE", "/layers",
            count == 0 ? fix : "use repeat for rows that are alike",
            "layers has %zu rows. Legal: 1 to %u.", count, DV_ARCH_ROWS_MAX);
        return false;
    }
    return true;
}

static void presets_problem(struct dv_problems *problems, const char *name)
{
    const char *names[32];
    size_t count = 0;

    while (count < DV_ARRAY_SIZE(names) && dv_preset_name(count)) {
        names[count] = dv_preset_name(count);
        count++;
    }
    const char *nearest = dv_check_nearest(name, names, count);
    dv_problems_add(problems, "E_PRESET", "",
        dv_arena_printf(problems->arena, "write \"%s\"", nearest ? nearest : names[0]),
        "there is no preset \"%s\". Legal: %s.", dv_check_text(problems->arena, name),
        dv_check_list(problems->arena, names, count));
}

static void read_arch(struct reader *reader, const struct dv_json *json)
{
    struct dv_problems *problems = reader->place.problems;
    size_t count_before = problems->count;

    if (!dv_json_is_object(json)) {
        dv_problems_add(problems, "E_TYPE", "", "write \"small_cnn\"",
            "an architecture is an object or a preset's name, found %s.", dv_json_type_name(json));
        return;
    }
    read_top(reader, json);
    reader->layers = dv_json_get(json, "layers");
    if (!layers_are_readable(reader)) {
        return;
    }
    read_layers(reader);
    if (problems->count == count_before && !problems->has_more) {
        check_last(reader);
        check_unused(reader);
    }
}

enum dv_status dv_arch_parse(const struct dv_json *json, struct dv_arena *arena,
    struct dv_problems *problems, struct dv_arch **ret_arch, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *preset = NULL;
    struct reader reader = {.arena = arena, .place.problems = problems};

    assert(arena);
    assert(problems);
    assert(ret_arch);

    size_t count_before = problems->count;
    reader.arch = dv_arena_alloc(arena, sizeof(*reader.arch));
    reader.place.arena = arena;
    reader.place.arch = reader.arch;
    if (dv_json_is_string(json)) {
        const char *name = dv_json_to_string(json, "");
        preset = dv_preset_make(name);
        if (!preset) {
            presets_problem(problems, name);
            return dv_check_finish(problems, count_before, reterr);
        }
        json = preset;
    }
    read_arch(&reader, json);
    enum dv_status status = dv_check_finish(problems, count_before, reterr);
    if (status != DV_OK) {
        return status;
    }
    *ret_arch = reader.arch;
    return DV_OK;
}
