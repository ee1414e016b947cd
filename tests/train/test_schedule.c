/* SPDX-License-Identifier: Apache-2.0 */
#include "train/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

static struct dv_schedule make(enum dv_schedule_kind kind, double warmup_epochs)
{
    struct dv_hyperparameters h = {
        .learning_rate = 0.1, .epochs = 10, .schedule = kind, .warmup_epochs = warmup_epochs};

    return dv_schedule_make(&h, 100, 1.0);
}

static void one_cycle_rises_to_the_peak_and_falls_to_almost_nothing(void **state)
{
    struct dv_schedule s = make(DV_SCHEDULE_ONECYCLE, 0.0);

    (void)state;
    assert_int_equal(s.step_count, 1000);
    assert_int_equal(s.warmup_steps, 250);
    assert_near(dv_schedule_rate(&s, 0), 0.1 * (1.0 / 25 + 24.0 / 25 / 250), 1e-12);
    assert_near(dv_schedule_rate(&s, 624), 0.1 * (0.5 + 0.5e-4), 1e-9); /* half-way down */
    assert_near(dv_schedule_rate(&s, 249), 0.1, 1e-9);
    for (uint64_t i = 1; i < 1000; i++) {
        double change = dv_schedule_rate(&s, i) - dv_schedule_rate(&s, i - 1);
        assert_true(i < 250 ? change > 0.0 : change < 0.0);
    }
    assert_near(dv_schedule_rate(&s, 999), 0.1 * 1e-4, 1e-12);
}

static void cosine_starts_at_the_peak_and_its_last_step_still_moves(void **state)
{
    struct dv_schedule s = make(DV_SCHEDULE_COSINE, 0.0);

    (void)state;
    assert_near(dv_schedule_rate(&s, 0), 0.1, 1e-9);
    assert_near(dv_schedule_rate(&s, 500), 0.05, 1e-9);
    assert_true(dv_schedule_rate(&s, 999) > 0.0);
}

static void step_falls_to_a_tenth_twice(void **state)
{
    struct dv_schedule s = make(DV_SCHEDULE_STEP, 1.0);

    (void)state;
    assert_near(dv_schedule_rate(&s, 0), 0.001, 1e-12); /* from 0, unlike one-cycle */
    assert_near(dv_schedule_rate(&s, 49), 0.05, 1e-9);
    assert_near(dv_schedule_rate(&s, 499), 0.1, 1e-9);
    assert_near(dv_schedule_rate(&s, 500), 0.01, 1e-9);
    assert_near(dv_schedule_rate(&s, 750), 0.001, 1e-9);
}

static void constant_stays_after_its_warm_up(void **state)
{
    struct dv_schedule s = make(DV_SCHEDULE_CONSTANT, 2.0);

    (void)state;
    assert_near(dv_schedule_rate(&s, 99), 0.05, 1e-9);
    assert_near(dv_schedule_rate(&s, 200), 0.1, 1e-9);
    assert_near(dv_schedule_rate(&s, 999), 0.1, 1e-9);
}

static void a_warm_up_longer_than_the_run_is_cut(void **state)
{
    struct dv_hyperparameters h = {
        .learning_rate = 0.1, .epochs = 1, .schedule = DV_SCHEDULE_COSINE, .warmup_epochs = 5};
    struct dv_schedule s = dv_schedule_make(&h, 1, 0.3);

    (void)state;
    assert_int_equal(s.warmup_steps, 0);
    assert_true(isfinite(dv_schedule_rate(&s, 0)));
    assert_near(s.peak, 0.03, 1e-12);
}

static void a_run_of_one_step_learns_at_the_peak(void **state)
{
    static const enum dv_schedule_kind kinds[] = {
        DV_SCHEDULE_ONECYCLE, DV_SCHEDULE_COSINE, DV_SCHEDULE_STEP, DV_SCHEDULE_CONSTANT};

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct dv_hyperparameters h = {.learning_rate = 0.1, .epochs = 1, .schedule = kinds[i]};
        struct dv_schedule s = dv_schedule_make(&h, 1, 1.0);
        assert_near(dv_schedule_rate(&s, 0), 0.1, 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_cycle_rises_to_the_peak_and_falls_to_almost_nothing),
        cmocka_unit_test(cosine_starts_at_the_peak_and_its_last_step_still_moves),
        cmocka_unit_test(step_falls_to_a_tenth_twice),
        cmocka_unit_test(constant_stays_after_its_warm_up),
        cmocka_unit_test(a_run_of_one_step_learns_at_the_peak),
        cmocka_unit_test(a_warm_up_longer_than_the_run_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
