/* SPDX-License-Identifier: Apache-2.0 */
/* Values, then rows, then arch_mutate(), which draws one of the changes. */
#include "arch_mutator.h"

#include "base/json.h"
#include "base/macro.h"
#include "base/random.h"
#include "spec/arch_field.h"

#include <stdint.h>
#include <stdio.h>

enum { COPIES_MAX = 40, FIELDS_MAX = 4, REPEATS_MAX = 1000, REPEATS_OFTEN = 4 };

static uint32_t below(struct dv_random *random, size_t limit)
{
    return (uint32_t)dv_random_below(random, limit);
}

/* --- Values ----------------------------------------------------------------------------- */

/* Of a range: mostly near its beginning, where networks that work are found. */
static struct dv_json *legal_integer(struct dv_random *random, const struct dv_arch_field *field)
{
    static const int64_t often[] = {1, 2, 3, 4, 5, 8, 16, 24, 32, 64, 96, 127, 128, 1000};
    int64_t minimum = (int64_t)field->minimum;
    int64_t maximum = (int64_t)field->maximum;
    int64_t value = often[below(random, DV_ARRAY_SIZE(often))];

    switch (below(random, 8)) {
    case 0:
        value = minimum;
        break;
    case 1:
        value = below(random, 8) == 0 ? maximum : value;
        break;
    case 2:
        value = minimum + (int64_t)dv_random_below(random, (uint64_t)(maximum - minimum) + 1);
        value = value > 1024 && below(random, 16) > 0 ? value % 1024 : value;
        break;
    default:
        break;
    }
    value = value < minimum ? minimum : value > maximum ? maximum : value;
    if (value > REPEATS_OFTEN && maximum == REPEATS_MAX && below(random, 16) > 0) {
        value = 1 + value % REPEATS_OFTEN; /* a thousand of a block are found slowly */
    }
    if (field->legal == DV_ARCH_LEGAL_ODD) {
        value |= 1;
    }
    return dv_json_integer(value);
}

static struct dv_json *legal_word(struct dv_random *random, const struct dv_arch_field *field)
{
    size_t count = 0;

    while (field->words[count].text) {
        count++;
    }
    return dv_json_string(field->words[below(random, count)].text);
}

static struct dv_json *legal_value(struct dv_random *random, const struct dv_arch_field *field)
{
    if (field->type == DV_ARCH_FIELD_CHOICE) {
        return legal_word(random, field);
    }
    if (field->type == DV_ARCH_FIELD_INTEGER) {
        return legal_integer(random, field);
    }
    if (field->legal == DV_ARCH_LEGAL_OR_ZERO && below(random, 4) == 0) {
        return dv_json_integer(0);
    }
    double unit = below(random, 4) == 0 ? below(random, 2) : dv_random_unit(random);
    return dv_json_number(field->minimum + unit * (field->maximum - field->minimum));
}

/* One past an end, between two, of another type, or no number at all. */
static struct dv_json *hostile_value(struct dv_random *random, const struct dv_arch_field *field)
{
    static const char *const texts[] = {
        "", "none", "relu", "GELU", "input", "a\x01b", "\x7f", "~/"};
    static const double numbers[] = {0, -1, 0.5, 1e308, -1e308, 4294967295.0, 4294967296.0,
        2147483648.0, 9.2e18, 1e-320, 3.0000000001};

    switch (below(random, 8)) {
    case 0:
        return dv_json_number(field->maximum + 1);
    case 1:
        return dv_json_number(field->minimum - 1);
    case 2:
        return dv_json_integer(below(random, 2) ? INT64_MAX : INT64_MIN);
    case 3:
        return dv_json_string(texts[below(random, DV_ARRAY_SIZE(texts))]);
    case 4:
        return below(random, 2) ? dv_json_null() : dv_json_bool(below(random, 2));
    case 5:
        return below(random, 2) ? dv_json_array() : dv_json_object();
    case 6:
        return dv_json_integer((int64_t)field->maximum);
    default:
        return dv_json_number(numbers[below(random, DV_ARRAY_SIZE(numbers))]);
    }
}

/* Some field that this row's op takes, or (seldom) any; NULL where the op takes none. */
static const struct dv_arch_field *draw_field(struct dv_random *random, const struct dv_json *row)
{
    const struct dv_arch_field *fields[32];
    enum dv_arch_op op = DV_ARCH_CONV;
    size_t count = 0;

    bool is_any = !dv_arch_op_parse(dv_json_get_string(row, "op", ""), &op);
    is_any = is_any || below(random, 32) == 0;
    for (size_t i = 0; i < dv_arch_field_count; i++) {
        if (is_any || (dv_arch_fields[i].ops & (1u << op))) {
            fields[count++] = &dv_arch_fields[i];
        }
    }
    return count > 0 ? fields[below(random, count)] : NULL;
}

static void set_field(struct dv_random *random, struct dv_json *row, bool is_hostile)
{
    const struct dv_arch_field *field = draw_field(random, row);

    if (field) {
        dv_json_set(row, field->name,
            is_hostile ? hostile_value(random, field) : legal_value(random, field));
    }
}

/* --- Rows ------------------------------------------------------------------------------- */

static void set_name(struct dv_random *random, struct dv_json *row)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "r%u", below(random, 100000));
    dv_json_set_string(row, "name", name);
}

static struct dv_json *make_row(struct dv_random *random)
{
    struct dv_json *row = dv_json_object();

