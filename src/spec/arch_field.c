/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/arch_field.h"

#include "base/macro.h"
#include "base/text.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* clang-format off */
#define OP(name) (1u << DV_ARCH_##name)
#define SKIPS (OP(RESIDUAL) | OP(BOTTLENECK))
#define BLOCKS (SKIPS | OP(MBCONV) | OP(DWSEP))
#define AT(member) offsetof(struct dv_arch_row, member)
#define OUT_MAX 1048576 /* keeps products of sizes far inside 64 bits; no budget */

/* The first word for a value is ours. */
static const struct dv_arch_word norms[] = {
    {"batch", DV_NORM_BATCH, false}, {"group", DV_NORM_GROUP, false}, {"none", DV_NORM_NONE, false},
    {"bn", DV_NORM_BATCH, true}, {"batchnorm", DV_NORM_BATCH, true}, {"batch_norm", DV_NORM_BATCH, true},
    {"gn", DV_NORM_GROUP, true}, {"groupnorm", DV_NORM_GROUP, true}, {"group_norm", DV_NORM_GROUP, true},
    {NULL, 0, false},
};
static const struct dv_arch_word activations[] = {
    {"none", DV_ACT_NONE, false}, {"relu", DV_ACT_RELU, false}, {"relu6", DV_ACT_RELU6, false},
    {"silu", DV_ACT_SILU, false}, {"gelu", DV_ACT_GELU, false}, {"hardswish", DV_ACT_HARDSWISH, false},
    {"leaky_relu", DV_ACT_LEAKY_RELU, false},
    {"swish", DV_ACT_SILU, true}, {"hard_swish", DV_ACT_HARDSWISH, true},
    {"leakyrelu", DV_ACT_LEAKY_RELU, true}, {"identity", DV_ACT_NONE, true}, {NULL, 0, false},
};
static const struct dv_arch_word poolings[] = {
    {"max", DV_POOLING_MAX, false}, {"avg", DV_POOLING_AVG, false},
    {"average", DV_POOLING_AVG, true}, {"mean", DV_POOLING_AVG, true}, {NULL, 0, false},
};
static const struct dv_arch_word poolings_after[] = {
    {"none", DV_POOLING_NONE, false}, {"max", DV_POOLING_MAX, false}, {"avg", DV_POOLING_AVG, false},
    {"average", DV_POOLING_AVG, true}, {"mean", DV_POOLING_AVG, true}, {NULL, 0, false},
};
static const struct dv_arch_word shortcuts[] = {
    {"conv", DV_SHORTCUT_CONV, false}, {"pad", DV_SHORTCUT_PAD, false}, {NULL, 0, false},
};

#define INTEGER DV_ARCH_FIELD_INTEGER
#define NUMBER DV_ARCH_FIELD_NUMBER
#define CHOICE DV_ARCH_FIELD_CHOICE
#define ALL DV_ARCH_LEGAL_ALL
#define ODD DV_ARCH_LEGAL_ODD
#define OR_ZERO DV_ARCH_LEGAL_OR_ZERO

