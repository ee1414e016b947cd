/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every training strategy, on a small set of drawn shapes: it learns, the same seed gives the same
 * weights, a run that is stopped and gone on with ends with the same weights, and what is out of
 * range or impossible is refused.
 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "data/ingest.h"
#include "data/sample_shapes.h"
#include "train/predict.h"
#include "train/strategy.h"
#include "train/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

static char root[] = "/tmp/dv-strategies-XXXXXX";
static char dataset[DV_PATH_SIZE];

/* Shared by all runs: without it each would measure for itself and could choose other kernels. */
static char plans[DV_PATH_SIZE];
static unsigned folder_number;

static int make_dataset(void **state)
{
    struct dv_sample_shapes_options shapes = {.class_count = 2, .picture_count = 240, .seed = 1};
    struct dv_ingest_options ingest = {.folder = dataset, .id = "d", .name = "shapes", .seed = 1};
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_dataset_summary summary;
    struct dv_error error = {0};
    char zip[DV_PATH_SIZE];

    (void)state;
    if (!mkdtemp(root) || dv_path_format(zip, NULL, "%s/shapes.zip", root) != DV_OK ||
        dv_path_format(dataset, NULL, "%s/dataset", root) != DV_OK ||
        dv_path_format(plans, NULL, "%s/plans", root) != DV_OK) {
        return -1;
    }
    ingest.source_path = zip;
    enum dv_status status = dv_sample_shapes_write(zip, &shapes, &error);
    if (status == DV_OK) {
        status = dv_folder_make(dataset, &error);
    }
    if (status == DV_OK) {
        status = dv_ingest_run(&ingest, arena, &summary, &error);
    }
    if (status != DV_OK) {
        print_error("%s\n", error.text);
    }
    dv_arena_destroy(arena);
    return status == DV_OK ? 0 : -1;
}

static int remove_all(void **state)
{
    (void)state;
    return dv_folder_remove(root, NULL) == DV_OK ? 0 : -1;
}

/* --- A run ------------------------------------------------------------------------------- */

struct run {
    char job_folder[DV_PATH_SIZE];
    char model_folder[DV_PATH_SIZE];
    struct dv_json *job;
    uint64_t asked;
    uint64_t stop_after; /* questions whether to stop; 0: never */
};

static const char job_text[] =
    "{\"dataset_id\": \"00000000-0000-4000-8000-000000000000\", \"seed\": 5, \"architecture\": "
    "{\"name\": \"toy\", \"layers\": ["
    "{\"name\": \"stem\", \"op\": \"conv\", \"out\": 16, \"stride\": 2},"
    "{\"name\": \"s1\", \"op\": \"residual\", \"out\": 16, \"stride\": 2},"
    "{\"name\": \"gap\", \"op\": \"global_pool\", \"pool\": \"avg\"},"
    "{\"name\": \"drop\", \"op\": \"dropout\", \"drop\": 0.1},"
    "{\"name\": \"head\", \"op\": \"linear\"}]},"
    "\"hyperparameters\": {\"epochs\": 4, \"batch_size\": 16, \"learning_rate\": 0.05, "
    "\"augmentation\": \"flip\", \"ema\": 0.9}}";

static void make_run(struct run *run, const char *strategy)
{
    *run = (struct run){0};
    assert_int_equal(dv_path_format(run->job_folder, NULL, "%s/job%u", root, folder_number), DV_OK);
    assert_int_equal(
        dv_path_format(run->model_folder, NULL, "%s/model%u", root, folder_number), DV_OK);
    folder_number++;
    assert_int_equal(dv_json_parse(job_text, strlen(job_text), &run->job, NULL), DV_OK);
    dv_json_set_string(run->job, "strategy", strategy);
}

static bool is_cancelled(void *user)
{
    struct run *run = user;

    run->asked++;
    return run->stop_after > 0 && run->asked > run->stop_after;
}

static enum dv_status go(struct run *run, struct dv_json **ret_result, struct dv_error *reterr)
{
    struct dv_train_options options = {.job = run->job,
        .dataset_folder = dataset,
        .job_folder = run->job_folder,
        .model_folder = run->model_folder,
        .plan_cache_folder = plans,
        .thread_count = 1,
        .callbacks = {.user = run, .is_cancelled = is_cancelled}};

