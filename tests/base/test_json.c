/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/json.h"
#include "base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static enum dv_status parse(const char *text, struct dv_json **ret)
{
    return dv_json_parse(text, strlen(text), ret, NULL);
}

static void what_is_not_strict_json_is_refused(void **state)
{
    static const char *const bad[] = {"", "{", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "[1] x", "nul",
        "\"\x80\"", "'a'", "{a:1}", "[NaN]", "[1e999]"};
    struct dv_json *json = NULL;

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(bad); i++) {
        assert_int_equal(parse(bad[i], &json), DV_INVALID);
        assert_null(json);
    }
}

static void nesting_is_allowed_to_the_limit_and_not_beyond(void **state)
{
    char text[2 * DV_JSON_DEPTH_MAX + 3] = "";
    struct dv_json *json = NULL;

    (void)state;
    memset(text, '[', DV_JSON_DEPTH_MAX);
    memset(text + DV_JSON_DEPTH_MAX, ']', DV_JSON_DEPTH_MAX);
    assert_int_equal(parse(text, &json), DV_OK);
    json = dv_json_unref(json);
    memset(text, '[', DV_JSON_DEPTH_MAX + 1);
    memset(text + DV_JSON_DEPTH_MAX + 1, ']', DV_JSON_DEPTH_MAX + 1);
    assert_int_equal(parse(text, &json), DV_INVALID);
    assert_int_equal(parse("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"", &json), DV_OK);
    dv_json_unref(json);
}

static void numbers_survive_a_round_trip(void **state)
{
    struct dv_json *json = dv_json_array();
    struct dv_json *back = NULL;

    (void)state;
    dv_json_append(json, dv_json_number(0.1));
    dv_json_append(json, dv_json_integer(INT64_MIN));
    dv_json_append(json, dv_json_number(NAN));
    char *text = dv_json_print(json);
    assert_int_equal(parse(text, &back), DV_OK);
    assert_true(dv_json_to_number(dv_json_at(back, 0), 0) == 0.1);
    assert_true(dv_json_to_integer(dv_json_at(back, 1), 0) == INT64_MIN);
    assert_true(dv_json_is_null(dv_json_at(back, 2)));
    dv_free(text);
    dv_json_unref(json);
    dv_json_unref(back);
}

static void numbers_have_no_more_digits_than_they_need(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "0.1"}, {0.025, "0.025"}, {5e-4, "0.0005"}, {-0.85, "-0.85"}, {4, "4.0"},
        {0.1 + 0.2, "0.30000000000000004"}, {1e-7, "1e-07"}, {1e300, "1e+300"},
        {0x1p-20, "9.5367431640625e-7"}, {1.0 / 3.0, "0.3333333333333333"}, {1e15, "1e+15"},
        {123456789012345678.0, "1.2345678901234568e17"}};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_json_number(cases[i].value);
        DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
        assert_string_equal(text, cases[i].text);
    }
    DV_CLEANUP(dv_json_unrefp) struct dv_json *all = NULL;
    const char *text =
        "{\"0.10000000000000001\":[\"\\\"0.10000000000000001\\\\\",0.1,true,7,-0.5,[]]}";
    assert_int_equal(parse(text, &all), DV_OK);
    DV_CLEANUP(dv_freep) char *again = dv_json_print(all);
    assert_string_equal(again, text);
}

/* Bit for bit, over the whole range: what is stored is exactly what was computed. */
static void every_number_comes_back_as_it_was(void **state)
{
    struct dv_random random = dv_random_make(1, DV_RANDOM_INIT, 0, 0);

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = dv_random_u64(&random);
        double value, back;
        memcpy(&value, &bits, sizeof(value));
        if (!isfinite(value)) {
            continue;
        }
        DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_json_number(value);
        DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
        DV_CLEANUP(dv_json_unrefp) struct dv_json *again = NULL;
        assert_int_equal(parse(text, &again), DV_OK);
        assert_false(dv_json_is_integer(again));
        back = dv_json_to_number(again, 0);
        assert_memory_equal(&back, &value, sizeof(value));
    }
}

static void the_canonical_form_does_not_depend_on_order(void **state)
{
    struct dv_json *a = NULL;
    struct dv_json *b = NULL;

    (void)state;
    assert_int_equal(parse("{\"x\":1,\"a\":[true,null]}", &a), DV_OK);
    assert_int_equal(parse(" {\"a\":[true, null] ,\"x\":1} ", &b), DV_OK);
    char *first = dv_json_print_canonical(a);
    char *second = dv_json_print_canonical(b);
    assert_string_equal(first, second);
    dv_free(first);
    dv_free(second);
    dv_json_unref(a);
    dv_json_unref(b);
}

static void queries_on_nothing_answer_with_the_fallback(void **state)
{
    (void)state;
    assert_string_equal(dv_json_get_string(NULL, "a", "none"), "none");
    assert_int_equal(dv_json_get_integer(NULL, "a", 3), 3);
    assert_int_equal(dv_json_count(NULL), 0);
    assert_true(dv_json_is_null(NULL));
    assert_null(dv_json_at(NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_strict_json_is_refused),
        cmocka_unit_test(nesting_is_allowed_to_the_limit_and_not_beyond),
        cmocka_unit_test(numbers_survive_a_round_trip),
        cmocka_unit_test(numbers_have_no_more_digits_than_they_need),
        cmocka_unit_test(every_number_comes_back_as_it_was),
        cmocka_unit_test(the_canonical_form_does_not_depend_on_order),
        cmocka_unit_test(queries_on_nothing_answer_with_the_fallback),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
