/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/arch_wire.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/json_schema.h"
#include "base/text.h"
#include "spec/arch_field.h"

#include <assert.h>
#include <stdio.h>

/* --- Schema ----------------------------------------------------------------------------- */

static void add_word(struct dv_json *words, const char *text)
{
    for (size_t i = 0; i < dv_json_count(words); i++) {
        if (dv_text_equal(dv_json_to_string(dv_json_at(words, i), ""), text)) {
            return;
        }
    }
    dv_json_append(words, dv_json_string(text));
}

/* One name may stand for fields of several ops: the words of all of them. */
static struct dv_json *choice_schema(const char *name)
{
    struct dv_json *words = dv_json_array();

    add_word(words, "none");
    for (size_t i = 0; i < dv_arch_field_count; i++) {
        const struct dv_arch_field *field = &dv_arch_fields[i];
        bool is_it = dv_text_equal(field->name, name);
        for (const struct dv_arch_word *word = field->words; is_it && word->text; word++) {
            if (!word->is_alias) {
                add_word(words, word->text);
            }
        }
    }
    return dv_json_schema_choice(words);
}

static struct dv_json *op_schema(void)
{
    struct dv_json *words = dv_json_array();

    for (int op = 0; op < DV_ARCH_OP_COUNT; op++) {
        add_word(words, dv_arch_op_name((enum dv_arch_op)op));
    }
    return dv_json_schema_choice(words);
}

/* Half the kernel, which is what designs mean. */
static bool is_left_out(const struct dv_arch_field *field)
{
    return dv_text_equal(field->name, "padding");
}

static struct dv_json *row_schema(void)
{
    struct dv_json *properties = dv_json_object();

    dv_json_set(properties, "name", dv_json_schema("string"));
    dv_json_set(properties, "op", op_schema());
    dv_json_set(properties, "from", dv_json_schema_list(dv_json_schema("string")));
    for (size_t i = 0; i < dv_arch_field_count; i++) {
        const struct dv_arch_field *field = &dv_arch_fields[i];
        if (dv_json_get(properties, field->name) || is_left_out(field)) {
            continue;
        }
        dv_json_set(properties, field->name,
            field->type == DV_ARCH_FIELD_CHOICE   ? choice_schema(field->name)
            : field->type == DV_ARCH_FIELD_NUMBER ? dv_json_schema("number")
                                                  : dv_json_schema("integer"));
    }
    return dv_json_schema_object(properties);
}

struct dv_json *dv_arch_wire_schema(void)
{
    struct dv_json *properties = dv_json_object();

    dv_json_set(properties, "name", dv_json_schema("string"));
    dv_json_set(properties, "layers", dv_json_schema_list(row_schema()));
    return dv_json_schema_object(properties);
}

/* --- Description ------------------------------------------------------------------------- */

#define RANGE_SHOWN_MAX 100000.0 /* above, the range has no end worth saying */

static void describe_words(const struct dv_arch_field *field, struct dv_buffer *buffer)
{
    const char *before = "";

    for (const struct dv_arch_word *word = field->words; word->text; word++) {
        if (!word->is_alias) {
            dv_buffer_printf(buffer, "%s%s", before, word->text);
            before = "|";
        }
    }
}

static void describe_range(const struct dv_arch_field *field, struct dv_buffer *buffer)
{
    const char *type = field->type == DV_ARCH_FIELD_NUMBER ? "number" : "integer";

    if (field->legal == DV_ARCH_LEGAL_ODD) {
        dv_buffer_append_text(buffer, "odd ");
    } else if (field->legal == DV_ARCH_LEGAL_OR_ZERO) {
        dv_buffer_append_text(buffer, "0 or ");
    }
    dv_buffer_printf(buffer, "%s %g", type, field->minimum);
    if (field->maximum > RANGE_SHOWN_MAX) {
        dv_buffer_append_text(buffer, " and up");
    } else {
        dv_buffer_printf(buffer, "-%g", field->maximum);
    }
}

static void describe_ops(const struct dv_arch_field *field, struct dv_buffer *buffer)
{
    const char *before = " (";

    for (int op = 0; op < DV_ARCH_OP_COUNT; op++) {
        if (field->ops & (1u << op)) {
            dv_buffer_printf(buffer, "%s%s", before, dv_arch_op_name((enum dv_arch_op)op));
            before = ", ";
        }
    }
    dv_buffer_append_text(buffer, ")");
}

