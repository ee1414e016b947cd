/* SPDX-License-Identifier: Apache-2.0 */
#include "base/macro.h"
#include "http/range.h"

#include <stddef.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct example {
    const char *text;
    int code;
    uint64_t offset, size;
};

static void one_range_of_ten_bytes(void **state)
{
    static const struct example examples[] = {
        {NULL, 200, 0, 10},
        {"bytes=0-0", 206, 0, 1},
        {"bytes=0-9", 206, 0, 10},
        {"bytes=3-", 206, 3, 7},
        {"bytes=9-", 206, 9, 1},
        {"bytes=5-99", 206, 5, 5},
        {"bytes=5-99999999999999999999999", 206, 5, 5},
        {"bytes=-3", 206, 7, 3},
        {"bytes=-10", 206, 0, 10},
        {"bytes=-11", 206, 0, 10},
        {"bytes=-99999999999999999999999", 206, 0, 10},
        {"BYTES= 0-0 ", 206, 0, 1},
        {"bytes=10-", 416, 0, 0},
        {"bytes=18446744073709551615-", 416, 0, 0},
        {"bytes=99999999999999999999999-", 416, 0, 0},
        {"bytes=-0", 416, 0, 0},
        /* Malformed, several, other units: all of it. */
        {"bytes=5-2", 200, 0, 10},
        {"bytes=0-0,", 200, 0, 10},
        {"bytes=0-0,2-3", 200, 0, 10},
        {"bytes=", 200, 0, 10},
        {"bytes=-", 200, 0, 10},
        {"bytes=a-b", 200, 0, 10},
        {"bytes=0-0x", 200, 0, 10},
        {"bytes=+1-2", 200, 0, 10},
        {"bytes=--1", 200, 0, 10},
        {"bytes", 200, 0, 10},
        {"lines=0-1", 200, 0, 10},
        {"", 200, 0, 10},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(examples); i++) {
        const struct dv_http_conditions conditions = {.range = examples[i].text};
        struct dv_http_slice slice = dv_http_slice_choose(&conditions, "tag", 10);
        if (slice.code != examples[i].code || slice.offset != examples[i].offset ||
            slice.size != examples[i].size) {
            fail_msg("%s: %d %lu %lu", examples[i].text, slice.code, (unsigned long)slice.offset,
                (unsigned long)slice.size);
        }
    }
}

static void an_empty_file_has_no_range(void **state)
{
    static const char *const texts[] = {"bytes=0-", "bytes=0-0", "bytes=-1"};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(texts); i++) {
        const struct dv_http_conditions conditions = {.range = texts[i]};
        assert_int_equal(dv_http_slice_choose(&conditions, NULL, 0).code, 416);
    }
}

static void preconditions_come_first(void **state)
{
    static const struct {
        struct dv_http_conditions conditions;
        int code;
    } examples[] = {
        {{.if_match = "\"tag\"", .range = "bytes=0-0"}, 206},
        {{.if_match = "\"x\", \"tag\""}, 200},
        {{.if_match = "*"}, 200},
        {{.if_match = "\"x\""}, 412},
        {{.if_match = "W/\"tag\""}, 412},
        {{.if_match = "tag"}, 412},
        {{.if_match = ""}, 412},
        {{.if_none_match = "\"tag\"", .range = "bytes=0-0"}, 304},
        {{.if_none_match = "W/\"tag\""}, 304},
        {{.if_none_match = "\"a\" , W/\"b\",\"tag\""}, 304},
        {{.if_none_match = "*"}, 304},
        {{.if_none_match = "\"x\""}, 200},
        {{.if_none_match = "\"tagg\", \"ta\", \"\""}, 200},
        {{.if_none_match = "\"tag"}, 200},
        {{.if_none_match = "* x"}, 200},
        {{.if_match = "\"x\"", .if_none_match = "\"tag\""}, 412},
        {{.if_range = "\"tag\"", .range = "bytes=0-0"}, 206},
        {{.if_range = "\"x\"", .range = "bytes=0-0"}, 200},
        {{.if_range = "W/\"tag\"", .range = "bytes=0-0"}, 200},
        {{.if_range = "*", .range = "bytes=0-0"}, 200},
        {{.if_range = "Sat, 01 Jan 2000 00:00:00 GMT", .range = "bytes=0-0"}, 200},
        {{.if_range = "\"x\"", .range = "bytes=99-"}, 200},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(examples); i++) {
        int code = dv_http_slice_choose(&examples[i].conditions, "tag", 10).code;
        if (code != examples[i].code) {
            fail_msg("example %zu: %d", i, code);
        }
    }
}

static void without_a_tag_nothing_matches(void **state)
{
    const struct dv_http_conditions match = {.if_match = "*"};
    const struct dv_http_conditions none = {.if_none_match = "*"};
    const struct dv_http_conditions range = {.if_range = "\"\"", .range = "bytes=0-0"};

    (void)state;
    assert_int_equal(dv_http_slice_choose(&match, NULL, 10).code, 412);
    assert_int_equal(dv_http_slice_choose(&none, NULL, 10).code, 200);
    assert_int_equal(dv_http_slice_choose(&range, NULL, 10).code, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_range_of_ten_bytes),
        cmocka_unit_test(an_empty_file_has_no_range),
        cmocka_unit_test(preconditions_come_first),
        cmocka_unit_test(without_a_tag_nothing_matches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
