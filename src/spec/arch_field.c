/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/arch_field.h"

#include "base/macro.h"
#include "base/text.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* clang-format off */
#define OP(name) (1u << DV_ARCH_##name)
#define BLOCKS (OP(RESIDUAL) | OP(BOTTLENECK))
#define AT(member) offsetof(struct dv_arch_row, member)
#define OUT_MAX 1048576 /* keeps products of sizes far inside 64 bits; no budget */

static const struct dv_arch_word norms[] = {
    {"batch", DV_NORM_BATCH}, {"none", DV_NORM_NONE}, {"group", DV_ARCH_WORD_LATER}, {NULL, 0},
};
static const struct dv_arch_word activations[] = {
    {"none", DV_ACT_NONE}, {"relu", DV_ACT_RELU}, {"relu6", DV_ARCH_WORD_LATER},
    {"silu", DV_ARCH_WORD_LATER}, {"gelu", DV_ARCH_WORD_LATER}, {"hardswish", DV_ARCH_WORD_LATER},
    {"leaky_relu", DV_ARCH_WORD_LATER}, {NULL, 0},
};
static const struct dv_arch_word poolings[] = {
    {"max", DV_POOLING_MAX}, {"avg", DV_POOLING_AVG}, {NULL, 0},
};
static const struct dv_arch_word shortcuts[] = {
    {"conv", 0}, {"pad", DV_ARCH_WORD_LATER}, {NULL, 0},
};

const struct dv_arch_field dv_arch_fields[] = {
    {"repeat",   DV_ARCH_FIELD_INTEGER, OP(CONV) | BLOCKS,              1, 1000,    false, NULL, AT(repeat),  NULL},
    {"out",      DV_ARCH_FIELD_INTEGER, OP(CONV) | BLOCKS | OP(LINEAR), 0, OUT_MAX, false, NULL, AT(out),     NULL},
    {"kernel",   DV_ARCH_FIELD_INTEGER, OP(CONV) | OP(POOL),            1, 11,      false, NULL, AT(kernel),  NULL},
    {"kernel",   DV_ARCH_FIELD_INTEGER, BLOCKS,                         1, 11,      true,  NULL, AT(kernel),  NULL},
    {"stride",   DV_ARCH_FIELD_INTEGER, OP(CONV) | BLOCKS,              1, 2,       false, NULL, AT(stride),  NULL},
    {"stride",   DV_ARCH_FIELD_INTEGER, OP(POOL),                       1, 11,      false, NULL, AT(stride),  NULL},
    {"padding",  DV_ARCH_FIELD_INTEGER, OP(CONV),                       0, 11,      false, NULL, AT(padding), NULL},
    {"padding",  DV_ARCH_FIELD_INTEGER, OP(POOL),                       0, 5,       false, NULL, AT(padding), NULL},
    {"groups",   DV_ARCH_FIELD_INTEGER, OP(CONV) | BLOCKS,              1, OUT_MAX, false, NULL, AT(groups),  NULL},
    {"expand",   DV_ARCH_FIELD_INTEGER, OP(BOTTLENECK),                 1, 8,       false, NULL, AT(expand),  NULL},
    {"se",       DV_ARCH_FIELD_LATER,   BLOCKS,                         0, 0,       false, NULL, 0, "squeeze-and-excitation"},
    {"norm",     DV_ARCH_FIELD_CHOICE,  OP(CONV) | BLOCKS | OP(LINEAR), 0, 0,       false, norms, AT(norm),   NULL},
    {"act",      DV_ARCH_FIELD_CHOICE,  OP(CONV) | BLOCKS | OP(LINEAR) | OP(ADD) | OP(CONCAT),
                                                                        0, 0,       false, activations, AT(act), NULL},
    {"pool",     DV_ARCH_FIELD_CHOICE,  OP(POOL) | OP(GLOBAL_POOL),     0, 0,       false, poolings, AT(pooling), NULL},
    {"pool",     DV_ARCH_FIELD_LATER,   OP(CONV),                       0, 0,       false, NULL, 0, "pooling after a conv"},
    {"drop",     DV_ARCH_FIELD_NUMBER,  OP(DROPOUT) | OP(LINEAR),       0, 0.9,     false, NULL, AT(drop),    NULL},
    {"drop",     DV_ARCH_FIELD_LATER,   BLOCKS,                         0, 0,       false, NULL, 0, "stochastic depth"},
    {"shortcut", DV_ARCH_FIELD_CHOICE,  BLOCKS,                         0, 0,       false, shortcuts, 0,      NULL},
};
/* clang-format on */
const size_t dv_arch_field_count = DV_ARRAY_SIZE(dv_arch_fields);
_Static_assert(DV_ARRAY_SIZE(dv_arch_fields) <= 32, "dv_arch_parse keeps a bit for each");
_Static_assert(offsetof(struct dv_arch_row, name) == 0, "offset 0 means: stored nowhere");