const struct dv_arch_field dv_arch_fields[] = {
    {"repeat",   INTEGER, OP(CONV) | BLOCKS,                    1, 1000,    ALL,     NULL, AT(repeat)},
    {"out",      INTEGER, OP(CONV) | BLOCKS | OP(LINEAR),       0, OUT_MAX, ALL,     NULL, AT(out)},
    {"kernel",   INTEGER, OP(CONV) | OP(POOL),                  1, 11,      ALL,     NULL, AT(kernel)},
    {"kernel",   INTEGER, BLOCKS,                               1, 11,      ODD,     NULL, AT(kernel)},
    {"stride",   INTEGER, OP(CONV) | BLOCKS,                    1, 2,       ALL,     NULL, AT(stride)},
    {"stride",   INTEGER, OP(POOL),                             1, 11,      ALL,     NULL, AT(stride)},
    {"padding",  INTEGER, OP(CONV),                             0, 11,      ALL,     NULL, AT(padding)},
    {"padding",  INTEGER, OP(POOL),                             0, 5,       ALL,     NULL, AT(padding)},
    {"groups",   INTEGER, OP(CONV) | SKIPS,                     1, OUT_MAX, ALL,     NULL, AT(groups)},
    {"expand",   INTEGER, OP(BOTTLENECK) | OP(MBCONV),          1, 8,       ALL,     NULL, AT(expand)},
    {"se",       NUMBER,  SKIPS | OP(MBCONV),                   0.0625, 0.5, OR_ZERO, NULL, AT(se)},
    {"norm",     CHOICE,  OP(CONV) | BLOCKS | OP(LINEAR),       0, 0,       ALL,     norms, AT(norm)},
    {"act",      CHOICE,  OP(CONV) | BLOCKS | OP(LINEAR) | OP(ADD) | OP(CONCAT),
                                                                0, 0,       ALL,     activations, AT(act)},
    {"pool",     CHOICE,  OP(POOL) | OP(GLOBAL_POOL),           0, 0,       ALL,     poolings, AT(pooling)},
    {"pool",     CHOICE,  OP(CONV),                             0, 0,       ALL,     poolings_after, AT(pooling)},
    {"drop",     NUMBER,  OP(DROPOUT) | OP(LINEAR) | SKIPS | OP(MBCONV),
                                                                0, 0.9,     ALL,     NULL, AT(drop)},
    {"shortcut", CHOICE,  SKIPS,                                0, 0,       ALL,     shortcuts, AT(shortcut)},
};
/* clang-format on */
const size_t dv_arch_field_count = DV_ARRAY_SIZE(dv_arch_fields);
_Static_assert(DV_ARRAY_SIZE(dv_arch_fields) <= 32, "dv_arch_parse keeps a bit for each");

static const char *const op_names[] = {
    [DV_ARCH_CONV] = "conv",
    [DV_ARCH_RESIDUAL] = "residual",
    [DV_ARCH_BOTTLENECK] = "bottleneck",
    [DV_ARCH_MBCONV] = "mbconv",
    [DV_ARCH_DWSEP] = "dwsep",
    [DV_ARCH_POOL] = "pool",
    [DV_ARCH_GLOBAL_POOL] = "global_pool",
    [DV_ARCH_ADD] = "add",
    [DV_ARCH_CONCAT] = "concat",
    [DV_ARCH_DROPOUT] = "dropout",
    [DV_ARCH_FLATTEN] = "flatten",
    [DV_ARCH_LINEAR] = "linear",
};
_Static_assert(DV_ARRAY_SIZE(op_names) == DV_ARCH_OP_COUNT, "an op without a name");

const char *dv_arch_op_name(enum dv_arch_op op)
{
    assert(op < DV_ARCH_OP_COUNT);

    return op_names[op];
}

bool dv_arch_op_parse(const char *text, enum dv_arch_op *ret_op)
{
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
        if (field->ops & (1u << op)) {
            assert(count < count_max);
            ret_names[count++] = field->name;
        }
    }
    return count;
}

uint32_t dv_arch_field_get(const struct dv_arch_field *field, const struct dv_arch_row *row)
{
    uint32_t value;

    assert(field->type != DV_ARCH_FIELD_NUMBER);

    memcpy(&value, (const char *)row + field->offset, sizeof(value));
    return value;
}

void dv_arch_field_set(const struct dv_arch_field *field, struct dv_arch_row *row, uint32_t value)
{
    _Static_assert(sizeof(enum dv_norm) == sizeof(value), "enums are kept as 32 bits");

    assert(field->type != DV_ARCH_FIELD_NUMBER);

    memcpy((char *)row + field->offset, &value, sizeof(value));
}

double dv_arch_field_get_number(const struct dv_arch_field *field, const struct dv_arch_row *row)
{
    double value;

    assert(field->type == DV_ARCH_FIELD_NUMBER);

    memcpy(&value, (const char *)row + field->offset, sizeof(value));
    return value;
}

void dv_arch_field_set_number(
    const struct dv_arch_field *field, struct dv_arch_row *row, double value)
{
    assert(field->type == DV_ARCH_FIELD_NUMBER);

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
        .expand = op == DV_ARCH_BOTTLENECK || op == DV_ARCH_MBCONV ? 4 : 0,
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
