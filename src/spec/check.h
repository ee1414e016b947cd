/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_CHECK_H
#define DV_SPEC_CHECK_H

/*
 * What the readers of this folder share: JSON Pointers, and text from outside made fit for a
 * message (short, without control characters). Results live in the arena.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct dv_arena;
struct dv_json;
struct dv_problems;

/* `prefix` and one more reference token, escaped as RFC 6901 says. */
const char *dv_check_pointer(struct dv_arena *arena, const char *prefix, const char *key);

/* At most 60 bytes of `text`, cut between characters, control characters replaced by '?'. */
const char *dv_check_text(struct dv_arena *arena, const char *text);

/* The same of a JSON value as it is written in a file: 12, "relu", [1,2]. */
const char *dv_check_value(struct dv_arena *arena, const struct dv_json *json);

/* A number as people write it: 0.1, 12. */
const char *dv_check_number(struct dv_arena *arena, double value);

/* "a, b, c". */
const char *dv_check_list(struct dv_arena *arena, const char *const *words, size_t count);

/* The word of the list that is at most two letters off, or NULL. */
const char *dv_check_nearest(const char *word, const char *const *words, size_t count);

/*
 * The problem of a member that is not among `words`: E_FIELD, with the nearest word as the fix
 * where there is one that `object` does not have already. `where` begins the message.
 */
void dv_check_unknown(struct dv_problems *problems, const struct dv_json *object,
    const char *pointer_prefix, const char *where, const char *key, const char *const *words,
    size_t count);

/*
 * End of a reader: DV_OK when `problems` holds no more than `count_before`, else DV_INVALID with
 * the first new problem as the message.
 */
enum dv_status dv_check_finish(
    const struct dv_problems *problems, size_t count_before, struct dv_error *reterr);

#endif
