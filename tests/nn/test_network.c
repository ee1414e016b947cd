/* SPDX-License-Identifier: Apache-2.0 */
#include "../format/graph_json.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/random.h"
#include "nn/network.h"
#include "spec/graph.h"
#include "spec/problem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Everything the first cut of the language has, with skips that share and skips that do not. */
static const char all_ops[] =
    "{\"name\":\"all\",\"layers\":["
    "{\"name\":\"stem\",\"op\":\"conv\",\"out\":16},"
    "{\"name\":\"s1\",\"op\":\"residual\",\"repeat\":2,\"out\":16},"
    "{\"name\":\"s2\",\"op\":\"residual\",\"repeat\":2,\"out\":32,\"stride\":2},"
    "{\"name\":\"p\",\"op\":\"pool\",\"pool\":\"max\",\"kernel\":3,\"stride\":1,\"padding\":1},"
    "{\"name\":\"b\",\"op\":\"bottleneck\",\"out\":32,\"expand\":2},"
    "{\"name\":\"side\",\"op\":\"conv\",\"from\":[\"s2\"],\"out\":32,\"kernel\":1,\"act\":\"none\"}"
    ","
    "{\"name\":\"join\",\"op\":\"add\",\"from\":[\"b\",\"side\",\"p\"],\"act\":\"relu\"},"
    "{\"name\":\"wide\",\"op\":\"concat\",\"from\":[\"join\",\"s2\"]},"
    "{\"name\":\"bare\",\"op\":\"conv\",\"out\":24,\"norm\":\"none\",\"stride\":2},"
    "{\"name\":\"dp\",\"op\":\"dropout\",\"drop\":0.2},"
    "{\"name\":\"flat\",\"op\":\"flatten\"},"
    "{\"name\":\"fc\",\"op\":\"linear\",\"out\":20,\"norm\":\"batch\",\"act\":\"relu\"},"
    "{\"name\":\"head\",\"op\":\"linear\"}]}";

