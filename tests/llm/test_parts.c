/* SPDX-License-Identifier: Apache-2.0 */

/* The parts of the client that are pure functions, and its settings. */

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_file.h"
#include "llm/answer.h"
#include "llm/breaker.h"
#include "llm/mask.h"
#include "llm/rate.h"
#include "llm/schema.h"
#include "llm/settings.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* --- Answers ---------------------------------------------------------------------------- */

static void the_first_object_that_is_json_is_the_answer(void **state)
{
    static const struct {
        const char *text, *answer; /* NULL: there is none */
    } rows[] = {
        {"{\"a\":1}", "{\"a\":1}"},
        {" \n{\"a\":1}\n{\"b\":2}", "{\"a\":1}"},
        {"take {a, b} then {\"a\":1}", "{\"a\":1}"},
        {"{ unbalanced, then {\"a\":1}", "{\"a\":1}"},
        {"```json\n{\"a\":\"}{\"}\n```", "{\"a\":\"}{\"}"},
        {"{\"a\":\"\\\"}\"}", "{\"a\":\"\\\"}\"}"},
        {"<think>{\"no\":1}</think>{\"a\":1}", "{\"a\":1}"},
        {"{\"no\":1} hm</think> {\"a\":1}", "{\"a\":1}"},
        {"{\"a\":\"</think>\"}", "{\"a\":\"</think>\"}"},
        {"<think>{\"a\":1}", NULL},
        {"[1, 2]", NULL},
        {"", NULL},
        {"{\"a\":1", NULL},
        {"{\"a\":1,\"a\":1}", NULL},
        {"{\"a\":NaN}", NULL},
        {"{'a':1}", NULL},
        {"{\"a\":1]}", NULL},
        {"{}{x}{x}{x}", "{}"},
        {"{x}{x}{x}{x}{x}{x}{x}{x}{\"a\":1}", NULL}, /* too many tries */
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *answer = NULL;
        struct dv_error error = {0};
        enum dv_status status =
            dv_llm_answer_extract(rows[i].text, strlen(rows[i].text), &answer, &error);
        if (!rows[i].answer) {
            assert_int_equal(status, DV_INVALID);
            assert_true(error.text[0] != '\0');
            continue;
        }
        assert_int_equal(status, DV_OK);
        DV_CLEANUP(dv_freep) char *printed = dv_json_print(answer);
        assert_string_equal(printed, rows[i].answer);
    }
}

/* An array in an array ... within an object, `depth` brackets in all. */
static enum dv_status extract_nested(size_t depth)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *answer = NULL;
    char text[200] = "{\"a\":";
    size_t at = strlen(text);

    for (size_t i = 1; i < depth; i++) {
        text[at++] = '[';
    }
    for (size_t i = 1; i < depth; i++) {
        text[at++] = ']';
    }
    text[at++] = '}';
    return dv_llm_answer_extract(text, at, &answer, NULL);
}

static void an_answer_has_its_limits(void **state)
{
    DV_CLEANUP(dv_freep) char *text = dv_alloc(DV_LLM_ANSWER_SIZE_MAX + 2);
    struct dv_json *answer = NULL;

    (void)state;
    assert_int_equal(extract_nested(DV_LLM_ANSWER_DEPTH_MAX), DV_OK);
    assert_int_equal(extract_nested(DV_LLM_ANSWER_DEPTH_MAX + 1), DV_INVALID);
    memset(text, ' ', DV_LLM_ANSWER_SIZE_MAX + 1);
    text[0] = '{';
    text[DV_LLM_ANSWER_SIZE_MAX - 1] = '}';
    assert_int_equal(dv_llm_answer_extract(text, DV_LLM_ANSWER_SIZE_MAX, &answer, NULL), DV_OK);
    answer = dv_json_unref(answer);
    text[DV_LLM_ANSWER_SIZE_MAX - 1] = ' ';
    text[DV_LLM_ANSWER_SIZE_MAX] = '}';
    assert_int_equal(
        dv_llm_answer_extract(text, DV_LLM_ANSWER_SIZE_MAX + 1, &answer, NULL), DV_TOO_LARGE);
    assert_int_equal(dv_llm_answer_parse("{} x", 4, &answer, NULL), DV_INVALID);
    assert_int_equal(dv_llm_answer_parse(" {} \n", 5, &answer, NULL), DV_OK);
    dv_json_unref(answer);
}

/* --- Rates ------------------------------------------------------------------------------ */

