/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/json.h"
#include "wire/channel.h"
#include "wire/failure.h"
#include "wire/message.h"

#include <math.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* One of each type, every field set; the objects live in `object` and `array`. */
static void make_all(struct dv_message messages[static DV_MESSAGE_TYPE_COUNT],
    const struct dv_json *object, const struct dv_json *array)
{
    const struct dv_message all[DV_MESSAGE_TYPE_COUNT] = {
        {.type = DV_MESSAGE_HELLO, .hello = {"worker", "0.1.0", 4711}},
        {.type = DV_MESSAGE_JOB,
            .job = {"train", "a.zip", "/data", "/model", "/job", "/cache", "signal", 2, 4, 1 << 30, object}},
        {.type = DV_MESSAGE_ACK, .ack = {array}},
        {.type = DV_MESSAGE_PROGRESS,
            .progress = {"train", "training", 1, 3, 10, 7, 90, 0.5, 0.25, (double)NAN, 0.75, 0.8,
                1e-3, 1234.5, 17.25, 0.5, true}},
        {.type = DV_MESSAGE_LOG, .log = {"info", "line\nbreak \"and\" \xc3\xa4"}},
        {.type = DV_MESSAGE_FINDINGS, .findings = {object}},
        {.type = DV_MESSAGE_RESULT, .result = {object}},
        {.type = DV_MESSAGE_FAILURE, .failure = {"oom", "NOMEM", "no memory"}},
        {.type = DV_MESSAGE_CANCEL, .cancel = {"asked for"}},
        {.type = DV_MESSAGE_PREDICT, .predict = {3, 5}},
        {.type = DV_MESSAGE_SECRET, .secret = {"llm"}},
        {.type = DV_MESSAGE_ASK, .ask = {7, "draft"}},
        {.type = DV_MESSAGE_REPLY,
            .reply = {7, "rate_limited", "wait", "m", 5000, 120, 60, 0.25, 1234}},
        {.type = DV_MESSAGE_RUN, .run = {3, "completed"}},
    };

    memcpy(messages, all, sizeof(all));
}

struct fixture {
    struct dv_json *object, *array;
    struct dv_message messages[DV_MESSAGE_TYPE_COUNT];
};

static int set_up(void **state)
{
    struct fixture *fixture = dv_alloc(sizeof(*fixture));

    fixture->object = dv_json_object();
    dv_json_set_integer(fixture->object, "corrupt_image", 3);
    fixture->array = dv_json_array();
    dv_json_append(fixture->array, dv_json_string("landlock: not there"));
    make_all(fixture->messages, fixture->object, fixture->array);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    dv_json_unref(fixture->object);
    dv_json_unref(fixture->array);
    dv_free(fixture);
    return 0;
}

static void every_message_survives_the_round_trip(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < DV_MESSAGE_TYPE_COUNT; i++) {
        DV_CLEANUP(dv_freep) char *line = dv_message_encode(&fixture->messages[i]);
        struct dv_message back;

        assert_null(strchr(line, '\n'));
        assert_int_equal(dv_message_decode(line, strlen(line), &back, NULL), DV_OK);
        assert_int_equal(back.type, fixture->messages[i].type);
        DV_CLEANUP(dv_freep) char *again = dv_message_encode(&back);
        assert_string_equal(line, again);
        dv_message_finish(&back);
    }
}

static void numbers_and_missing_texts_come_back_as_they_were(void **state)
{
    struct dv_message message = {
        .type = DV_MESSAGE_PROGRESS, .progress = {.stage = "decode", .loss = (double)NAN}};
    struct dv_message back;

    (void)state;
    message.progress.accuracy = 0.1 + 0.2;
    DV_CLEANUP(dv_freep) char *line = dv_message_encode(&message);
    assert_int_equal(dv_message_decode(line, strlen(line), &back, NULL), DV_OK);
    assert_true(isnan(back.progress.loss));
    assert_true(back.progress.accuracy == 0.1 + 0.2);
    assert_null(back.progress.status);
    dv_message_finish(&back);
}

static void a_text_that_is_not_utf8_does_not_lose_the_message(void **state)
{
    const struct dv_message message = {.type = DV_MESSAGE_LOG, .log = {"info", "\xc3\xa4\xff z"}};
    struct dv_message back;

    (void)state;
    DV_CLEANUP(dv_freep) char *line = dv_message_encode(&message);
    assert_int_equal(dv_message_decode(line, strlen(line), &back, NULL), DV_OK);
    assert_string_equal(back.log.text, "\xc3\xa4? z");
    dv_message_finish(&back);
}

