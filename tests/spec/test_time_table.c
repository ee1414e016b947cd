/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_test.h"

#include "base/alloc.h"
#include "spec/time_table.h"

#include <math.h>

#define NEAR 1e-6

/* A table of a machine that takes as long as `seconds` says. */
static struct dv_time_table *make_table(
    struct dv_arena *arena, double (*seconds)(const struct dv_time_op *op))
{
    struct dv_time_table *table = dv_time_table_create(arena);

    table->parameter_seconds = 1e-9;
    for (uint32_t i = 0; i < table->point_count; i++) {
        table->points[i].seconds = seconds(&table->points[i].op);
    }
    return table;
}

static double numbers(struct dv_shape shape)
{
    return (double)shape.channels * shape.rows * shape.columns;
}

/* 100 GFLOP/s, and 10 ns a number for what has no weights. */
static double steady_seconds(const struct dv_time_op *op)
{
    double taps = op->kernel > 0 ? (double)op->kernel * op->kernel : 1.0;

    if (op->op == DV_NODE_CONV || op->op == DV_NODE_LINEAR) {
        return op->batch * numbers(op->output) * op->input.channels / op->groups * taps * 6e-11;
    }
    return op->batch * (numbers(op->input) * op->input_count + numbers(op->output)) * 1e-8;
}

static double uneven_seconds(const struct dv_time_op *op)
{
    return steady_seconds(op) * (1.0 + op->input.channels % 7 + op->kernel) + 1e-6;
}

static double only_activations(const struct dv_time_op *op)
{
    return op->op == DV_NODE_ACTIVATION ? 1e3 : 1e-9;
}

static double step_seconds(const char *rows, uint32_t batch_size, const struct dv_time_table *table)
{
    struct spec_test t = spec_test_build(rows);

    assert_non_null(t.graph);
    double seconds = dv_graph_step_seconds(t.graph, batch_size, table);
    spec_test_finish(&t);
    return seconds;
}

static void what_was_measured_is_predicted_as_it_was(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = make_table(arena, uneven_seconds);
    (void)state;

    for (uint32_t i = 0; i < table->point_count; i++) {
        const struct dv_time_point *point = &table->points[i];
        double ratio = dv_time_table_predict(table, &point->op) / point->seconds;
        assert_true(fabs(ratio - 1.0) < NEAR);
    }
    dv_arena_destroy(arena);
}

static void every_operation_of_a_graph_has_some_like_it(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = make_table(arena, steady_seconds);
    (void)state;

    for (int op = DV_NODE_INPUT + 1; op < DV_NODE_OP_COUNT; op++) {
        for (int act = DV_ACT_RELU; act < DV_ACT_COUNT; act++) {
            struct dv_time_op asked = {.op = (enum dv_node_op)op,
                .batch = 5,
                .input = {40, 10, 10},
                .output = {40, 10, 10},
                .input_count = 1,
                .kernel = 3,
                .stride = 1,
                .groups = 1,
                .act = (enum dv_activation)act,
                .pooling = act % 2 ? DV_POOLING_MAX : DV_POOLING_AVG};
            double ratio = dv_time_table_predict(table, &asked) / steady_seconds(&asked);
            assert_true(fabs(ratio - (op == DV_NODE_LINEAR ? ratio : 1.0)) < NEAR);
            assert_true(ratio > 0.0);
        }
    }
    dv_arena_destroy(arena);
}

/* The rows' own multiply-adds and numbers, at the steady machine's speed. */
static void a_step_is_the_sum_of_its_operations(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = make_table(arena, steady_seconds);
    static const char rows[] = "{'name':'c','op':'conv','out':16},{'name':'h','op':'linear'}";
    const double macs = 16.0 * 3 * 9 * 1024 + 160, weights = 16 * 3 * 9 + 32 + 170;
    /* A norm takes the relu with it; a pool of all places; flatten is nothing. */
    const double moved = 2.0 * 16 * 1024 + 16 * 1024 + 16;
    (void)state;

    for (uint32_t batch = 1; batch <= 64; batch *= 8) {
        double wanted = batch * (macs * 6e-11 + moved * 1e-8) + weights * 1e-9;
        assert_true(fabs(step_seconds(rows, batch, table) / wanted - 1.0) < NEAR);
    }
    dv_arena_destroy(arena);
}