static void durations_are_read_as_they_are_written(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"2m59.56s", 179560}, {"7.66s", 7660}, {"120ms", 120}, {"1h0m1s", 3601000}, {"7", 7000},
        {"0.5", 500}, {"0", 0}, {"", -1}, {"s", -1}, {"-5", -1}, {"1x", -1}, {"1.2.3s", -1}, {".", -1},
        {"999999999999999999999999h", 31536000000}, {"1us", 1}};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        assert_int_equal(dv_llm_rate_duration_ms(rows[i].text), rows[i].ms);
    }
    assert_int_equal(dv_llm_rate_try_again_ms("Please try again in 5.289s. Need more?"), 5289);
    assert_int_equal(dv_llm_rate_try_again_ms("TRY AGAIN IN 1m2s"), 62000);
    assert_int_equal(dv_llm_rate_try_again_ms("try again in a while"), -1);
    assert_int_equal(dv_llm_rate_try_again_ms(NULL), -1);
}

static bool take(struct dv_llm_rate *rate, const char *line)
{
    return dv_llm_rate_header(rate, line, strlen(line), 1792567680); /* 2026-10-21 07:28:00 UTC */
}

static void headers_are_taken_in(void **state)
{
    struct dv_llm_rate rate = dv_llm_rate_none();

    (void)state;
    assert_true(take(&rate, "X-RateLimit-Limit-Tokens: 8000\r\n"));
    assert_true(take(&rate, "x-ratelimit-remaining-tokens:12"));
    assert_true(take(&rate, "x-ratelimit-reset-tokens: 2m59.56s\r\n"));
    assert_false(take(&rate, "content-type: text/html\r\n"));
    assert_false(take(&rate, "no colon"));
    assert_true(take(&rate, "x-ratelimit-remaining-requests: -5"));
    assert_int_equal(rate.tokens_limit, 8000);
    assert_int_equal(rate.tokens_remaining, 12);
    assert_int_equal(rate.requests_remaining, -1);
    assert_int_equal(dv_llm_rate_wait_ms(&rate, NULL), 179560);
    assert_int_equal(dv_llm_rate_wait_ms(&rate, "try again in 2s"), 2000);
    assert_true(take(&rate, "Retry-After: Wed, 21 Oct 2026 07:28:30 GMT\r\n"));
    assert_int_equal(dv_llm_rate_wait_ms(&rate, "try again in 2s"), 30000);
    rate = dv_llm_rate_none();
    assert_true(take(&rate, "retry-after: Wed, 21 Oct 2020 07:28:30 GMT"));
    assert_int_equal(rate.retry_after_ms, 0);
    assert_true(take(&rate, "retry-after-ms: 1250"));
    assert_int_equal(rate.retry_after_ms, 1250);
}

/* --- Masks ------------------------------------------------------------------------------ */

static void a_key_is_nowhere_in_what_is_shown(void **state)
{
    static const char key[] = "gsk_abcdefghIJKLMNOP01234567";
    static const struct {
        const char *text, *masked;
    } rows[] = {
        {"key gsk_abcdefghIJKLMNOP01234567!", "key ****************************!"},
        {"starts gsk_abcdefg... ends 01234567", "starts ***********... ends ********"},
        {"ends NOP01234567 too", "ends *********** too"},
        {"gsk_abc is short", "gsk_abc is short"},
        {"Bearer abcdefghijklmnopqrst", "Bearer ********************"},
        {"sk-proj-9876543210abcdef", "sk-*********************"},
        {"task-9876543210abcdefghij sk-ip", "task-9876543210abcdefghij sk-ip"},
        {"\"name\":\"sk-1\",\"norm\":\"none\"", "\"name\":\"sk-1\",\"norm\":\"none\""},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        char text[100];
        (void)snprintf(text, sizeof(text), "%s", rows[i].text);
        dv_llm_mask(text, strlen(text), key);
        assert_string_equal(text, rows[i].masked);
    }
    char text[] = "norm none gsk_abcdefghIJKLMNOP01234567 sk-proj-0123456789abcdef";
    dv_llm_mask_key(text, strlen(text), "none"); /* no secret */
    assert_non_null(strstr(text, "none gsk_abc"));
    dv_llm_mask_key(text, strlen(text), key);
    assert_string_equal(text, "norm none **************************** sk-proj-0123456789abcdef");
}

/* --- Schemas, the breaker --------------------------------------------------------------- */

static struct dv_json *parse(const char *text)
{
    struct dv_json *json;

    assert_int_equal(dv_json_parse(text, strlen(text), &json, NULL), DV_OK);
    return json;
}