/* The other primitives, as no single row puts them together: see graph_json.h. */
static const char all_nodes[] =
    "{\"input\":[3,12,12],\"nodes\":["
    /* A stem, and an inverted bottleneck with a gate and a skip: nodes 1 to 19. */
    "{\"op\":\"conv\",\"name\":\"stem\",\"inputs\":[0],\"out\":16,\"kernel\":3,\"padding\":1},"
    "{\"op\":\"batch_norm\",\"name\":\"stem_bn\",\"inputs\":[1]},"
    "{\"op\":\"activation\",\"inputs\":[2],\"act\":\"relu6\"},"
    "{\"op\":\"conv\",\"name\":\"wide\",\"inputs\":[3],\"out\":48,\"kernel\":1},"
    "{\"op\":\"batch_norm\",\"name\":\"wide_bn\",\"inputs\":[4]},"
    "{\"op\":\"activation\",\"inputs\":[5],\"act\":\"silu\"},"
    "{\"op\":\"conv\",\"name\":\"deep\",\"inputs\":[6],\"out\":48,\"kernel\":5,\"padding\":2,"
    "\"groups\":48},"
    "{\"op\":\"batch_norm\",\"name\":\"deep_bn\",\"inputs\":[7]},"
    "{\"op\":\"activation\",\"inputs\":[8],\"act\":\"silu\"},"
    "{\"op\":\"global_pool\",\"inputs\":[9]},"
    "{\"op\":\"conv\",\"name\":\"fc1\",\"inputs\":[10],\"out\":8,\"kernel\":1,\"bias\":true},"
    "{\"op\":\"activation\",\"inputs\":[11],\"act\":\"relu\"},"
    "{\"op\":\"conv\",\"name\":\"fc2\",\"inputs\":[12],\"out\":48,\"kernel\":1,\"bias\":true},"
    "{\"op\":\"activation\",\"inputs\":[13],\"act\":\"sigmoid\"},"
    "{\"op\":\"scale\",\"inputs\":[9,14]},"
    "{\"op\":\"conv\",\"name\":\"narrow\",\"inputs\":[15],\"out\":16,\"kernel\":1},"
    "{\"op\":\"batch_norm\",\"name\":\"narrow_bn\",\"inputs\":[16]},"
    "{\"op\":\"drop_path\",\"inputs\":[17],\"drop\":0.3},"
    "{\"op\":\"add\",\"inputs\":[18,3]},"
    /* A block with group norms and a shortcut without parameters: nodes 20 to 27. */
    "{\"op\":\"conv\",\"name\":\"c1\",\"inputs\":[19],\"out\":32,\"kernel\":3,\"padding\":1,"
    "\"stride\":2,\"groups\":4},"
    "{\"op\":\"group_norm\",\"name\":\"gn1\",\"inputs\":[20],\"groups\":8},"
    "{\"op\":\"activation\",\"inputs\":[21],\"act\":\"gelu\"},"
    "{\"op\":\"conv\",\"name\":\"c2\",\"inputs\":[22],\"out\":32,\"kernel\":3,\"padding\":1},"
    "{\"op\":\"group_norm\",\"name\":\"gn2\",\"inputs\":[23],\"groups\":2},"
    "{\"op\":\"pad_shortcut\",\"inputs\":[19],\"out\":32,\"stride\":2},"
    "{\"op\":\"add\",\"inputs\":[24,25]},"
    "{\"op\":\"activation\",\"inputs\":[26],\"act\":\"hardswish\"},"
    /* Activations that the layer before can take and those that it cannot; a gate without a norm.
     */
    "{\"op\":\"conv\",\"name\":\"bare\",\"inputs\":[27],\"out\":24,\"kernel\":1,\"bias\":true},"
    "{\"op\":\"activation\",\"inputs\":[28],\"act\":\"leaky_relu\"},"
    "{\"op\":\"global_pool\",\"inputs\":[29]},"
    "{\"op\":\"conv\",\"name\":\"fc3\",\"inputs\":[30],\"out\":24,\"kernel\":1,\"bias\":true},"
    "{\"op\":\"activation\",\"inputs\":[31],\"act\":\"hardsigmoid\"},"
    "{\"op\":\"scale\",\"inputs\":[29,32]},"
    "{\"op\":\"activation\",\"inputs\":[33],\"act\":\"relu6\"},"
    "{\"op\":\"flatten\",\"inputs\":[34]},"
    "{\"op\":\"linear\",\"name\":\"fc4\",\"inputs\":[35],\"out\":32},"
    "{\"op\":\"group_norm\",\"name\":\"gn3\",\"inputs\":[36],\"groups\":4},"
    "{\"op\":\"activation\",\"inputs\":[37],\"act\":\"silu\"},"
    "{\"op\":\"linear\",\"name\":\"head\",\"inputs\":[38],\"out\":5,\"bias\":true}]}";

enum { BATCH = 8, SIDE = 12, CLASSES = 5, PIXELS = BATCH * SIDE * SIDE * 3 };

struct fixture {
    struct dv_arena *arena;
    struct dv_graph *graph;
    float *pixels; /* [BATCH, SIDE, SIDE, 3] */
    uint32_t labels[BATCH];
};

static struct dv_graph *build(struct dv_arena *arena, const char *text)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_problems problems;
    struct dv_arch *arch;
    struct dv_graph *graph = NULL;
    struct dv_error error = {0};

    dv_problems_init(&problems, arena, 5);
    assert_int_equal(dv_json_parse(text, strlen(text), &json, &error), DV_OK);
    enum dv_status status = dv_arch_parse(json, arena, &problems, &arch, &error);
    if (status == DV_OK) {
        status = dv_graph_build(
            arch, (struct dv_shape){3, SIDE, SIDE}, CLASSES, arena, &problems, &graph, &error);
    }
    if (status != DV_OK) {
        fail_msg("%s", problems.count ? problems.items[0].message : error.text);
    }
    return graph;
}

static struct dv_graph *read_nodes(struct dv_arena *arena, const char *text)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;

    assert_int_equal(dv_json_parse(text, strlen(text), &json, NULL), DV_OK);
    return graph_json_read(json, arena);
}

