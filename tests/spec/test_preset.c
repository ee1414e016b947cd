/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/preset.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/macro.h"
#include "spec/graph.h"
#include "spec/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct dv_graph *build(
    struct dv_arena *arena, const char *name, uint32_t side, uint32_t class_count)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_json_string(name);
    struct dv_problems problems;
    struct dv_arch *arch = NULL;
    struct dv_graph *graph = NULL;
    struct dv_error error = {0};

    dv_problems_init(&problems, arena, 5);
    if (dv_arch_parse(json, arena, &problems, &arch, &error) != DV_OK ||
        dv_graph_build(arch, (struct dv_shape){3, side, side}, class_count, arena, &problems,
            &graph, &error) != DV_OK) {
        fail_msg("%s: %s", name, error.text);
    }
    return graph;
}

static void parameter_counts_are_the_published_ones(void **state)
{
    /* torchvision's own numbers, and those of He et al. with shortcuts without parameters. */
    static const struct {
        const char *name;
        uint32_t side, classes;
        uint64_t parameters;
    } rows[] = {
        {"resnet18", 224, 1000, 11689512},
        {"resnet34", 224, 1000, 21797672},
        {"resnet50", 224, 1000, 25557032},
        {"mobilenet_v2", 224, 1000, 3504872},
        {"resnet20", 32, 10, 269722},
        {"resnet32", 32, 10, 464154},
        {"resnet44", 32, 10, 658586},
        {"resnet56", 32, 10, 853018},
        {"resnet110", 32, 10, 1727962},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
        const struct dv_graph *graph = build(arena, rows[i].name, rows[i].side, rows[i].classes);
        assert_int_equal(graph->parameter_count, rows[i].parameters);
    }
}

static void multiply_adds_at_224_are_the_published_ones(void **state)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);

    (void)state;
    /* 1.814, 3.664, 4.089 and 0.301 thousand million, as torchvision's documentation says. */
    assert_int_equal(build(arena, "resnet18", 224, 1000)->macs, 1814073344);
    assert_int_equal(build(arena, "resnet34", 224, 1000)->macs, 3663761408);
    assert_int_equal(build(arena, "resnet50", 224, 1000)->macs, 4089184256);
    assert_int_equal(build(arena, "mobilenet_v2", 224, 1000)->macs, 300774272);
}

static const struct dv_graph_tensor *find(const struct dv_graph *graph, const char *name)
{
    for (uint32_t i = 0; i < graph->tensor_count; i++) {
        if (strcmp(graph->tensors[i].name, name) == 0) {
            return &graph->tensors[i];
        }
    }
    fail_msg("there is no tensor %s", name);
    return NULL;
}

/* Entries of torchvision's state dictionaries, shapes ended by 0. */
static void tensors_have_torchvision_names_and_shapes(void **state)
{
    static const struct {
        const char *preset, *name;
        uint32_t shape[5];
    } rows[] = {
        {"resnet18", "layer1.0.conv1.weight", {64, 64, 3, 3}},
        {"resnet18", "layer1.0.bn1.weight", {64}},
        {"resnet18", "layer1.0.bn1.running_var", {64}},
        {"resnet18", "layer1.1.conv2.weight", {64, 64, 3, 3}},
        {"resnet18", "layer2.0.conv1.weight", {128, 64, 3, 3}},
        {"resnet18", "layer2.0.downsample.0.weight", {128, 64, 1, 1}},
        {"resnet18", "layer2.0.downsample.1.running_mean", {128}},
        {"resnet18", "layer4.1.bn2.bias", {512}},
        {"resnet18", "fc.weight", {1000, 512}},
        {"resnet18", "fc.bias", {1000}},
        {"resnet50", "layer1.0.conv1.weight", {64, 64, 1, 1}},
        {"resnet50", "layer1.0.conv3.weight", {256, 64, 1, 1}},
        {"resnet50", "layer1.0.downsample.0.weight", {256, 64, 1, 1}},
        {"resnet50", "layer2.0.conv2.weight", {128, 128, 3, 3}},
        {"resnet50", "layer4.2.bn3.weight", {2048}},
        {"resnet50", "fc.weight", {1000, 2048}},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
        const struct dv_graph *graph = build(arena, rows[i].preset, 224, 1000);
        const struct dv_graph_tensor *tensor = find(graph, rows[i].name);
        uint32_t rank = 0;
        while (rows[i].shape[rank] > 0) {
            assert_int_equal(tensor->shape[rank], rows[i].shape[rank]);
            rank++;
        }
        assert_int_equal(tensor->rank, rank);
    }
}

static void resnet18_has_as_many_tensors_as_torchvision(void **state)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    const struct dv_graph *graph = build(arena, "resnet18", 224, 1000);

    (void)state;
    /* 122 entries, 20 of which count batches (num_batches_tracked), which we do not keep. */
    assert_int_equal(graph->tensor_count, 102);
}

/*
 * torchvision has 314 entries, 52 of which count batches. The last of 17 blocks and the first, which
 * does not expand, as they stand in its features.17.conv and features.1.conv.
 */
static void mobilenet_v2_has_torchvision_shapes_in_its_order(void **state)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    const struct dv_graph *graph = build(arena, "mobilenet_v2", 224, 1000);
    static const struct {
        const char *name;
        uint32_t rank, shape[4];
    } rows[] = {
        {"stem.conv.weight", 4, {32, 3, 3, 3}},         /* features.0.0 */
        {"s1.0.conv2.weight", 4, {32, 1, 3, 3}},        /* features.1.conv.0.0 */
        {"s1.0.conv3.weight", 4, {16, 32, 1, 1}},       /* features.1.conv.1 */
        {"s2.0.conv1.weight", 4, {96, 16, 1, 1}},       /* features.2.conv.0.0 */
        {"s2.0.conv2.weight", 4, {96, 1, 3, 3}},        /* features.2.conv.1.0 */
        {"s7.0.conv1.weight", 4, {960, 160, 1, 1}},     /* features.17.conv.0.0 */
        {"s7.0.conv3.weight", 4, {320, 960, 1, 1}},     /* features.17.conv.2 */
        {"s7.0.bn3.running_var", 1, {320}},             /* features.17.conv.3 */
        {"last.conv.weight", 4, {1280, 320, 1, 1}},     /* features.18.0 */
        {"fc.weight", 2, {1000, 1280}},                 /* classifier.1 */
    };
    (void)state;

    assert_int_equal(graph->tensor_count, 262);
    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        const struct dv_graph_tensor *tensor = find(graph, rows[i].name);
        assert_int_equal(tensor->rank, rows[i].rank);
        for (uint32_t d = 0; d < tensor->rank; d++) {
            assert_int_equal(tensor->shape[d], rows[i].shape[d]);
        }
    }
}

static void every_preset_builds_at_its_size(void **state)
{
    size_t count = 0;

    (void)state;
    for (; dv_preset_name(count); count++) {
        DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
        const struct dv_graph *graph = build(arena, dv_preset_name(count), 32, 7);
        assert_int_equal(graph->nodes[graph->node_count - 1].shape.channels, 7);
    }
    assert_int_equal(count, 10);
    assert_null(dv_preset_make("resnet19"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter_counts_are_the_published_ones),
        cmocka_unit_test(multiply_adds_at_224_are_the_published_ones),
        cmocka_unit_test(tensors_have_torchvision_names_and_shapes),
        cmocka_unit_test(resnet18_has_as_many_tensors_as_torchvision),
        cmocka_unit_test(mobilenet_v2_has_torchvision_shapes_in_its_order),
        cmocka_unit_test(every_preset_builds_at_its_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
