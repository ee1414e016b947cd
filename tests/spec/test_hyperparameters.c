/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_test.h"

#include "base/alloc.h"
#include "spec/hyperparameters.h"

static enum dv_status merge(
    const char *text, struct dv_hyperparameters *target, struct dv_problems *problems)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = spec_test_json(text);

    return dv_hyperparameters_merge(target, json, "/hyperparameters", problems, NULL);
}

static void assert_same_json(const struct dv_json *wanted, const struct dv_json *found)
{
    DV_CLEANUP(dv_freep) char *wanted_text = dv_json_print(wanted);
    DV_CLEANUP(dv_freep) char *found_text = dv_json_print(found);

    assert_string_equal(found_text, wanted_text);
}

static void ranges_hold_at_the_limit_and_one_past(void **state)
{
    static const struct {
        const char *text;
        bool is_legal;
    } rows[] = {
        {"{'learning_rate':1e-7}", true},
        {"{'learning_rate':9e-8}", false},
        {"{'learning_rate':10}", true},
        {"{'learning_rate':10.01}", false},
        {"{'batch_size':1}", true},
        {"{'batch_size':0}", false},
        {"{'batch_size':4096}", true},
        {"{'batch_size':4097}", false},
        {"{'batch_size':64.5}", false},
        {"{'batch_size':'64'}", false},
        {"{'optimizer':'AdamW'}", true},
        {"{'optimizer':'adamax'}", false},
        {"{'momentum':0.9999}", true},
        {"{'momentum':1}", false},
        {"{'weight_decay':1}", true},
        {"{'weight_decay':-0.1}", false},
        {"{'dropout':0.9}", true},
        {"{'dropout':0.91}", false},
        {"{'epochs':10000}", true},
        {"{'epochs':10001}", false},
        {"{'schedule':'OneCycle'}", true},
        {"{'schedule':3}", false},
        {"{'warmup_epochs':1000}", true},
        {"{'warmup_epochs':1001}", false},
        {"{'label_smoothing':0.5}", true},
        {"{'label_smoothing':0.51}", false},
        {"{'augmentation':'strong'}", true},
        {"{'image_size':0}", true},
        {"{'image_size':7}", false},
        {"{'image_size':8}", true},
        {"{'image_size':1024}", true},
        {"{'image_size':1025}", false},
        {"{'early_stopping_patience':10000}", true},
        {"{'early_stopping_patience':-1}", false},
        {"{'ema':0.99999}", true},
        {"{'ema':0.999999}", false},
        {"{'seed':9007199254740992}", true},
        {"{'seed':9007199254740994}", false},
        {"{'seed':-1}", false},
        {"{'lr':0.1}", false},
        {"{'epochs':null}", false},
        {"[]", false},
        {"{}", true},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
        struct dv_hyperparameters target = dv_hyperparameters_default();
        DV_CLEANUP(dv_json_unrefp) struct dv_json *before = dv_hyperparameters_to_json(&target);
        struct dv_problems problems;
        dv_problems_init(&problems, arena, 5);
        enum dv_status status = merge(rows[i].text, &target, &problems);
        if ((status == DV_OK) != rows[i].is_legal) {
            fail_msg("%s: status %s", rows[i].text, dv_status_name(status));
        }
        assert_int_equal(problems.count, rows[i].is_legal ? 0 : 1);
        if (!rows[i].is_legal) {
            DV_CLEANUP(dv_json_unrefp) struct dv_json *after = dv_hyperparameters_to_json(&target);
            assert_same_json(before, after);
        }
    }
}

static void lays_values_over_and_reports_all_that_is_wrong(void **state)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_hyperparameters target = dv_hyperparameters_default();
    struct dv_problems problems;
    (void)state;

    dv_problems_init(&problems, arena, 5);
    assert_int_equal(
        merge("{'epochs':3,'optimizer':'ADAM','ema':0.99,'seed':7}", &target, &problems), DV_OK);
    assert_int_equal(target.epochs, 3);
    assert_int_equal(target.optimizer, DV_OPTIMIZER_ADAM);
    assert_int_equal(target.seed, 7);
    assert_true(target.momentum > 0.89 && target.momentum < 0.91);

    assert_int_equal(
        merge("{'epochs':0,'learning_rat':1,'schedule':'cosin'}", &target, &problems), DV_INVALID);
    assert_int_equal(problems.count, 3);
    assert_string_equal(problems.items[0].pointer, "/hyperparameters/epochs");
    assert_string_equal(problems.items[0].message, "epochs=0 is out of range. Legal: 1 to 10000.");
    assert_string_equal(problems.items[0].fix, "set epochs=1");
    assert_string_equal(problems.items[1].fix, "rename \"learning_rat\" to \"learning_rate\"");
    assert_string_equal(problems.items[2].fix, "set schedule=\"cosine\"");
    assert_int_equal(target.epochs, 3);
}