static int set_up_with(void **state, bool has_rows)
{
    struct fixture *f = dv_alloc(sizeof(*f));
    struct dv_random random = dv_random_make(3, DV_RANDOM_SAMPLE, 0, 0);
    void *memory;

    f->arena = dv_arena_create(0);
    f->graph = has_rows ? build(f->arena, all_ops) : read_nodes(f->arena, all_nodes);
    assert_int_equal(dv_try_alloc_aligned(PIXELS * sizeof(float), &memory, NULL), DV_OK);
    f->pixels = memory;
    for (size_t i = 0; i < PIXELS; i++) {
        f->pixels[i] = (float)dv_random_normal(&random);
    }
    for (uint32_t i = 0; i < BATCH; i++) {
        f->labels[i] = i % CLASSES;
    }
    *state = f;
    return 0;
}

static int set_up_ops(void **state)
{
    return set_up_with(state, true);
}

static int set_up_nodes(void **state)
{
    return set_up_with(state, false);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    dv_arena_destroy(f->arena);
    dv_free(f->pixels);
    dv_free(f);
    return 0;
}

static struct dv_network *make_kind(
    const struct fixture *f, const char *backend, const struct dv_json *plan, bool is_training)
{
    struct dv_network_options options = {.backend = backend,
        .batch_size = BATCH,
        .thread_count = 2,
        .is_training = is_training,
        .plan = plan,
        .seed = 9};
    struct dv_network *network;
    struct dv_error error = {0};

    if (dv_network_create(f->graph, &options, &network, &error) != DV_OK) {
        print_error("%s\n", error.text);
        fail();
    }
    dv_network_init(network, 1);
    return network;
}

static struct dv_network *make(
    const struct fixture *f, const char *backend, const struct dv_json *plan)
{
    return make_kind(f, backend, plan, true);
}

static struct dv_json *plan_with_layout(const struct fixture *f, const char *layout)
{
    struct dv_json *plan = dv_json_object();
    struct dv_json *layouts = dv_json_array();

    dv_json_set_string(plan, "backend", "onednn");
    for (uint32_t r = 0; r < f->graph->row_count; r++) {
        bool alternates = strcmp(layout, "mixed") == 0;
        dv_json_append(layouts, dv_json_string(alternates ? (r % 2 ? "blocked" : "nhwc") : layout));
    }
    dv_json_set(plan, "layouts", layouts);
    return plan;
}

static float *canonical(struct dv_network *network, const float *flat)
{
    float *values = dv_alloc(dv_network_tensor_floats(network) * sizeof(float));

    dv_network_get_tensors(network, flat, values);
    return values;
}

static void expect_near(const float *found, const float *wanted, size_t count, double tolerance)
{
    double scale = 0;

    for (size_t i = 0; i < count; i++) {
        scale = fmax(scale, fabs((double)wanted[i]));
    }
    for (size_t i = 0; i < count; i++) {
        assert_true(fabs((double)found[i] - (double)wanted[i]) <= tolerance * scale);
    }
}

/* Tensor by tensor: gradients of one are a thousand times those of another. */
static void expect_tensors_near(
    const struct fixture *f, const float *found, const float *wanted, double tolerance)
{
    for (uint32_t t = 0; t < f->graph->tensor_count; t++) {
        size_t count = (size_t)f->graph->tensors[t].count;
        expect_near(found, wanted, count, tolerance);
        found += count;
        wanted += count;
    }
}

static void gradients_equal_the_reference_in_every_layout(void **state)
{
    static const char *const layouts[] = {"nhwc", "blocked", "mixed"};
    struct fixture *f = *state;
    struct dv_network *ref = make(f, "ref", NULL);
    uint32_t correct;
    double loss = dv_network_train(ref, f->pixels, f->labels, BATCH, 0.1, 5, &correct);
    float *wanted = canonical(ref, dv_network_gradients(ref));

    for (size_t i = 0; i < DV_ARRAY_SIZE(layouts); i++) {
        struct dv_json *plan = plan_with_layout(f, layouts[i]);
        struct dv_network *network = make(f, "onednn", plan);
        assert_float_equal(
            dv_network_train(network, f->pixels, f->labels, BATCH, 0.1, 5, &correct), loss, 1e-4);
        float *found = canonical(network, dv_network_gradients(network));
        expect_tensors_near(f, found, wanted, 2e-3);
        dv_free(found);
        dv_network_destroy(network);
        dv_json_unref(plan);
    }
    dv_free(wanted);
    dv_network_destroy(ref);
}

