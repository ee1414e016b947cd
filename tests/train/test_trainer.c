/* SPDX-License-Identifier: Apache-2.0 */
#include "toy.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/preprocessing.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include "train/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <unistd.h>

static char folder[] = "/tmp/dv-trainer-XXXXXX";
static unsigned folder_number;

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

static int reset_counts(void **state)
{
    (void)state;
    toy_train_count = 45;
    toy_val_count = 12;
    return 0;
}

/* A run to be made, and where its caller stops it. */
struct run {
    char path[DV_PATH_SIZE];
    struct dv_preprocessing preprocessing;
    struct dv_hyperparameters hyperparameters;
    struct dv_train_callbacks callbacks;
    struct dv_trainer_options options;
    uint64_t asked;
    uint64_t stop_after; /* questions whether to stop; 0: never */
    char warning[256];   /* the last one */
};

static bool is_cancelled(void *user)
{
    struct run *run = user;

    run->asked++;
    return run->stop_after > 0 && run->asked > run->stop_after;
}

static void make_run(struct run *run, enum dv_optimizer_kind optimizer, double ema)
{
    *run = (struct run){0};
    assert_int_equal(dv_path_format(run->path, NULL, "%s/%u", folder, folder_number++), DV_OK);
    assert_int_equal(dv_folder_make(run->path, NULL), DV_OK);
    run->preprocessing = (struct dv_preprocessing){
        .rows = 1, .columns = TOY_FEATURES, .channels = 1, .class_count = TOY_CLASSES};
    run->hyperparameters = (struct dv_hyperparameters){.learning_rate = 0.05,
        .batch_size = 8,
        .optimizer = optimizer,
        .momentum = 0.9,
        .weight_decay = 1e-4,
        .epochs = 6,
        .schedule = DV_SCHEDULE_ONECYCLE,
        .ema = ema,
        .seed = 7};
    run->callbacks = (struct dv_train_callbacks){.user = run, .is_cancelled = is_cancelled};
    run->options = (struct dv_trainer_options){
        .arch_hash = "0123456789012345678901234567890123456789012345678901234567890123",
        .preprocessing = &run->preprocessing,
        .hyperparameters = &run->hyperparameters,
        .backend = "toy",
        .folder = run->path,
        .identity = "toy",
        .thread_count = 1,
        .iteration = 1,
        .rate_scale = 1.0,
        .callbacks = &run->callbacks};
}

static void run_whole(struct run *run, struct dv_trainer_result *ret_result)
{
    struct dv_error error = {0};
    enum dv_status status = dv_trainer_run(&run->options, ret_result, &error);

    if (status != DV_OK) {
        fail_msg("%s", error.text);
    }
}

/* The histories but for what is measured in time. */
static void assert_same_history(const struct dv_json *a, const struct dv_json *b)
{
    static const char *const names[] = {
        "epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate"};

    assert_int_equal(dv_json_count(a), dv_json_count(b));
    for (size_t i = 0; i < dv_json_count(a); i++) {
        for (size_t n = 0; n < DV_ARRAY_SIZE(names); n++) {
            double x = dv_json_get_number(dv_json_at(a, i), names[n], -1.0);
            double y = dv_json_get_number(dv_json_at(b, i), names[n], -2.0);
            assert_true(x == y);
        }
    }
}

