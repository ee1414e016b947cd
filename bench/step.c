/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures per second of whole training steps (forward, backward, optimizer) of a network on
 * made-up pictures: our half of bench/compare.py. NETWORK is a preset, or a file with a graph as
 * graph_json_read() takes it. Prints one JSON object.
 *     step NETWORK SIDE CLASSES BATCH THREADS SECONDS [plan.json]
 */
#include "../tests/format/graph_json.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "nn/network.h"
#include "nn/optimizer.h"
#include "spec/graph.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRAPH_SIZE_MAX (1 << 20)

struct setup {
    const char *network;
    uint32_t side, classes, batch, threads;
    double seconds;
};

static uint32_t number(const char *text)
{
    int64_t value = 0;

    if (!dv_text_to_int64(text, &value) || value < 1 || value > 1000000) {
        (void)fprintf(stderr, "step: '%s' is no useful number\n", text);
        exit(2);
    }
    return (uint32_t)value;
}

static enum dv_status read_graph(const struct setup *setup, struct dv_arena *arena,
    struct dv_graph **ret_graph, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    size_t size;

    enum dv_status status = dv_file_read(setup->network, GRAPH_SIZE_MAX, &text, &size, reterr);
    if (status == DV_OK) {
        status = dv_json_parse(text, size, &json, reterr);
    }
    if (status == DV_OK) {
        *ret_graph = graph_json_read(json, arena);
    }
    return status;
}

static enum dv_status make_graph(const struct setup *setup, struct dv_arena *arena,
    struct dv_graph **ret_graph, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *name = dv_json_string(setup->network);
    struct dv_shape input = {3, setup->side, setup->side};
    struct dv_problems problems;
    struct dv_arch *arch;

    if (dv_text_has_suffix_nocase(setup->network, ".json")) {
        return read_graph(setup, arena, ret_graph, reterr);
    }
    dv_problems_init(&problems, arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status = dv_arch_parse(name, arena, &problems, &arch, reterr);
    if (status == DV_OK) {
        status = dv_graph_build(arch, input, setup->classes, arena, &problems, ret_graph, reterr);
    }
    return status;
}

static double measure(struct dv_network *network, const struct setup *setup, uint64_t *ret_steps)
{
    size_t count = (size_t)setup->batch * setup->side * setup->side * 3;
    float *pixels = NULL;
    uint32_t *labels = dv_alloc(setup->batch * sizeof(*labels));
    struct dv_random random = dv_random_make(1, DV_RANDOM_SAMPLE, 0, 0);
    struct dv_optimizer *optimizer = NULL;
    struct dv_optimizer_options options = {.kind = DV_OPTIMIZER_SGD,
        .count = dv_network_flat_count(network),
        .decay_mask = dv_network_decay_mask(network),
        .momentum = 0.9,
        .weight_decay = 5e-4};
    uint32_t correct;
    uint64_t start = 0;

    if (dv_try_alloc_aligned(count * sizeof(float), (void **)&pixels, NULL) != DV_OK ||
        dv_optimizer_create(&options, &optimizer, NULL) != DV_OK) {
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        pixels[i] = (float)dv_random_normal(&random);
    }
    for (uint32_t i = 0; i < setup->batch; i++) {
        labels[i] = i % setup->classes;
    }
    *ret_steps = 0;
    for (uint64_t step = 0; step < 3 || dv_clock_seconds_since(start) < setup->seconds; step++) {
        if (step == 2) {
            start = dv_clock_monotonic_ns(); /* two steps warm up */
        }
        (void)dv_network_train(network, pixels, labels, setup->batch, 0.1, step, &correct);
        dv_optimizer_step(
            optimizer, 1e-4, dv_network_parameters(network), dv_network_gradients(network));
        *ret_steps = step - 1;
    }
    double seconds = dv_clock_seconds_since(start);
    dv_optimizer_destroy(optimizer);
    dv_free(pixels);
    dv_free(labels);
    return seconds;
}

int main(int argc, char **argv)
{
    struct dv_error error = {0};
    struct dv_graph *graph;
    struct dv_network *network;
    uint64_t steps;

    if (argc < 7) {
        (void)fprintf(
            stderr, "usage: step NETWORK SIDE CLASSES BATCH THREADS SECONDS [plan.json]\n");
        return 2;
    }
    struct setup setup = {argv[1], number(argv[2]), number(argv[3]), number(argv[4]),
        number(argv[5]), (double)number(argv[6])};
    struct dv_arena *arena = dv_arena_create(0);
    enum dv_status status = make_graph(&setup, arena, &graph, &error);
    struct dv_network_options options = {.backend = "onednn",
        .batch_size = setup.batch,
        .thread_count = setup.threads,
        .is_training = true};
    if (status == DV_OK) {
        status = dv_network_create(graph, &options, &network, &error);
    }
    if (status != DV_OK) {
        (void)fprintf(stderr, "step: %s\n", error.text);
        return 1;
    }
    dv_network_init(network, 1);
    double seconds = measure(network, &setup, &steps);
    double rate = (double)steps * setup.batch / seconds;
    (void)printf("{\"images_per_second\": %.2f, \"gflops\": %.2f, \"memory_mb\": %.1f}\n", rate,
        rate * 6 * (double)graph->macs * 1e-9, (double)dv_network_memory(network) * 1e-6);
    if (argc > 7) {
        struct dv_json *plan = dv_network_plan(network);
        char *text = dv_json_print_pretty(plan);
        status = dv_file_write(argv[7], text, strlen(text), &error);
        dv_free(text);
        dv_json_unref(plan);
    }
    dv_network_destroy(network);
    dv_arena_destroy(arena);
    return status == DV_OK ? 0 : 1;
}
