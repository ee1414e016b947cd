/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_ARENA_H
#define DV_BASE_ARENA_H

/*
 * An arena owns everything that dies together: a parsed architecture, a request, a job. A
 * function that takes a `struct dv_arena *` leaves its result in there.
 *
 * Life:    dv_arena_create(), allocate, dv_arena_destroy(). There is no freeing of single things.
 * Threads: an arena belongs to one thread at a time.
 * Limits:  `size_max` bytes in all; going over ends the process, so whatever has a size that
 *          comes from outside is checked against its own limit first.
 */

#include "base/macro.h"

#include <stddef.h>

struct dv_arena;

/* A new arena that never holds more than `size_max` bytes; 0 means no limit. */
struct dv_arena *dv_arena_create(size_t size_max);

/* Free all of it; NULL is fine. Returns NULL. */
struct dv_arena *dv_arena_destroy(struct dv_arena *arena);
void dv_arena_destroyp(struct dv_arena **arena);

/* Forget everything that was allocated, keep the memory. */
void dv_arena_reset(struct dv_arena *arena);

/* `size` zeroed bytes, aligned for anything. Never NULL. */
void *dv_arena_alloc(struct dv_arena *arena, size_t size);

/* `count` items of `size` bytes; the product may not overflow. */
void *dv_arena_array(struct dv_arena *arena, size_t count, size_t size);

char *dv_arena_strdup(struct dv_arena *arena, const char *text);
char *dv_arena_printf(struct dv_arena *arena, const char *format, ...) DV_PRINTF(2, 3);

/* Bytes handed out so far. */
size_t dv_arena_used(const struct dv_arena *arena);

#endif
