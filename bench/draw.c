/* SPDX-License-Identifier: Apache-2.0 */
#include "draw.h"

#include "base/json.h"
#include "base/macro.h"
#include "base/random.h"
#include "spec/arch.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <stdio.h>

#define CLASS_COUNT 10
#define STEP_MACS_MAX 6e9  /* forward, a batch: less than a second a step on two cores */
#define STEP_MACS_MIN 20e6 /* below, a step is over before a clock says much of it */
#define PARAMETERS_MAX 20000000u

static uint32_t pick(struct dv_random *random, const uint32_t *values, size_t count)
{
    return values[dv_random_below(random, count)];
}
#define PICK(random, ...)                                                                          \
    pick(random, (const uint32_t[]){__VA_ARGS__},                                                  \
        sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static const char *word(struct dv_random *random, const char *const *words, size_t count)
{
    return words[dv_random_below(random, count)];
}

static struct dv_json *add_row(struct dv_json *layers, const char *op)
{
    struct dv_json *row = dv_json_object();
    char name[16];

    (void)snprintf(name, sizeof(name), "r%zu", dv_json_count(layers));
    dv_json_set_string(row, "name", name);
    dv_json_set_string(row, "op", op);
    dv_json_append(layers, row);
    return row;
}

/* What all blocks of a network have in common. */
struct habits {
    const char *op, *act, *norm;
    uint32_t kernel, expand, groups;
    double se, drop;
    const char *shortcut;
};

static struct habits draw_habits(struct dv_random *random)
{
    static const char *const ops[] = {"conv", "residual", "bottleneck", "mbconv", "dwsep"};
    static const char *const acts[] = {
        "relu", "relu", "relu6", "leaky_relu", "silu", "gelu", "hardswish"};
    static const char *const norms[] = {"batch", "batch", "batch", "group", "none"};

    return (struct habits){.op = word(random, ops, DV_ARRAY_SIZE(ops)),
        .act = word(random, acts, DV_ARRAY_SIZE(acts)),
        .norm = word(random, norms, DV_ARRAY_SIZE(norms)),
        .kernel = PICK(random, 3, 3, 3, 5, 1),
        .expand = PICK(random, 2, 4, 6),
        .groups = PICK(random, 1, 1, 1, 2, 4),
        .se = dv_random_below(random, 3) ? 0.0 : 0.25,
        .drop = dv_random_below(random, 3) ? 0.0 : 0.1,
        .shortcut = dv_random_below(random, 3) ? "conv" : "pad"};
}

static void add_stage(struct dv_random *random, struct dv_json *layers, const struct habits *habits,
    uint32_t out, uint32_t stride)
{
    struct dv_json *row = add_row(layers, habits->op);
    bool is_bottleneck = habits->op[0] == 'b', is_mbconv = habits->op[0] == 'm';
    bool is_residual = habits->op[0] == 'r', is_conv = habits->op[0] == 'c';

    dv_json_set_integer(row, "out", is_bottleneck ? 2 * (int64_t)out : out);
    dv_json_set_integer(row, "stride", stride);
    dv_json_set_integer(row, "repeat", (int64_t)PICK(random, 1, 1, 2, 2, 3));
    dv_json_set_string(row, "act", habits->act);
    dv_json_set_string(row, "norm", habits->norm);
    dv_json_set_integer(row, "kernel", is_conv && habits->kernel == 1 ? 3 : habits->kernel);
    if (is_bottleneck || is_mbconv) {
        dv_json_set_integer(
            row, "expand", habits->expand == 6 && is_bottleneck ? 4 : habits->expand);
    }
    if (is_bottleneck) {
        dv_json_set_integer(row, "groups", habits->groups);
    }
    if (is_bottleneck || is_mbconv || is_residual) {
        dv_json_set_number(row, "se", habits->se);
        dv_json_set_number(row, "drop", habits->drop);
    }
    if (is_bottleneck || is_residual) {
        dv_json_set_string(row, "shortcut", habits->shortcut);
    }
}

static struct dv_json *draw_json(struct dv_random *random, const struct habits *habits)
{
    struct dv_json *arch = dv_json_object();
    struct dv_json *layers = dv_json_array();
    uint32_t width = PICK(random, 8, 12, 16, 16, 24, 32, 32, 48, 64);
    uint32_t stages = PICK(random, 2, 3, 3, 4);

    struct dv_json *stem = add_row(layers, "conv");
    dv_json_set_integer(stem, "out", width);
    dv_json_set_integer(stem, "kernel", (int64_t)PICK(random, 3, 3, 5));
    dv_json_set_string(stem, "norm", habits->norm);
    dv_json_set_string(stem, "act", habits->act);
    if (dv_random_below(random, 4) == 0) {
        dv_json_set_string(stem, "pool", "max");
    }
    for (uint32_t i = 0; i < stages; i++) {
        add_stage(random, layers, habits, width, i > 0 ? 2 : 1);
        width = width * PICK(random, 2, 2, 3) / PICK(random, 1, 1, 2);
    }
    if (dv_random_below(random, 3) == 0) {
        dv_json_set_number(add_row(layers, "dropout"), "drop", 0.2);
    }
    (void)add_row(layers, "linear");
    dv_json_set(arch, "layers", layers);
    return arch;
}

static bool try_network(struct dv_random *random, struct dv_arena *arena, struct drawn *drawn)
{
    struct habits habits = draw_habits(random);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = draw_json(random, &habits);
    uint32_t side = PICK(random, 28, 32, 32, 48, 64, 96, 128);
    struct dv_shape input = {PICK(random, 1, 3, 3), side, side};
    struct dv_problems problems;

    drawn->batch_size = PICK(random, 16, 32, 64, 64, 128);
    dv_problems_init(&problems, arena, DV_ARCH_PROBLEMS_MAX);
    if (dv_arch_parse(json, arena, &problems, &drawn->arch, NULL) != DV_OK ||
        dv_graph_build(drawn->arch, input, CLASS_COUNT, arena, &problems, &drawn->graph, NULL) !=
            DV_OK) {
        return false;
    }
    (void)snprintf(drawn->text, sizeof(drawn->text), "%s %ux%u %s %s%s, %u px, batch %u", habits.op,
        habits.kernel, habits.kernel, habits.norm, habits.act, habits.se > 0 ? " se" : "", side,
        drawn->batch_size);
    double macs = (double)drawn->graph->macs * drawn->batch_size;
    return macs >= STEP_MACS_MIN && macs <= STEP_MACS_MAX &&
           drawn->graph->parameter_count <= PARAMETERS_MAX;
}

struct drawn draw_network(uint64_t number, struct dv_arena *arena)
{
    struct dv_random random = dv_random_make(number, DV_RANDOM_SAMPLE, 0, 0);
    struct drawn drawn;

    while (!try_network(&random, arena, &drawn)) {
        /* too large, too small, or channels that groups do not divide */
    }
    return drawn;
}
