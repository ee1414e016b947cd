/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes are refused with problems that can be read, or are an architecture whose compact form
 * reads as the same one. Its graph, for a picture and classes that the bytes choose, is refused the
 * same way, or holds what graph_oracle.h says. What a problem offers as its fix takes it away.
 */

#include "arch_mutator.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/random.h"
#include "base/text.h"
#include "fixer.h"
#include "graph_oracle.h"
#include "spec/arch.h"
#include "spec/graph.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CHANGES_MAX 6
#define MENDINGS_MAX 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

/* --- What is done with an architecture ---------------------------------------------------- */

/* What the network is for. */
struct purpose {
    struct dv_shape input;
    uint32_t class_count;
};

static struct purpose draw_purpose(const uint8_t *data, size_t size)
{
    static const uint32_t sides[] = {1, 2, 3, 7, 8, 28, 32, 33, 96, 224, 16384};
    static const uint32_t classes[] = {1, 2, 10, 10, 10, 100, 1000, 10000};
    struct dv_random random = dv_random_make(1, DV_RANDOM_SAMPLE, dv_crc32(0, data, size), 0);
    uint32_t rows = sides[dv_random_below(&random, DV_ARRAY_SIZE(sides))];
    bool is_square = dv_random_below(&random, 4) > 0;
    uint32_t columns = sides[dv_random_below(&random, DV_ARRAY_SIZE(sides))];

    return (struct purpose){
        .input = {.channels = dv_random_below(&random, 2) ? 3 : 1,
            .rows = rows,
            .columns = is_square ? rows : columns},
        .class_count = classes[dv_random_below(&random, DV_ARRAY_SIZE(classes))],
    };
}

static void check_problems(const struct dv_problems *problems)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *list = dv_problems_to_json(problems);

    assert(problems->count > 0);
    assert(problems->count <= DV_ARCH_PROBLEMS_MAX);
    assert(dv_json_count(list) == problems->count);
    for (size_t i = 0; i < problems->count; i++) {
        const struct dv_problem *problem = &problems->items[i];
        assert(dv_text_has_prefix(problem->code, "E_"));
        assert(problem->pointer[0] == '\0' || problem->pointer[0] == '/');
        assert(problem->message[0] != '\0');
        assert(dv_json_is_string(dv_json_get(dv_json_at(list, i), "message")));
        assert(dv_json_is_string(dv_json_get(dv_json_at(list, i), "fix")));
    }
}

/* What became of an architecture: a graph, or problems. */
struct outcome {
    struct dv_problems problems;
    struct dv_arch *arch; /* NULL: has problems */
    struct dv_graph *graph;
};

static struct outcome build(
    const struct dv_json *json, struct purpose purpose, struct dv_arena *arena)
{
    struct outcome outcome = {.arch = NULL};

    dv_problems_init(&outcome.problems, arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status =
        dv_arch_parse(json, arena, &outcome.problems, &outcome.arch, &(struct dv_error){0});
    assert((status == DV_OK) == (outcome.arch != NULL));
    if (outcome.arch) {
        status = dv_graph_build(outcome.arch, purpose.input, purpose.class_count, arena,
            &outcome.problems, &outcome.graph, &(struct dv_error){0});
    }
    assert((status == DV_OK) == (outcome.graph != NULL));
    return outcome;
}

static bool has_problem(const struct dv_problems *problems, const struct dv_problem *wanted)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct dv_problem *problem = &problems->items[i];
        if (dv_text_equal(problem->code, wanted->code) &&
            dv_text_equal(problem->pointer, wanted->pointer) &&
            dv_text_equal(problem->message, wanted->message)) {
            return true;
        }
    }
    return false;
}

/* Changes `json`. */
static void check_fix(
    struct dv_json *json, const struct dv_problem *problem, struct purpose purpose)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);

    if (!dv_json_is_object(json) || !fixer_apply(json, problem)) {
        return;
    }
    struct outcome after = build(json, purpose, arena);
    bool is_still_there = has_problem(&after.problems, problem);
    if (is_still_there) {
        (void)fprintf(stderr, "still there after its fix: %s %s\n", problem->message, problem->fix);
    }
    assert(!is_still_there);
}

/* The compact form is the same architecture, and as compact as it gets. */
static void check_writing(const struct dv_arch *arch, struct purpose purpose)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *compact = dv_arch_to_json(arch);
    struct outcome again = build(compact, purpose, arena);
    char one_hash[DV_SHA256_TEXT_SIZE], two_hash[DV_SHA256_TEXT_SIZE];

    assert(again.arch);
    assert(again.arch->note_count == 0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *same = dv_arch_to_json(again.arch);
    DV_CLEANUP(dv_freep) char *one = dv_json_print_canonical(compact);
    DV_CLEANUP(dv_freep) char *two = dv_json_print_canonical(same);
    assert(dv_text_equal(one, two));
    dv_arch_hash(arch, one_hash);
    dv_arch_hash(again.arch, two_hash);
    assert(dv_text_equal(one_hash, two_hash));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;

    if (dv_json_parse((const char *)data, size, &json, NULL) != DV_OK) {
        return 0;
    }
    struct purpose purpose = draw_purpose(data, size);
    struct outcome outcome = build(json, purpose, arena);
    if (outcome.arch) {
        check_writing(outcome.arch, purpose);
    }
    if (outcome.graph) {
        graph_oracle_check(outcome.graph, outcome.arch, purpose.input, purpose.class_count);
    } else {
        check_problems(&outcome.problems);
        check_fix(json, &outcome.problems.items[0], purpose);
    }
    return 0;
}

/* --- How the next one is made ------------------------------------------------------------- */

/* Follows what the problems offer, so that more of what is tried has a graph to look at. */
static void mend(struct dv_json *json, struct purpose purpose)
{
    for (int i = 0; i < MENDINGS_MAX; i++) {
        DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
        struct outcome outcome = build(json, purpose, arena);
        if (outcome.graph || !fixer_apply(json, &outcome.problems.items[0])) {
            return;
        }
    }
}

/* Mostly a change of the architecture; at times of the bytes. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, size, 0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;

    if (dv_random_below(&random, 16) == 0) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    if (dv_random_below(&random, 64) == 0 ||
        dv_json_parse((const char *)data, size, &json, NULL) != DV_OK || !dv_json_is_object(json)) {
        (void)dv_json_unref(json);
        json = arch_mutator_seed(&random);
    }
    for (uint64_t i = 1 + dv_random_below(&random, CHANGES_MAX); i > 0; i--) {
        arch_mutate(json, &random);
    }
    if (dv_random_below(&random, 2)) {
        mend(json, draw_purpose(data, size));
    }
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
    size_t text_size = strlen(text);
    if (text_size > size_max) {
        return LLVMFuzzerMutate(data, size, size_max);
    }
    memcpy(data, text, text_size);
    return text_size;
}