    run->asked = 0;
    return dv_train_run(&options, ret_result, reterr);
}

static struct dv_json *go_whole(struct run *run)
{
    struct dv_json *result = NULL;
    struct dv_error error = {0};

    run->stop_after = 0;
    if (go(run, &result, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    return result;
}

static void finish(struct run *run, struct dv_json *result)
{
    dv_json_unref(run->job);
    dv_json_unref(result);
}

static void read_weights(const struct run *run, char **ret_data, size_t *ret_size)
{
    char path[DV_PATH_SIZE];

    assert_int_equal(
        dv_path_format(path, NULL, "%s/weights.safetensors", run->model_folder), DV_OK);
    assert_int_equal(dv_file_read(path, 64u << 20, ret_data, ret_size, NULL), DV_OK);
}

static void assert_same_weights(const struct run *a, const struct run *b)
{
    DV_CLEANUP(dv_freep) char *one = NULL;
    DV_CLEANUP(dv_freep) char *two = NULL;
    size_t one_size;
    size_t two_size;

    read_weights(a, &one, &one_size);
    read_weights(b, &two, &two_size);
    assert_int_equal(one_size, two_size);
    assert_memory_equal(one, two, one_size);
}

#define FOR_EACH_STRATEGY(name)                                                                    \
    for (const char *const *next_ = dv_train_strategy_names(), *name = *next_; name;               \
         name = *++next_)

/* --- Tests ------------------------------------------------------------------------------- */

static void each_is_found_by_its_name_and_described(void **state)
{
    struct dv_json *list = dv_train_describe();
    size_t count = 0;

    (void)state;
    FOR_EACH_STRATEGY(name)
    {
        const struct dv_strategy *strategy = dv_strategy_find(name);
        assert_non_null(strategy);
        assert_ptr_equal(strategy, dv_strategy_at(count));
        assert_string_equal(dv_strategy_name(strategy), name);
        assert_string_equal(dv_json_get_string(dv_json_at(list, count), "name", ""), name);
        count++;
    }
    assert_int_equal(dv_json_count(list), count);
    assert_null(dv_strategy_at(count));
    assert_null(dv_strategy_find("none"));
    dv_json_unref(list);
}

static void it_learns_and_reports_what_it_did(void **state)
{
    (void)state;
    FOR_EACH_STRATEGY(name)
    {
        struct run run;
        make_run(&run, name);
        struct dv_json *values = dv_json_get(run.job, "hyperparameters");
        dv_json_set_integer(values, "epochs", 20);
        dv_json_set_number(values, "learning_rate", 0.2);
        dv_json_set_string(values, "augmentation", "none");
        struct dv_json *result = go_whole(&run);
        struct dv_json *history = dv_json_get(result, "history");
        double first = dv_json_get_number(dv_json_at(history, 0), "train_loss", NAN);
        double last =
            dv_json_get_number(dv_json_at(history, dv_json_count(history) - 1), "train_loss", NAN);

        print_message("%s: loss %.3f to %.3f, accuracy %.3f\n", name, first, last,
            dv_json_get_number(result, "accuracy", NAN));
        assert_true(last < 0.95 * first);
        assert_true(isfinite(dv_json_get_number(result, "accuracy", NAN)));
        assert_string_equal(dv_json_get_string(result, "strategy", ""), name);
        assert_int_equal(
            dv_json_get_integer(dv_json_get(result, "hyperparameters"), "batch_size", 0), 16);
        assert_int_equal(dv_json_count(dv_json_get(result, "classes")), 2);
        assert_true(dv_json_get_integer(result, "parameters", 0) > 0);
        finish(&run, result);
    }
}

static void the_same_seed_gives_the_same_weights(void **state)
{
    (void)state;
    FOR_EACH_STRATEGY(name)
    {
        struct run runs[2];
        struct dv_json *results[2];
        for (int i = 0; i < 2; i++) {
            make_run(&runs[i], name);
            results[i] = go_whole(&runs[i]);
        }
        assert_same_weights(&runs[0], &runs[1]);
        for (int i = 0; i < 2; i++) {
            finish(&runs[i], results[i]);
        }
    }
}

static void a_run_that_is_stopped_and_gone_on_with_ends_the_same(void **state)
{
    (void)state;
    FOR_EACH_STRATEGY(name)
    {
        struct run whole;
        struct run parts;
        struct dv_json *result = NULL;
        enum dv_status status = DV_CANCELLED;
        unsigned stops = 0;

        make_run(&whole, name);
        make_run(&parts, name);
        struct dv_json *whole_result = go_whole(&whole);
        while (status == DV_CANCELLED) {
            /* Later ones stop later: what is measured at the end is measured in one go. */
            parts.stop_after = 2 + stops % 3 + stops / 8;
            status = go(&parts, &result, NULL);
            stops++;
            assert_true(stops < 200);
        }
        assert_int_equal(status, DV_OK);
        assert_true(stops > 3);
        assert_same_weights(&whole, &parts);
        finish(&whole, whole_result);
        finish(&parts, result);
    }
}

static void what_is_out_of_range_is_refused(void **state)
{
    (void)state;
    FOR_EACH_STRATEGY(name)
    {
        struct run run;
        struct dv_json *result = NULL;
        struct dv_error error = {0};
        make_run(&run, name);
        dv_json_set_number(dv_json_get(run.job, "hyperparameters"), "learning_rate", -1.0);
        assert_int_equal(go(&run, &result, &error), DV_INVALID);
        assert_non_null(strstr(error.text, "learning_rate"));
        finish(&run, NULL);
    }
}

/* What an evaluation says on its way. */
struct said {
    unsigned count;
    struct dv_train_progress last;
};

static void keep_progress(void *user, const struct dv_train_progress *progress)
{
    struct said *said = user;

    assert_string_equal(progress->status, "evaluating");
    assert_true(said->count == 0 || progress->step >= said->last.step);
    said->count++;
    said->last = *progress;
}

static void a_model_that_was_trained_evaluates_and_predicts_alike(void **state)
{
    struct run run;
    struct said said = {0};
    struct dv_json *evaluation = NULL;
    struct dv_predictor *predictor = NULL;
    struct dv_error error = {0};

    (void)state;
    make_run(&run, "native");
    struct dv_json *result = go_whole(&run);
    struct dv_evaluate_options options = {.model_folder = run.model_folder,
        .dataset_folder = dataset,
        .split = DV_SPLIT_TEST,
        .thread_count = 1,
        .callbacks = {.user = &said, .progress = keep_progress}};
    if (dv_evaluate_run(&options, &evaluation, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    assert_true(dv_json_get_number(evaluation, "accuracy", -1.0) ==
                dv_json_get_number(result, "accuracy", -2.0));
    assert_true(fabs(dv_json_get_number(evaluation, "loss", -1.0) -
                     dv_json_get_number(result, "loss", -2.0)) < 1e-4);
    assert_true(said.count >= 2);
    assert_int_equal(said.last.step, said.last.step_count);
    assert_true(said.last.fraction == 1.0);
    dv_json_unref(evaluation);
    said = (struct said){0};
    options.is_all_splits = true;
    assert_int_equal(dv_evaluate_run(&options, &evaluation, &error), DV_OK);
    assert_int_equal(dv_json_get_integer(evaluation, "total", -1), 240);
    assert_int_equal(said.last.step, said.last.step_count);
    assert_true(said.last.step_count >= 5);

    if (dv_predictor_create(run.model_folder, 1, &predictor, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    float probabilities[2];
    assert_int_not_equal(
        dv_predictor_predict(predictor, "not a picture", 13, probabilities, &error), DV_OK);
    assert_int_equal(dv_predictor_class_count(predictor), 2);
    dv_predictor_destroy(predictor);
    dv_json_unref(evaluation);
    finish(&run, result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found_by_its_name_and_described),
        cmocka_unit_test(it_learns_and_reports_what_it_did),
        cmocka_unit_test(the_same_seed_gives_the_same_weights),
        cmocka_unit_test(a_run_that_is_stopped_and_gone_on_with_ends_the_same),
        cmocka_unit_test(what_is_out_of_range_is_refused),
        cmocka_unit_test(a_model_that_was_trained_evaluates_and_predicts_alike),
    };
    return cmocka_run_group_tests(tests, make_dataset, remove_all);
}
