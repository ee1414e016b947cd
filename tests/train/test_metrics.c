/* SPDX-License-Identifier: Apache-2.0 */
#include "train/metrics.h"

#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <math.h>

#define assert_near(a, b, tolerance) assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

static const char *const classes[] = {"ant", "bee", "cat"};

static void figures_are_those_worked_out_by_hand(void **state)
{
    /* Answers: ant, ant, bee, ant (a tie) for ant, bee, bee, cat. */
    static const float logits[] = {2, 0, 0, 1, 0, 0, 0, 3, 0, 1, 0, 1};
    static const uint32_t labels[] = {0, 1, 1, 2};
    struct dv_metrics *metrics = NULL;

    (void)state;
    assert_int_equal(dv_metrics_create(3, &metrics, NULL), DV_OK);
    dv_metrics_add(metrics, logits, labels, 4);
    double loss =
        log(exp(2) + 2) - 2 + log(exp(1) + 2) + log(exp(3) + 2) - 3 + log(2 * exp(1) + 1) - 1;
    assert_near(dv_metrics_accuracy(metrics), 0.5, 1e-12);
    assert_near(dv_metrics_loss(metrics), loss / 4, 1e-12);

    struct dv_json *json = dv_metrics_to_json(metrics, classes);
    struct dv_json *ant = dv_json_at(dv_json_get(json, "per_class"), 0);
    struct dv_json *cat = dv_json_at(dv_json_get(json, "per_class"), 2);
    assert_string_equal(dv_json_get_string(ant, "class", ""), "ant");
    assert_near(dv_json_get_number(ant, "precision", 0), 1.0 / 3, 1e-12);
    assert_near(dv_json_get_number(ant, "recall", 0), 1.0, 1e-12);
    assert_near(dv_json_get_number(ant, "f1", 0), 0.5, 1e-12);
    assert_true(dv_json_is_null(dv_json_get(cat, "precision")));
    assert_near(dv_json_get_number(cat, "recall", 1), 0.0, 1e-12);
    struct dv_json *row = dv_json_at(dv_json_get(json, "confusion"), 1);
    assert_int_equal(dv_json_to_integer(dv_json_at(row, 0), -1), 1);
    assert_int_equal(dv_json_to_integer(dv_json_at(row, 1), -1), 1);
    assert_near(dv_json_get_number(json, "macro_f1", 0), (0.5 + 2.0 / 3 + 0.0) / 3, 1e-12);
    dv_json_unref(json);
    dv_metrics_destroy(metrics);
}

/* The share of right answers among those that are about `confidence` sure, per fifteenth. */
static void calibration_is_the_gap_of_accuracy_and_confidence_in_each_bin(void **state)
{
    /* Answers with confidences 0.9 (right), 0.91 (wrong), 0.91 (right), 0.55 (wrong). */
    static const double confidences[] = {0.9, 0.91, 0.91, 0.55};
    static const uint32_t labels[] = {0, 1, 0, 1};
    struct dv_metrics *metrics = NULL;

    (void)state;
    assert_int_equal(dv_metrics_create(2, &metrics, NULL), DV_OK);
    for (size_t i = 0; i < 4; i++) {
        float logits[] = {(float)log(confidences[i] / (1 - confidences[i])), 0};
        dv_metrics_add(metrics, logits, &labels[i], 1);
    }
    struct dv_json *json = dv_metrics_to_json(metrics, classes);
    struct dv_json *calibration = dv_json_get(json, "calibration");
    struct dv_json *bins = dv_json_get(calibration, "bins");
    double ece = (fabs(2.0 - (0.9 + 0.91 + 0.91)) + 0.55) / 4;
    assert_near(dv_json_get_number(calibration, "ece", -1), ece, 1e-6);
    assert_int_equal(dv_json_count(bins), 15);
    assert_int_equal(dv_json_get_integer(dv_json_at(bins, 13), "count", -1), 3);
    assert_near(dv_json_get_number(dv_json_at(bins, 13), "accuracy", -1), 2.0 / 3, 1e-12);
    assert_near(dv_json_get_number(dv_json_at(bins, 13), "confidence", -1), 2.72 / 3, 1e-6);
    assert_int_equal(dv_json_get_integer(dv_json_at(bins, 8), "count", -1), 1);
    assert_true(dv_json_is_null(dv_json_get(dv_json_at(bins, 0), "accuracy")));
    dv_json_unref(json);
    dv_metrics_destroy(metrics);
}

