/* SPDX-License-Identifier: Apache-2.0 */
#include "toy.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "spec/dataset.h"
#include "spec/job_spec.h"
#include "train/journal.h"
#include "train/orchestrator.h"
#include "train/strategy.h"
#include "train/task.h"
#include "train/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

static char folder[] = "/tmp/dv-orchestrator-XXXXXX";
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

struct job {
    char path[DV_PATH_SIZE];
    struct dv_class_summary classes[TOY_CLASSES];
    struct dv_dataset_summary dataset;
    struct dv_json *hyperparameters;
    struct dv_job_spec spec;
    struct dv_train_options options;
    struct dv_train_task task;
    uint64_t asked;
    uint64_t stop_after;
};

static bool is_cancelled(void *user)
{
    struct job *job = user;

    job->asked++;
    return job->stop_after > 0 && job->asked > job->stop_after;
}

static void make_job(struct job *job, double learning_rate)
{
    static const char *const names[TOY_CLASSES] = {"ant", "bee", "cat"};

    *job = (struct job){0};
    assert_int_equal(dv_path_format(job->path, NULL, "%s/%u", folder, folder_number++), DV_OK);
    assert_int_equal(dv_folder_make(job->path, NULL), DV_OK);
    for (int c = 0; c < (int)TOY_CLASSES; c++) {
        job->classes[c] = (struct dv_class_summary){.name = names[c], .counts = {15, 4, 4}};
    }
    job->dataset = (struct dv_dataset_summary){.classes = job->classes,
        .class_count = TOY_CLASSES,
        .channels = 1,
        .side_min = 28,
        .side_max = 28,
        .side_median = 28,
        .has_one_size = true};
    job->hyperparameters = dv_json_object();
    dv_json_set_number(job->hyperparameters, "learning_rate", learning_rate);
    dv_json_set_integer(job->hyperparameters, "epochs", 4);
    job->spec = (struct dv_job_spec){
        .strategy = "native", .device = "cpu", .seed = 3, .hyperparameters = job->hyperparameters};
    job->options = (struct dv_train_options){
        .job_folder = job->path, .callbacks = {.user = job, .is_cancelled = is_cancelled}};
    job->task = (struct dv_train_task){.options = &job->options,
        .job = &job->spec,
        .dataset = &job->dataset,
        .arena = dv_arena_create(0),
        .backend = "toy",
        .thread_count = 1,
        .iteration = 1,
        .rate_scale = 1.0};
}

static void finish_job(struct job *job)
{
    dv_json_unref(job->hyperparameters);
    dv_arena_destroy(job->task.arena);
}

static size_t journal_count(const struct job *job)
{
    struct dv_json *entries = NULL;

    assert_int_equal(dv_journal_read(job->path, &entries, NULL), DV_OK);
    size_t count = dv_json_count(entries);
    dv_json_unref(entries);
    return count;
}

static enum dv_status go(struct job *job, struct dv_trained *ret_trained, struct dv_error *reterr)
{
    const struct dv_strategy *strategy = NULL;

    job->asked = 0;
    return dv_orchestrator_run(&job->task, &strategy, ret_trained, reterr);
}

static void a_diverged_run_is_tried_with_a_lower_rate_and_a_stopped_one_decides_alike(void **state)
{
    struct job whole;
    struct job parts;
    struct dv_trained one;
    struct dv_trained two;
    enum dv_status status = DV_CANCELLED;

    (void)state;
    toy_weight_max = 1.5f;
    make_job(&whole, 1.0);
    make_job(&parts, 1.0);
    assert_int_equal(go(&whole, &one, NULL), DV_OK);
    size_t attempts = journal_count(&whole);
    assert_true(attempts > 0);
    assert_true(fabs(one.hyperparameters.learning_rate - pow(0.3, (double)attempts)) < 1e-12);

    for (int i = 0; status == DV_CANCELLED && i < 200; i++) {
        parts.stop_after = 2 + (uint64_t)i % 3;
        status = go(&parts, &two, NULL);
    }
    assert_int_equal(status, DV_OK);
    assert_int_equal(journal_count(&parts), attempts);
    assert_memory_equal(
        one.result.weights, two.result.weights, one.result.weight_count * sizeof(float));
    dv_trained_finish(&one);
    dv_trained_finish(&two);
    finish_job(&whole);
    finish_job(&parts);
    toy_weight_max = INFINITY;
}

static void a_run_that_diverges_at_every_rate_says_so(void **state)
{
    struct job job;
    struct dv_trained trained;
    struct dv_error error = {0};

    (void)state;
    toy_weight_max = 0.0f;
    make_job(&job, 1.0);
    assert_int_equal(go(&job, &trained, &error), DV_DIVERGED);
    assert_true(error.text[0] != '\0');
    assert_int_equal(journal_count(&job), 3);
    finish_job(&job);
    toy_weight_max = INFINITY;
}

