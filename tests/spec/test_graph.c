/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_test.h"

#include "spec/arch_field.h"

#define HEAD "{'name':'gap','op':'global_pool'},{'name':'head','op':'linear'}"

static uint32_t row_index(const struct spec_test *t, const char *name)
{
    for (uint32_t i = 0; i < t->arch->row_count; i++) {
        if (strcmp(t->arch->rows[i].name, name) == 0) {
            return i;
        }
    }
    fail_msg("there is no row %s", name);
    return 0;
}

static void assert_row(const struct spec_test *t, const char *name, struct dv_shape shape,
    uint64_t parameters, uint64_t macs)
{
    uint32_t row = row_index(t, name);
    struct dv_shape found = t->graph->nodes[t->graph->row_nodes[row]].shape;
    uint64_t found_parameters, found_macs;

    dv_graph_row_cost(t->graph, row, &found_parameters, &found_macs);
    assert_int_equal(found.channels, shape.channels);
    assert_int_equal(found.rows, shape.rows);
    assert_int_equal(found.columns, shape.columns);
    assert_int_equal(found_parameters, parameters);
    assert_int_equal(found_macs, macs);
}

/* Section 4.3 of the design notes, whole: written as a proposer does, totals checked there. */
static void has_the_totals_of_the_worked_example(void **state)
{
    struct spec_test t = spec_test_build(
        "{'name':'stem','op':'conv','out':32},"
        "{'name':'s1','op':'residual','repeat':2,'out':32},"
        "{'name':'s2','op':'residual','repeat':2,'out':64,'stride':2,'se':0.25},"
        "{'name':'s3','op':'mbconv','repeat':2,'out':128,'stride':2,'expand':4,'se':0.25,"
        "'act':'silu','drop':0.05},"
        "{'name':'proj','op':'conv','from':['s2'],'out':128,'kernel':1,'stride':2,'act':'none'},"
        "{'name':'join','op':'add','from':['s3','proj'],'act':'relu'},"
        "{'name':'gap','op':'global_pool','pool':'avg'},"
        "{'name':'dp','op':'dropout','drop':0.2},"
        "{'name':'head','op':'linear','out':10}");
    (void)state;

    assert_non_null(t.graph);
    assert_row(&t, "stem", (struct dv_shape){32, 32, 32}, 928, 884736);
    assert_row(&t, "s1", (struct dv_shape){32, 32, 32}, 37120, 37748736);
    assert_row(&t, "s2", (struct dv_shape){64, 16, 16}, 135968, 33558528);
    assert_row(&t, "s3", (struct dv_shape){128, 8, 8}, 232496, 15163392);
    assert_row(&t, "proj", (struct dv_shape){128, 8, 8}, 8448, 524288);
    assert_row(&t, "join", (struct dv_shape){128, 8, 8}, 0, 0);
    assert_row(&t, "head", (struct dv_shape){10, 1, 1}, 1290, 1280);
    assert_int_equal(t.graph->parameter_count, 416250);
    assert_int_equal(t.graph->macs, 87880960);
    spec_test_finish(&t);
}

static const struct dv_node *node_named(const struct spec_test *t, const char *name)
{
    for (uint32_t i = 0; i < t->graph->node_count; i++) {
        if (strcmp(t->graph->nodes[i].name, name) == 0) {
            return &t->graph->nodes[i];
        }
    }
    return NULL;
}

static uint32_t tensor_count_of(const struct dv_node *node)
{
    uint32_t count = 0;

    for (size_t role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        count += node->tensors[role] != DV_NO_TENSOR;
    }
    return count;
}

