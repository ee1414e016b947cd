/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/check.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/problem.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { TEXT_SIZE_MAX = 60, WORD_SIZE_MAX = 40, LETTERS_OFF_MAX = 2 };

const char *dv_check_pointer(struct dv_arena *arena, const char *prefix, const char *key)
{
    size_t prefix_size = strlen(prefix);
    char *pointer = dv_arena_alloc(arena, prefix_size + 2 * strlen(key) + 2);
    char *end = pointer + prefix_size;

    memcpy(pointer, prefix, prefix_size);
    *end++ = '/';
    for (const char *c = key; *c; c++) {
        if (*c == '~' || *c == '/') {
            *end++ = '~';
            *end++ = *c == '~' ? '0' : '1';
        } else {
            *end++ = *c;
        }
    }
    *end = '\0';
    return pointer;
}

const char *dv_check_text(struct dv_arena *arena, const char *text)
{
    char *copy = dv_arena_strdup(arena, text);

    if (dv_text_clip(copy, TEXT_SIZE_MAX)) {
        copy = dv_arena_printf(arena, "%s...", copy);
    }
    dv_text_make_printable(copy);
    return copy;
}

const char *dv_check_value(struct dv_arena *arena, const struct dv_json *json)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);

    return dv_check_text(arena, text);
}

const char *dv_check_number(struct dv_arena *arena, double value)
{
    return dv_arena_printf(arena, "%.16g", value);
}

const char *dv_check_list(struct dv_arena *arena, const char *const *words, size_t count)
{
    struct dv_buffer buffer = DV_BUFFER_INIT(64u << 10);

    for (size_t i = 0; i < count; i++) {
        dv_buffer_printf(&buffer, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    const char *list = dv_arena_strdup(arena, dv_buffer_text(&buffer));
    dv_buffer_finish(&buffer);
    return list;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, two rows of the usual table at a time. */
static size_t letters_off(const char *a, const char *b)
{
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    size_t above[WORD_SIZE_MAX + 1];
    size_t row[WORD_SIZE_MAX + 1];

    if (a_size > WORD_SIZE_MAX || b_size > WORD_SIZE_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_size; j++) {
        above[j] = j;
    }
    for (size_t i = 0; i < a_size; i++) {
        row[0] = i + 1;
        for (size_t j = 0; j < b_size; j++) {
            size_t replaced = above[j] + (a[i] != b[j]);
            row[j + 1] = smaller(replaced, smaller(above[j + 1], row[j]) + 1);
        }
        memcpy(above, row, sizeof(above[0]) * (b_size + 1));
    }
    return above[b_size];
}

const char *dv_check_nearest(const char *word, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t distance = LETTERS_OFF_MAX + 1;

    for (size_t i = 0; i < count; i++) {
        size_t off = letters_off(word, words[i]);
        /* Two letters off a word of three is another word. */
        if (off < distance && 2 * off <= strlen(words[i])) {
            nearest = words[i];
            distance = off;
        }
    }
    return nearest;
}

void dv_check_unknown(struct dv_problems *problems, const struct dv_json *object,
    const char *pointer_prefix, const char *where, const char *key, const char *const *words,
    size_t count)
{
    struct dv_arena *arena = problems->arena;
    const char *pointer = dv_check_pointer(arena, pointer_prefix, key);
    const char *shown = dv_check_text(arena, key);
    const char *nearest = dv_check_nearest(key, words, count);
    const char *fix = nearest && !dv_json_get(object, nearest)
                          ? dv_arena_printf(arena, "rename \"%s\" to \"%s\"", shown, nearest)
                          : dv_arena_printf(arena, "remove \"%s\"", shown);

    dv_problems_add(problems, "E_FIELD", pointer, fix, "%sthere is no field \"%s\". Legal: %s.",
        where, shown, dv_check_list(arena, words, count));
}

enum dv_status dv_check_finish(
    const struct dv_problems *problems, size_t count_before, struct dv_error *reterr)
{
    if (problems->count > count_before) {
        const struct dv_problem *first = &problems->items[count_before];
        return dv_fail(reterr, DV_INVALID, "%s%s%s", first->message, first->fix[0] ? " Fix: " : "",
            first->fix);
    }
    if (problems->has_more) {
        return dv_fail(reterr, DV_INVALID, "there are further problems");
    }
    return DV_OK;
}
