/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_test.h"

#include "spec/preprocessing.h"

#define GOOD                                                                                       \
    "'image_size':[28,32],'resize':'crop','color':'grey','mean':[0.28604],'std':[0.353],"          \
    "'classes':['a','b']"

static void reads_back_what_it_writes(void **state)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    const char *classes[] = {"cat", "d\xc3\xb6g"};
    struct dv_preprocessing first = {.rows = 64,
        .columns = 48,
        .resize = DV_RESIZE_PAD,
        .channels = 3,
        .mean = {0.485f, 0.456f, 0.1f / 3.0f},
        .std = {0.229f, 1.0f, 0.225f},
        .classes = classes,
        .class_count = 2};
    struct dv_preprocessing second;
    struct dv_problems problems;
    (void)state;

    dv_problems_init(&problems, arena, 5);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_preprocessing_to_json(&first);
    assert_int_equal(dv_preprocessing_parse(json, arena, &problems, &second, NULL), DV_OK);
    assert_int_equal(second.rows, 64);
    assert_int_equal(second.columns, 48);
    assert_int_equal(second.resize, DV_RESIZE_PAD);
    assert_int_equal(second.channels, 3);
    assert_memory_equal(second.mean, first.mean, sizeof(first.mean));
    assert_memory_equal(second.std, first.std, sizeof(first.std));
    assert_string_equal(second.classes[1], "d\xc3\xb6g");
}

static void names_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *code, *pointer;
    } rows[] = {
        {"{" GOOD "}", NULL, NULL},
        {"[]", "E_TYPE", "/preprocessing"},
        {"{" GOOD ",'x':1}", "E_FIELD", "/preprocessing/x"},
        {"{'resize':'crop','color':'grey','mean':[0],'std':[1],'classes':['a']}", "E_FIELD",
            "/preprocessing/image_size"},
        {"{'image_size':[0,3],'resize':'crop','color':'grey','mean':[0],'std':[1],'classes':['a']}",
            "E_VALUE", "/preprocessing/image_size"},
        {"{'image_size':[9,9],'resize':'fill','color':'grey','mean':[0],'std':[1],'classes':['a']}",
            "E_VALUE", "/preprocessing/resize"},
        {"{'image_size':[9,9],'resize':'pad','color':'rgb','mean':[0],'std':[1,1,1],"
         "'classes':['a']}",
            "E_VALUE", "/preprocessing/mean"},
        {"{'image_size':[9,9],'resize':'pad','color':'grey','mean':[0],'std':[0],'classes':['a']}",
            "E_VALUE", "/preprocessing/std"},
        {"{'image_size':[9,9],'resize':'pad','color':'grey','mean':[0],'std':[1],'classes':[]}",
            "E_VALUE", "/preprocessing/classes"},
        {"{'image_size':[9,9],'resize':'pad','color':'grey','mean':[0],'std':[1],"
         "'classes':['a',3]}",
            "E_VALUE", "/preprocessing/classes/1"},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
        DV_CLEANUP(dv_json_unrefp) struct dv_json *json = spec_test_json(rows[i].text);
        struct dv_preprocessing read;
        struct dv_problems problems;
        dv_problems_init(&problems, arena, 5);
        enum dv_status status = dv_preprocessing_parse(json, arena, &problems, &read, NULL);
        assert_int_equal(status, rows[i].code ? DV_INVALID : DV_OK);
        if (rows[i].code) {
            assert_int_equal(problems.count, 1);
            assert_string_equal(problems.items[0].code, rows[i].code);
            assert_string_equal(problems.items[0].pointer, rows[i].pointer);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_what_it_writes),
        cmocka_unit_test(names_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
