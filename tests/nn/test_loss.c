/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/dropout.h"
#include "nn/loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { CLASSES = 3, BATCH = 3 };

static const float logits[BATCH * CLASSES] = {
    1.0f, -2.0f, 0.5f, 0.25f, 3.0f, -1.0f, -0.5f, 0.75f, 2.0f};
static const uint32_t labels[BATCH] = {0, 1, 0};

/* torch.nn.functional.cross_entropy of the above and its gradient, with two label smoothings. */
static const double torch_loss = 1.1324714422225952;
static const struct {
    double smoothing;
    float gradient[BATCH * CLASSES];
} goldens[] = {
    {0.0, {-0.1320836991f, 0.01001962926f, 0.12206407636f, 0.01968991942f, -0.02533119916f,
              0.00564125645f, -0.31334075331f, 0.06978102773f, 0.24355968832f}},
    {0.2, {-0.08763925731f, -0.01220259349f, 0.09984185546f, -0.00253230333f, 0.01911324262f,
              -0.01658096723f, -0.26889631152f, 0.04755880311f, 0.22133746743f}},
};

static void loss_and_gradient_are_pytorchs(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(goldens) / sizeof(goldens[0]); k++) {
        float gradient[BATCH * CLASSES];
        struct dv_loss loss = dv_loss_cross_entropy(
            logits, labels, BATCH, BATCH, CLASSES, goldens[k].smoothing, gradient);
        assert_true(fabs(loss.loss - torch_loss) < 1e-6); /* always without smoothing */
        assert_int_equal(loss.correct, 2);
        for (size_t i = 0; i < BATCH * CLASSES; i++) {
            assert_true(fabsf(gradient[i] - goldens[k].gradient[i]) < 1e-6f);
        }
    }
}

static void pictures_past_the_count_have_no_say(void **state)
{
    float whole[2 * CLASSES];
    float part[BATCH * CLASSES];

    (void)state;
    memset(part, 0x7f, sizeof(part));
    struct dv_loss two = dv_loss_cross_entropy(logits, labels, 2, 2, CLASSES, 0.1, whole);
    struct dv_loss cut = dv_loss_cross_entropy(logits, labels, 2, BATCH, CLASSES, 0.1, part);
    assert_true(two.loss == cut.loss);
    assert_int_equal(two.correct, cut.correct);
    assert_memory_equal(part, whole, sizeof(whole));
    for (size_t i = 2 * CLASSES; i < BATCH * CLASSES; i++) {
        assert_true(part[i] == 0.0f);
    }
}

static void large_logits_do_not_overflow_and_no_number_is_none(void **state)
{
    static const float large[] = {3e38f, -3e38f, 0.0f};
    static const float broken[] = {NAN, 0.0f, 0.0f};
    float gradient[CLASSES];

    (void)state;
    struct dv_loss loss = dv_loss_cross_entropy(large, labels, 1, 1, CLASSES, 0.0, gradient);
    assert_true(loss.loss == 0.0);
    assert_true(gradient[0] == 0.0f);
    loss = dv_loss_cross_entropy(broken, labels, 1, 1, CLASSES, 0.0, gradient);
    assert_true(isnan(loss.loss));
}

static void the_first_of_equal_logits_is_the_answer(void **state)
{
    static const float equal[] = {1.0f, 1.0f, 1.0f};
    static const uint32_t last = 2;

    (void)state;
    assert_int_equal(dv_loss_cross_entropy(equal, labels, 1, 1, CLASSES, 0.0, NULL).correct, 1);
    assert_int_equal(dv_loss_cross_entropy(equal, &last, 1, 1, CLASSES, 0.0, NULL).correct, 0);
}

/* Both backends use the same mask, so that holding them to each other says nothing of it. */
static void dropout_drops_its_share_keeps_the_mean_and_differs_from_step_to_step(void **state)
{
    enum { COUNT = 200000 };
    static const double drops[] = {0.1, 0.3, 0.7};

    (void)state;
    for (size_t k = 0; k < sizeof(drops) / sizeof(drops[0]); k++) {
        double kept = 1.0 / (1.0 - drops[k]);
        size_t zeros = 0, same = 0, runs = 0;
        bool was_zero = false;
        for (size_t i = 0; i < COUNT; i++) {
            float factor = dv_dropout_factor(0x123456789abcdef0u, i, drops[k]);
            float other = dv_dropout_factor(0x123456789abcdef1u, i, drops[k]);
            float another = dv_dropout_factor(0x7f4a7c159e3779b9u, i, drops[k]);
            assert_true(factor == 0.0f || fabs((double)factor - kept) < 1e-6);
            zeros += factor == 0.0f;
            same += factor == other;
            same += factor == another;
            runs += (factor == 0.0f) != was_zero;
            was_zero = factor == 0.0f;
        }
        /* Five standard deviations of a fair coin of that kind. */
        double part = drops[k] * drops[k] + (1 - drops[k]) * (1 - drops[k]);
        double spread = 5.0 * sqrt(0.25 / COUNT);
        assert_true(fabs((double)zeros / COUNT - drops[k]) < spread);
        assert_true(fabs((double)same / (2 * COUNT) - part) < spread);
        assert_true(fabs((double)runs / COUNT - (1 - part)) < spread);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradient_are_pytorchs),
        cmocka_unit_test(pictures_past_the_count_have_no_say),
        cmocka_unit_test(large_logits_do_not_overflow_and_no_number_is_none),
        cmocka_unit_test(the_first_of_equal_logits_is_the_answer),
        cmocka_unit_test(dropout_drops_its_share_keeps_the_mean_and_differs_from_step_to_step),
    };

    return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