static void a_run_stopped_again_and_again_ends_with_the_same_bits(void **state)
{
    static const enum dv_optimizer_kind kinds[] = {
        DV_OPTIMIZER_SGD, DV_OPTIMIZER_ADAMW, DV_OPTIMIZER_RMSPROP};

    (void)state;
    for (size_t k = 0; k < 2 * DV_ARRAY_SIZE(kinds); k++) {
        struct run whole;
        struct run parts;
        struct dv_trainer_result one;
        struct dv_trainer_result two;
        enum dv_status status = DV_CANCELLED;
        unsigned stops = 0;

        make_run(&whole, kinds[k / 2], k % 2 ? 0.9 : 0.0);
        make_run(&parts, kinds[k / 2], k % 2 ? 0.9 : 0.0);
        run_whole(&whole, &one);
        while (status == DV_CANCELLED) {
            parts.asked = 0;
            parts.stop_after = 1 + stops % 4;
            status = dv_trainer_run(&parts.options, &two, NULL);
            stops++;
            assert_true(stops < 200);
        }
        assert_int_equal(status, DV_OK);
        assert_true(stops > 10);
        assert_int_equal(one.weight_count, two.weight_count);
        assert_memory_equal(one.weights, two.weights, one.weight_count * sizeof(float));
        assert_int_equal(one.best_epoch, two.best_epoch);
        assert_same_history(one.history, two.history);
        dv_trainer_result_finish(&one);
        dv_trainer_result_finish(&two);
    }
}

static void a_damaged_newest_checkpoint_changes_nothing_but_time(void **state)
{
    struct run whole;
    struct run parts;
    struct dv_trainer_result one;
    struct dv_trainer_result two;

    (void)state;
    make_run(&whole, DV_OPTIMIZER_SGD, 0.9);
    make_run(&parts, DV_OPTIMIZER_SGD, 0.9);
    run_whole(&whole, &one);
    parts.stop_after = 18;
    assert_int_equal(dv_trainer_run(&parts.options, &two, NULL), DV_CANCELLED);
    for (unsigned which = 0; which < 2; which++) {
        char path[DV_PATH_SIZE];
        assert_int_equal(dv_path_format(path, NULL, "%s/last.%u", parts.path, which), DV_OK);
        /* Cut one of the two, whichever is the newer one in the second round. */
        assert_int_equal(truncate(path, 300), 0);
        parts.stop_after = 1;
        parts.asked = 0;
        assert_int_equal(dv_trainer_run(&parts.options, &two, NULL), DV_CANCELLED);
    }
    parts.stop_after = 0;
    run_whole(&parts, &two);
    assert_memory_equal(one.weights, two.weights, one.weight_count * sizeof(float));
    dv_trainer_result_finish(&one);
    dv_trainer_result_finish(&two);
}

static void log_is_kept(void *user, enum dv_log_level level, const char *text)
{
    struct run *run = user;

    if (level == DV_LOG_WARNING) {
        (void)dv_text_copy(run->warning, sizeof(run->warning), text);
    }
}

static void two_damaged_checkpoints_are_said_and_the_run_begins_anew(void **state)
{
    struct run whole;
    struct run parts;
    struct dv_trainer_result one;
    struct dv_trainer_result two;

    (void)state;
    make_run(&whole, DV_OPTIMIZER_SGD, 0.9);
    make_run(&parts, DV_OPTIMIZER_SGD, 0.9);
    run_whole(&whole, &one);
    parts.stop_after = 18;
    assert_int_equal(dv_trainer_run(&parts.options, &two, NULL), DV_CANCELLED);
    for (unsigned which = 0; which < 2; which++) {
        char path[DV_PATH_SIZE];
        assert_int_equal(dv_path_format(path, NULL, "%s/last.%u", parts.path, which), DV_OK);
        assert_int_equal(truncate(path, 300), 0);
    }
    parts.stop_after = 0;
    parts.callbacks.log = log_is_kept;
    run_whole(&parts, &two);
    assert_non_null(strstr(parts.warning, "anew"));
    assert_memory_equal(one.weights, two.weights, one.weight_count * sizeof(float));
    dv_trainer_result_finish(&one);
    dv_trainer_result_finish(&two);
}

static void it_learns_and_the_best_epoch_is_the_best_of_the_history(void **state)
{
    struct run run;
    struct dv_trainer_result result;
    double best = 0.0;

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.0);
    run.hyperparameters.epochs = 20;
    run_whole(&run, &result);
    for (size_t i = 0; i < dv_json_count(result.history); i++) {
        double accuracy = dv_json_get_number(dv_json_at(result.history, i), "val_accuracy", NAN);
        best = fmax(best, accuracy);
    }
    assert_true(result.val_accuracy == best);
    assert_true(best > 0.7);
    dv_trainer_result_finish(&result);
}