static const char *const op_names[] = {
    [DV_ARCH_CONV] = "conv",
    [DV_ARCH_RESIDUAL] = "residual",
    [DV_ARCH_BOTTLENECK] = "bottleneck",
    [DV_ARCH_POOL] = "pool",
    [DV_ARCH_GLOBAL_POOL] = "global_pool",
    [DV_ARCH_ADD] = "add",
    [DV_ARCH_CONCAT] = "concat",
    [DV_ARCH_DROPOUT] = "dropout",
    [DV_ARCH_FLATTEN] = "flatten",
    [DV_ARCH_LINEAR] = "linear",
};
_Static_assert(DV_ARRAY_SIZE(op_names) == DV_ARCH_OP_COUNT, "an op without a name");

static const char *const later_ops[] = {"mbconv", "dwsep"};

const char *dv_arch_op_name(enum dv_arch_op op)
{
    assert(op < DV_ARCH_OP_COUNT);

    return op_names[op];
}

bool dv_arch_op_parse(const char *text, enum dv_arch_op *ret_op, bool *ret_is_later)
{
    *ret_is_later = false;
    for (size_t i = 0; i < DV_ARRAY_SIZE(later_ops); i++) {
        *ret_is_later = *ret_is_later || dv_text_equal_nocase(text, later_ops[i]);
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(op_names); i++) {
        if (dv_text_equal_nocase(text, op_names[i])) {
            *ret_op = (enum dv_arch_op)i;
            return true;
        }
    }
    return false;
}

const struct dv_arch_field *dv_arch_field_find(
    const char *name, enum dv_arch_op op, bool *ret_is_known)
{
    *ret_is_known = false;
    for (size_t i = 0; i < dv_arch_field_count; i++) {
        const struct dv_arch_field *field = &dv_arch_fields[i];
        if (strcmp(field->name, name) != 0) {
            continue;
        }
        *ret_is_known = true;
        if (field->ops & (1u << op)) {
            return field;
        }
    }
    return NULL;
}

size_t dv_arch_field_names(enum dv_arch_op op, const char **ret_names, size_t count_max)
{
    size_t count = 3;

    assert(count_max >= DV_ARCH_FIELD_NAMES_MAX);

    ret_names[0] = "name";
    ret_names[1] = "op";
    ret_names[2] = "from";
    for (size_t i = 0; i < dv_arch_field_count; i++) {
        const struct dv_arch_field *field = &dv_arch_fields[i];
        if ((field->ops & (1u << op)) && field->type != DV_ARCH_FIELD_LATER) {
            assert(count < count_max);
            ret_names[count++] = field->name;
        }
    }
    return count;
}

uint32_t dv_arch_field_get(const struct dv_arch_field *field, const struct dv_arch_row *row)
{
    uint32_t value;

    assert(field->offset > 0);
    assert(field->type == DV_ARCH_FIELD_INTEGER || field->type == DV_ARCH_FIELD_CHOICE);

    memcpy(&value, (const char *)row + field->offset, sizeof(value));
    return value;
}

void dv_arch_field_set(const struct dv_arch_field *field, struct dv_arch_row *row, uint32_t value)
{
    _Static_assert(sizeof(enum dv_norm) == sizeof(value), "enums are kept as 32 bits");

    assert(field->offset > 0);
    assert(field->type == DV_ARCH_FIELD_INTEGER || field->type == DV_ARCH_FIELD_CHOICE);

    memcpy((char *)row + field->offset, &value, sizeof(value));
}

const char *dv_arch_field_word(const struct dv_arch_field *field, int value)
{
    for (const struct dv_arch_word *word = field->words; word->text; word++) {
        if (word->value == value) {
            return word->text;
        }
    }
    return "none";
}

struct dv_arch_row dv_arch_row_default(enum dv_arch_op op)
{
    bool is_conv = op == DV_ARCH_CONV || dv_arch_op_is_block(op);
    struct dv_arch_row row = {
        .op = op,
        .repeat = 1,
        .kernel = is_conv              ? 3
                  : op == DV_ARCH_POOL ? 2
                                       : 0,
        .groups = is_conv ? 1 : 0,
        .expand = op == DV_ARCH_BOTTLENECK ? 4 : 0,
        .norm = is_conv ? DV_NORM_BATCH : DV_NORM_NONE,
        .act = is_conv ? DV_ACT_RELU : DV_ACT_NONE,
        .pooling = op == DV_ARCH_POOL          ? DV_POOLING_MAX
                   : op == DV_ARCH_GLOBAL_POOL ? DV_POOLING_AVG
                                               : DV_POOLING_NONE,
    };

    dv_arch_row_derive(&row, false, false);
    return row;
}

void dv_arch_row_derive(struct dv_arch_row *row, bool has_stride, bool has_padding)
{
    bool is_conv = row->op == DV_ARCH_CONV || dv_arch_op_is_block(row->op);

    if (!has_stride) {
        row->stride = is_conv ? 1 : row->kernel; /* a pool steps by its kernel */
    }
    if (!has_padding) {
        row->padding = is_conv ? row->kernel / 2 : 0;
    }
}