static int64_t last_batch(const struct job *job)
{
    struct dv_json *entries = NULL;

    assert_int_equal(dv_journal_read(job->path, &entries, NULL), DV_OK);
    const struct dv_json *last = dv_json_at(entries, dv_json_count(entries) - 1);
    int64_t batch = dv_json_get_integer(last, "next_batch_size", -1);
    dv_json_unref(entries);
    return batch;
}

static void after_a_worker_without_memory_the_batch_is_halved_once_for_each(void **state)
{
    struct job job;
    struct dv_trained trained;

    (void)state;
    make_job(&job, 0.05);
    job.options.previous_failure = "oom";
    job.options.attempt = 1;
    job.stop_after = 1; /* killed soon after it has decided */
    assert_int_equal(go(&job, &trained, NULL), DV_CANCELLED);
    assert_int_equal(last_batch(&job), 4);

    /* The same worker again decides nothing new; nor does one after another kind of end. */
    assert_int_equal(go(&job, &trained, NULL), DV_CANCELLED);
    assert_int_equal(journal_count(&job), 1);
    job.options.previous_failure = "signal";
    job.options.attempt = 2;
    assert_int_equal(go(&job, &trained, NULL), DV_CANCELLED);
    assert_int_equal(journal_count(&job), 1);

    job.options.previous_failure = "oom";
    job.options.attempt = 3;
    job.stop_after = 0;
    assert_int_equal(go(&job, &trained, NULL), DV_OK);
    assert_int_equal(last_batch(&job), 2);
    assert_int_equal(trained.hyperparameters.batch_size, 2);
    assert_true(fabs(trained.hyperparameters.learning_rate - 0.05 / 2.0) < 1e-12);
    dv_trained_finish(&trained);
    finish_job(&job);
}

static void one_picture_a_step_that_does_not_fit_is_the_end(void **state)
{
    struct job job;
    struct dv_trained trained;
    struct dv_error error = {0};

    (void)state;
    make_job(&job, 0.05);
    dv_json_set_integer(job.hyperparameters, "batch_size", 1);
    job.options.previous_failure = "oom";
    job.options.attempt = 1;
    assert_int_equal(go(&job, &trained, &error), DV_NOMEM);
    assert_int_equal(journal_count(&job), 0);
    finish_job(&job);
}

static void the_users_values_win_over_the_defaults_and_the_rest_is_the_recipes(void **state)
{
    struct job job;
    struct dv_trained trained;

    (void)state;
    make_job(&job, 0.05);
    assert_int_equal(go(&job, &trained, NULL), DV_OK);
    assert_int_equal(trained.hyperparameters.epochs, 4);
    assert_int_equal(trained.hyperparameters.seed, 3);
    assert_int_equal(trained.hyperparameters.image_size, 28);
    assert_int_equal(trained.hyperparameters.batch_size, 8);
    assert_int_equal(journal_count(&job), 0);
    dv_trained_finish(&trained);
    finish_job(&job);
}

static void a_batch_has_no_more_pictures_than_there_are(void **state)
{
    struct job job;
    struct dv_trained trained;

    (void)state;
    make_job(&job, 0.05);
    dv_json_set_integer(job.hyperparameters, "batch_size", 2048);
    assert_int_equal(go(&job, &trained, NULL), DV_OK);
    assert_int_equal(trained.hyperparameters.batch_size, 45);
    dv_trained_finish(&trained);
    finish_job(&job);
}

static void what_native_cannot_do_is_refused_with_the_reason(void **state)
{
    struct job job;
    struct dv_trained trained;
    struct dv_error error = {0};

    (void)state;
    make_job(&job, 0.05);
    job.spec.base_model_id = "00000000-0000-4000-8000-000000000000";
    assert_int_equal(go(&job, &trained, &error), DV_INVALID);
    assert_non_null(strstr(error.text, "transfer"));
    job.spec.base_model_id = NULL;
    job.dataset.class_count = 1;
    assert_int_equal(go(&job, &trained, &error), DV_INVALID);
    finish_job(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_diverged_run_is_tried_with_a_lower_rate_and_a_stopped_one_decides_alike),
        cmocka_unit_test(a_run_that_diverges_at_every_rate_says_so),
        cmocka_unit_test(after_a_worker_without_memory_the_batch_is_halved_once_for_each),
        cmocka_unit_test(one_picture_a_step_that_does_not_fit_is_the_end),
        cmocka_unit_test(the_users_values_win_over_the_defaults_and_the_rest_is_the_recipes),
        cmocka_unit_test(a_batch_has_no_more_pictures_than_there_are),
        cmocka_unit_test(what_native_cannot_do_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
