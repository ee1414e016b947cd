/* SPDX-License-Identifier: Apache-2.0 */

/* A worker's questions over its channel: replies come in any order, at any moment, or not at all. */

#include "app/role.h"
#include "app/worker_ask.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_file.h"
#include "wire/channel.h"
#include "wire/message.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct dv_role role;
    struct dv_worker_ask ask;
    struct dv_channel *parent;
    struct dv_json *question;
    struct dv_error error;
};

static int set_up(void **state)
{
    struct fixture *fixture = dv_alloc(sizeof(*fixture));
    int fds[2];

    assert_int_equal(dv_channel_pair(fds, &fixture->error), DV_OK);
    fixture->role.channel = dv_channel_create(fds[0]);
    fixture->parent = dv_channel_create(fds[1]);
    fixture->question = dv_json_object();
    dv_json_set_string(fixture->question, "content", "a net, please");
    dv_worker_ask_init(&fixture->ask, &fixture->role);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    dv_worker_ask_finish(&fixture->ask);
    fixture->role.channel = dv_channel_destroy(fixture->role.channel);
    fixture->parent = dv_channel_destroy(fixture->parent);
    dv_json_unref(fixture->question);
    dv_free(fixture);
    return 0;
}

static void ask(struct fixture *fixture, int64_t number)
{
    assert_int_equal(
        dv_worker_ask(&fixture->ask, number, "draft", fixture->question, &fixture->error), DV_OK);
}

static enum dv_status hear(
    struct fixture *fixture, int64_t number, int timeout_ms, struct dv_json **ret_reply)
{
    return dv_worker_hear(&fixture->ask, number, timeout_ms, ret_reply, &fixture->error);
}

/* The parent's side: a reply whose document is this text; NULL: none comes along. */
static void reply(struct fixture *fixture, int64_t number, const char *document)
{
    const struct dv_message message = {.type = DV_MESSAGE_REPLY,
        .reply = {.id = number, .outcome = "answered", .model = "m", .prompt_tokens = 7}};
    DV_CLEANUP(dv_file_closep) int fd = -1;

    if (document) {
        assert_int_equal(dv_memory_file_create(
                             "reply", document, strlen(document), &fd, &fixture->error),
            DV_OK);
    }
    assert_int_equal(
        dv_message_send(fixture->parent, &message, fd, 5000, &fixture->error), DV_OK);
}

static void a_question_goes_up_with_its_document(void **state)
{
    struct fixture *fixture = *state;
    struct dv_message message;
    char *text;
    size_t size;

    ask(fixture, 16);
    assert_int_equal(dv_message_receive(fixture->parent, 5000, &message, NULL), DV_OK);
    assert_int_equal(message.type, DV_MESSAGE_ASK);
    assert_int_equal(message.ask.id, 16);
    assert_string_equal(message.ask.purpose, "draft");
    dv_message_finish(&message);
    int fd = dv_channel_take_fd(fixture->parent);
    assert_int_equal(dv_memory_file_read(fd, 1000, &text, &size, NULL), DV_OK);
    assert_string_equal(text, "{\"content\":\"a net, please\"}");
    dv_free(text);
    dv_file_closep(&fd);
}

static void replies_are_kept_whenever_they_come(void **state)
{
    struct fixture *fixture = *state;
    struct dv_json *first = NULL, *second = NULL;

    ask(fixture, 16);
    ask(fixture, 24);
    reply(fixture, 24, "{\"answer\": {\"n\": 24}, \"mismatch\": null}");
    /* Between two steps: as the trainer asks. */
    assert_false(dv_role_is_cancelled(&fixture->role));
    reply(fixture, 16, "{\"answer\": {\"n\": 16}, \"mismatch\": \"n is small\"}");
    assert_int_equal(hear(fixture, 16, -1, &first), DV_OK);
    assert_int_equal(hear(fixture, 24, 0, &second), DV_OK);
    assert_int_equal(dv_json_get_integer(dv_json_get(first, "answer"), "n", 0), 16);
    assert_string_equal(dv_json_get_string(first, "mismatch", ""), "n is small");
    assert_int_equal(dv_json_get_integer(second, "prompt_tokens", 0), 7);
    assert_int_equal(dv_json_get_integer(dv_json_get(second, "answer"), "n", 0), 24);
    dv_json_unref(first);
    dv_json_unref(second);
}

