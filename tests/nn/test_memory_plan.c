/* SPDX-License-Identifier: Apache-2.0 */
#include "base/macro.h"
#include "base/random.h"
#include "nn/memory_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

static void buffers_that_live_together_never_share_a_byte(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, 0, 0);
        struct dv_memory_item items[40];
        for (size_t i = 0; i < DV_ARRAY_SIZE(items); i++) {
            items[i].size = (size_t)dv_random_below(&random, 5000);
            items[i].first = (uint32_t)dv_random_below(&random, 50);
            items[i].last = items[i].first + (uint32_t)dv_random_below(&random, 20);
        }
        size_t total = dv_memory_plan(items, DV_ARRAY_SIZE(items));
        for (size_t i = 0; i < DV_ARRAY_SIZE(items); i++) {
            const struct dv_memory_item *a = &items[i];
            assert_true(a->size == 0 || a->offset + a->size <= total);
            assert_true(a->size == 0 || a->offset % 64 == 0);
            for (size_t k = 0; k < i; k++) {
                const struct dv_memory_item *b = &items[k];
                bool live_together = a->first <= b->last && b->first <= a->last;
                bool overlap = a->offset < b->offset + b->size && b->offset < a->offset + a->size;
                assert_false(live_together && overlap && a->size && b->size);
            }
        }
    }
}

static void buffers_that_never_meet_share_memory(void **state)
{
    struct dv_memory_item items[] = {{1000, 0, 1, 0}, {1000, 2, 3, 0}, {1000, 4, 5, 0}};

    (void)state;
    assert_int_equal(dv_memory_plan(items, 3), 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_that_live_together_never_share_a_byte),
        cmocka_unit_test(buffers_that_never_meet_share_memory),
    };

    return cmocka_run_group_tests_name("memory plan", tests, NULL, NULL);
}
