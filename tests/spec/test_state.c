/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/state.h"

#include "base/macro.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct dv_states *const all[] = {
    &dv_dataset_states, &dv_model_states, &dv_job_states};

/* Whether `to` can be reached from the state a new thing begins in. */
static bool is_reached(const struct dv_states *states, const char *to)
{
    const char *const *names = dv_states_names(states);
    bool reached[8] = {[0] = true};

    for (int round = 0; round < 8; round++) {
        for (size_t i = 0; names[i]; i++) {
            for (size_t k = 0; names[k] && reached[i]; k++) {
                reached[k] |= dv_states_can_move(states, names[i], names[k]);
            }
        }
    }
    for (size_t i = 0; names[i]; i++) {
        if (names[i] == to) {
            return reached[i];
        }
    }
    return false;
}

static void every_state_can_be_reached_and_none_moves_to_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(all); i++) {
        for (const char *const *name = dv_states_names(all[i]); *name; name++) {
            assert_true(dv_states_have(all[i], *name));
            assert_true(is_reached(all[i], *name));
            assert_false(dv_states_can_move(all[i], *name, *name));
        }
    }
}

static void what_is_no_state_does_not_move(void **state)
{
    static const char *const none[] = {NULL, "", "Ready", "ready ", "done"};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(all); i++) {
        for (size_t k = 0; k < DV_ARRAY_SIZE(none); k++) {
            assert_false(dv_states_have(all[i], none[k]));
            assert_false(dv_states_can_move(all[i], none[k], "ready"));
            assert_false(dv_states_can_move(all[i], "processing", none[k]));
            assert_false(dv_states_can_move(all[i], none[k], none[k]));
        }
    }
}

/* Promise 5 of the product page. */
static void a_job_that_has_ended_moves_only_by_being_resumed(void **state)
{
    static const char *const ends[] = {"completed", "failed", "cancelled"};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(ends); i++) {
        assert_true(dv_states_can_move(&dv_job_states, "running", ends[i]));
        for (const char *const *to = dv_states_names(&dv_job_states); *to; to++) {
            bool is_resume = i > 0 && *to == dv_states_names(&dv_job_states)[0];
            assert_int_equal(dv_states_can_move(&dv_job_states, ends[i], *to), is_resume);
        }
    }
    assert_false(dv_states_can_move(&dv_job_states, "pending", "completed"));
    assert_false(dv_states_can_move(&dv_job_states, "pending", "failed"));
}

static void a_data_set_that_was_judged_stays_so(void **state)
{
    (void)state;
    for (const char *const *to = dv_states_names(&dv_dataset_states); *to; to++) {
        assert_false(dv_states_can_move(&dv_dataset_states, "ready", *to));
        assert_false(dv_states_can_move(&dv_dataset_states, "error", *to));
    }
    assert_false(dv_states_can_move(&dv_dataset_states, "draft", "ready"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_can_be_reached_and_none_moves_to_itself),
        cmocka_unit_test(what_is_no_state_does_not_move),
        cmocka_unit_test(a_job_that_has_ended_moves_only_by_being_resumed),
        cmocka_unit_test(a_data_set_that_was_judged_stays_so),
    };

    return cmocka_run_group_tests_name("states", tests, NULL, NULL);
}
