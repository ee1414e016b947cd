/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/buffer.h"
#include "http/multipart.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define TYPE "multipart/form-data; boundary=BOUND"

/* What a body says, as text: "[name|file|type]data;" for each part, then "end" or the problem. */
struct reading {
    struct dv_buffer text;
    bool is_complete;
};

static struct reading begin(struct dv_multipart *parser, const char *type)
{
    struct reading reading = {.text = DV_BUFFER_INIT(1 << 20)};
    const char *problem = NULL;

    assert_true(dv_multipart_init(parser, type, &problem));
    return reading;
}

static void feed(struct dv_multipart *parser, struct reading *reading, const char *data,
    size_t size, size_t bytes_max)
{
    const char *bytes;
    size_t count;

    while (size > 0) {
        switch (dv_multipart_next(parser, &data, &size, bytes_max, &bytes, &count)) {
        case DV_MULTIPART_MORE:
            assert_int_equal(size, 0);
            break;
        case DV_MULTIPART_PART:
            dv_buffer_printf(&reading->text, "[%s|%s|%s]", parser->part.name,
                parser->part.has_file_name ? parser->part.file_name : "-",
                parser->part.has_type ? parser->part.type : "-");
            break;
        case DV_MULTIPART_DATA:
            assert_true(count > 0);
            assert_true(count <= bytes_max);
            dv_buffer_append(&reading->text, bytes, count);
            break;
        case DV_MULTIPART_PART_END:
            dv_buffer_append_text(&reading->text, ";");
            break;
        case DV_MULTIPART_END:
            dv_buffer_append_text(&reading->text, "end");
            break;
        case DV_MULTIPART_BAD:
            dv_buffer_printf(&reading->text, "BAD %s", parser->problem);
            return;
        }
    }
}

static void finish(struct dv_multipart *parser, struct reading *reading)
{
    reading->is_complete = dv_multipart_is_complete(parser);
    dv_multipart_finish(parser);
}

static struct reading read_whole(const char *type, const char *data, size_t size)
{
    struct dv_multipart parser;
    struct reading reading = begin(&parser, type);

    feed(&parser, &reading, data, size, SIZE_MAX);
    finish(&parser, &reading);
    return reading;
}

static void expect(const char *body, const char *expected)
{
    struct reading reading = read_whole(TYPE, body, strlen(body));

    assert_string_equal(dv_buffer_text(&reading.text), expected);
    assert_int_equal(reading.is_complete, strstr(expected, "end") && !strstr(expected, "BAD"));
    dv_buffer_finish(&reading.text);
}

#define DISPOSITION "Content-Disposition: form-data; name="

static const char two_parts[] = "--BOUND\r\n" DISPOSITION "\"a\"\r\n\r\none\r\n"
                                "--BOUND\r\ncontent-type: text/x\r\n" DISPOSITION
                                "b; filename=\"c \\\"d\"\r\n\r\nx\r\r\n--BOUN\r\n-\r\n"
                                "\r\n--BOUND--\r\n";
static const char two_parts_read[] = "[a|-|-]one;[b|c \"d|text/x]x\r\r\n--BOUN\r\n-\r\n;end";

static void parts_are_read_with_names_and_bytes(void **state)
{
    (void)state;
    expect(two_parts, two_parts_read);
    expect("--BOUND\r\n" DISPOSITION "a\r\n\r\n\r\n--BOUND--", "[a|-|-];end");
    expect("--BOUND\r\n" DISPOSITION "a\r\n\r\n\r\r\n--BOUND--\r\n", "[a|-|-]\r;end");
    expect("--BOUND\r\n" DISPOSITION "a\r\n\r\n\r\n\r\n--BOUND--", "[a|-|-]\r\n;end");
    expect("--BOUND\r\n" DISPOSITION "a\r\n\r\n--BOUND\r\n--BOUND--", "[a|-|-]--BOUND;end");
    expect("--BOUND--\r\n", "end");
}

static void every_cut_into_three_reads_the_same(void **state)
{
    size_t size = strlen(two_parts);

    (void)state;
    for (size_t first = 0; first <= size; first++) {
        for (size_t second = first; second <= size; second++) {
            struct dv_multipart parser;
            struct reading reading = begin(&parser, TYPE);
            size_t bytes_max = 1 + (first + second) % 5;

            feed(&parser, &reading, two_parts, first, bytes_max);
            feed(&parser, &reading, two_parts + first, second - first, bytes_max);
            feed(&parser, &reading, two_parts + second, size - second, bytes_max);
            finish(&parser, &reading);
            assert_string_equal(dv_buffer_text(&reading.text), two_parts_read);
            assert_true(reading.is_complete);
            dv_buffer_finish(&reading.text);
        }
    }
}

static void a_body_that_is_cut_off_is_never_complete(void **state)
{
    size_t last = strlen(two_parts) - strlen("\r\n");

    (void)state;
    for (size_t size = 0; size < last; size++) {
        struct reading reading = read_whole(TYPE, two_parts, size);

        assert_false(reading.is_complete);
        assert_null(strstr(dv_buffer_text(&reading.text), "BAD"));
        dv_buffer_finish(&reading.text);
    }
}

