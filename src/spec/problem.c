/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/problem.h"

#include "base/arena.h"
#include "base/json.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

void dv_problems_init(struct dv_problems *problems, struct dv_arena *arena, size_t count_max)
{
    assert(problems);
    assert(arena);
    assert(count_max > 0);

    *problems = (struct dv_problems){
        .arena = arena,
        .items = dv_arena_array(arena, count_max, sizeof(struct dv_problem)),
        .count_max = count_max,
    };
}

void dv_problems_add(struct dv_problems *problems, const char *code, const char *pointer,
    const char *fix, const char *format, ...)
{
    va_list arguments;

    assert(problems);
    assert(code);
    assert(pointer);

    if (problems->count == problems->count_max) {
        problems->has_more = true;
        return;
    }

    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    assert(length >= 0);

    char *message = dv_arena_alloc(problems->arena, (size_t)length + 1);
    va_start(arguments, format);
    (void)vsnprintf(message, (size_t)length + 1, format, arguments);
    va_end(arguments);

    problems->items[problems->count++] = (struct dv_problem){
        .code = code,
        .pointer = dv_arena_strdup(problems->arena, pointer),
        .message = message,
        .fix = dv_arena_strdup(problems->arena, fix ? fix : ""),
    };
}

void dv_problems_prefix(struct dv_problems *problems, size_t first, const char *prefix)
{
    assert(problems);
    assert(prefix);

    for (size_t i = first; i < problems->count; i++) {
        struct dv_problem *problem = &problems->items[i];
        problem->pointer = dv_arena_printf(problems->arena, "%s%s", prefix, problem->pointer);
    }
}

struct dv_json *dv_problems_to_json(const struct dv_problems *problems)
{
    struct dv_json *list = dv_json_array();

    assert(problems);

    for (size_t i = 0; i < problems->count; i++) {
        const struct dv_problem *problem = &problems->items[i];
        struct dv_json *item = dv_json_object();
        dv_json_set_string(item, "code", problem->code);
        dv_json_set_string(item, "pointer", problem->pointer);
        dv_json_set_string(item, "message", problem->message);
        dv_json_set_string(item, "fix", problem->fix);
        dv_json_append(list, item);
    }
    return list;
}
