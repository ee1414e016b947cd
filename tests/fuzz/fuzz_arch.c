/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes are refused or are an architecture whose compact form reads as the same one, and whose
 * graph is built or refused with a problem.
 */

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/graph.h"
#include "spec/problem.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dv_arch *parse(const struct dv_json *json, struct dv_arena *arena)
{
    struct dv_problems problems;
    struct dv_arch *arch = NULL;

    dv_problems_init(&problems, arena, 5);
    if (dv_arch_parse(json, arena, &problems, &arch, NULL) != DV_OK) {
        assert(problems.count > 0);
        return NULL;
    }
    return arch;
}

static void build(const struct dv_arch *arch, struct dv_arena *arena)
{
    const struct dv_shape input = {.channels = 3, .rows = 32, .columns = 32};
    struct dv_problems problems;
    struct dv_graph *graph;

    dv_problems_init(&problems, arena, 5);
    if (dv_graph_build(arch, input, 10, arena, &problems, &graph, NULL) != DV_OK) {
        assert(problems.count > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;

    if (dv_json_parse((const char *)data, size, &json, NULL) != DV_OK) {
        return 0;
    }
    const struct dv_arch *arch = parse(json, arena);
    if (!arch) {
        return 0;
    }
    DV_CLEANUP(dv_json_unrefp) struct dv_json *compact = dv_arch_to_json(arch);
    const struct dv_arch *again = parse(compact, arena);
    assert(again);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *same = dv_arch_to_json(again);
    DV_CLEANUP(dv_freep) char *one = dv_json_print_canonical(compact);
    DV_CLEANUP(dv_freep) char *two = dv_json_print_canonical(same);
    assert(dv_text_equal(one, two));
    build(arch, arena);
    return 0;
}