static void names_follow_the_rows(void **state)
{
    struct spec_test t = spec_test_build(
        "{'name':'stem','op':'conv','out':8},{'name':'twice','op':'conv','repeat':2},"
        "{'name':'bare','op':'conv','norm':'none','act':'none'},"
        "{'name':'b','op':'bottleneck','out':16},{'name':'hidden','op':'linear','out':12,"
        "'norm':'batch','act':'relu'}," HEAD);
    (void)state;

    assert_null(t.graph); /* gap needs a map */
    spec_test_finish(&t);
    t = spec_test_build(
        "{'name':'stem','op':'conv','out':8},{'name':'twice','op':'conv','repeat':2},"
        "{'name':'bare','op':'conv','norm':'none','act':'none'},"
        "{'name':'b','op':'bottleneck','out':16},"
        "{'name':'hidden','op':'linear','out':12,'norm':'batch','act':'relu'},"
        "{'name':'head','op':'linear'}");
    static const char *const names[] = {"stem.conv", "stem.bn", "twice.0.conv", "twice.1.bn",
        "bare.conv", "b.0.conv1", "b.0.bn3", "b.0.downsample.0", "b.0.downsample.1",
        "hidden.linear", "hidden.bn", "head"};
    assert_non_null(t.graph);
    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        if (!node_named(&t, names[i])) {
            fail_msg("there is no module %s", names[i]);
        }
    }
    assert_null(node_named(&t, "bare.bn"));
    assert_int_equal(tensor_count_of(node_named(&t, "stem.conv")), 1); /* the norm has the bias */
    assert_int_equal(tensor_count_of(node_named(&t, "bare.conv")), 2);
    assert_int_equal(tensor_count_of(node_named(&t, "stem.bn")), 4);
    assert_int_equal(tensor_count_of(node_named(&t, "hidden.linear")), 1);
    assert_int_equal(tensor_count_of(node_named(&t, "head")), 2);
    spec_test_finish(&t);
}

static void tensors_say_what_is_trained_and_decays(void **state)
{
    struct spec_test t = spec_test_build("{'name':'stem','op':'conv','out':8}," HEAD);
    (void)state;

    assert_non_null(t.graph);
    for (uint32_t i = 0; i < t.graph->tensor_count; i++) {
        const struct dv_graph_tensor *tensor = &t.graph->tensors[i];
        bool is_norm = t.graph->nodes[tensor->node].op == DV_NODE_BATCH_NORM;
        bool is_running = strstr(tensor->name, "running_") != NULL;
        assert_int_equal(tensor->is_trained, !is_running);
        assert_int_equal(tensor->has_decay, tensor->role == DV_TENSOR_WEIGHT && !is_norm);
        assert_int_equal(t.graph->nodes[tensor->node].tensors[tensor->role], i);
    }
    spec_test_finish(&t);
}

static void puts_a_pool_and_a_flatten_before_a_linear_row_and_says_so(void **state)
{
    struct spec_test t = spec_test_build(
        "{'name':'stem','op':'conv','out':8},{'name':'head','op':'linear','drop':0.5}");
    (void)state;

    assert_non_null(t.graph);
    const struct dv_node *last = &t.graph->nodes[t.graph->node_count - 1];
    assert_int_equal(last->op, DV_NODE_LINEAR);
    assert_int_equal(last[-1].op, DV_NODE_DROPOUT);
    assert_int_equal(last[-2].op, DV_NODE_FLATTEN);
    assert_int_equal(last[-3].op, DV_NODE_GLOBAL_POOL);
    assert_int_equal(last[-2].row, UINT32_MAX);
    assert_int_equal(last[-3].row, UINT32_MAX);
    assert_int_equal(t.graph->note_count, 2);
    assert_string_equal(t.graph->notes[0], "global_pool before \"head\"");
    assert_string_equal(t.graph->notes[1], "\"head\".out=10, the classes");
    spec_test_finish(&t);
}

static void flattens_without_pooling_where_a_row_says_flatten(void **state)
{
    struct spec_test t = spec_test_build("{'name':'stem','op':'conv','out':4,'stride':2},"
                                         "{'name':'flat','op':'flatten'},"
                                         "{'name':'head','op':'linear','out':10}");
    (void)state;

    assert_non_null(t.graph);
    assert_int_equal(t.graph->note_count, 0);
    assert_row(&t, "flat", (struct dv_shape){4 * 16 * 16, 1, 1}, 0, 0);
    assert_row(&t, "head", (struct dv_shape){10, 1, 1}, 10240 + 10, 10240);
    spec_test_finish(&t);
}