static void what_breaks_the_rules_is_refused(void **state)
{
    static const char *const bodies[] = {
        "preamble\r\n--BOUND\r\n" DISPOSITION "a\r\n\r\n\r\n--BOUND--",
        "--BOUNDX\r\n" DISPOSITION "a\r\n\r\n\r\n--BOUND--",
        "--OTHER\r\n" DISPOSITION "a\r\n\r\n\r\n--OTHER--",
        "--BOUND \r\n" DISPOSITION "a\r\n\r\n\r\n--BOUND--",
        "--BOUND\n" DISPOSITION "a\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\nContent-Type: text/plain\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\nContent-Disposition: attachment; name=a\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\nContent-Disposition: form-data\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "\"\"\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "\"a\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "\"\xff\"\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a; name=b\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a; filename=b; filename=c\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a\r\n" DISPOSITION "b\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a\r\n folded\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a\nX: y\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a\r\nX : y\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a\r\nno colon\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION
        "a\r\nContent-Type: multipart/mixed; boundary=X\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--BOUND--",
        "--BOUND\r\n" DISPOSITION "a\r\n\r\n\r\n--BOUND-x",
        "--BOUND\r\n" DISPOSITION "a\r\n\r\n\r\n--BOUND--epilogue",
        "--BOUND\r\n" DISPOSITION "a\r\n\r\n\r\n--BOUND--\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(bodies); i++) {
        struct reading reading = read_whole(TYPE, bodies[i], strlen(bodies[i]));

        if (!strstr(dv_buffer_text(&reading.text), "BAD")) {
            fail_msg("not refused: %s", bodies[i]);
        }
        assert_false(reading.is_complete);
        dv_buffer_finish(&reading.text);
    }
}

static void a_nul_in_a_part_header_is_refused(void **state)
{
    static const char body[] = "--BOUND\r\n" DISPOSITION "a\r\nX: a\0b\r\n\r\n\r\n--BOUND--";
    struct reading reading = read_whole(TYPE, body, sizeof(body) - 1);

    (void)state;
    assert_string_equal(dv_buffer_text(&reading.text), "BAD the header of a part is malformed");
    dv_buffer_finish(&reading.text);
}

static struct reading read_parts(size_t count, size_t header_size, size_t name_size)
{
    struct dv_buffer body = DV_BUFFER_INIT(1 << 20);

    for (size_t i = 0; i < count; i++) {
        dv_buffer_append_text(&body, "--BOUND\r\nX: ");
        size_t used = strlen("X: \r\n" DISPOSITION "\r\n\r\n") + name_size;
        for (size_t size = used; size < header_size; size++) {
            dv_buffer_append_text(&body, "y");
        }
        dv_buffer_append_text(&body, "\r\n" DISPOSITION);
        for (size_t size = 0; size < name_size; size++) {
            dv_buffer_append_text(&body, "n");
        }
        dv_buffer_append_text(&body, "\r\n\r\n\r\n");
    }
    dv_buffer_append_text(&body, "--BOUND--\r\n");
    struct reading reading = read_whole(TYPE, body.data, body.size);
    dv_buffer_finish(&body);
    return reading;
}

static void each_limit_holds_at_itself_and_one_above(void **state)
{
    static const struct {
        size_t count, header_size, name_size;
        bool is_good;
    } cases[] = {
        {DV_MULTIPART_PART_COUNT_MAX, 0, 1, true},
        {DV_MULTIPART_PART_COUNT_MAX + 1, 0, 1, false},
        {1, DV_MULTIPART_HEADER_SIZE_MAX, 1, true},
        {1, DV_MULTIPART_HEADER_SIZE_MAX + 1, 1, false},
        {1, 0, DV_MULTIPART_NAME_SIZE_MAX, true},
        {1, 0, DV_MULTIPART_NAME_SIZE_MAX + 1, false},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        struct reading reading =
            read_parts(cases[i].count, cases[i].header_size, cases[i].name_size);
        assert_int_equal(reading.is_complete, cases[i].is_good);
        dv_buffer_finish(&reading.text);
    }
}

static void only_a_proper_boundary_is_taken(void **state)
{
    char longest[128] = "multipart/form-data; boundary=";
    struct dv_multipart parser;
    const char *problem = NULL;
    static const char *const bad[] = {
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=\"a\rb\"",
        "multipart/form-data; boundary=\"a\\\nb\"",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a\"",
        "multipart/form-data; boundary=\"a;b\"",
        "multipart/form-data; x; boundary=a",
    };

    (void)state;
    memset(longest + strlen(longest), 'b', DV_MULTIPART_BOUNDARY_SIZE_MAX);
    assert_true(dv_multipart_init(&parser, longest, &problem));
    dv_multipart_finish(&parser);
    longest[strlen(longest)] = 'b';
    assert_false(dv_multipart_init(&parser, longest, &problem));
    assert_true(
        dv_multipart_init(&parser, "multipart/form-data;BOUNDARY=\"a b'()+_,-./:=?c\";", &problem));
    assert_string_equal(parser.delimiter, "\r\n--a b'()+_,-./:=?c");
    dv_multipart_finish(&parser);
    for (size_t i = 0; i < DV_ARRAY_SIZE(bad); i++) {
        if (dv_multipart_init(&parser, bad[i], &problem)) {
            fail_msg("taken: %s", bad[i]);
        }
        assert_non_null(problem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_read_with_names_and_bytes),
        cmocka_unit_test(every_cut_into_three_reads_the_same),
        cmocka_unit_test(a_body_that_is_cut_off_is_never_complete),
        cmocka_unit_test(what_breaks_the_rules_is_refused),
        cmocka_unit_test(a_nul_in_a_part_header_is_refused),
        cmocka_unit_test(each_limit_holds_at_itself_and_one_above),
        cmocka_unit_test(only_a_proper_boundary_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