/* As after a training: no norm has the weight, the bias and the statistics it began with. */
static float *trained_values(const struct fixture *f, struct dv_network *network)
{
    struct dv_random random = dv_random_make(4, DV_RANDOM_SAMPLE, 0, 0);
    float *values = canonical(network, NULL);
    float *at = values;

    for (uint32_t t = 0; t < f->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &f->graph->tensors[t];
        enum dv_node_op op = f->graph->nodes[tensor->node].op;
        bool is_norm = op == DV_NODE_BATCH_NORM || op == DV_NODE_GROUP_NORM;
        for (uint64_t i = 0; i < tensor->count; i++, at++) {
            bool is_positive =
                tensor->role == DV_TENSOR_WEIGHT || tensor->role == DV_TENSOR_RUNNING_VAR;
            float value = (float)dv_random_unit(&random) + (is_positive ? 0.2f : -0.5f);
            *at = is_norm ? value : *at;
        }
    }
    return values;
}

static void answers_are_those_of_the_unfolded_reference_in_every_layout(void **state)
{
    static const char *const layouts[] = {"nhwc", "blocked", "mixed"};
    struct fixture *f = *state;
    struct dv_network *ref = make(f, "ref", NULL);
    float *values = trained_values(f, ref);
    float wanted[BATCH * CLASSES];
    float found[BATCH * CLASSES];

    dv_network_set_tensors(ref, NULL, values);
    dv_network_infer(ref, f->pixels, wanted);
    for (size_t i = 0; i <= DV_ARRAY_SIZE(layouts); i++) {
        bool is_ref = i == DV_ARRAY_SIZE(layouts);
        struct dv_json *plan = is_ref ? NULL : plan_with_layout(f, layouts[i]);
        struct dv_network *network = make_kind(f, is_ref ? "ref" : "onednn", plan, false);
        DV_CLEANUP(dv_json_unrefp) struct dv_json *made = dv_network_plan(network);
        DV_CLEANUP(dv_freep) char *text = dv_json_print(made);
        dv_network_set_tensors(network, NULL, values);
        dv_network_infer(network, f->pixels, found);
        expect_near(found, wanted, BATCH * CLASSES, 1e-5);
        assert_null(strstr(text, "batch_norm"));
        dv_network_destroy(network);
        dv_json_unref(plan);
    }
    dv_free(values);
    dv_network_destroy(ref);
}

static void a_network_in_training_answers_as_one_that_only_answers(void **state)
{
    struct fixture *f = *state;
    struct dv_network *training = make(f, "onednn", NULL);
    struct dv_network *answering = make_kind(f, "onednn", NULL, false);
    float *values = trained_values(f, training);
    float logits[2][BATCH * CLASSES];

    dv_network_set_tensors(training, NULL, values);
    dv_network_set_tensors(answering, NULL, values);
    dv_network_infer(training, f->pixels, logits[0]);
    dv_network_infer(answering, f->pixels, logits[1]);
    expect_near(logits[0], logits[1], BATCH * CLASSES, 1e-5);
    dv_free(values);
    dv_network_destroy(training);
    dv_network_destroy(answering);
}

static void tensors_come_back_as_they_were_set(void **state)
{
    struct fixture *f = *state;
    struct dv_json *plan = plan_with_layout(f, "mixed");
    struct dv_network *network = make(f, "onednn", plan);
    size_t count = dv_network_tensor_floats(network);
    float *values = dv_alloc(count * sizeof(float));
    float *found = dv_alloc(count * sizeof(float));

    for (size_t i = 0; i < count; i++) {
        values[i] = (float)i;
    }
    dv_network_set_tensors(network, NULL, values);
    dv_network_get_tensors(network, NULL, found);
    assert_memory_equal(found, values, count * sizeof(float));
    dv_free(values);
    dv_free(found);
    dv_network_destroy(network);
    dv_json_unref(plan);
}