    set_name(random, row);
    dv_json_set_string(
        row, "op", dv_arch_op_name((enum dv_arch_op)below(random, DV_ARCH_OP_COUNT)));
    for (uint32_t i = below(random, FIELDS_MAX + 1); i > 0; i--) {
        set_field(random, row, false);
    }
    return row;
}

/* The list with `row` put before the row at `at` `copies` times, or (NULL) without that row. */
static void splice(struct dv_json *arch, size_t at, const struct dv_json *row, size_t copies,
    struct dv_random *random)
{
    struct dv_json *old = dv_json_get(arch, "layers");
    struct dv_json *list = dv_json_array();

    for (size_t i = 0; i <= dv_json_count(old); i++) {
        for (size_t k = 0; row && i == at && k < copies; k++) {
            struct dv_json *copy = dv_json_copy(row);
            if (dv_json_is_object(copy) && below(random, 16) > 0) {
                set_name(random, copy);
            }
            dv_json_append(list, copy);
        }
        if (i < dv_json_count(old) && (row || i != at)) {
            dv_json_append(list, dv_json_ref(dv_json_at(old, i)));
        }
    }
    dv_json_set(arch, "layers", list);
}

static void swap_rows(struct dv_json *arch, size_t a, size_t b)
{
    struct dv_json *old = dv_json_get(arch, "layers");
    struct dv_json *list = dv_json_array();

    for (size_t i = 0; i < dv_json_count(old); i++) {
        dv_json_append(list, dv_json_ref(dv_json_at(old, i == a ? b : i == b ? a : i)));
    }
    dv_json_set(arch, "layers", list);
}

/* Names of some of the rows before the one at `at`; seldom of one that is not before it. */
static void set_from(struct dv_random *random, struct dv_json *arch, size_t at)
{
    const struct dv_json *layers = dv_json_get(arch, "layers");
    struct dv_json *row = dv_json_at(layers, at);
    struct dv_json *list = dv_json_array();
    uint32_t count = below(random, 32) == 0 ? below(random, 7) : 1 + below(random, 4);

    for (uint32_t i = 0; i < count; i++) {
        bool is_wild = below(random, 32) == 0;
        uint32_t from = below(random, (is_wild ? dv_json_count(layers) : at) + 1);
        const char *name =
            from == at ? "input" : dv_json_get_string(dv_json_at(layers, from), "name", "");
        dv_json_append(list, dv_json_text(name));
    }
    dv_json_set(row, "from", list);
}

/* --- One change ------------------------------------------------------------------------- */

static void mutate_row(struct dv_random *random, struct dv_json *arch, size_t at)
{
    static const char *const keys[] = {"name", "op", "from", "kernal", "a/b~c", "\xc3\xa9"};
    struct dv_json *row = dv_json_at(dv_json_get(arch, "layers"), at);
    uint32_t kind = below(random, 16);

    if (!dv_json_is_object(row)) {
        return;
    }
    const struct dv_arch_field *field = draw_field(random, row);
    if (kind < 8) {
        set_field(random, row, false);
    } else if (kind < 9) {
        set_field(random, row, true);
    } else if (kind < 11 && field) {
        dv_json_remove(row, field->name);
    } else if (kind < 13) {
        set_from(random, arch, at);
    } else if (kind < 14) {
        dv_json_remove(row, "from");
    } else if (kind < 15) {
        enum dv_arch_op op = (enum dv_arch_op)below(random, DV_ARCH_OP_COUNT);
        dv_json_set_string(row, "op", dv_arch_op_name(op));
    } else {
        dv_json_set(row, keys[below(random, DV_ARRAY_SIZE(keys))],
            hostile_value(random, &dv_arch_fields[below(random, dv_arch_field_count)]));
    }
}

void arch_mutate(struct dv_json *arch, struct dv_random *random)
{
    const struct dv_json *layers = dv_json_get(arch, "layers");
    size_t count = dv_json_count(layers);

    if (!dv_json_is_object(arch)) {
        return;
    }
    size_t at = below(random, count + 1);
    size_t copies = below(random, 8) == 0 ? 1 + below(random, COPIES_MAX) : 1;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    switch (below(random, 32)) {
    case 0:
        dv_json_set(
            arch, below(random, 2) ? "name" : "layers", hostile_value(random, dv_arch_fields));
        break;
    case 1:
    case 2:
        splice(arch, at, NULL, 0, random);
        break;
    case 3:
    case 4:
        row = at < count ? dv_json_copy(dv_json_at(layers, at)) : make_row(random);
        splice(arch, at, row, copies, random);
        break;
    case 5:
        if (at < count) {
            swap_rows(arch, at, below(random, count));
        }
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        row = make_row(random);
        splice(arch, at, row, 1, random);
        break;
    default:
        mutate_row(random, arch, at);
        break;
    }
}

struct dv_json *arch_mutator_seed(struct dv_random *random)
{
    struct dv_json *arch = dv_json_object();
    struct dv_json *layers = dv_json_array();

    for (uint32_t i = 1 + below(random, 6); i > 0; i--) {
        dv_json_append(layers, make_row(random));
    }
    struct dv_json *head = dv_json_object();
    dv_json_set_string(head, "name", "head");
    dv_json_set_string(head, "op", "linear");
    dv_json_append(layers, head);
    dv_json_set(arch, "layers", layers);
    return arch;
}
