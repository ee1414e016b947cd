/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/arch.h"
#include "spec/arch_field.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

static bool follows_the_row_before(const struct dv_arch_row *row, uint32_t index)
{
    return row->from_count == 1 && row->from[0] == (index > 0 ? index - 1 : DV_ARCH_FROM_INPUT);
}

/* Set the fields that differ from what a reader would fill in. */
static void set_fields(struct dv_json *json, const struct dv_arch_row *row)
{
    struct dv_arch_row usual = dv_arch_row_default(row->op);

    usual.kernel = row->kernel;
    dv_arch_row_derive(&usual, false, false);
    for (size_t i = 0; i < dv_arch_field_count; i++) {
        const struct dv_arch_field *field = &dv_arch_fields[i];
        if (!(field->ops & (1u << row->op))) {
            continue;
        }
        if (field->type == DV_ARCH_FIELD_NUMBER) {
            double number = dv_arch_field_get_number(field, row);
            if (number > 0) { /* all are 0 by default, and none is negative */
                dv_json_set_number(json, field->name, number);
            }
            continue;
        }
        uint32_t value = dv_arch_field_get(field, row);
        bool is_kernel = strcmp(field->name, "kernel") == 0;
        uint32_t usual_value =
            is_kernel ? dv_arch_row_default(row->op).kernel : dv_arch_field_get(field, &usual);
        if (value == usual_value) {
            continue;
        }
        if (field->type == DV_ARCH_FIELD_INTEGER) {
            dv_json_set_integer(json, field->name, value);
        } else {
            dv_json_set_string(json, field->name, dv_arch_field_word(field, (int)value));
        }
    }
}

struct dv_json *dv_arch_row_to_json(
    const struct dv_arch *arch, const struct dv_arch_row *row, uint32_t index)
{
    struct dv_json *json = dv_json_object();

    dv_json_set_string(json, "name", row->name);
    dv_json_set_string(json, "op", dv_arch_op_name(row->op));
    if (!follows_the_row_before(row, index)) {
        struct dv_json *from = dv_json_array();
        for (uint32_t i = 0; i < row->from_count; i++) {
            bool is_input = row->from[i] == DV_ARCH_FROM_INPUT;
            dv_json_append(
                from, dv_json_string(is_input ? "input" : arch->rows[row->from[i]].name));
        }
        dv_json_set(json, "from", from);
    }
    set_fields(json, row);
    return json;
}

struct dv_json *dv_arch_to_json(const struct dv_arch *arch)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *layers = dv_json_array();

    assert(arch);

    for (uint32_t i = 0; i < arch->row_count; i++) {
        dv_json_append(layers, dv_arch_row_to_json(arch, &arch->rows[i], i));
    }
    dv_json_set_string(json, "name", arch->name);
    dv_json_set(json, "layers", layers);
    return json;
}

/* Names say nothing about the network: rows refer to each other by position, -1 the picture. */
static struct dv_json *canonical_row(const struct dv_arch_row *row, uint32_t index)
{
    struct dv_json *json = dv_json_object();

    dv_json_set_string(json, "op", dv_arch_op_name(row->op));
    if (!follows_the_row_before(row, index)) {
        struct dv_json *from = dv_json_array();
        for (uint32_t i = 0; i < row->from_count; i++) {
            bool is_input = row->from[i] == DV_ARCH_FROM_INPUT;
            dv_json_append(from, dv_json_integer(is_input ? -1 : (int64_t)row->from[i]));
        }
        dv_json_set(json, "from", from);
    }
    set_fields(json, row);
    return json;
}

void dv_arch_hash(const struct dv_arch *arch, char *ret_text)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *layers = dv_json_array();
    unsigned char digest[DV_SHA256_SIZE];

    assert(arch);
    assert(ret_text);

    for (uint32_t i = 0; i < arch->row_count; i++) {
        dv_json_append(layers, canonical_row(&arch->rows[i], i));
    }
    DV_CLEANUP(dv_freep) char *text = dv_json_print_canonical(layers);
    dv_sha256(text, strlen(text), digest);
    dv_text_hex(digest, sizeof(digest), ret_text);
}

double dv_arch_dropout(const struct dv_arch *arch)
{
    double dropout = 0.0;

    assert(arch);
    for (uint32_t i = 0; i < arch->row_count; i++) {
        const struct dv_arch_row *row = &arch->rows[i];
        dropout = row->op == DV_ARCH_DROPOUT ? row->drop : dropout;
    }
    return dropout;
}
