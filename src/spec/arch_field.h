/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_ARCH_FIELD_H
#define DV_SPEC_ARCH_FIELD_H

/*
 * The table of row fields: what each is called, which ops take it, its type, range and words.
 * Only the architecture's own files include this. Defaults depend on the op and on other fields,
 * and are made by dv_arch_row_default() and dv_arch_row_derive().
 *
 * Adding a field: one line in arch_fields[], a member in struct dv_arch_row, its default in
 * dv_arch_row_default(), and docs/architecture-file.md.
 */

#include "spec/arch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_problems;

enum dv_arch_field_type {
    DV_ARCH_FIELD_INTEGER,
    DV_ARCH_FIELD_NUMBER,
    DV_ARCH_FIELD_CHOICE,
};

#define DV_ARCH_WORDS_MAX 8

/* One legal word of a choice; the list ends with a NULL text. */
struct dv_arch_word {
    const char *text;
    int value;     /* of the enum */
    bool is_alias; /* what others call it: taken, with a note, and never written */
};

/* Which numbers between minimum and maximum are legal. */
enum dv_arch_legal {
    DV_ARCH_LEGAL_ALL,
    DV_ARCH_LEGAL_ODD,
    DV_ARCH_LEGAL_OR_ZERO, /* all, and 0, which is below the minimum */
};

struct dv_arch_field {
    const char *name;
    enum dv_arch_field_type type;
    uint32_t ops; /* bits 1 << op */
    double minimum, maximum;
    enum dv_arch_legal legal;
    const struct dv_arch_word *words;
    size_t offset; /* in struct dv_arch_row */
};

extern const struct dv_arch_field dv_arch_fields[];
extern const size_t dv_arch_field_count;

/* The entry for this name and op; NULL: no such field, or (*ret_is_known) not of this op. */
const struct dv_arch_field *dv_arch_field_find(
    const char *name, enum dv_arch_op op, bool *ret_is_known);

/* Names of the fields that `op` takes, "name", "op" and "from" first. */
size_t dv_arch_field_names(enum dv_arch_op op, const char **ret_names, size_t count_max);
#define DV_ARCH_FIELD_NAMES_MAX 20

/* Integers and choices are kept as 32 bits, numbers as double. */
uint32_t dv_arch_field_get(const struct dv_arch_field *field, const struct dv_arch_row *row);
void dv_arch_field_set(const struct dv_arch_field *field, struct dv_arch_row *row, uint32_t value);
double dv_arch_field_get_number(const struct dv_arch_field *field, const struct dv_arch_row *row);
void dv_arch_field_set_number(
    const struct dv_arch_field *field, struct dv_arch_row *row, double value);

/* The word of a choice's value. */
const char *dv_arch_field_word(const struct dv_arch_field *field, int value);

/* A row with all defaults but those that follow from the kernel. */
struct dv_arch_row dv_arch_row_default(enum dv_arch_op op);

/* Fill in the stride and the padding that follow from the kernel where they were not given. */
void dv_arch_row_derive(struct dv_arch_row *row, bool has_stride, bool has_padding);

/* False where there is no such op. */
bool dv_arch_op_parse(const char *text, enum dv_arch_op *ret_op);

/* Where a row stands, in the words of its problems. */
struct dv_arch_place {
    struct dv_problems *problems;
    const char *pointer; /* "/layers/3" */
    const char *where;   /* "layers[3] \"s2\": " */
    const char *name;    /* for fixes: "s2", or "layers[3]" where it has none that is legal */
    struct dv_arena *arena; /* of the architecture */
    struct dv_arch *arch;   /* gets the notes */
};

/* At most one a field of a row that was read; dv_arch_parse() makes room for that many. */
#define DV_ARCH_ROW_NOTES_MAX 3 /* norm, act, pool: the choices that have aliases */

/* Read the member `key` of a row, put it where it belongs. False: reported as a problem. */
bool dv_arch_field_read(const struct dv_arch_place *place, const struct dv_json *json,
    const char *key, struct dv_arch_row *row);

/* One row in compact form; `index` is its own. The caller's. */
struct dv_json *dv_arch_row_to_json(
    const struct dv_arch *arch, const struct dv_arch_row *row, uint32_t index);

static inline bool dv_arch_op_is_block(enum dv_arch_op op)
{
    return op == DV_ARCH_RESIDUAL || op == DV_ARCH_BOTTLENECK || op == DV_ARCH_MBCONV ||
           op == DV_ARCH_DWSEP;
}

static inline bool dv_arch_op_is_join(enum dv_arch_op op)
{
    return op == DV_ARCH_ADD || op == DV_ARCH_CONCAT;
}

#endif
