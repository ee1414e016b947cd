/* SPDX-License-Identifier: Apache-2.0 */
#include "search_bench.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "spec/arch.h"
#include "spec/graph.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

int search_bench_make(void **state)
{
    struct search_bench *bench = dv_alloc(sizeof(*bench));
    struct dv_problems problems;

    bench->arena = dv_arena_create(0);
    bench->classes[0] = (struct dv_class_summary){.name = "cat", .counts = {400, 50, 50}};
    bench->classes[1] = (struct dv_class_summary){.name = "dog", .counts = {400, 50, 50}};
    bench->dataset = (struct dv_dataset_summary){.classes = bench->classes,
        .class_count = 2,
        .channels = 3,
        .side_min = 32,
        .side_max = 32,
        .side_median = 32,
        .has_one_size = true};
    bench->defaults = dv_recipe_hyperparameters(&bench->dataset, 32, 1000000);
    bench->defaults.seed = 3;
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *json = dv_recipe_architecture(&bench->dataset, 32, bench->defaults.dropout);
    struct dv_shape input = {.channels = 3, .rows = 32, .columns = 32};
    dv_problems_init(&problems, bench->arena, DV_ARCH_PROBLEMS_MAX);
    if (dv_arch_parse(json, bench->arena, &problems, &bench->arch, NULL) != DV_OK ||
        dv_graph_build(bench->arch, input, 2, bench->arena, &problems, &bench->graph, NULL) !=
            DV_OK) {
        return -1;
    }
    bench->gate = (struct dv_gate){.dataset = &bench->dataset, .defaults = &bench->defaults};
    bench->limits = (struct dv_search_limits){.parameters_max = 2 * bench->graph->parameter_count,
        .macs_max = 2 * bench->graph->macs,
        .memory_max = (uint64_t)4 << 30,
        .epochs = 3};
    bench->proposer = dv_proposer_offline_init(&bench->offline, &bench->gate, bench->arch);
    bench->history = (struct dv_search_history){.candidates = bench->candidates,
        .dataset = &bench->dataset,
        .defaults = &bench->defaults,
        .default_arch = bench->arch,
        .seed = 3};
    *state = bench;
    return 0;
}

int search_bench_drop(void **state)
{
    struct search_bench *bench = *state;

    dv_arena_destroy(bench->arena);
    dv_free(bench);
    return 0;
}

struct dv_json *search_bench_parse(const char *text)
{
    struct dv_json *json = NULL;
    struct dv_error error = {0};

    if (dv_json_parse(text, strlen(text), &json, &error) != DV_OK) {
        fail_msg("%s: %s", error.text, text);
    }
    return json;
}