static void ten_thousand_classes_take_no_matrix_of_memory(void **state)
{
    enum { MANY = 10000 };
    static const char *names[MANY];
    static float logits[MANY];
    static const uint32_t label = 9998;
    struct dv_metrics *metrics = NULL;

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        names[i] = "x";
    }
    logits[9999] = 1.0f;
    struct mallinfo2 before = mallinfo2();
    assert_int_equal(dv_metrics_create(MANY, &metrics, NULL), DV_OK);
    struct mallinfo2 after = mallinfo2();
    assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + (1u << 20));
    dv_metrics_add(metrics, logits, &label, 1);
    struct dv_json *json = dv_metrics_to_json(metrics, names);
    struct dv_json *true_class = dv_json_at(dv_json_get(json, "per_class"), 9998);
    struct dv_json *answer = dv_json_at(dv_json_get(json, "per_class"), 9999);
    assert_int_equal(dv_json_get_integer(true_class, "total", -1), 1);
    assert_near(dv_json_get_number(true_class, "recall", -1), 0.0, 0.0);
    assert_near(dv_json_get_number(answer, "precision", -1), 0.0, 0.0);
    assert_true(dv_json_is_null(dv_json_get(answer, "recall")));
    assert_true(dv_json_is_null(dv_json_get(json, "confusion")));
    dv_json_unref(json);
    dv_metrics_destroy(metrics);
}

static void figures_of_no_pictures_are_null(void **state)
{
    struct dv_metrics *metrics = NULL;

    (void)state;
    assert_int_equal(dv_metrics_create(3, &metrics, NULL), DV_OK);
    struct dv_json *json = dv_metrics_to_json(metrics, classes);
    assert_true(dv_json_is_null(dv_json_get(json, "accuracy")));
    assert_true(dv_json_is_null(dv_json_get(json, "loss")));
    assert_true(dv_json_is_null(dv_json_get(json, "macro_f1")));
    assert_int_equal(dv_json_get_integer(json, "total", -1), 0);
    dv_json_unref(json);
    dv_metrics_destroy(metrics);
}

static void large_logits_do_not_overflow(void **state)
{
    static const float logits[] = {1e30f, 0, -1e30f};
    static const uint32_t label = 0;
    float probabilities[3];
    struct dv_metrics *metrics = NULL;

    (void)state;
    assert_int_equal(dv_metrics_create(3, &metrics, NULL), DV_OK);
    dv_metrics_add(metrics, logits, &label, 1);
    assert_near(dv_metrics_loss(metrics), 0.0, 1e-12);
    dv_metrics_softmax(logits, 3, probabilities);
    assert_near(probabilities[0], 1.0f, 1e-6f);
    dv_metrics_destroy(metrics);
}

static void stability_tells_a_steady_run_from_a_wild_one(void **state)
{
    static const double steady[] = {2.0, 1.5, 1.2, 1.1};
    static const double wild[] = {2.0, 1.0, 2.0, 1.0, 2.0};
    static const double broken[] = {2.0, 1.5, NAN};

    (void)state;
    assert_near(dv_metrics_stability(steady, 4), 1.0, 1e-12);
    assert_near(dv_metrics_stability(wild, 5), 0.5, 1e-12);
    assert_true(dv_metrics_stability(broken, 3) < 0.5);
    assert_true(isnan(dv_metrics_stability(steady, 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_worked_out_by_hand),
        cmocka_unit_test(calibration_is_the_gap_of_accuracy_and_confidence_in_each_bin),
        cmocka_unit_test(ten_thousand_classes_take_no_matrix_of_memory),
        cmocka_unit_test(figures_of_no_pictures_are_null),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(stability_tells_a_steady_run_from_a_wild_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