static void padding_is_half_the_kernel_of_a_conv_and_none_of_a_pool(void **state)
{
    struct spec_test t = spec_test_build(
        "{'name':'a','op':'conv','out':4,'kernel':11},{'name':'b','op':'pool','kernel':3},"
        "{'name':'c','op':'pool','kernel':3,'stride':2,'padding':1},"
        "{'name':'d','op':'conv','kernel':5,'padding':0}," HEAD);
    (void)state;

    assert_non_null(t.graph);
    assert_int_equal(t.graph->nodes[t.graph->row_nodes[0]].shape.rows, 32);
    assert_int_equal(t.graph->nodes[t.graph->row_nodes[1]].shape.rows, 10);
    assert_int_equal(t.graph->nodes[t.graph->row_nodes[2]].shape.rows, 5);
    assert_int_equal(t.graph->nodes[t.graph->row_nodes[3]].shape.rows, 1);
    spec_test_finish(&t);
}

static void groups_divide_the_weights(void **state)
{
    struct spec_test t = spec_test_build("{'name':'a','op':'conv','out':8},"
                                         "{'name':'b','op':'conv','out':16,'groups':4}," HEAD);
    (void)state;

    assert_non_null(t.graph);
    assert_row(&t, "b", (struct dv_shape){16, 32, 32}, 16 * 2 * 9 + 32, 16 * 2 * 9 * 1024);
    spec_test_finish(&t);
}

/* The ops and activations of a row's nodes, "conv batch_norm relu6 conv". */
static void ops_of_row(const struct spec_test *t, const char *name, char *ret_text, size_t size)
{
    static const char *const acts[DV_ACT_COUNT] = {"none", "relu", "relu6", "leaky_relu", "silu",
        "gelu", "hardswish", "sigmoid", "hardsigmoid"};
    uint32_t row = row_index(t, name);
    size_t used = 0;

    ret_text[0] = '\0';
    for (uint32_t i = 0; i < t->graph->node_count; i++) {
        const struct dv_node *node = &t->graph->nodes[i];
        if (node->row == row) {
            bool is_act = node->op == DV_NODE_ACTIVATION;
            used += (size_t)snprintf(ret_text + used, size - used, "%s%s", used > 0 ? " " : "",
                is_act ? acts[node->act] : dv_node_op_name(node->op));
            assert_true(used < size);
        }
    }
}

static void blocks_are_made_of_the_ops_that_the_page_says(void **state)
{
    static const struct {
        const char *row, *ops;
    } rows[] = {
        {"'op':'conv','norm':'none','act':'gelu','pool':'avg','repeat':2", "conv gelu conv gelu pool"},
        {"'op':'residual','out':8,'se':0.25,'drop':0.1",
            "conv batch_norm relu conv batch_norm global_pool conv relu conv sigmoid scale "
            "drop_path add relu"},
        {"'op':'residual','out':16,'stride':2,'shortcut':'pad','norm':'group'",
            "conv group_norm relu conv group_norm pad_shortcut add relu"},
        {"'op':'residual','out':16,'act':'none'",
            "conv batch_norm conv batch_norm conv batch_norm add"},
        {"'op':'bottleneck','out':16,'shortcut':'pad','se':0.5,'act':'silu','norm':'none'",
            "conv silu conv silu conv global_pool conv silu conv sigmoid scale pad_shortcut add "
            "silu"},
        {"'op':'mbconv','act':'hardswish','se':0.25,'drop':0.1",
            "conv batch_norm hardswish conv batch_norm hardswish global_pool conv relu conv "
            "hardsigmoid scale conv batch_norm drop_path add"},
        {"'op':'mbconv','expand':1,'act':'relu6'", "conv batch_norm relu6 conv batch_norm add"},
        {"'op':'mbconv','stride':2,'drop':0.1",
            "conv batch_norm relu conv batch_norm relu conv batch_norm"},
        {"'op':'mbconv','out':12,'drop':0.1",
            "conv batch_norm relu conv batch_norm relu conv batch_norm"},
        {"'op':'dwsep','out':12,'act':'leaky_relu'",
            "conv batch_norm leaky_relu conv batch_norm leaky_relu"},
        {"'op':'linear','out':12,'norm':'group','act':'silu','drop':0.5",
            "dropout linear group_norm silu"},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text),
            "{'name':'stem','op':'conv','out':8},{'name':'x',%s},{'name':'head','op':'linear'}",
            rows[i].row);
        struct spec_test t = spec_test_build(text);
        assert_non_null(t.graph);
        ops_of_row(&t, "x", text, sizeof(text));
        assert_string_equal(text, rows[i].ops);
        spec_test_finish(&t);
    }
}

