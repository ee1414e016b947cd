/* SPDX-License-Identifier: Apache-2.0 */
#include "base/macro.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void numbers_are_the_whole_text_or_nothing(void **state)
{
    static const char *const bad[] = {"", " 1", "1 ", "1x", "0x10", "--1", "9223372036854775808", "+1"};
    int64_t value = 7;

    (void)state;
    assert_true(dv_text_to_int64("-9223372036854775808", &value));
    assert_true(value == INT64_MIN);
    for (size_t i = 0; i < DV_ARRAY_SIZE(bad); i++) {
        value = 7;
        assert_false(dv_text_to_int64(bad[i], &value));
        assert_int_equal(value, 7);
    }
}

static void real_numbers_are_finite_and_decimal(void **state)
{
    static const char *const bad[] = {"", "nan", "inf", "0x1p3", "1e999", "1,5", " 1", "1.5.2"};
    double value = 0;

    (void)state;
    assert_true(dv_text_to_double("-1.5e-3", &value));
    assert_float_equal(value, -0.0015, 0);
    for (size_t i = 0; i < DV_ARRAY_SIZE(bad); i++) {
        assert_false(dv_text_to_double(bad[i], &value));
    }
}

static void utf8_is_checked_as_rfc_3629_says(void **state)
{
    static const struct {
        const char *bytes;
        bool is_good;
    } cases[] = {{"plain", true}, {"\xc3\xa9", true}, {"\xe2\x82\xac", true}, {"\xf0\x9f\x98\x80", true},
        {"\xc0\xaf", false}, {"\xe0\x80\xaf", false}, {"\xed\xa0\x80", false}, {"\xf4\x90\x80\x80", false},
        {"\xc3", false}, {"\xff", false}, {"a\x80", false}};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        assert_int_equal(dv_text_is_utf8(cases[i].bytes, strlen(cases[i].bytes)), cases[i].is_good);
    }
    assert_false(dv_text_is_utf8("a\0b", 3));
}

static void what_is_no_utf8_or_would_move_a_cursor_is_replaced(void **state)
{
    static const struct {
        const char *text, *utf8, *printable;
    } cases[] = {
        {"plain \xc3\xa9", "plain \xc3\xa9", "plain \xc3\xa9"},
        {"caf\xe9.zip", "caf?.zip", "caf?.zip"},
        {"cut \xe2\x82", "cut ??", "cut ??"},
        {"\xed\xa0\x80", "???", "???"},
        {"a\033[2Jb\n\177", "a\033[2Jb\n\177", "a?[2Jb??"},
        {"\xc2\x9b" "5m", "\xc2\x9b" "5m", "??5m"},
        {"", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        char text[32];
        assert_true(dv_text_copy(text, sizeof(text), cases[i].text));
        dv_text_make_utf8(text);
        assert_string_equal(text, cases[i].utf8);
        assert_true(dv_text_copy(text, sizeof(text), cases[i].text));
        dv_text_make_printable(text);
        assert_string_equal(text, cases[i].printable);
    }
}

static void copies_into_a_field_end_with_a_nul_and_say_if_they_were_cut(void **state)
{
    char field[4];

    (void)state;
    assert_true(dv_text_copy(field, sizeof(field), "abc"));
    assert_string_equal(field, "abc");
    assert_false(dv_text_copy(field, sizeof(field), "abcd"));
    assert_string_equal(field, "abc");
}

static void sizes_read_well(void **state)
{
    char text[16];

    (void)state;
    dv_text_size(999, text);
    assert_string_equal(text, "999 B");
    dv_text_size(1400000000, text);
    assert_string_equal(text, "1.4 GB");
    dv_text_size(UINT64_MAX, text);
    assert_string_equal(text, "18.4 EB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_the_whole_text_or_nothing),
        cmocka_unit_test(real_numbers_are_finite_and_decimal),
        cmocka_unit_test(utf8_is_checked_as_rfc_3629_says),
        cmocka_unit_test(what_is_no_utf8_or_would_move_a_cursor_is_replaced),
        cmocka_unit_test(copies_into_a_field_end_with_a_nul_and_say_if_they_were_cut),
        cmocka_unit_test(sizes_read_well),
    };

    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
