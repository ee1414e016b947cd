/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/arch_wire.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/arch_field.h"
#include "spec/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct dv_json *parse(const char *text)
{
    struct dv_json *json = NULL;
    struct dv_error error = {0};

    if (dv_json_parse(text, strlen(text), &json, &error) != DV_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    return json;
}

static bool has_text(const struct dv_json *list, const char *text)
{
    for (size_t i = 0; i < dv_json_count(list); i++) {
        if (dv_text_equal(dv_json_to_string(dv_json_at(list, i), NULL), text)) {
            return true;
        }
    }
    return false;
}

static void schema_has_every_field_and_word(void **state)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *schema = dv_arch_wire_schema();
    const struct dv_json *row =
        dv_json_get(dv_json_get(dv_json_get(schema, "properties"), "layers"), "items");
    const struct dv_json *properties = dv_json_get(row, "properties");
    (void)state;

    assert_false(dv_json_get_bool(row, "additionalProperties", true));
    assert_int_equal(dv_json_count(dv_json_get(row, "required")), dv_json_count(properties));
    for (size_t i = 0; i < dv_arch_field_count; i++) {
        const struct dv_arch_field *field = &dv_arch_fields[i];
        const struct dv_json *property = dv_json_get(properties, field->name);
        if (dv_text_equal(field->name, "padding")) {
            assert_null(property);
            continue;
        }
        assert_non_null(property);
        for (const struct dv_arch_word *word = field->words; word && word->text; word++) {
            assert_int_equal(has_text(dv_json_get(property, "enum"), word->text), !word->is_alias);
        }
    }
    for (int op = 0; op < DV_ARCH_OP_COUNT; op++) {
        const struct dv_json *words = dv_json_get(dv_json_get(properties, "op"), "enum");
        assert_true(has_text(words, dv_arch_op_name((enum dv_arch_op)op)));
    }
}

#define ROW(name, op, more) "{\"name\":\"" name "\",\"op\":\"" op "\",\"from\":[]," more "}"
#define NOTHING                                                                                    \
    "\"repeat\":0,\"kernel\":0,\"stride\":0,\"groups\":0,\"expand\":0,\"se\":0,\"norm\":\"none\"," \
    "\"act\":\"none\",\"pool\":\"none\",\"drop\":0,\"shortcut\":\"none\",\"out\":0"

static void what_means_nothing_is_left_out(void **state)
{
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *wire = parse("{\"name\":\"n\",\"layers\":[" ROW("stem", "conv",
        "\"repeat\":1,\"out\":16,\"kernel\":3,\"stride\":1,\"groups\":1,"
        "\"expand\":0,\"se\":0.0,\"norm\":\"none\",\"act\":\"none\",\"pool\":\"none\","
        "\"drop\":0,\"shortcut\":\"none\"") "," ROW("p", "pool",
        "\"pool\":\"max\",\"kernel\":0,\"out\":9,\"stride\":0,\"norm\":\"group\"") "," ROW("gap",
        "global_pool", NOTHING) ",{\"name\":\"head\",\"op\":\"linear\",\"from\":\"gap\"," NOTHING
                                "}]}");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *file = dv_arch_wire_read(wire);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(file);
    (void)state;

    assert_string_equal(text,
        "{\"name\":\"n\",\"layers\":["
        "{\"name\":\"stem\",\"op\":\"conv\",\"repeat\":1,\"out\":16,\"kernel\":3,\"stride\":1,"
        "\"groups\":1,\"norm\":\"none\",\"act\":\"none\",\"pool\":\"none\"},"
        "{\"name\":\"p\",\"op\":\"pool\",\"pool\":\"max\"},"
        "{\"name\":\"gap\",\"op\":\"global_pool\"},"
        "{\"name\":\"head\",\"op\":\"linear\",\"from\":[\"gap\"],\"norm\":\"none\",\"act\":"
        "\"none\"}]}");
}

