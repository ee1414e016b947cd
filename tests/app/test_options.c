/* SPDX-License-Identifier: Apache-2.0 */
#include "app/options.h"
#include "base/alloc.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct values {
    const char *output;
    bool is_json;
    int64_t count;
    double rate;
};

static enum dv_status parse(
    struct values *values, struct dv_arguments *ret_arguments, struct dv_error *reterr, char **argv)
{
    const struct dv_option options[] = {
        {.name = "output", .letter = 'o', .value = "FILE", .help = "", .text = &values->output},
        {.name = "json", .help = "", .flag = &values->is_json},
        {.name = "count",
            .value = "N",
            .help = "",
            .take = dv_option_take_integer,
            .user = &values->count},
        {.name = "rate",
            .value = "X",
            .help = "",
            .take = dv_option_take_number,
            .user = &values->rate},
        {0},
    };
    int argc = 0;

    while (argv[argc]) {
        argc++;
    }
    return dv_options_parse(options, argc, argv, ret_arguments, reterr);
}

#define ARGUMENTS(...)                                                                             \
    (char *[])                                                                                     \
    {                                                                                              \
        (char *)"dv", __VA_ARGS__, NULL                                                            \
    }

static void every_way_to_give_a_value_works(void **state)
{
    struct values values = {0};
    struct dv_arguments arguments;

    (void)state;
    char **argv = ARGUMENTS((char *)"a", (char *)"--count", (char *)"-3", (char *)"--rate=0.5",
        (char *)"-o", (char *)"x", (char *)"--json", (char *)"-", (char *)"--", (char *)"--b");
    assert_int_equal(parse(&values, &arguments, NULL, argv), DV_OK);
    assert_int_equal(values.count, -3);
    assert_true(values.rate == 0.5);
    assert_string_equal(values.output, "x");
    assert_true(values.is_json);
    assert_int_equal(arguments.count, 3);
    assert_string_equal(arguments.items[0], "a");
    assert_string_equal(arguments.items[1], "-");
    assert_string_equal(arguments.items[2], "--b");
    dv_free(arguments.items);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *first, *second, *message;
    } cases[] = {
        {"--nothing", NULL, "there is no option --nothing; --help lists them all"},
        {"-x", NULL, "there is no option -x; --help lists them all"},
        {"-ox", NULL, "there is no option -ox; --help lists them all"},
        {"--count", NULL, "--count needs a value: --count N"},
        {"--count", "3x", "--count: '3x' is no whole number"},
        {"--count=", NULL, "--count: '' is no whole number"},
        {"--rate", "fast", "--rate: 'fast' is no number"},
        {"--json=yes", NULL, "--json takes no value"},
        {"--jso", NULL, "there is no option --jso; --help lists them all"},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        struct values values = {0};
        struct dv_arguments arguments;
        struct dv_error error = {0};
        char **argv = ARGUMENTS((char *)cases[i].first, (char *)cases[i].second);
        assert_int_equal(parse(&values, &arguments, &error, argv), DV_INVALID);
        assert_string_equal(error.text, cases[i].message);
    }
}

static void help_wins_over_everything_but_the_double_dash(void **state)
{
    struct values values = {0};
    struct dv_arguments arguments;

    (void)state;
    char **asked = ARGUMENTS((char *)"--nothing", (char *)"--help");
    assert_int_equal(parse(&values, &arguments, NULL, asked), DV_OK);
    assert_true(arguments.is_help);
    dv_free(arguments.items);
    char **not_asked = ARGUMENTS((char *)"--", (char *)"--help");
    assert_int_equal(parse(&values, &arguments, NULL, not_asked), DV_OK);
    assert_false(arguments.is_help);
    assert_int_equal(arguments.count, 1);
    dv_free(arguments.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_give_a_value_works),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(help_wins_over_everything_but_the_double_dash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