static void more_of_anything_takes_longer(void **state)
{
    static const char *const growing[][2] = {
        {"{'name':'c','op':'conv','out':16},", "{'name':'c','op':'conv','out':32},"},
        {"{'name':'c','op':'conv','out':16},", "{'name':'c','op':'conv','out':16,'kernel':5},"},
        {"{'name':'c','op':'conv','out':16,'stride':2},", "{'name':'c','op':'conv','out':16},"},
        {"{'name':'c','op':'residual','out':16},",
            "{'name':'c','op':'residual','out':16,'repeat':2},"},
        {"{'name':'c','op':'residual','out':16},",
            "{'name':'c','op':'residual','out':16,'se':0.5},"},
        {"{'name':'c','op':'mbconv','out':16,'expand':2},",
            "{'name':'c','op':'mbconv','out':16,'expand':6},"},
        {"{'name':'c','op':'conv','out':8,'groups':1,'norm':'none'},",
            "{'name':'c','op':'conv','out':8,'groups':1,'norm':'group'},"},
    };
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = make_table(arena, steady_seconds);
    char rows[256];
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(growing); i++) {
        double seconds[2];
        for (size_t k = 0; k < 2; k++) {
            (void)snprintf(rows, sizeof(rows), "%s{'name':'h','op':'linear'}", growing[i][k]);
            seconds[k] = step_seconds(rows, 32, table);
            assert_true(step_seconds(rows, 64, table) > seconds[k]);
        }
        assert_true(seconds[1] > seconds[0]);
    }
    dv_arena_destroy(arena);
}

static void an_activation_costs_only_where_it_runs_by_itself(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = make_table(arena, only_activations);
    (void)state;

    double fused = step_seconds(
        "{'name':'c','op':'conv','out':8,'act':'gelu'},{'name':'h','op':'linear'}", 8, table);
    double alone = step_seconds(
        "{'name':'c','op':'conv','out':8,'act':'gelu','norm':'none'},{'name':'h','op':'linear'}", 8,
        table);
    assert_true(fused < 1.0);
    assert_true(alone > 1.0);
    dv_arena_destroy(arena);
}

static void an_epoch_is_the_steps_that_are_full(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = make_table(arena, steady_seconds);
    struct spec_test t =
        spec_test_build("{'name':'c','op':'conv','out':16},{'name':'h','op':'linear'}");
    (void)state;

    double step = dv_graph_step_seconds(t.graph, 32, table);
    assert_true(fabs(dv_graph_epoch_seconds(t.graph, 32, 999, table) / (31 * step) - 1.0) < NEAR);
    spec_test_finish(&t);
    dv_arena_destroy(arena);
}

static void reads_back_what_it_wrote(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = make_table(arena, uneven_seconds);
    struct dv_time_table *again = dv_time_table_create(arena);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_time_table_to_json(table);
    (void)state;

    assert_int_equal(dv_time_table_read(again, json, &(struct dv_error){0}), DV_OK);
    assert_true(again->parameter_seconds == table->parameter_seconds);
    for (uint32_t i = 0; i < table->point_count; i++) {
        assert_true(again->points[i].seconds == table->points[i].seconds);
    }
    dv_arena_destroy(arena);
}

static void refuses_a_table_with_holes_and_keeps_its_own(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = make_table(arena, steady_seconds);
    struct dv_time_table *mine = make_table(arena, uneven_seconds);
    static const double bad[] = {0.0, -1.0, 1e7};
    double first = mine->points[0].seconds;
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(bad) + 3; i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_time_table_to_json(table);
        struct dv_json *seconds = dv_json_get(json, "seconds");
        void *last = dv_json_first(seconds);
        for (void *at = last; at; at = dv_json_next(seconds, at)) {
            last = at;
        }
        DV_CLEANUP(dv_freep) char *key = dv_strprintf("%s", dv_json_key(last));
        if (i < DV_ARRAY_SIZE(bad)) {
            dv_json_set_number(seconds, key, bad[i]);
        } else if (i == DV_ARRAY_SIZE(bad)) {
            dv_json_remove(seconds, key);
        } else if (i == DV_ARRAY_SIZE(bad) + 1) {
            dv_json_set_string(seconds, key, "0.1");
        } else {
            dv_json_remove(json, "parameter_seconds");
        }
        struct dv_error error = {0};
        assert_int_equal(dv_time_table_read(mine, json, &error), DV_INVALID);
        assert_true(error.text[0] != '\0');
        assert_true(mine->points[0].seconds == first);
    }
    assert_int_equal(dv_time_table_read(mine, NULL, &(struct dv_error){0}), DV_INVALID);
    dv_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_measured_is_predicted_as_it_was),
        cmocka_unit_test(every_operation_of_a_graph_has_some_like_it),
        cmocka_unit_test(a_step_is_the_sum_of_its_operations),
        cmocka_unit_test(more_of_anything_takes_longer),
        cmocka_unit_test(an_activation_costs_only_where_it_runs_by_itself),
        cmocka_unit_test(an_epoch_is_the_steps_that_are_full),
        cmocka_unit_test(reads_back_what_it_wrote),
        cmocka_unit_test(refuses_a_table_with_holes_and_keeps_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
