/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The memory that spec estimates before anything runs, beside what nn plans: an estimate that is
 * far off would admit jobs that do not fit, or refuse those that do.
 */
#include "../../bench/draw.h"
#include "../format/graph_json.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/macro.h"
#include "nn/network.h"
#include "spec/arch.h"
#include "spec/graph.h"
#include "spec/preset.h"
#include "spec/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define CLASSES 10
#define DRAWN 60
#define SMALL_BYTES 1.5e6 /* what the smallest networks may be off by */
#define DRAWN_BATCH 8

struct place {
    const char *preset;
    uint32_t side, batch;
};

/* `plan`: layouts to take; NULL: as they are measured. */
static double planned_for(
    const struct dv_graph *graph, const struct place *place, const struct dv_json *plan)
{
    const struct dv_network_options options = {.backend = "onednn",
        .batch_size = place->batch,
        .thread_count = 2,
        .is_training = true,
        .plan = plan,
        .seed = 1};
    struct dv_network *network;
    struct dv_error error;

    if (dv_network_create(graph, &options, &network, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    double size = (double)dv_network_memory(network);
    dv_network_destroy(network);
    return size;
}

static void expect_near(
    const struct dv_graph *graph, const struct place *place, const struct dv_json *plan)
{
    const struct dv_graph_use use = {.batch_size = place->batch};
    double estimate = (double)dv_graph_training_memory(graph, use);
    double planned = planned_for(graph, place, plan);

    if (estimate < planned || estimate > 1.7 * planned + SMALL_BYTES) {
        fail_msg("%s, %u px, batch %u: planned %.1f MB, estimate / planned %.3f", place->preset,
            place->side, place->batch, planned * 1e-6, estimate / planned);
    }
    print_message("%-14s %3u px, batch %3u: planned %7.1f MB, estimate / planned %.2f\n",
        place->preset, place->side, place->batch, planned * 1e-6, estimate / planned);
}

static void check(const struct place *place)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_json *json = dv_json_string(place->preset);
    struct dv_problems problems;
    struct dv_arch *arch = NULL;
    struct dv_graph *graph = NULL;

    dv_problems_init(&problems, arena, 5);
    assert_int_equal(dv_arch_parse(json, arena, &problems, &arch, NULL), DV_OK);
    assert_int_equal(dv_graph_build(arch, (struct dv_shape){3, place->side, place->side}, CLASSES,
                         arena, &problems, &graph, NULL),
        DV_OK);
    expect_near(graph, place, NULL);
    dv_json_unref(json);
    dv_arena_destroy(arena);
}

static void the_estimate_is_near_what_is_planned(void **state)
{
    static const struct place places[] = {
        {"small_cnn", 32, 16},
        {"small_cnn", 64, 64},
        {"resnet20", 32, 128},
        {"resnet56", 32, 32},
        {"resnet18", 64, 16},
        {"resnet50", 64, 8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        check(&places[i]);
    }
}

/* A convolution of 32 channels from node `from`, which is followed by an activation or a norm. */
static void add_conv(struct dv_buffer *text, int from, const char *after)
{
    dv_buffer_printf(text,
        "{\"op\":\"conv\",\"name\":\"c%d\",\"inputs\":[%d],\"out\":32,\"kernel\":3,"
        "\"padding\":1},{%s,\"name\":\"n%d\",\"inputs\":[%d]},",
        from, from, after, from, from + 1);
}

/* All rows in one layout, as far as they can be. Without "blocked" there are no copies between
 * layouts. */
static struct dv_json *plan_in(const char *layout, const struct dv_graph *graph)
{
    struct dv_json *plan = dv_json_object();
    struct dv_json *layouts = dv_json_array();

    for (uint32_t r = 0; r < graph->row_count; r++) {
        dv_json_append(layouts, dv_json_string(layout));
    }
    dv_json_set_string(plan, "backend", "onednn");
    dv_json_set(plan, "layouts", layouts);
    return plan;
}

/* Six layers of what is made in place, and of what is not. */
static void the_estimate_knows_what_is_made_in_place(void **state)
{
    static const struct {
        const char *name, *after;
    } kinds[] = {
        {"relu6", "\"op\":\"activation\",\"act\":\"relu6\""},
        {"silu", "\"op\":\"activation\",\"act\":\"silu\""},
        {"group_norm", "\"op\":\"group_norm\",\"groups\":4"},
        {"pad_shortcut", "\"op\":\"pad_shortcut\",\"out\":48"},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        const struct place place = {kinds[k].name, 32, 16};
        struct dv_arena *arena = dv_arena_create(0);
        struct dv_buffer text = DV_BUFFER_INIT(4096);
        struct dv_json *json;
        dv_buffer_printf(&text, "{\"input\":[3,32,32],\"nodes\":[");
        for (int i = 0; i < 6; i++) {
            add_conv(&text, 2 * i, kinds[k].after);
        }
        dv_buffer_printf(&text,
            "{\"op\":\"global_pool\",\"inputs\":[12]},{\"op\":\"flatten\",\"inputs\":[13]},"
            "{\"op\":\"linear\",\"name\":\"head\",\"inputs\":[14],\"out\":10}]}");
        const char *bytes = dv_buffer_text(&text);
        assert_int_equal(dv_json_parse(bytes, strlen(bytes), &json, NULL), DV_OK);
        struct dv_graph *graph = graph_json_read(json, arena);
        struct dv_json *plan = plan_in("nhwc", graph);
        expect_near(graph, &place, plan);
        dv_json_unref(plan);
        dv_json_unref(json);
        dv_buffer_finish(&text);
        dv_arena_destroy(arena);
    }
}

/* Whatever the layouts are, which the estimate does not know. */
static void the_estimate_is_not_below_what_is_planned_for_random_networks(void **state)
{
    static const char *const layouts[] = {"nhwc", "blocked"};

    (void)state;
    for (uint64_t number = 0; number < DRAWN; number++) {
        struct dv_arena *arena = dv_arena_create(0);
        struct drawn drawn = draw_network(number, arena);
        for (size_t i = 0; i < DV_ARRAY_SIZE(layouts); i++) {
            const struct place place = {drawn.text, drawn.graph->nodes[0].shape.rows, DRAWN_BATCH};
            struct dv_json *plan = plan_in(layouts[i], drawn.graph);
            expect_near(drawn.graph, &place, plan);
            dv_json_unref(plan);
        }
        dv_arena_destroy(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_estimate_is_near_what_is_planned),
        cmocka_unit_test(the_estimate_knows_what_is_made_in_place),
        cmocka_unit_test(the_estimate_is_not_below_what_is_planned_for_random_networks),
    };

    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