static void of_equal_accuracies_the_epoch_with_the_lower_loss_is_the_best(void **state)
{
    struct run run;
    struct dv_trainer_result result;
    size_t best = 0;

    (void)state;
    toy_val_count = 2; /* right or wrong: there are many equal accuracies */
    make_run(&run, DV_OPTIMIZER_SGD, 0.0);
    run.hyperparameters.epochs = 20;
    run.hyperparameters.learning_rate = 0.5;
    run_whole(&run, &result);
    for (size_t i = 1; i < dv_json_count(result.history); i++) {
        const struct dv_json *entry = dv_json_at(result.history, i);
        const struct dv_json *leader = dv_json_at(result.history, best);
        double accuracy = dv_json_get_number(entry, "val_accuracy", NAN);
        double leading = dv_json_get_number(leader, "val_accuracy", NAN);
        bool is_lower = dv_json_get_number(entry, "val_loss", NAN) <
                        dv_json_get_number(leader, "val_loss", NAN);
        best = accuracy > leading || (accuracy == leading && is_lower) ? i : best;
    }
    assert_int_equal(result.best_epoch, best + 1);
    assert_true(best > 0);
    dv_trainer_result_finish(&result);
}

/* The weights that are measured must be those that are kept. */
static void an_epoch_is_measured_with_the_averaged_weights(void **state)
{
    struct run run;
    struct dv_trainer_result result;

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.97);
    run.hyperparameters.learning_rate = 2.0;
    run_whole(&run, &result);
    size_t last = dv_json_count(result.history) - 1;
    struct dv_json *entry = dv_json_at(result.history, result.best_epoch - 1);
    assert_true(toy_loss(result.weights, DV_SPLIT_VAL) > 0.0);
    assert_true(fabs(toy_loss(result.weights, DV_SPLIT_VAL) -
                     dv_json_get_number(entry, "val_loss", NAN)) < 1e-5);
    assert_int_equal(last, 5);
    dv_trainer_result_finish(&result);
}

static void another_seed_gives_other_weights(void **state)
{
    struct run run;
    struct dv_trainer_result one;
    struct dv_trainer_result two;

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.0);
    run_whole(&run, &one);
    make_run(&run, DV_OPTIMIZER_SGD, 0.0);
    run.hyperparameters.seed = 8;
    run_whole(&run, &two);
    assert_memory_not_equal(one.weights, two.weights, one.weight_count * sizeof(float));
    dv_trainer_result_finish(&one);
    dv_trainer_result_finish(&two);
}

static void a_rate_that_is_far_too_high_diverges_and_a_lower_attempt_starts_anew(void **state)
{
    struct run run;
    struct dv_trainer_result result;
    struct dv_error error = {0};

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.9);
    run.hyperparameters.learning_rate = 1e4;
    assert_int_equal(dv_trainer_run(&run.options, &result, &error), DV_DIVERGED);
    assert_true(error.text[0] != '\0');
    run.options.attempt = 1;
    run.options.rate_scale = 5e-6;
    run_whole(&run, &result);
    assert_int_equal(dv_json_count(result.history), 6);
    dv_trainer_result_finish(&result);
}

static void the_time_limit_counts_attempts_that_diverged(void **state)
{
    struct run run;
    struct dv_trainer_result result;
    struct dv_checkpoint diverged = {.counters = {.sequence = 4}, .notes = dv_json_object()};

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.9);
    dv_json_set_number(diverged.notes, "seconds", 1000.0);
    assert_int_equal(dv_checkpoint_write_last(run.path, &diverged, NULL), DV_OK);
    dv_json_unref(diverged.notes);
    run.options.attempt = 1;
    run.options.timeout_seconds = 900.0;
    assert_int_equal(dv_trainer_run(&run.options, &result, NULL), DV_TIMEOUT);
    run.options.timeout_seconds = 1e6;
    run_whole(&run, &result);
    assert_true(result.seconds >= 1000.0);
    dv_trainer_result_finish(&result);
}