void dv_arch_wire_describe(struct dv_buffer *buffer)
{
    const char *previous = "";

    assert(buffer);
    for (size_t i = 0; i < dv_arch_field_count; i++) {
        const struct dv_arch_field *field = &dv_arch_fields[i];
        if (is_left_out(field)) {
            continue;
        }
        if (dv_text_equal(field->name, previous)) {
            dv_buffer_append_text(buffer, "; ");
        } else {
            dv_buffer_printf(buffer, "%s%s: ", i > 0 ? "\n" : "", field->name);
        }
        if (field->type == DV_ARCH_FIELD_CHOICE) {
            describe_words(field, buffer);
        } else {
            describe_range(field, buffer);
        }
        describe_ops(field, buffer);
        previous = field->name;
    }
    dv_buffer_append_text(buffer, "\n");
}

/* --- Reading ---------------------------------------------------------------------------- */

/* Does the value say what leaving it out says? */
static bool says_nothing(const struct dv_arch_field *field, const struct dv_json *value)
{
    if (field->type == DV_ARCH_FIELD_CHOICE) {
        bool has_none = false;
        for (const struct dv_arch_word *word = field->words; word->text; word++) {
            has_none = has_none || dv_text_equal(word->text, "none");
        }
        return !has_none && dv_text_equal(dv_json_to_string(value, ""), "none");
    }
    return dv_json_is_number(value) && !(dv_json_to_number(value, 1.0) > 0.0) &&
           !(dv_json_to_number(value, 1.0) < 0.0);
}

static bool is_kept(const char *key, const struct dv_json *value, enum dv_arch_op op)
{
    bool is_known = false;

    if (dv_text_equal(key, "from")) {
        return dv_json_count(value) > 0 || dv_json_is_string(value);
    }
    if (dv_text_equal(key, "name") || dv_text_equal(key, "op")) {
        return true;
    }
    const struct dv_arch_field *field = dv_arch_field_find(key, op, &is_known);
    return field ? !says_nothing(field, value) : !is_known;
}

/* "s1" for ["s1"]. */
static struct dv_json *read_value(const char *key, const struct dv_json *value)
{
    if (!dv_text_equal(key, "from") || !dv_json_is_string(value)) {
        return dv_json_ref(value);
    }
    struct dv_json *list = dv_json_array();
    dv_json_append(list, dv_json_ref(value));
    return list;
}

static struct dv_json *read_row(const struct dv_json *wire)
{
    enum dv_arch_op op;

    if (!dv_arch_op_parse(dv_json_get_string(wire, "op", ""), &op)) {
        return dv_json_ref(wire);
    }
    struct dv_json *row = dv_json_object();
    for (void *i = dv_json_first(wire); i; i = dv_json_next(wire, i)) {
        if (is_kept(dv_json_key(i), dv_json_value(i), op)) {
            dv_json_set(row, dv_json_key(i), read_value(dv_json_key(i), dv_json_value(i)));
        }
    }
    return row;
}

struct dv_json *dv_arch_wire_read(const struct dv_json *wire)
{
    const struct dv_json *rows = dv_json_get(wire, "layers");

    if (!dv_json_is_object(wire) || !dv_json_is_array(rows)) {
        return dv_json_ref(wire);
    }
    struct dv_json *file = dv_json_object();
    struct dv_json *layers = dv_json_array();
    for (void *i = dv_json_first(wire); i; i = dv_json_next(wire, i)) {
        if (!dv_text_equal(dv_json_key(i), "layers")) {
            dv_json_set(file, dv_json_key(i), dv_json_ref(dv_json_value(i)));
        }
    }
    for (size_t i = 0; i < dv_json_count(rows); i++) {
        dv_json_append(layers, read_row(dv_json_at(rows, i)));
    }
    dv_json_set(file, "layers", layers);
    return file;
}

/* --- One line --------------------------------------------------------------------------- */

static const char *const short_names[] = {
    [DV_ARCH_CONV] = "conv",
    [DV_ARCH_RESIDUAL] = "res",
    [DV_ARCH_BOTTLENECK] = "bot",
    [DV_ARCH_MBCONV] = "mb",
    [DV_ARCH_DWSEP] = "dws",
    [DV_ARCH_POOL] = "pool",
    [DV_ARCH_GLOBAL_POOL] = "gap",
    [DV_ARCH_ADD] = "add",
    [DV_ARCH_CONCAT] = "cat",
    [DV_ARCH_DROPOUT] = "drop",
    [DV_ARCH_FLATTEN] = "flat",
    [DV_ARCH_LINEAR] = "fc",
};
_Static_assert(DV_ARRAY_SIZE(short_names) == DV_ARCH_OP_COUNT, "an op without a short name");

