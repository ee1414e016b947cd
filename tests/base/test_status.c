/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_failure_is_its_status_and_its_message(void **state)
{
    struct dv_error error;

    (void)state;
    assert_int_equal(dv_fail(NULL, DV_INVALID, "nobody listens"), DV_INVALID);
    assert_int_equal(dv_fail(&error, DV_CONFLICT, "%d of %d", 2, 3), DV_CONFLICT);
    assert_int_equal(error.status, DV_CONFLICT);
    dv_error_prefix(&error, "step %s", "one");
    assert_string_equal(error.text, "step one: 2 of 3");
}

static void a_system_error_chooses_its_status(void **state)
{
    static const struct {
        int number;
        enum dv_status status;
    } cases[] = {{ENOSPC, DV_NO_SPACE}, {EDQUOT, DV_NO_SPACE}, {ENOMEM, DV_NOMEM},
        {ENOENT, DV_NOT_FOUND}, {EEXIST, DV_CONFLICT}, {EFBIG, DV_TOO_LARGE}, {EIO, DV_IO}};
    struct dv_error error;

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        assert_int_equal(dv_fail_errno(&error, cases[i].number, "cannot"), cases[i].status);
        assert_int_equal(error.status, cases[i].status);
    }
    assert_string_equal(error.text, "cannot: Input/output error");
}

static void names_go_both_ways(void **state)
{
    (void)state;
    for (int i = DV_OK; i <= DV_CANCELLED; i++) {
        enum dv_status status = (enum dv_status)i;
        assert_int_equal(dv_status_from_name(dv_status_name(status)), status);
        assert_true(strlen(dv_status_text(status)) > 0);
    }
    assert_int_equal(dv_status_from_name("NOTHING"), DV_IO);
    assert_int_equal(dv_status_from_name(NULL), DV_IO);
}

/* A name that is too long, cut at every place within its last character, or no UTF-8 at all. */
static void a_message_is_utf8_whatever_is_in_it(void **state)
{
    char name[600];
    struct dv_error error;

    (void)state;
    for (size_t blanks = 0; blanks < 4; blanks++) {
        memset(name, ' ', blanks);
        for (size_t at = blanks; at + 3 < sizeof(name); at += 3) {
            memcpy(name + at, "\xe2\x82\xac", 4);
        }
        (void)dv_fail(&error, DV_INVALID, "%s", name);
        assert_true(dv_text_is_utf8(error.text, strlen(error.text)));
        (void)dv_fail_errno(&error, EIO, "%s", name);
        assert_true(dv_text_is_utf8(error.text, strlen(error.text)));
        dv_error_prefix(&error, "%s", "x");
        assert_true(dv_text_is_utf8(error.text, strlen(error.text)));
    }
    (void)dv_fail(&error, DV_INVALID, "there is no 'caf\xe9'");
    assert_string_equal(error.text, "there is no 'caf?'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_its_status_and_its_message),
        cmocka_unit_test(a_system_error_chooses_its_status),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(a_message_is_utf8_whatever_is_in_it),
    };

    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