static void gates_are_a_share_of_the_block_and_have_biases(void **state)
{
    struct spec_test t = spec_test_build(
        "{'name':'stem','op':'conv','out':32},{'name':'a','op':'residual','se':0.5},"
        "{'name':'b','op':'mbconv','expand':6,'se':0.5},{'name':'c','op':'residual','se':0.0625},"
        HEAD);
    (void)state;

    assert_non_null(t.graph);
    assert_int_equal(node_named(&t, "a.0.se.fc1")->shape.channels, 16);
    assert_int_equal(node_named(&t, "a.0.se.fc2")->shape.channels, 32);
    assert_int_equal(node_named(&t, "b.0.se.fc1")->shape.channels, 16); /* of what comes in */
    assert_int_equal(node_named(&t, "b.0.se.fc2")->shape.channels, 192);
    assert_int_equal(node_named(&t, "c.0.se.fc1")->shape.channels, 8); /* at least */
    assert_int_equal(tensor_count_of(node_named(&t, "a.0.se.fc1")), 2);
    assert_int_equal(node_named(&t, "b.0.conv2")->groups, 192);
    spec_test_finish(&t);
}

static void group_norm_has_groups_of_eight_channels_or_more(void **state)
{
    static const uint32_t rows[][2] = {
        {1, 1}, {7, 1}, {8, 1}, {12, 1}, {16, 2}, {20, 2}, {24, 3}, {64, 8}, {256, 32}, {512, 32},
        {330, 30}};
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "{'name':'a','op':'conv','out':%u,'norm':'group'},%s",
            rows[i][0], HEAD);
        struct spec_test t = spec_test_build(text);
        assert_non_null(t.graph);
        assert_int_equal(node_named(&t, "a.bn")->op, DV_NODE_GROUP_NORM);
        assert_int_equal(node_named(&t, "a.bn")->groups, rows[i][1]);
        assert_int_equal(tensor_count_of(node_named(&t, "a.bn")), 2);
        assert_row(&t, "a", (struct dv_shape){rows[i][0], 32, 32}, rows[i][0] * (27 + 2),
            rows[i][0] * 27 * 1024ull);
        spec_test_finish(&t);
    }
}

static void pools_once_behind_all_repeats_of_a_conv(void **state)
{
    struct spec_test t = spec_test_build(
        "{'name':'a','op':'conv','out':8,'repeat':3,'stride':2,'pool':'max'}," HEAD);
    (void)state;

    assert_non_null(t.graph);
    const struct dv_node *pool = &t.graph->nodes[t.graph->row_nodes[0]];
    assert_int_equal(pool->op, DV_NODE_POOL);
    assert_int_equal(pool->pooling, DV_POOLING_MAX);
    assert_int_equal(pool->kernel, 2);
    assert_int_equal(pool->stride, 2);
    assert_int_equal(pool->shape.rows, 8);
    spec_test_finish(&t);
}

static void a_padded_shortcut_has_no_parameters_and_halves_as_the_body_does(void **state)
{
    struct spec_test t = spec_test_build("{'name':'stem','op':'conv','out':8,'stride':2,'padding':0},"
                                         "{'name':'s','op':'residual','out':20,'stride':2,"
                                         "'shortcut':'pad'}," HEAD);
    (void)state;

    assert_non_null(t.graph);
    /* 15 x 15 places become 8 x 8. */
    assert_row(&t, "s", (struct dv_shape){20, 8, 8}, 20 * 8 * 9 + 20 * 20 * 9 + 2 * 40,
        (20 * 8 * 9 + 20 * 20 * 9) * 64);
    assert_null(node_named(&t, "s.0.downsample.0"));
    spec_test_finish(&t);
}

