/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_ARCH_H
#define DV_SPEC_ARCH_H

/*
 * The architecture file: a list of keyed rows, {"name": "...", "layers": [row, ...]}. Reads it,
 * checks every field, fills in defaults. What the rows become is spec/graph.h.
 *
 * A row that names no `from` takes the row before it. Blocks (`residual`, `bottleneck`, `mbconv`)
 * hold their own skip connection. Fields, legal values and defaults: one table in arch_field.c,
 * which also makes the error messages. docs/architecture-file.md is the reference for people.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_arena;
struct dv_json;
struct dv_problems;

#define DV_ARCH_NAME_SIZE 25 /* [a-z][a-z0-9_]{0,23} and a NUL */
#define DV_ARCH_INPUTS_MAX 4

enum dv_arch_op {
    DV_ARCH_CONV,
    DV_ARCH_RESIDUAL,
    DV_ARCH_BOTTLENECK,
    DV_ARCH_MBCONV, /* expand, depthwise, project: MobileNetV2, EfficientNet */
    DV_ARCH_DWSEP,  /* depthwise, pointwise: MobileNet */
    DV_ARCH_POOL,
    DV_ARCH_GLOBAL_POOL,
    DV_ARCH_ADD,
    DV_ARCH_CONCAT,
    DV_ARCH_DROPOUT,
    DV_ARCH_FLATTEN,
    DV_ARCH_LINEAR,
    DV_ARCH_OP_COUNT,
};

enum dv_norm { DV_NORM_BATCH, DV_NORM_GROUP, DV_NORM_NONE };

/* What stands beside a block whose input and output differ in shape. */
enum dv_shortcut {
    DV_SHORTCUT_CONV, /* 1x1 convolution and norm */
    DV_SHORTCUT_PAD,  /* every stride-th place, zeros for new channels; no parameters */
};

#define DV_LEAKY_RELU_SLOPE 0.01f

/* Formulas and constants are those of PyTorch's modules with their defaults. */
enum dv_activation {
    DV_ACT_NONE,
    DV_ACT_RELU,
    DV_ACT_RELU6,       /* min(max(0, x), 6) */
    DV_ACT_LEAKY_RELU,  /* x > 0 ? x : DV_LEAKY_RELU_SLOPE * x */
    DV_ACT_SILU,        /* x sigmoid(x) */
    DV_ACT_GELU,        /* x (1 + erf(x / sqrt 2)) / 2 */
    DV_ACT_HARDSWISH,   /* x min(max(0, x + 3), 6) / 6 */
    DV_ACT_SIGMOID,     /* of gates only: the file has no word for it */
    DV_ACT_HARDSIGMOID, /* min(max(0, x + 3), 6) / 6; of gates only */
    DV_ACT_COUNT,
};

enum dv_pooling { DV_POOLING_NONE, DV_POOLING_MAX, DV_POOLING_AVG };

/* One row with all fields filled in. */
struct dv_arch_row {
    char name[DV_ARCH_NAME_SIZE];
    enum dv_arch_op op;
    uint32_t from[DV_ARCH_INPUTS_MAX]; /* indexes of earlier rows; DV_ARCH_FROM_INPUT: the picture */
    uint32_t from_count;
    uint32_t repeat;
    uint32_t out; /* channels or features; 0: as its input (pool, add, ...) */
    uint32_t kernel;
    uint32_t stride;
    uint32_t padding;
    uint32_t groups;
    uint32_t expand; /* bottleneck: out / expand channels inside; mbconv: input * expand */
    double se;       /* squeeze-and-excitation: hidden to block channels; 0: none */
    enum dv_norm norm;
    enum dv_activation act;
    enum dv_pooling pooling; /* conv: 2x2 after the last repeat */
    enum dv_shortcut shortcut;
    double drop; /* of values; residual, bottleneck, mbconv: of whole branches */
};

#define DV_ARCH_FROM_INPUT UINT32_MAX

struct dv_arch {
    const char *name;
    struct dv_arch_row *rows;
    uint32_t row_count;
    const char **notes; /* what was read as something else: "\"s3\".act=silu, written swish" */
    uint32_t note_count;
};

/*
 * Read an architecture. `json` is the object itself, or a string that names a preset
 * (spec/preset.h). Other people's words for an op or a value of ours ("swish") are taken, with a
 * note. On DV_INVALID `problems` says what is wrong, in the order of the file.
 */
DV_MUST_CHECK enum dv_status dv_arch_parse(const struct dv_json *json, struct dv_arena *arena,
    struct dv_problems *problems, struct dv_arch **ret_arch, struct dv_error *reterr);

/* The compact form: fields equal to their default left out. The caller's. */
struct dv_json *dv_arch_to_json(const struct dv_arch *arch);

/*
 * SHA-256 of the canonical form: compact, keys sorted, names replaced by position. Two
 * architectures with equal hashes are the same network. `ret_text` holds DV_SHA256_TEXT_SIZE.
 */
void dv_arch_hash(const struct dv_arch *arch, char *ret_text);

/* The rate of the last dropout row, which is what hyperparameter `dropout` is; 0: there is none. */
double dv_arch_dropout(const struct dv_arch *arch);

const char *dv_arch_op_name(enum dv_arch_op op); /* "residual" */

#endif