static void weights_that_are_no_numbers_are_found_when_the_loss_does_not_show_them(void **state)
{
    struct run run;
    struct dv_trainer_result result;
    struct dv_error error = {0};

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.9);
    toy_break_step = 12;
    assert_int_equal(dv_trainer_run(&run.options, &result, &error), DV_DIVERGED);
    assert_non_null(strstr(error.text, "epoch 3"));
    toy_break_step = UINT64_MAX;
}

static void early_stopping_ends_a_run_that_no_longer_improves(void **state)
{
    struct run run;
    struct dv_trainer_result one;
    struct dv_trainer_result two;

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.0);
    run.hyperparameters.epochs = 200;
    run.hyperparameters.early_stopping_patience = 3;
    run_whole(&run, &one);
    assert_true(dv_json_count(one.history) < 200);
    assert_int_equal(dv_json_count(one.history), one.best_epoch + 3);
    run_whole(&run, &two); /* It has ended: nothing is trained any more. */
    assert_memory_equal(one.weights, two.weights, one.weight_count * sizeof(float));
    assert_same_history(one.history, two.history);
    dv_trainer_result_finish(&one);
    dv_trainer_result_finish(&two);
}

static void a_run_that_reaches_its_target_ends_there(void **state)
{
    struct run run;
    struct dv_trainer_result whole, result;
    size_t first = 0;

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.0);
    run_whole(&run, &whole);
    double target = whole.val_accuracy;
    while (dv_json_get_number(dv_json_at(whole.history, first), "val_accuracy", 0.0) < target) {
        first++;
    }
    make_run(&run, DV_OPTIMIZER_SGD, 0.0);
    run.hyperparameters.epochs = 200;
    run.options.target_accuracy = target;
    run_whole(&run, &result);
    assert_true(dv_json_count(result.history) < 200);
    const struct dv_json *last = dv_json_at(result.history, dv_json_count(result.history) - 1);
    assert_true(dv_json_get_number(last, "val_accuracy", 0.0) >= target);
    for (size_t i = 0; i + 1 < dv_json_count(result.history); i++) {
        assert_true(
            dv_json_get_number(dv_json_at(result.history, i), "val_accuracy", 0.0) < target);
    }
    dv_trainer_result_finish(&whole);
    dv_trainer_result_finish(&result);
}

static void without_a_validation_split_the_last_epoch_is_taken(void **state)
{
    struct run run;
    struct dv_trainer_result result;

    (void)state;
    toy_val_count = 0;
    make_run(&run, DV_OPTIMIZER_SGD, 0.9);
    run_whole(&run, &result);
    assert_int_equal(result.best_epoch, 6);
    assert_true(isnan(result.val_accuracy));
    assert_true(dv_json_is_null(dv_json_get(dv_json_at(result.history, 0), "val_accuracy")));
    dv_trainer_result_finish(&result);
}

/* The average as trainer_impl.h has it, worked out from the weights after every step. */
static void average_of(float (*trace)[TOY_FLOATS], uint64_t steps, double decay, float *ret_average)
{
    memcpy(ret_average, trace[0], sizeof(trace[0]));
    for (uint64_t done = 1; done <= steps; done++) {
        double updates = (double)(done / 4);
        double keep = done < 4   ? 0.0
                      : done % 4 ? 1.0
                                 : fmin(pow(decay, 4), updates / (updates + 9));
        for (size_t i = 0; i < TOY_FLOATS; i++) {
            ret_average[i] = (float)(keep * ret_average[i] + (1.0 - keep) * trace[done][i]);
        }
    }
}