static void the_same_seed_and_plan_give_the_same_bits(void **state)
{
    struct fixture *f = *state;
    struct dv_json *plan = plan_with_layout(f, "mixed");
    struct dv_network *a = make(f, "onednn", plan);
    struct dv_network *b = make(f, "onednn", plan);
    uint32_t correct;

    for (uint64_t step = 0; step < 3; step++) {
        (void)dv_network_train(a, f->pixels, f->labels, BATCH, 0.1, step, &correct);
        (void)dv_network_train(b, f->pixels, f->labels, BATCH, 0.1, step, &correct);
    }
    assert_memory_equal(
        dv_network_gradients(a), dv_network_gradients(b), dv_network_flat_count(a) * sizeof(float));
    dv_network_destroy(a);
    dv_network_destroy(b);
    dv_json_unref(plan);
}

/* Whatever bits depend on: a resume compares it with what it has itself. */
static void a_plan_says_what_the_bits_depend_on(void **state)
{
    struct fixture *f = *state;
    struct dv_network *network = make(f, "onednn", NULL);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *plan = dv_network_plan(network);
    const char *set = dv_json_get_string(plan, "instruction_set", "");

    assert_string_equal(dv_json_get_string(plan, "backend", ""), "onednn");
    assert_true(strncmp(dv_json_get_string(plan, "library", ""), "oneDNN 2.", 9) == 0);
    assert_true(
        strcmp(set, "avx512") == 0 || strcmp(set, "avx2") == 0 || strcmp(set, "baseline") == 0);
    assert_int_equal(dv_json_get_integer(plan, "threads", 0), 2);
    assert_int_equal(dv_json_get_integer(plan, "batch_size", 0), BATCH);
    assert_int_equal(dv_json_count(dv_json_get(plan, "layouts")), f->graph->row_count);
    dv_network_destroy(network);
}

/* Convolutions: He's deviation for their fan out; linear layers: evenly in 1/sqrt(fan in). */
static void first_weights_spread_as_they_should(void **state)
{
    struct fixture *f = *state;
    struct dv_network *network = make(f, "onednn", NULL);
    DV_CLEANUP(dv_freep) float *values = canonical(network, NULL);
    const float *at = values;

    for (uint32_t t = 0; t < f->graph->tensor_count; t++) {
        const struct dv_graph_tensor *tensor = &f->graph->tensors[t];
        const struct dv_node *node = &f->graph->nodes[tensor->node];
        double sum = 0, squares = 0, count = (double)tensor->count;
        for (uint64_t i = 0; i < tensor->count; i++) {
            sum += (double)at[i];
            squares += (double)at[i] * (double)at[i];
        }
        at += tensor->count;
        if (node->op == DV_NODE_CONV && tensor->role == DV_TENSOR_WEIGHT) {
            uint32_t out = tensor->shape[0] / node->groups;
            double variance = 2.0 / (out * node->kernel * node->kernel);
            assert_true(fabs(sum / count) < 5 * sqrt(variance / count));
            assert_true(fabs(squares / count - variance) < 5 * variance * sqrt(2 / count));
        } else if (node->op == DV_NODE_LINEAR && tensor->role == DV_TENSOR_WEIGHT) {
            double variance = 1.0 / 3 / tensor->shape[1];
            assert_true(fabs(squares / count - variance) < 5 * variance * sqrt(0.8 / count));
        } else if (node->op != DV_NODE_LINEAR) {
            bool is_one = node->op != DV_NODE_CONV && (tensor->role == DV_TENSOR_WEIGHT ||
                                                          tensor->role == DV_TENSOR_RUNNING_VAR);
            assert_true(sum == (is_one ? count : 0.0));
        }
    }
    dv_network_destroy(network);
}

