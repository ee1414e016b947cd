/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    struct block *next;
    size_t size;
    size_t used;
    max_align_t bytes[];
};

struct dv_arena {
    struct block *blocks; /* newest first */
    size_t used;
    size_t size_max;
};

static const size_t block_size_first = 16 * 1024;

struct dv_arena *dv_arena_create(size_t size_max)
{
    struct dv_arena *arena = dv_alloc(sizeof(*arena));

    arena->size_max = size_max ? size_max : SIZE_MAX;
    return arena;
}

struct dv_arena *dv_arena_destroy(struct dv_arena *arena)
{
    if (!arena) {
        return NULL;
    }

    struct block *block = arena->blocks;
    while (block) {
        struct block *next = block->next;
        dv_free(block);
        block = next;
    }
    return dv_free(arena);
}

void dv_arena_destroyp(struct dv_arena **arena)
{
    *arena = dv_arena_destroy(*arena);
}

void dv_arena_reset(struct dv_arena *arena)
{
    assert(arena);

    for (struct block *block = arena->blocks; block; block = block->next) {
        memset(block->bytes, 0, block->used);
        block->used = 0;
    }
    arena->used = 0;
}

static struct block *block_with_room(struct dv_arena *arena, size_t size)
{
    for (struct block *block = arena->blocks; block; block = block->next) {
        if (block->size - block->used >= size) {
            return block;
        }
        if (block->used > 0) {
            break; /* older blocks are full: only a reset leaves several empty ones */
        }
    }

    size_t block_size = arena->blocks ? 2 * arena->blocks->size : block_size_first;
    if (block_size < size) {
        block_size = size;
    }
    struct block *block = dv_alloc(sizeof(*block) + block_size);
    block->size = block_size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *dv_arena_alloc(struct dv_arena *arena, size_t size)
{
    const size_t alignment = _Alignof(max_align_t);

    assert(arena);
    assert(size < SIZE_MAX - alignment);
    size = (size + alignment - 1) / alignment * alignment;
    if (size > arena->size_max - arena->used) {
        (void)fprintf(stderr, "dv: an arena needs more than its %zu bytes\n", arena->size_max);
        abort();
    }

    struct block *block = block_with_room(arena, size);
    void *memory = (char *)block->bytes + block->used;
    block->used += size;
    arena->used += size;
    return memory;
}

void *dv_arena_array(struct dv_arena *arena, size_t count, size_t size)
{
    size_t total;
    bool fits = dv_size_mul(count, size, &total);

    assert(fits);
    (void)fits;
    return dv_arena_alloc(arena, total);
}

char *dv_arena_strdup(struct dv_arena *arena, const char *text)
{
    assert(text);

    size_t size = strlen(text) + 1;
    return memcpy(dv_arena_alloc(arena, size), text, size);
}

char *dv_arena_printf(struct dv_arena *arena, const char *format, ...)
{
    va_list arguments;
    char nothing[1]; /* measured first, with no room to write into */

    va_start(arguments, format);
    int length = vsnprintf(nothing, sizeof(nothing), format, arguments);
    va_end(arguments);
    assert(length >= 0);

    char *text = dv_arena_alloc(arena, (size_t)length + 1);
    va_start(arguments, format);
    (void)vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

size_t dv_arena_used(const struct dv_arena *arena)
{
    assert(arena);
    return arena->used;
}