static void every_cut_is_refused(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < DV_MESSAGE_TYPE_COUNT; i++) {
        DV_CLEANUP(dv_freep) char *line = dv_message_encode(&fixture->messages[i]);

        for (size_t size = 0; size < strlen(line); size++) {
            struct dv_message back;
            assert_int_equal(dv_message_decode(line, size, &back, NULL), DV_INVALID);
        }
    }
}

static struct dv_json *make_other(const struct dv_json *value)
{
    return dv_json_is_bool(value) ? dv_json_integer(1) : dv_json_bool(true);
}

/* Take each field away, and give each another type: nothing may pass. */
static void a_field_missing_over_or_of_another_type_is_refused(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < DV_MESSAGE_TYPE_COUNT; i++) {
        DV_CLEANUP(dv_freep) char *line = dv_message_encode(&fixture->messages[i]);
        DV_CLEANUP(dv_json_unrefp) struct dv_json *whole = NULL;
        struct dv_message back;

        assert_int_equal(dv_json_parse(line, strlen(line), &whole, NULL), DV_OK);
        for (void *at = dv_json_first(whole); at; at = dv_json_next(whole, at)) {
            DV_CLEANUP(dv_json_unrefp) struct dv_json *other = dv_json_copy(whole);
            dv_json_remove(other, dv_json_key(at));
            DV_CLEANUP(dv_freep) char *without = dv_json_print(other);
            assert_int_equal(dv_message_decode(without, strlen(without), &back, NULL), DV_INVALID);
            dv_json_set(other, dv_json_key(at), make_other(dv_json_value(at)));
            DV_CLEANUP(dv_freep) char *wrong = dv_json_print(other);
            assert_int_equal(dv_message_decode(wrong, strlen(wrong), &back, NULL), DV_INVALID);
        }
        dv_json_set_integer(whole, "extra", 1);
        DV_CLEANUP(dv_freep) char *more = dv_json_print(whole);
        assert_int_equal(dv_message_decode(more, strlen(more), &back, NULL), DV_INVALID);
    }
}

static void what_is_no_message_is_refused(void **state)
{
    static const char *const lines[] = {"", "[]", "null", "1", "{}", "{\"type\":7}",
        "{\"type\":\"nothing\"}", "{\"type\":\"cancel\",\"reason\":null} x",
        "{\"type\":\"cancel\",\"type\":\"cancel\",\"reason\":null}"};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(lines); i++) {
        struct dv_message back;
        struct dv_error error = {0};
        assert_int_equal(dv_message_decode(lines[i], strlen(lines[i]), &back, &error), DV_INVALID);
        assert_true(error.text[0] != '\0');
    }
}

static void messages_travel_over_a_channel(void **state)
{
    struct fixture *fixture = *state;
    int fds[2];

    assert_int_equal(dv_channel_pair(fds, NULL), DV_OK);
    struct dv_channel *ours = dv_channel_create(fds[0]);
    struct dv_channel *theirs = dv_channel_create(fds[1]);
    for (int i = 0; i < DV_MESSAGE_TYPE_COUNT; i++) {
        struct dv_message back;
        assert_int_equal(dv_message_send(ours, &fixture->messages[i], -1, 1000, NULL), DV_OK);
        assert_int_equal(dv_message_receive(theirs, 1000, &back, NULL), DV_OK);
        assert_int_equal(back.type, i);
        dv_message_finish(&back);
    }
    ours = dv_channel_destroy(ours);
    theirs = dv_channel_destroy(theirs);
}

static void reasons_have_names_both_ways(void **state)
{
    enum dv_failure_reason reason;

    (void)state;
    for (unsigned i = 0; i < DV_FAILURE_COUNT; i++) {
        const char *name = dv_failure_reason_name((enum dv_failure_reason)i);
        assert_true(dv_failure_reason_from_name(name, &reason));
        assert_int_equal(reason, i);
    }
    assert_false(dv_failure_reason_from_name("nothing", &reason));
    assert_int_equal(dv_failure_reason_from_status(DV_NO_SPACE), DV_FAILURE_DISK_FULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_message_survives_the_round_trip),
        TEST(numbers_and_missing_texts_come_back_as_they_were),
        TEST(a_text_that_is_not_utf8_does_not_lose_the_message),
        TEST(every_cut_is_refused),
        TEST(a_field_missing_over_or_of_another_type_is_refused),
        TEST(what_is_no_message_is_refused),
        TEST(messages_travel_over_a_channel),
        TEST(reasons_have_names_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