/* Without norms a picture has nothing to do with the others of its batch. */
static void a_batch_that_is_not_full_counts_only_its_own_pictures(void **state)
{
    static const char text[] = "{\"name\":\"plain\",\"layers\":["
                               "{\"name\":\"c\",\"op\":\"conv\",\"out\":4,\"norm\":\"none\"},"
                               "{\"name\":\"p\",\"op\":\"pool\",\"pool\":\"max\"},"
                               "{\"name\":\"head\",\"op\":\"linear\"}]}";
    enum { REAL = 3 };
    struct fixture f = *(struct fixture *)*state;
    float *gradients[2];
    uint32_t correct[2];
    double losses[2];
    void *pixels;

    f.graph = build(f.arena, text);
    assert_int_equal(dv_try_alloc_aligned(PIXELS * sizeof(float), &pixels, NULL), DV_OK);
    memcpy(pixels, f.pixels, REAL * (PIXELS / BATCH) * sizeof(float)); /* and zeros behind them */
    for (int i = 0; i < 2; i++) {
        struct dv_network *network = make(&f, "onednn", NULL);
        const float *input = i == 0 ? pixels : f.pixels;
        losses[i] = dv_network_train(network, input, f.labels, REAL, 0.1, 0, &correct[i]);
        gradients[i] = canonical(network, dv_network_gradients(network));
        dv_network_destroy(network);
    }
    assert_true(fabs(losses[0] - losses[1]) < 1e-6);
    assert_int_equal(correct[0], correct[1]);
    expect_tensors_near(&f, gradients[0], gradients[1], 1e-5);
    dv_free(gradients[0]);
    dv_free(gradients[1]);
    dv_free(pixels);
}

/* Whatever our own code asks for: the build links these in place of the C library's. */
static size_t own_allocations;

int __real_posix_memalign(void **memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    own_allocations++;
    return __real_posix_memalign(memory, alignment, size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    own_allocations++;
    return __real_calloc(count, size);
}

/*
 * What oneDNN asks for in pieces of 4 KiB and more. Not counted are its small maps of arguments
 * at each call, nor its posix_memalign(), which is where a matrix product takes a buffer to pack
 * a matrix into and gives it back before it returns.
 */
static size_t large_allocations;

#if !defined(__SANITIZE_ADDRESS__) /* which has a malloc of its own, there before any other */
void *__libc_malloc(size_t size);
void *malloc(size_t size)
{
    large_allocations += size >= 4096;
    return __libc_malloc(size);
}
#endif

static void a_step_allocates_nothing_after_the_first(void **state)
{
    struct fixture *f = *state;
    struct dv_network *network = make(f, "onednn", NULL);
    uint32_t correct;

    assert_true(own_allocations > 0); /* they are seen */
    for (uint64_t step = 0; step < 2; step++) {
        (void)dv_network_train(network, f->pixels, f->labels, BATCH, 0.1, step, &correct);
    }
    size_t own_before = own_allocations, large_before = large_allocations;
    for (uint64_t step = 2; step < 12; step++) {
        (void)dv_network_train(network, f->pixels, f->labels, BATCH, 0.1, step, &correct);
    }
    assert_int_equal(own_allocations, own_before);
    assert_int_equal(large_allocations, large_before);
    dv_network_destroy(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_the_reference_in_every_layout),
        cmocka_unit_test(answers_are_those_of_the_unfolded_reference_in_every_layout),
        cmocka_unit_test(a_network_in_training_answers_as_one_that_only_answers),
        cmocka_unit_test(tensors_come_back_as_they_were_set),
        cmocka_unit_test(the_same_seed_and_plan_give_the_same_bits),
        cmocka_unit_test(a_plan_says_what_the_bits_depend_on),
        cmocka_unit_test(first_weights_spread_as_they_should),
        cmocka_unit_test(a_batch_that_is_not_full_counts_only_its_own_pictures),
        cmocka_unit_test(a_step_allocates_nothing_after_the_first),
    };

    int failed = cmocka_run_group_tests_name("network of rows", tests, set_up_ops, tear_down);
    return failed + cmocka_run_group_tests_name("network of nodes", tests, set_up_nodes, tear_down);
}