static void json_reads_back_as_the_same_values(void **state)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_hyperparameters first = dv_hyperparameters_default();
    struct dv_hyperparameters second = dv_hyperparameters_default();
    struct dv_problems problems;
    (void)state;

    dv_problems_init(&problems, arena, 5);
    assert_int_equal(merge("{'learning_rate':0.0123,'augmentation':'cutout','image_size':96,"
                           "'warmup_epochs':1.5,'optimizer':'rmsprop'}",
                         &first, &problems),
        DV_OK);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_hyperparameters_to_json(&first);
    assert_int_equal(dv_hyperparameters_merge(&second, json, "", &problems, NULL), DV_OK);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *again = dv_hyperparameters_to_json(&second);
    assert_same_json(json, again);
    assert_int_equal(dv_json_count(json), 15);
    assert_int_equal(dv_hyperparameters_merge(&second, NULL, "", &problems, NULL), DV_OK);
}

static void catalogue_tells_type_range_and_default_of_each(void **state)
{
    const struct dv_hyperparameters defaults = dv_hyperparameters_default();
    DV_CLEANUP(dv_json_unrefp) struct dv_json *list = dv_hyperparameters_catalogue(&defaults);
    (void)state;

    assert_int_equal(dv_json_count(list), 15);
    for (size_t i = 0; i < dv_json_count(list); i++) {
        const struct dv_json *item = dv_json_at(list, i);
        bool is_choice = strcmp(dv_json_get_string(item, "type", ""), "choice") == 0;
        assert_non_null(dv_json_get(item, "default"));
        assert_true(strlen(dv_json_get_string(item, "title", "")) > 0);
        assert_true(strlen(dv_json_get_string(item, "meaning", "")) > 0);
        assert_int_equal(dv_json_count(dv_json_get(item, "choices")) > 0, is_choice);
        assert_int_equal(dv_json_is_number(dv_json_get(item, "maximum")), !is_choice);
    }
}

static void text_is_typed_by_the_table(void **state)
{
    static const char *const wrong[] = {"epochs", "epochs=", "epochs=ten", "epochs=1.5", "epochs=0",
        "epoch=3", "=3", "optimizer=foo", "momentum=nan", "momentum=0.5x", "\xff=1"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_json_object();
    struct dv_error error = {0};
    (void)state;

    assert_int_equal(dv_hyperparameters_set_text(json, "epochs=12", &error), DV_OK);
    assert_int_equal(dv_hyperparameters_set_text(json, "learning_rate=1e-3", &error), DV_OK);
    assert_int_equal(dv_hyperparameters_set_text(json, "optimizer=AdamW", &error), DV_OK);
    assert_int_equal(dv_json_get_integer(json, "epochs", 0), 12);
    assert_true(dv_json_get_number(json, "learning_rate", 0) > 0.00099);
    assert_string_equal(dv_json_get_string(json, "optimizer", ""), "adamw");
    for (size_t i = 0; i < DV_ARRAY_SIZE(wrong); i++) {
        assert_int_equal(dv_hyperparameters_set_text(json, wrong[i], &error), DV_INVALID);
    }
    assert_int_equal(dv_json_count(json), 3);
    assert_int_equal(dv_hyperparameters_set_text(json, "optimizer=foo", &error), DV_INVALID);
    assert_non_null(strstr(error.text, "sgd, adam, adamw, rmsprop"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_hold_at_the_limit_and_one_past),
        cmocka_unit_test(lays_values_over_and_reports_all_that_is_wrong),
        cmocka_unit_test(json_reads_back_as_the_same_values),
        cmocka_unit_test(catalogue_tells_type_range_and_default_of_each),
        cmocka_unit_test(text_is_typed_by_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
