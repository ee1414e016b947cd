/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_PROBLEM_H
#define DV_SPEC_PROBLEM_H

/*
 * A list of what is wrong with something a person (or a language model) wrote: each with a code,
 * a JSON Pointer (RFC 6901) to the place, what was found and what is legal as one sentence, and
 * one concrete fix. The strings live in the arena that the list was made with.
 */

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>

struct dv_arena;
struct dv_json;

struct dv_problem {
    const char *code;    /* "E_ADD_SHAPE", a constant */
    const char *pointer; /* "/layers/5/from" */
    const char *message; /* "layers[5] \"join\": inputs differ: s3=[128,8,8], proj=[128,16,16]." */
    const char *fix;     /* "set proj.stride=2 (gives [128,8,8])", or "" */
};

struct dv_problems {
    struct dv_arena *arena; /* borrowed */
    struct dv_problem *items;
    size_t count;
    size_t count_max; /* further ones are dropped but still make has_more true */
    bool has_more;
};

void dv_problems_init(struct dv_problems *problems, struct dv_arena *arena, size_t count_max);

/* Add one. `pointer` and `fix` are copied; the message is made as by printf. */
void dv_problems_add(struct dv_problems *problems, const char *code, const char *pointer,
    const char *fix, const char *format, ...) DV_PRINTF(5, 6);

/* The problems from `first` on are of something that stands at `prefix` ("/architecture"). */
void dv_problems_prefix(struct dv_problems *problems, size_t first, const char *prefix);

/* [{"code", "pointer", "message", "fix"}, ...]; the caller's. */
struct dv_json *dv_problems_to_json(const struct dv_problems *problems);

#endif