static void the_weights_of_a_run_with_ema_are_the_average_over_its_steps(void **state)
{
    struct run run;
    struct dv_trainer_result result;
    static float trace[64][TOY_FLOATS];
    float average[TOY_FLOATS];

    (void)state;
    toy_val_count = 0;
    toy_trace = trace;
    make_run(&run, DV_OPTIMIZER_SGD, 0.9);
    run_whole(&run, &result);
    toy_trace = NULL;
    average_of(trace, 29, 0.9, average); /* of 30 steps; the 30th moves no average */
    for (size_t i = 0; i < TOY_FLOATS; i++) {
        assert_true(fabsf(result.weights[i] - average[i]) < 1e-6f);
    }
    dv_trainer_result_finish(&result);
}

static void a_run_of_fewer_steps_than_an_average_needs_gives_what_it_trained(void **state)
{
    struct dv_trainer_result results[2];

    (void)state;
    toy_val_count = 0;
    toy_train_count = 10;
    for (int i = 0; i < 2; i++) {
        struct run run;
        make_run(&run, DV_OPTIMIZER_SGD, i == 0 ? 0.0 : 0.9);
        run.hyperparameters.epochs = 3;
        run_whole(&run, &results[i]);
    }
    size_t size = results[0].weight_count * sizeof(float);
    assert_memory_equal(results[0].weights, results[1].weights, size);
    dv_trainer_result_finish(&results[0]);
    dv_trainer_result_finish(&results[1]);
}

static void a_folder_of_another_job_is_refused(void **state)
{
    struct run run;
    struct dv_trainer_result result;

    (void)state;
    make_run(&run, DV_OPTIMIZER_SGD, 0.0);
    run.stop_after = 3;
    assert_int_equal(dv_trainer_run(&run.options, &result, NULL), DV_CANCELLED);
    run.options.identity = "another";
    assert_int_equal(dv_trainer_run(&run.options, &result, NULL), DV_CONFLICT);
}

static void fewer_pictures_than_a_batch_train_too(void **state)
{
    struct run run;
    struct dv_trainer_result result;

    (void)state;
    toy_train_count = 5;
    make_run(&run, DV_OPTIMIZER_ADAM, 0.9);
    run_whole(&run, &result);
    assert_int_equal(dv_json_count(result.history), 6);
    dv_trainer_result_finish(&result);
}

#define RUN_TEST(name) cmocka_unit_test_setup(name, reset_counts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_TEST(a_run_stopped_again_and_again_ends_with_the_same_bits),
        RUN_TEST(a_damaged_newest_checkpoint_changes_nothing_but_time),
        RUN_TEST(two_damaged_checkpoints_are_said_and_the_run_begins_anew),
        RUN_TEST(it_learns_and_the_best_epoch_is_the_best_of_the_history),
        RUN_TEST(of_equal_accuracies_the_epoch_with_the_lower_loss_is_the_best),
        RUN_TEST(an_epoch_is_measured_with_the_averaged_weights),
        RUN_TEST(another_seed_gives_other_weights),
        RUN_TEST(a_rate_that_is_far_too_high_diverges_and_a_lower_attempt_starts_anew),
        RUN_TEST(the_time_limit_counts_attempts_that_diverged),
        RUN_TEST(weights_that_are_no_numbers_are_found_when_the_loss_does_not_show_them),
        RUN_TEST(early_stopping_ends_a_run_that_no_longer_improves),
        RUN_TEST(a_run_that_reaches_its_target_ends_there),
        RUN_TEST(without_a_validation_split_the_last_epoch_is_taken),
        RUN_TEST(the_weights_of_a_run_with_ema_are_the_average_over_its_steps),
        RUN_TEST(a_run_of_fewer_steps_than_an_average_needs_gives_what_it_trained),
        RUN_TEST(a_folder_of_another_job_is_refused),
        RUN_TEST(fewer_pictures_than_a_batch_train_too),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