static void an_answer_is_held_to_its_schema(void **state)
{
    static const struct {
        const char *value, *complaint; /* NULL: none */
    } rows[] = {
        {"{\"a\":1,\"b\":[\"x\"]}", NULL},
        {"{\"a\":1.0,\"b\":[]}", NULL},
        {"{\"a\":1.5,\"b\":[]}", "/a: is"},
        {"{\"a\":1}", "'b' is missing"},
        {"{\"a\":1,\"b\":[\"x\",\"z\"]}", "/b/1: is \"z\", must be one of [\"x\",\"y\"]"},
        {"{\"a\":1,\"b\":[],\"c\":1}", "/c: there is no such field"},
        {"[]", "the answer: is"},
    };
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *schema = parse(
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"a\",\"b\"],\"properties\":"
        "{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":"
        "[\"x\",\"y\"]}}}}");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *odd = parse("{\"type\":\"object\",\"minItems\":1}");

    (void)state;
    assert_int_equal(dv_llm_schema_validate(schema, NULL), DV_OK);
    assert_int_equal(dv_llm_schema_validate(odd, NULL), DV_INVALID);
    for (size_t i = 0; i < DV_ARRAY_SIZE(rows); i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *value = parse(rows[i].value);
        struct dv_error error = {0};
        enum dv_status status = dv_llm_schema_check(schema, value, &error);
        assert_int_equal(status, rows[i].complaint ? DV_INVALID : DV_OK);
        assert_true(!rows[i].complaint || strstr(error.text, rows[i].complaint));
    }
}

static void the_breaker_opens_probes_and_closes(void **state)
{
    struct dv_llm_breaker breaker = {0};

    (void)state;
    for (unsigned i = 0; i < DV_LLM_BREAKER_FAILURES; i++) {
        assert_true(dv_llm_breaker_admits(&breaker));
        dv_llm_breaker_note(&breaker, false);
    }
    for (unsigned i = 0; i < DV_LLM_BREAKER_SKIPS; i++) {
        assert_false(dv_llm_breaker_admits(&breaker));
    }
    assert_true(dv_llm_breaker_admits(&breaker)); /* the probe */
    dv_llm_breaker_note(&breaker, false);
    assert_false(dv_llm_breaker_admits(&breaker));
    breaker.skips = 0;
    dv_llm_breaker_note(&breaker, true);
    dv_llm_breaker_note(&breaker, false);
    assert_true(dv_llm_breaker_admits(&breaker));
}

/* --- Settings --------------------------------------------------------------------------- */

#define GROQ_KEY "gsk_groqgroqgroqgroqgroq"
#define OWN_KEY "own-key-own-key-own-key"

static int forget(void **state)
{
    static const char *const names[] = {"DV_LLM_BASE_URL", "DV_LLM_API_KEY", "DV_LLM_MODEL",
        "GROQ_API_KEY", "DV_LLM_ALLOW_ADDRESSES", "DV_LLM_CA_FILE", "DV_LLM_PRICE"};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        (void)unsetenv(names[i]);
    }
    return 0;
}

/* Take them and compare the key; no key is left in the environment whatever comes of it. */
static enum dv_status take_settings(
    struct dv_llm_settings *settings, const char *key, struct dv_error *error)
{
    enum dv_status status = dv_llm_settings_take(settings, error);

    assert_null(getenv("DV_LLM_API_KEY"));
    assert_null(getenv("GROQ_API_KEY"));
    if (status == DV_OK && key) {
        DV_CLEANUP(dv_freep) char *text = NULL;
        size_t size;
        assert_int_equal(dv_memory_file_read(settings->key_fd, 100, &text, &size, NULL), DV_OK);
        assert_string_equal(text, key);
    } else if (status == DV_OK) {
        assert_int_equal(settings->key_fd, -1);
    }
    return status;
}

static void set(const char *variable, const char *value)
{
    assert_int_equal(setenv(variable, value, 1), 0);
}

static void groq_needs_its_key_alone(void **state)
{
    struct dv_llm_settings settings;

    (void)state;
    assert_int_equal(take_settings(&settings, NULL, NULL), DV_NOT_FOUND);
    set("GROQ_API_KEY", GROQ_KEY);
    assert_int_equal(take_settings(&settings, GROQ_KEY, NULL), DV_OK);
    assert_string_equal(settings.url, "https://api.groq.com/openai/v1");
    assert_string_equal(settings.models[0], "openai/gpt-oss-120b");
    dv_file_closep(&settings.key_fd);
    set("GROQ_API_KEY", GROQ_KEY);
    set("DV_LLM_MODEL", "one, two");
    assert_int_equal(take_settings(&settings, GROQ_KEY, NULL), DV_OK);
    assert_int_equal(settings.model_count, 2);
    assert_string_equal(settings.models[1], "two");
    dv_file_closep(&settings.key_fd);
}

