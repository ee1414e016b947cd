/* SPDX-License-Identifier: Apache-2.0 */
#include "data/split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS_MAX 1000u

/* `sizes[class]` items a class, each a group of its own, all in `split`. */
static uint32_t make_items(
    struct dv_split_item *items, const uint32_t *sizes, uint32_t class_count, enum dv_split split)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < class_count; i++) {
        for (uint32_t j = 0; j < sizes[i]; j++, count++) {
            items[count] = (struct dv_split_item){.class_index = i, .group = count, .split = split};
        }
    }
    return count;
}

static uint32_t count_in(
    const struct dv_split_item *items, uint32_t count, uint32_t class_index, enum dv_split split)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++) {
        found += items[i].class_index == class_index && items[i].split == split ? 1u : 0u;
    }
    return found;
}

static void each_class_is_split_80_10_10(void **state)
{
    struct dv_split_item items[ITEMS_MAX];
    const uint32_t sizes[] = {100, 48, 2, 5};
    const uint32_t tenths[] = {10, 5, 0, 1};

    (void)state;
    uint32_t count = make_items(items, sizes, 4, DV_SPLIT_TRAIN);
    assert_int_equal(dv_split_assign(items, count, 4, 7, NULL), DV_OK);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(count_in(items, count, i, DV_SPLIT_VAL), tenths[i]);
        assert_int_equal(count_in(items, count, i, DV_SPLIT_TEST), tenths[i]);
        assert_true(count_in(items, count, i, DV_SPLIT_TRAIN) >= 1);
    }
}

static void the_seed_decides_and_nothing_else(void **state)
{
    struct dv_split_item first[ITEMS_MAX];
    struct dv_split_item second[ITEMS_MAX];
    const uint32_t sizes[] = {100, 100};

    (void)state;
    uint32_t count = make_items(first, sizes, 2, DV_SPLIT_TRAIN);
    (void)make_items(second, sizes, 2, DV_SPLIT_TRAIN);
    assert_int_equal(dv_split_assign(first, count, 2, 1, NULL), DV_OK);
    assert_int_equal(dv_split_assign(second, count, 2, 1, NULL), DV_OK);
    assert_memory_equal(first, second, count * sizeof(*first));
    (void)make_items(second, sizes, 2, DV_SPLIT_TRAIN);
    assert_int_equal(dv_split_assign(second, count, 2, 2, NULL), DV_OK);
    assert_memory_not_equal(first, second, count * sizeof(*first));
}

static void groups_are_never_divided(void **state)
{
    struct dv_split_item items[ITEMS_MAX];
    const uint32_t sizes[] = {200, 200};

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        uint32_t count = make_items(items, sizes, 2, DV_SPLIT_TRAIN);
        for (uint32_t i = 0; i < count; i++) {
            items[i].group = i / 200 * 200 + i % 200 % 67; /* threes with strides */
        }
        items[300].group = 3; /* one group with two classes */
        assert_int_equal(dv_split_assign(items, count, 2, seed, NULL), DV_OK);
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(items[i].split, items[items[i].group].split);
        }
        assert_int_equal(items[300].split, DV_SPLIT_TRAIN);
        assert_in_range(count_in(items, count, 0, DV_SPLIT_VAL), 17, 20);
        assert_in_range(count_in(items, count, 0, DV_SPLIT_TEST), 17, 20);
    }
}

static void one_big_group_stays_in_train(void **state)
{
    struct dv_split_item items[ITEMS_MAX];
    const uint32_t sizes[] = {50, 50};

    (void)state;
    uint32_t count = make_items(items, sizes, 2, DV_SPLIT_TRAIN);
    for (uint32_t i = 0; i < 50; i++) {
        items[i].group = 0;
    }
    assert_int_equal(dv_split_assign(items, count, 2, 0, NULL), DV_OK);
    assert_int_equal(count_in(items, count, 0, DV_SPLIT_TRAIN), 50);
    assert_int_equal(count_in(items, count, 1, DV_SPLIT_TRAIN), 40);
}

static void a_tenth_of_train_becomes_val_beside_a_given_test(void **state)
{
    struct dv_split_item items[ITEMS_MAX];
    const uint32_t train[] = {60, 30};
    const uint32_t test[] = {20, 10};

    (void)state;
    uint32_t count = make_items(items, train, 2, DV_SPLIT_TRAIN);
    uint32_t more = make_items(items + count, test, 2, DV_SPLIT_TEST);
    for (uint32_t i = count; i < count + more; i++) {
        items[i].group = i;
    }
    items[count].group = 5; /* looks like one of train: both stay where they are */
    assert_int_equal(dv_split_assign(items, count + more, 2, 0, NULL), DV_OK);
    assert_int_equal(items[5].split, DV_SPLIT_TRAIN);
    assert_int_equal(count_in(items, count + more, 0, DV_SPLIT_TEST), 20);
    assert_int_equal(count_in(items, count + more, 0, DV_SPLIT_VAL), 6);
    assert_int_equal(count_in(items, count + more, 1, DV_SPLIT_VAL), 3);
    assert_int_equal(count_in(items, count + more, 1, DV_SPLIT_TEST), 10);
}

static void given_train_and_val_are_kept(void **state)
{
    struct dv_split_item items[ITEMS_MAX];
    const uint32_t sizes[] = {10, 10};

    (void)state;
    uint32_t count = make_items(items, sizes, 2, DV_SPLIT_TRAIN);
    items[3].split = DV_SPLIT_VAL;
    assert_int_equal(dv_split_assign(items, count, 2, 0, NULL), DV_OK);
    assert_int_equal(count_in(items, count, 0, DV_SPLIT_VAL), 1);
    assert_int_equal(count_in(items, count, 1, DV_SPLIT_TEST), 0);
}

static void one_split_alone_is_none_and_two_without_train_are_refused(void **state)
{
    struct dv_split_item items[ITEMS_MAX];
    const uint32_t sizes[] = {20, 20};

    (void)state;
    uint32_t count = make_items(items, sizes, 2, DV_SPLIT_TEST);
    assert_int_equal(dv_split_assign(items, count, 2, 0, NULL), DV_OK);
    assert_int_equal(count_in(items, count, 0, DV_SPLIT_TRAIN), 16);
    count = make_items(items, sizes, 2, DV_SPLIT_TEST);
    items[0].split = DV_SPLIT_VAL;
    assert_int_equal(dv_split_assign(items, count, 2, 0, NULL), DV_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_class_is_split_80_10_10),
        cmocka_unit_test(the_seed_decides_and_nothing_else),
        cmocka_unit_test(groups_are_never_divided),
        cmocka_unit_test(one_big_group_stays_in_train),
        cmocka_unit_test(a_tenth_of_train_becomes_val_beside_a_given_test),
        cmocka_unit_test(given_train_and_val_are_kept),
        cmocka_unit_test(one_split_alone_is_none_and_two_without_train_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
