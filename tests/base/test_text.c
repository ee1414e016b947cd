/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/fold.h"
#include "base/macro.h"
#include "base/text.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <wctype.h>

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

static void expect_fold(const char *text, const char *expected)
{
    DV_CLEANUP(dv_freep) char *folded = dv_text_fold(text);

    assert_string_equal(folded, expected);
}

static void case_is_folded_in_every_script(void **state)
{
    (void)state;
    expect_fold("", "");
    expect_fold("Birds OF Prey 7!", "birds of prey 7!");
    expect_fold("GRÖSSE", "grösse");
    expect_fold("Größe", "grösse");
    expect_fold("ẞ", "ss");
    expect_fold("ΟΔΟΣ", "οδοσ"); /* a sigma at the end of a word is a sigma */
    expect_fold("οδος", "οδοσ");
    expect_fold("ПТИЦЫ", "птицы");
    expect_fold("ÀÉÎÕÜŒŠŽŸ", "àéîõüœšžÿ");
    expect_fold("ȺȾȺȾ", "ⱥⱦⱥⱦ"); /* which grows */
    expect_fold("Ꭰꭰ𐐀", "ᎠᎠ𐐨");
    expect_fold("日本語 한국어 العربية", "日本語 한국어 العربية");
    expect_fold("a\xff\xc3(\xe0\x80\x80\xc3", "a\xff\xc3(\xe0\x80\x80\xc3");
}

static size_t encode(uint32_t c, char ret_text[static 5])
{
    size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = length; i-- > 1; c >>= 6) {
        ret_text[i] = (char)(0x80 | (c & 0x3f));
    }
    ret_text[0] = (char)(length == 1 ? c : (0xf00 >> length & 0xff) | c);
    ret_text[length] = '\0';
    return length;
}

/* The C library's opinion, where it has one: every letter is found by its capital. */
static void a_letter_and_its_capital_fold_to_the_same(void **state)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    char text[5], capital[5];
    unsigned count = 0;

    (void)state;
    if (!locale) {
        skip();
    }
    for (uint32_t c = 1; c < 0x110000; c++) {
        bool is_surrogate = c >= 0xd800 && c < 0xe000;
        uint32_t upper = (uint32_t)towupper_l((wint_t)c, locale);
        if (is_surrogate || c == 0x131) { /* the dotless i, whose capital is another letter's too */
            continue;
        }
        (void)encode(c, text);
        (void)encode(upper, capital);
        DV_CLEANUP(dv_freep) char *folded = dv_text_fold(text);
        DV_CLEANUP(dv_freep) char *again = dv_text_fold(folded);
        assert_string_equal(folded, again);
        expect_fold(capital, folded);
        count += upper != c;
    }
    freelocale(locale);
    assert_true(count > 1300);
}

static void a_clip_cuts_no_character(void **state)
{
    static const struct {
        const char *text;
        size_t size_max;
        const char *clipped;
    } cases[] = {
        {"", 0, ""},
        {"abc", 3, "abc"},
        {"abc", 2, "ab"},
        {"a\xc3\xa9z", 2, "a"},
        {"a\xc3\xa9z", 3, "a\xc3\xa9"},
        {"\xf0\x9f\x8c\xb8", 3, ""},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        char text[16];
        assert_true(dv_text_copy(text, sizeof(text), cases[i].text));
        assert_int_equal(
            dv_text_clip(text, cases[i].size_max), strlen(cases[i].text) > cases[i].size_max);
        assert_string_equal(text, cases[i].clipped);
    }
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
        cmocka_unit_test(case_is_folded_in_every_script),
        cmocka_unit_test(a_letter_and_its_capital_fold_to_the_same),
        cmocka_unit_test(a_clip_cuts_no_character),
    };

    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