static void what_was_heard_can_be_asked_again(void **state)
{
    struct fixture *fixture = *state;
    struct dv_json *heard = NULL;

    for (int i = 0; i < 20; i++) {
        ask(fixture, 16);
        ask(fixture, 16); /* under way: no second message */
        reply(fixture, 16, "{\"answer\": null, \"mismatch\": null}");
        assert_int_equal(hear(fixture, 16, -1, &heard), DV_OK);
        assert_true(dv_json_is_null(dv_json_get(heard, "answer")));
        heard = dv_json_unref(heard);
        struct dv_message message;
        assert_int_equal(dv_message_receive(fixture->parent, 5000, &message, NULL), DV_OK);
        dv_message_finish(&message);
        int fd = dv_channel_take_fd(fixture->parent);
        dv_file_closep(&fd);
        assert_int_equal(dv_message_receive(fixture->parent, 0, &message, NULL), DV_TIMEOUT);
    }
}

static void a_reply_that_nobody_waits_for_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct dv_json *heard = NULL;

    reply(fixture, 99, "{\"answer\": {\"n\": 99}, \"mismatch\": null}");
    ask(fixture, 16);
    reply(fixture, 16, "{\"answer\": {\"n\": 16}, \"mismatch\": null}");
    assert_int_equal(hear(fixture, 16, -1, &heard), DV_OK);
    assert_int_equal(dv_json_get_integer(dv_json_get(heard, "answer"), "n", 0), 16);
    dv_json_unref(heard);
    assert_int_equal(hear(fixture, 99, 0, &heard), DV_INVALID);
}

static void a_reply_without_its_document_has_no_answer(void **state)
{
    struct fixture *fixture = *state;
    struct dv_json *heard = NULL;

    ask(fixture, 16);
    ask(fixture, 24);
    reply(fixture, 16, NULL);
    reply(fixture, 24, "{\"answer\": {");
    for (int64_t number = 16; number <= 24; number += 8) {
        assert_int_equal(hear(fixture, number, -1, &heard), DV_OK);
        assert_true(dv_json_is_null(dv_json_get(heard, "answer")));
        assert_string_equal(dv_json_get_string(heard, "outcome", ""), "answered");
        heard = dv_json_unref(heard);
    }
}

static void waiting_has_an_end(void **state)
{
    struct fixture *fixture = *state;
    const struct dv_message cancel = {.type = DV_MESSAGE_CANCEL};
    struct dv_json *heard = NULL;

    ask(fixture, 16);
    assert_int_equal(hear(fixture, 16, 0, &heard), DV_TIMEOUT);
    assert_int_equal(hear(fixture, 16, 20, &heard), DV_TIMEOUT);
    assert_int_equal(hear(fixture, 17, -1, &heard), DV_INVALID);
    assert_int_equal(dv_message_send(fixture->parent, &cancel, -1, 5000, NULL), DV_OK);
    assert_int_equal(hear(fixture, 16, -1, &heard), DV_CANCELLED);
    assert_int_equal(hear(fixture, 16, -1, &heard), DV_CANCELLED); /* for good */
    assert_true(dv_role_is_cancelled(&fixture->role));
}

static void a_parent_that_has_gone_is_an_end_too(void **state)
{
    struct fixture *fixture = *state;
    struct dv_json *heard = NULL;

    ask(fixture, 16);
    fixture->parent = dv_channel_destroy(fixture->parent);
    assert_int_equal(hear(fixture, 16, -1, &heard), DV_CANCELLED);
}

static void there_is_an_end_of_questions(void **state)
{
    struct fixture *fixture = *state;

    for (int64_t i = 1; i <= DV_WORKER_QUESTIONS_MAX; i++) {
        ask(fixture, i);
    }
    assert_int_equal(
        dv_worker_ask(&fixture->ask, 100, "draft", fixture->question, NULL), DV_TOO_LARGE);
    ask(fixture, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_question_goes_up_with_its_document),
        TEST(replies_are_kept_whenever_they_come),
        TEST(what_was_heard_can_be_asked_again),
        TEST(a_reply_that_nobody_waits_for_is_dropped),
        TEST(a_reply_without_its_document_has_no_answer),
        TEST(waiting_has_an_end),
        TEST(a_parent_that_has_gone_is_an_end_too),
        TEST(there_is_an_end_of_questions),
    };

    return cmocka_run_group_tests_name("worker_ask", tests, NULL, NULL);
}
