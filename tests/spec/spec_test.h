/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_SPEC_SPEC_TEST_H
#define DV_TESTS_SPEC_SPEC_TEST_H

/*
 * What the tests of this folder share: JSON from text with ' for ", and an architecture read and
 * lowered in one go. Include after cmocka's own includes.
 */

#include "base/arena.h"
#include "base/json.h"
#include "base/macro.h"
#include "spec/arch.h"
#include "spec/graph.h"
#include "spec/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PROBLEMS_MAX 5

/* What became of a text; finish with spec_test_finish(). */
struct spec_test {
    struct dv_arena *arena;
    struct dv_json *json;
    struct dv_problems problems;
    struct dv_arch *arch;   /* NULL: has problems */
    struct dv_graph *graph; /* NULL: has problems */
    struct dv_error error;
};

static inline struct dv_json *spec_test_json(const char *text)
{
    struct dv_json *json = NULL;
    struct dv_error error = {0};
    char copy[4096];
    size_t size = strlen(text);

    assert_true(size < sizeof(copy));
    for (size_t i = 0; i <= size; i++) {
        copy[i] = text[i] == '\'' ? '"' : text[i];
    }
    if (dv_json_parse(copy, size, &json, &error) != DV_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    return json;
}

/* Read and lower for 3 x 32 x 32 pictures of 10 classes. Takes over `json`. */
static inline struct spec_test spec_test_build_json(struct dv_json *json)
{
    struct spec_test t = {.arena = dv_arena_create(0), .json = json};

    dv_problems_init(&t.problems, t.arena, PROBLEMS_MAX);
    if (dv_arch_parse(t.json, t.arena, &t.problems, &t.arch, &t.error) == DV_OK) {
        enum dv_status status = dv_graph_build(
            t.arch, (struct dv_shape){3, 32, 32}, 10, t.arena, &t.problems, &t.graph, &t.error);
        assert_int_equal(status == DV_OK, t.graph != NULL);
    }
    assert_int_equal(t.graph == NULL, t.problems.count > 0);
    return t;
}

/* The same of the rows between the brackets of "layers". */
static inline struct spec_test spec_test_build(const char *rows)
{
    struct dv_json *arch = dv_json_object();
    char text[4096];

    assert_true(strlen(rows) + 3 < sizeof(text));
    (void)snprintf(text, sizeof(text), "[%s]", rows);
    dv_json_set_string(arch, "name", "test");
    dv_json_set(arch, "layers", spec_test_json(text));
    return spec_test_build_json(arch);
}

static inline void spec_test_finish(struct spec_test *t)
{
    t->json = dv_json_unref(t->json);
    t->arena = dv_arena_destroy(t->arena);
}

#endif
