/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predicted times of a training step beside measured ones: random networks (draw.h), a few steps of
 * each, and at the end the median of predicted to measured and how many lie within 30 %. With one
 * thread both are the processor's time, so that it may run on a machine that does other things.
 *     times CACHE_FOLDER THREADS [NETWORKS] [FIRST]
 */
#include "draw.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/text.h"
#include "nn/backend.h"
#include "nn/network.h"
#include "nn/op_timing.h"
#include "nn/optimizer.h"
#include "nn/time_measure.h"
#include "spec/time_table.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS_MIN 5
#define STEPS_MAX 99
#define SECONDS 0.5 /* of steps; two before them warm up */
#define NETWORKS_MAX 1000
#define TOLERANCE 0.3

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

/* Median seconds of a step: forward, backward, optimizer. */
static double measure_steps(
    struct dv_network *network, const struct drawn *drawn, uint32_t thread_count)
{
    struct dv_shape shape = drawn->graph->nodes[0].shape;
    size_t count = (size_t)drawn->batch_size * shape.channels * shape.rows * shape.columns;
    DV_CLEANUP(dv_freep) float *pixels = dv_alloc(count * sizeof(*pixels));
    DV_CLEANUP(dv_freep) uint32_t *labels = dv_alloc(drawn->batch_size * sizeof(*labels));
    struct dv_random random = dv_random_make(1, DV_RANDOM_SAMPLE, 0, 0);
    struct dv_optimizer_options options = {.kind = DV_OPTIMIZER_ADAMW,
        .count = dv_network_flat_count(network),
        .decay_mask = dv_network_decay_mask(network),
        .momentum = 0.9,
        .weight_decay = 0.01};
    struct dv_optimizer *optimizer;
    double seconds[STEPS_MAX], begin = 0.0;
    uint32_t correct;
    size_t steps = 0;

    if (dv_optimizer_create(&options, &optimizer, NULL) != DV_OK) {
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        pixels[i] = (float)dv_random_normal(&random);
    }
    for (uint64_t step = 0;
         steps < STEPS_MIN ||
         (steps < STEPS_MAX && dv_op_timing_now(thread_count == 1) - begin < SECONDS);
         step++) {
        double start = dv_op_timing_now(thread_count == 1);
        begin = step == 2 ? start : begin;
        (void)dv_network_train(network, pixels, labels, drawn->batch_size, 0.1, step, &correct);
        dv_optimizer_step(
            optimizer, 1e-4, dv_network_parameters(network), dv_network_gradients(network));
        if (step >= 2) {
            seconds[steps++] = dv_op_timing_now(thread_count == 1) - start;
        }
    }
    dv_optimizer_destroy(optimizer);
    return median(seconds, steps);
}

/* Predicted to measured. */
static double compare_network(
    uint64_t number, uint32_t thread_count, const struct dv_time_table *table)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct drawn drawn = draw_network(number, arena);
    struct dv_network_options options = {.backend = "onednn",
        .batch_size = drawn.batch_size,
        .thread_count = thread_count,
        .is_training = true};
    struct dv_network *network;
    struct dv_error error = {0};

    if (dv_network_create(drawn.graph, &options, &network, &error) != DV_OK) {
        (void)fprintf(stderr, "times: %s\n", error.text);
        exit(1);
    }
    dv_network_init(network, 1);
    double measured = measure_steps(network, &drawn, thread_count);
    double predicted = dv_graph_step_seconds(drawn.graph, drawn.batch_size, table);
    (void)printf("%4u  %-52s %9.2f ms %9.2f ms  %5.2f\n", (unsigned)number, drawn.text,
        measured * 1e3, predicted * 1e3, predicted / measured);
    (void)fflush(stdout);
    dv_network_destroy(network);
    return predicted / measured;
}

static uint32_t number(const char *text)
{
    int64_t value = 0;

    if (!dv_text_to_int64(text, &value) || value < 0 || value > NETWORKS_MAX) {
        (void)fprintf(stderr, "times: '%s' is no useful number\n", text);
        exit(2);
    }
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table;
    struct dv_error error = {0};
    double ratios[NETWORKS_MAX];
    size_t within = 0;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: times CACHE_FOLDER THREADS [NETWORKS] [FIRST]\n");
        return 2;
    }
    uint32_t thread_count = number(argv[2]);
    uint32_t count = argc > 3 ? number(argv[3]) : 50;
    uint32_t first = argc > 4 ? number(argv[4]) : 0;
    uint64_t start = dv_clock_monotonic_ns();
    if (dv_time_measure_cached(
            argv[1], dv_backend_find("onednn"), thread_count, NULL, arena, &table, &error) !=
        DV_OK) {
        (void)fprintf(stderr, "times: %s\n", error.text);
        return 1;
    }
    (void)printf("table of %u operations: %.1f s\n%4s  %-52s %12s %12s  ratio\n",
        table->point_count, dv_clock_seconds_since(start), "", "network", "measured", "predicted");
    for (uint32_t i = 0; i < count; i++) {
        ratios[i] = compare_network(first + i, thread_count, table);
        within += ratios[i] >= 1.0 - TOLERANCE && ratios[i] <= 1.0 + TOLERANCE;
    }
    (void)printf("median %.2f; within 30 %%: %zu of %u\n", median(ratios, count), within, count);
    return 0;
}