static void concat_stacks_channels(void **state)
{
    struct spec_test t = spec_test_build(
        "{'name':'a','op':'conv','out':8},{'name':'b','op':'conv','from':['input'],'out':4},"
        "{'name':'c','op':'concat','from':['a','b','input']}," HEAD);
    (void)state;

    assert_non_null(t.graph);
    assert_row(&t, "c", (struct dv_shape){15, 32, 32}, 0, 0);
    spec_test_finish(&t);
}

static void inputs_of_a_node_come_before_it(void **state)
{
    struct spec_test t = spec_test_build_json(dv_json_string("resnet50"));
    (void)state;

    assert_non_null(t.graph);
    for (uint32_t i = 1; i < t.graph->node_count; i++) {
        assert_true(t.graph->nodes[i].input_count > 0);
        for (uint32_t j = 0; j < t.graph->nodes[i].input_count; j++) {
            assert_true(t.graph->nodes[i].inputs[j] < i);
        }
    }
    spec_test_finish(&t);
}

static void memory_grows_with_batch_and_state_and_never_wraps(void **state)
{
    struct spec_test t = spec_test_build_json(dv_json_string("resnet20"));
    (void)state;

    assert_non_null(t.graph);
    uint64_t small = dv_graph_training_memory(t.graph, (struct dv_graph_use){.batch_size = 1});
    uint64_t batch = dv_graph_training_memory(t.graph, (struct dv_graph_use){.batch_size = 64});
    uint64_t adam = dv_graph_training_memory(
        t.graph, (struct dv_graph_use){.batch_size = 64, .optimizer_slots = 2, .has_ema = true});
    assert_true(small > 2 * sizeof(float) * t.graph->parameter_count);
    assert_true(batch > small);
    assert_int_equal(adam, batch + 3 * sizeof(float) * t.graph->parameter_count);
    t.graph->nodes[1].shape = (struct dv_shape){UINT32_MAX, UINT32_MAX, UINT32_MAX};
    assert_true(dv_graph_training_memory(t.graph, (struct dv_graph_use){.batch_size = 4096}) >
                UINT64_MAX / 2);
    assert_int_equal(dv_graph_flops(t.graph), 2 * t.graph->macs);
    spec_test_finish(&t);
}

static void table_has_a_line_a_row(void **state)
{
    struct spec_test t = spec_test_build_json(dv_json_string("small_cnn"));
    (void)state;

    assert_non_null(t.graph);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *table = dv_graph_table(t.graph, t.arch);
    uint64_t parameters = 0;
    for (size_t i = 0; i < dv_json_count(table); i++) {
        parameters += (uint64_t)dv_json_get_integer(dv_json_at(table, i), "parameters", 0);
    }
    assert_int_equal(dv_json_count(table), t.arch->row_count);
    assert_int_equal(parameters, t.graph->parameter_count);
    assert_string_equal(dv_json_get_string(dv_json_at(table, 1), "op", ""), "pool");
    spec_test_finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_totals_of_the_worked_example),
        cmocka_unit_test(names_follow_the_rows),
        cmocka_unit_test(tensors_say_what_is_trained_and_decays),
        cmocka_unit_test(puts_a_pool_and_a_flatten_before_a_linear_row_and_says_so),
        cmocka_unit_test(flattens_without_pooling_where_a_row_says_flatten),
        cmocka_unit_test(padding_is_half_the_kernel_of_a_conv_and_none_of_a_pool),
        cmocka_unit_test(groups_divide_the_weights),
        cmocka_unit_test(blocks_are_made_of_the_ops_that_the_page_says),
        cmocka_unit_test(gates_are_a_share_of_the_block_and_have_biases),
        cmocka_unit_test(group_norm_has_groups_of_eight_channels_or_more),
        cmocka_unit_test(pools_once_behind_all_repeats_of_a_conv),
        cmocka_unit_test(a_padded_shortcut_has_no_parameters_and_halves_as_the_body_does),
        cmocka_unit_test(concat_stacks_channels),
        cmocka_unit_test(inputs_of_a_node_come_before_it),
        cmocka_unit_test(memory_grows_with_batch_and_state_and_never_wraps),
        cmocka_unit_test(table_has_a_line_a_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