/* ".25" */
static void add_share(struct dv_buffer *buffer, const char *what, double share)
{
    if (share > 0.0) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%.3g", share);
        dv_buffer_printf(buffer, "%s%s", what, text[0] == '0' ? text + 1 : text);
    }
}

static void add_count(struct dv_buffer *buffer, char what, uint32_t count, uint32_t usual)
{
    if (count != usual) {
        dv_buffer_printf(buffer, "%c%u", what, count);
    }
}

static const char *choice_word(const char *name, enum dv_arch_op op, int value)
{
    bool is_known;
    const struct dv_arch_field *field = dv_arch_field_find(name, op, &is_known);

    return field ? dv_arch_field_word(field, value) : "";
}

static void add_inputs(struct dv_buffer *buffer, const struct dv_arch *arch, uint32_t index)
{
    const struct dv_arch_row *row = &arch->rows[index];
    uint32_t before = index > 0 ? index - 1 : DV_ARCH_FROM_INPUT;

    if (row->from_count == 1 && row->from[0] == before) {
        return;
    }
    for (uint32_t i = 0; i < row->from_count; i++) {
        bool is_input = row->from[i] == DV_ARCH_FROM_INPUT;
        dv_buffer_printf(
            buffer, "%c%s", i == 0 ? '@' : ',', is_input ? "input" : arch->rows[row->from[i]].name);
    }
}

/* Is another row's `from` going to need this one's name? */
static bool is_named(const struct dv_arch *arch, uint32_t index)
{
    for (uint32_t r = index + 2; r < arch->row_count; r++) {
        for (uint32_t i = 0; i < arch->rows[r].from_count; i++) {
            if (arch->rows[r].from[i] == index) {
                return true;
            }
        }
    }
    return false;
}

static void add_row(struct dv_buffer *buffer, const struct dv_arch *arch, uint32_t index)
{
    const struct dv_arch_row *row = &arch->rows[index];
    struct dv_arch_row usual = dv_arch_row_default(row->op);
    bool is_last = index + 1 == arch->row_count;

    dv_arch_row_derive(&usual, false, false);
    if (is_named(arch, index)) {
        dv_buffer_printf(buffer, "%s:", row->name);
    }
    dv_buffer_append_text(buffer, short_names[row->op]);
    if (row->out > 0 && !is_last) {
        dv_buffer_printf(buffer, "%u", row->out);
    }
    add_count(buffer, 'k', row->kernel, usual.kernel);
    add_count(buffer, 'x', row->repeat, usual.repeat);
    add_count(buffer, 's', row->stride, row->op == DV_ARCH_POOL ? row->kernel : usual.stride);
    add_count(buffer, 'g', row->groups, usual.groups);
    add_count(buffer, 'e', row->expand, usual.expand);
    add_share(buffer, row->op == DV_ARCH_DROPOUT ? "" : "+drop", row->drop);
    add_share(buffer, "+se", row->se);
    if (row->norm != usual.norm) {
        dv_buffer_printf(buffer, "+%s_norm", choice_word("norm", row->op, (int)row->norm));
    }
    if (row->act != usual.act) {
        dv_buffer_printf(buffer, "+%s",
            row->act == DV_ACT_NONE ? "no_act" : choice_word("act", row->op, (int)row->act));
    }
    if (row->pooling != usual.pooling) {
        dv_buffer_printf(buffer, "+%s", choice_word("pool", row->op, (int)row->pooling));
    }
    if (row->shortcut != usual.shortcut) {
        dv_buffer_printf(buffer, "+%s", choice_word("shortcut", row->op, (int)row->shortcut));
    }
    add_inputs(buffer, arch, index);
}

void dv_arch_line(const struct dv_arch *arch, struct dv_buffer *buffer)
{
    assert(arch);
    assert(buffer);

    for (uint32_t i = 0; i < arch->row_count; i++) {
        dv_buffer_append_text(buffer, i > 0 ? " " : "");
        add_row(buffer, arch, i);
    }
}