static void groqs_key_goes_to_groq_alone(void **state)
{
    struct dv_llm_settings settings;

    (void)state;
    set("GROQ_API_KEY", GROQ_KEY);
    set("DV_LLM_BASE_URL", "https://llm.example.org/v1");
    set("DV_LLM_MODEL", "m");
    assert_int_equal(take_settings(&settings, NULL, NULL), DV_OK);
    set("GROQ_API_KEY", GROQ_KEY);
    set("DV_LLM_API_KEY", OWN_KEY);
    assert_int_equal(take_settings(&settings, OWN_KEY, NULL), DV_OK);
    dv_file_closep(&settings.key_fd);
}

static void what_is_wrong_is_said_without_a_key(void **state)
{
    struct dv_llm_settings settings;
    struct dv_error error = {0};

    (void)state;
    set("DV_LLM_API_KEY", OWN_KEY);
    assert_int_equal(take_settings(&settings, NULL, &error), DV_INVALID);
    assert_non_null(strstr(error.text, "DV_LLM_BASE_URL"));
    set("DV_LLM_BASE_URL", "https://user:" OWN_KEY "@h/v1");
    assert_int_equal(take_settings(&settings, NULL, &error), DV_INVALID);
    assert_null(strstr(error.text, OWN_KEY));
    set("DV_LLM_BASE_URL", "http://169.254.169.254/v1");
    assert_int_equal(take_settings(&settings, NULL, &error), DV_DENIED);
    set("DV_LLM_BASE_URL", "https://h/v1");
    assert_int_equal(take_settings(&settings, NULL, &error), DV_INVALID);
    assert_non_null(strstr(error.text, "DV_LLM_MODEL"));
    set("DV_LLM_MODEL", "m");
    set("DV_LLM_PRICE", "cheap");
    set("DV_LLM_API_KEY", OWN_KEY);
    assert_int_equal(take_settings(&settings, NULL, &error), DV_INVALID);
    set("DV_LLM_PRICE", "0.15,0.6");
    set("DV_LLM_API_KEY", OWN_KEY "\n");
    assert_int_equal(take_settings(&settings, NULL, &error), DV_INVALID);
    assert_null(strstr(error.text, OWN_KEY));
}

static void settings_travel_as_json_without_the_key(void **state)
{
    struct dv_llm_settings settings, back;

    (void)state;
    set("DV_LLM_BASE_URL", "http://127.0.0.1:11434/v1");
    set("DV_LLM_MODEL", "m n");
    set("DV_LLM_PRICE", "0.15,0.6");
    set("DV_LLM_API_KEY", OWN_KEY);
    assert_int_equal(take_settings(&settings, OWN_KEY, NULL), DV_OK);
    settings.tokens_max = 7;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_llm_settings_to_json(&settings);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(json);
    assert_null(strstr(text, OWN_KEY));
    assert_int_equal(dv_llm_settings_from_json(json, &back, NULL), DV_OK);
    dv_file_closep(&settings.key_fd);
    settings.key_fd = -1;
    assert_memory_equal(&back, &settings, sizeof(back));
    for (void *i = dv_json_first(json); i; i = dv_json_next(json, i)) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *less = dv_json_copy(json);
        dv_json_remove(less, dv_json_key(i));
        assert_int_equal(dv_llm_settings_from_json(less, &back, NULL), DV_INVALID);
    }
    dv_json_set_integer(json, "more", 1);
    assert_int_equal(dv_llm_settings_from_json(json, &back, NULL), DV_INVALID);
}

#define WITH_ENVIRONMENT(name) cmocka_unit_test_setup_teardown(name, forget, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_object_that_is_json_is_the_answer),
        cmocka_unit_test(an_answer_has_its_limits),
        cmocka_unit_test(durations_are_read_as_they_are_written),
        cmocka_unit_test(headers_are_taken_in),
        cmocka_unit_test(a_key_is_nowhere_in_what_is_shown),
        cmocka_unit_test(an_answer_is_held_to_its_schema),
        cmocka_unit_test(the_breaker_opens_probes_and_closes),
        WITH_ENVIRONMENT(groq_needs_its_key_alone),
        WITH_ENVIRONMENT(groqs_key_goes_to_groq_alone),
        WITH_ENVIRONMENT(what_is_wrong_is_said_without_a_key),
        WITH_ENVIRONMENT(settings_travel_as_json_without_the_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
