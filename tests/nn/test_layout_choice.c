/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of layouts on a backend that computes nothing and is as slow as the test says.
 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "nn/layout_choice.h"
#include "spec/graph.h"
#include "spec/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char arch_text[] = "{\"name\":\"a\",\"layers\":["
                                "{\"name\":\"c0\",\"op\":\"conv\",\"out\":16},"
                                "{\"name\":\"c1\",\"op\":\"conv\",\"out\":32},"
                                "{\"name\":\"c2\",\"op\":\"conv\",\"out\":48},"
                                "{\"name\":\"head\",\"op\":\"linear\"}]}";

/* Inside the bottleneck are 24 channels: of its steps only the last, a norm of 48, can be blocked.
 */
static const char narrow_text[] =
    "{\"name\":\"a\",\"layers\":["
    "{\"name\":\"c0\",\"op\":\"conv\",\"out\":16},"
    "{\"name\":\"b1\",\"op\":\"bottleneck\",\"out\":48,\"expand\":2,\"act\":\"none\"},"
    "{\"name\":\"c2\",\"op\":\"conv\",\"out\":24},"
    "{\"name\":\"head\",\"op\":\"linear\"}]}";

enum { ROWS = 4 };

/* --- The backend -------------------------------------------------------------------------- */

/* What it does with convolutions in a layout. */
struct manner {
    bool is_unsupported;
    bool is_fallback;
    long sleep_ns;
};

static struct manner manners[DV_LAYOUT_COUNT];
static long copy_sleep_ns, nhwc_norm_sleep_ns;
static uint32_t slow_channels; /* only convolutions to this many are slow; 0: all */
static unsigned forward_counts[DV_LAYOUT_COUNT], backward_count, training_count;

static enum dv_status fake_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr)
{
    if (desc->op == DV_NODE_CONV && manners[desc->layout].is_unsupported) {
        return dv_fail(reterr, DV_UNSUPPORTED, "not in this layout");
    }
    struct dv_op *op = dv_alloc(sizeof(*op));
    op->desc = *desc;
    op->is_fallback = desc->op == DV_NODE_CONV && manners[desc->layout].is_fallback;
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        op->tensor_floats[role] = dv_op_tensor_floats(desc, (enum dv_tensor_role)role);
    }
    *ret_op = op;
    return DV_OK;
}

static void fake_destroy(struct dv_op *op)
{
    dv_free(op);
}

static void fake_forward(struct dv_op *op, const struct dv_op_args *args)
{
    struct timespec pause = {0, manners[op->desc.layout].sleep_ns};
    struct timespec copy_pause = {0, copy_sleep_ns};
    struct timespec norm_pause = {0, nhwc_norm_sleep_ns};

    if (op->desc.op == DV_NODE_INPUT) {
        (void)nanosleep(&copy_pause, NULL);
    }
    if (op->desc.op == DV_NODE_BATCH_NORM && op->desc.layout == DV_LAYOUT_NHWC) {
        (void)nanosleep(&norm_pause, NULL);
    }
    training_count += !args->is_inference;
    if (op->desc.op == DV_NODE_CONV) {
        forward_counts[op->desc.layout]++;
        if (slow_channels == 0 || slow_channels == op->desc.output.channels) {
            (void)nanosleep(&pause, NULL);
        }
    }
}

static void fake_backward(struct dv_op *op, const struct dv_op_args *args)
{
    (void)op;
    (void)args;
    backward_count++;
}

static const struct dv_backend_impl fake = {
    .name = "fake",
    .has_blocked_layout = true,
    .op_create = fake_create,
    .op_destroy = fake_destroy,
    .op_forward = fake_forward,
    .op_backward = fake_backward,
};

/* --- Tests -------------------------------------------------------------------------------- */

static int reset(void **state)
{
    (void)state;
    memset(manners, 0, sizeof(manners));
    memset(forward_counts, 0, sizeof(forward_counts));
    slow_channels = 0;
    copy_sleep_ns = 0;
    nhwc_norm_sleep_ns = 0;
    backward_count = 0;
    training_count = 0;
    return 0;
}