static void what_is_wrong_stays_wrong(void **state)
{
    static const char *const wrong[] = {
        "7",
        "{\"layers\":7}",
        "{\"layers\":[7]}",
        "{\"layers\":[{\"name\":\"s\",\"op\":\"attention\",\"se\":0}]}",
        "{\"layers\":[{\"name\":\"s\",\"op\":\"conv\",\"out\":-3,\"colour\":0}]}",
        "{\"layers\":[{\"name\":\"s\",\"op\":\"conv\",\"act\":\"tanh\"}]}",
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(wrong); i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *wire = parse(wrong[i]);
        DV_CLEANUP(dv_json_unrefp) struct dv_json *file = dv_arch_wire_read(wire);
        DV_CLEANUP(dv_freep) char *text = dv_json_print(file);
        assert_string_equal(text, wrong[i]);
    }
}

/* The line of an architecture in file form, or of a preset. */
static char *line_of(const char *text)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *json = text[0] == '[' ? dv_json_object() : dv_json_string(text);
    struct dv_buffer buffer = DV_BUFFER_INIT(4096);
    struct dv_problems problems;
    struct dv_arch *arch = NULL;
    struct dv_error error = {0};

    if (text[0] == '[') {
        dv_json_set(json, "layers", parse(text));
    }
    dv_problems_init(&problems, arena, 5);
    if (dv_arch_parse(json, arena, &problems, &arch, &error) != DV_OK) {
        fail_msg("%s: %s", text, error.text);
    }
    dv_arch_line(arch, &buffer);
    return dv_buffer_take(&buffer);
}

static void a_line_says_what_is_not_usual(void **state)
{
    static const struct {
        const char *rows, *line;
    } cases[] = {
        {"[{\"name\":\"a\",\"op\":\"conv\",\"out\":32},"
         "{\"name\":\"b\",\"op\":\"residual\",\"out\":64,\"repeat\":2,\"stride\":2,\"se\":0.25},"
         "{\"name\":\"c\",\"op\":\"mbconv\",\"out\":128,\"kernel\":5,\"expand\":6,\"act\":\"silu\"}"
         ","
         "{\"name\":\"g\",\"op\":\"global_pool\",\"pool\":\"avg\"},"
         "{\"name\":\"d\",\"op\":\"dropout\",\"drop\":0.2},{\"name\":\"h\",\"op\":\"linear\"}]",
            "conv32 res64x2s2+se.25 mb128k5e6+silu gap drop.2 fc"},
        {"[{\"name\":\"a\",\"op\":\"conv\",\"out\":16,\"norm\":\"none\",\"act\":\"none\"},"
         "{\"name\":\"b\",\"op\":\"conv\",\"out\":16,\"groups\":16,\"pool\":\"max\"},"
         "{\"name\":\"j\",\"op\":\"add\",\"from\":[\"a\",\"b\"]},"
         "{\"name\":\"f\",\"op\":\"flatten\"},{\"name\":\"h\",\"op\":\"linear\"}]",
            "a:conv16+none_norm+no_act conv16g16+max add@a,b flat fc"},
    };
    (void)state;

    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        DV_CLEANUP(dv_freep) char *line = line_of(cases[i].rows);
        assert_string_equal(line, cases[i].line);
    }
    DV_CLEANUP(dv_freep) char *resnet = line_of("resnet20");
    assert_string_equal(resnet, "conv16 res16x3 res32x3s2+pad res64x3s2+pad gap fc");
}

static void the_description_has_every_field(void **state)
{
    struct dv_buffer buffer = DV_BUFFER_INIT(65536);
    (void)state;

    dv_arch_wire_describe(&buffer);
    const char *text = dv_buffer_text(&buffer);
    assert_non_null(strstr(text, "kernel: integer 1-11 (conv, pool); odd integer 1-11 (residual"));
    assert_non_null(strstr(text, "se: 0 or number 0.0625-0.5 (residual, bottleneck, mbconv)\n"));
    assert_non_null(strstr(text, "shortcut: conv|pad (residual, bottleneck)\n"));
    assert_null(strstr(text, "|swish")); /* an alias */
    dv_buffer_finish(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_has_every_field_and_word),
        cmocka_unit_test(what_means_nothing_is_left_out),
        cmocka_unit_test(what_is_wrong_stays_wrong),
        cmocka_unit_test(a_line_says_what_is_not_usual),
        cmocka_unit_test(the_description_has_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
