/* SPDX-License-Identifier: Apache-2.0 */
#include "train/recipe.h"

#include "base/arena.h"
#include "base/json.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CLASSES 2

static struct dv_class_summary classes[CLASSES];

static struct dv_dataset_summary make_dataset(
    uint32_t channels, uint32_t side_min, uint32_t side_max, uint64_t train_count)
{
    classes[0] = (struct dv_class_summary){.name = "cat", .counts = {train_count / 2, 10, 10}};
    classes[1] = (struct dv_class_summary){.name = "dog", .counts = {train_count / 2, 10, 10}};
    return (struct dv_dataset_summary){.classes = classes,
        .class_count = CLASSES,
        .channels = channels,
        .side_min = side_min,
        .side_max = side_max,
        .side_median = (side_min + side_max) / 2,
        .has_one_size = side_min == side_max};
}

/* Lower the recipe's network; its multiply-adds. */
static uint64_t macs_of(const struct dv_dataset_summary *dataset, uint32_t size)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_json *json = dv_recipe_architecture(dataset, size, 0.2);
    struct dv_shape input = {.channels = dataset->channels, .rows = size, .columns = size};
    struct dv_problems problems;
    struct dv_arch *arch = NULL;
    struct dv_graph *graph = NULL;

    dv_problems_init(&problems, arena, 5);
    if (dv_arch_parse(json, arena, &problems, &arch, NULL) != DV_OK) {
        fail_msg("%s: %s", problems.items[0].pointer, problems.items[0].message);
    }
    if (dv_graph_build(arch, input, dataset->class_count, arena, &problems, &graph, NULL) !=
        DV_OK) {
        fail_msg("%s: %s", problems.items[0].pointer, problems.items[0].message);
    }
    assert_int_equal(graph->note_count, 0);
    uint64_t macs = graph->macs;
    dv_json_unref(json);
    dv_arena_destroy(arena);
    return macs;
}

static void fashion_mnist_gets_a_small_network_and_twelve_epochs(void **state)
{
    struct dv_dataset_summary dataset = make_dataset(1, 28, 28, 54000);
    uint32_t size = dv_dataset_image_size(&dataset);
    uint64_t macs = macs_of(&dataset, size);
    struct dv_hyperparameters h = dv_recipe_hyperparameters(&dataset, size, macs);

    (void)state;
    assert_int_equal(size, 28);
    assert_true(macs > 8000000);
    assert_true(macs < 14000000);
    assert_int_equal(h.epochs, 12);
    assert_int_equal(h.batch_size, 128);
    assert_int_equal(h.augmentation, DV_AUGMENTATION_FLIP);
    assert_int_equal(h.optimizer, DV_OPTIMIZER_SGD);
    assert_int_equal(h.schedule, DV_SCHEDULE_ONECYCLE);
    assert_true(h.learning_rate == 0.1);
    assert_true(h.momentum == 0.9);
    assert_true(h.weight_decay == 5e-4);
    assert_true(h.label_smoothing == 0.1);
    assert_true(h.ema == 0.9901); /* 1 - 50 / steps, to four digits */
}

static void few_photographs_get_many_epochs_within_the_budget(void **state)
{
    struct dv_dataset_summary dataset = make_dataset(3, 145, 640, 600);
    uint32_t size = dv_dataset_image_size(&dataset);
    uint64_t macs = macs_of(&dataset, size);
    struct dv_hyperparameters h = dv_recipe_hyperparameters(&dataset, size, macs);

    (void)state;
    assert_int_equal(size, 128);
    assert_int_equal(h.batch_size, 64);
    assert_true(h.epochs > 60);
    assert_true(6.0 * (double)macs * 600.0 * (double)h.epochs < 50e12);
    assert_int_equal(h.augmentation, DV_AUGMENTATION_STRONG);
}

static void a_few_hundred_small_pictures_make_eight_steps_an_epoch(void **state)
{
    struct dv_dataset_summary dataset = make_dataset(3, 32, 32, 400);
    struct dv_hyperparameters h = dv_recipe_hyperparameters(&dataset, 32, 40000000);

    (void)state;
    assert_int_equal(h.batch_size, 32);
    assert_true(400 / h.batch_size >= 8);
    assert_true(h.epochs > 50);
    assert_int_equal(dv_recipe_batch_size(3, 128), 8);
    assert_int_equal(dv_recipe_batch_size(1000000, 128), 128);
}

static void every_size_has_a_network_that_fits(void **state)
{
    static const uint32_t sides[] = {1, 8, 9, 28, 31, 40, 41, 64, 100, 160, 161, 3000};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(sides); i++) {
        for (uint32_t channels = 1; channels <= 3; channels += 2) {
            struct dv_dataset_summary dataset = make_dataset(channels, sides[i], sides[i], 100);
            uint32_t size = dv_dataset_image_size(&dataset);
            assert_true(size >= 8);
            assert_true(size <= 128);
            assert_true(macs_of(&dataset, size) > 0);
        }
    }
}

static void digits_letters_and_signs_are_not_mirrored(void **state)
{
    static const char *const fixed[] = {"7", "42", "b", "sign_0", "Turn-Left", "Digit 3"};
    static const char *const free_to_flip[] = {"dandelion", "T-shirt_top", "ship", "cat 2"};
    struct dv_dataset_summary dataset = make_dataset(3, 32, 32, 400);

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(fixed); i++) {
        classes[1].name = fixed[i];
        assert_false(dv_recipe_can_flip(&dataset));
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(free_to_flip); i++) {
        classes[1].name = free_to_flip[i];
        assert_true(dv_recipe_can_flip(&dataset));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fashion_mnist_gets_a_small_network_and_twelve_epochs),
        cmocka_unit_test(few_photographs_get_many_epochs_within_the_budget),
        cmocka_unit_test(a_few_hundred_small_pictures_make_eight_steps_an_epoch),
        cmocka_unit_test(every_size_has_a_network_that_fits),
        cmocka_unit_test(digits_letters_and_signs_are_not_mirrored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