static void choose_for(const char *text, bool is_training, enum dv_layout layouts[static ROWS])
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_problems problems;
    struct dv_arch *arch = NULL;
    struct dv_graph *graph = NULL;
    struct dv_error error;

    dv_problems_init(&problems, arena, 5);
    assert_int_equal(dv_json_parse(text, strlen(text), &json, NULL), DV_OK);
    assert_int_equal(dv_arch_parse(json, arena, &problems, &arch, &error), DV_OK);
    assert_int_equal(
        dv_graph_build(arch, (struct dv_shape){3, 8, 8}, 4, arena, &problems, &graph, &error),
        DV_OK);
    assert_int_equal(graph->row_count, ROWS);
    assert_int_equal(dv_layout_choose(graph, &fake, 2, is_training, layouts, &error), DV_OK);
}

static void choose(bool is_training, enum dv_layout layouts[static ROWS])
{
    choose_for(arch_text, is_training, layouts);
}

static void the_faster_layout_is_taken(void **state)
{
    enum dv_layout layouts[ROWS];

    (void)state;
    for (int slow = 0; slow < DV_LAYOUT_COUNT; slow++) {
        (void)reset(NULL);
        manners[slow].sleep_ns = 20000000;
        choose(true, layouts);
        assert_int_equal(layouts[1], 1 - slow); /* the first row's picture has no sixteens */
        assert_int_equal(layouts[2], 1 - slow);
    }
}

static void one_row_may_differ_from_its_neighbours(void **state)
{
    enum dv_layout layouts[ROWS];

    (void)state;
    slow_channels = 48;
    manners[DV_LAYOUT_NHWC].sleep_ns = 20000000;
    choose(true, layouts);
    assert_int_equal(layouts[2], DV_LAYOUT_BLOCKED);
}

static void copies_inside_a_row_count(void **state)
{
    enum dv_layout layouts[ROWS];

    (void)state;
    nhwc_norm_sleep_ns = 4000000;
    choose_for(narrow_text, true, layouts);
    assert_int_equal(layouts[1], DV_LAYOUT_BLOCKED);
    copy_sleep_ns = 40000000;
    choose_for(narrow_text, true, layouts);
    assert_int_equal(layouts[1], DV_LAYOUT_NHWC);
}

static void a_fallback_kernel_is_not_even_tried(void **state)
{
    enum dv_layout layouts[ROWS];

    (void)state;
    manners[DV_LAYOUT_BLOCKED].is_fallback = true;
    choose(true, layouts);
    assert_int_equal(forward_counts[DV_LAYOUT_BLOCKED], 0);
    assert_true(forward_counts[DV_LAYOUT_NHWC] > 0);
    assert_int_equal(layouts[1], DV_LAYOUT_NHWC);
    assert_int_equal(layouts[2], DV_LAYOUT_NHWC);
}

static void what_a_layout_cannot_do_is_done_in_the_other(void **state)
{
    enum dv_layout layouts[ROWS];

    (void)state;
    manners[DV_LAYOUT_BLOCKED].is_unsupported = true;
    choose(true, layouts);
    assert_int_equal(layouts[1], DV_LAYOUT_NHWC);
    assert_int_equal(layouts[2], DV_LAYOUT_NHWC);
}

static void a_network_that_only_answers_is_measured_answering(void **state)
{
    enum dv_layout layouts[ROWS];

    (void)state;
    choose(false, layouts);
    assert_int_equal(training_count, 0);
    assert_int_equal(backward_count, 0);
    choose(true, layouts);
    assert_true(training_count > 0);
    assert_true(backward_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_faster_layout_is_taken, reset),
        cmocka_unit_test_setup(one_row_may_differ_from_its_neighbours, reset),
        cmocka_unit_test_setup(copies_inside_a_row_count, reset),
        cmocka_unit_test_setup(a_fallback_kernel_is_not_even_tried, reset),
        cmocka_unit_test_setup(what_a_layout_cannot_do_is_done_in_the_other, reset),
        cmocka_unit_test_setup(a_network_that_only_answers_is_measured_answering, reset),
    };

    return cmocka_run_group_tests_name("layout choice", tests, NULL, NULL);
}
