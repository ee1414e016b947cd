/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What becomes of a talk with roles that behave, and with roles that do not. The test program is
 * its own child: started with a role as argument it plays that role.
 */

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "job/talk.h"
#include "wire/channel.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* --- The roles -------------------------------------------------------------------------- */

static void say(struct dv_channel *channel, const struct dv_message *message)
{
    if (dv_message_send(channel, message, -1, 5000, NULL) != DV_OK) {
        _exit(70);
    }
}

static void begin(struct dv_channel *channel, const char *role)
{
    struct dv_json *notes = dv_json_array();
    struct dv_message job;

    say(channel, &(struct dv_message){.type = DV_MESSAGE_HELLO,
                     .hello = {.role = role, .version = DV_VERSION, .pid = getpid()}});
    if (dv_message_receive(channel, 5000, &job, NULL) != DV_OK) {
        _exit(71);
    }
    dv_message_finish(&job);
    say(channel, &(struct dv_message){.type = DV_MESSAGE_ACK, .ack = {.not_applied = notes}});
    dv_json_unref(notes);
}

static void say_result(struct dv_channel *channel)
{
    struct dv_json *value = dv_json_object();

    say(channel, &(struct dv_message){.type = DV_MESSAGE_RESULT, .result = {.value = value}});
    dv_json_unref(value);
}

static void say_log(struct dv_channel *channel, const char *text)
{
    say(channel,
        &(struct dv_message){.type = DV_MESSAGE_LOG, .log = {.level = "info", .text = text}});
}

static int play_good(struct dv_channel *channel)
{
    begin(channel, "good");
    for (int i = 0; i < 1000; i++) {
        say_log(channel, "a line");
    }
    say_result(channel);
    return 0;
}

/* It promised a result and could not keep it. */
static int play_liar(struct dv_channel *channel)
{
    begin(channel, "liar");
    say_result(channel);
    return 3;
}

static int play_crasher(struct dv_channel *channel)
{
    begin(channel, "crasher");
    say_result(channel);
    (void)raise(SIGKILL);
    return 0;
}

static int play_silent(struct dv_channel *channel)
{
    begin(channel, "silent");
    return 0;
}

static int play_failing(struct dv_channel *channel)
{
    begin(channel, "failing");
    say(channel,
        &(struct dv_message){.type = DV_MESSAGE_FAILURE,
            .failure = {.reason = "disk_full", .status = "NO_SPACE", .text = "the disk is full"}});
    return 1;
}

static int play_starved(struct dv_channel *channel)
{
    begin(channel, "starved");
    say(channel, &(struct dv_message){.type = DV_MESSAGE_FAILURE,
                     .failure = {.reason = "oom", .status = "NOMEM", .text = "not enough memory"}});
    return 1;
}

/* Speaks before it is spoken to, and does not leave. */
static int play_early(struct dv_channel *channel)
{
    say_result(channel);
    (void)pause();
    return 0;
}

static int play_babbling(struct dv_channel *channel)
{
    begin(channel, "babbling");
    for (int i = 0; i < 1000; i++) {
        (void)!dv_channel_send(channel, "{\"type\": \"progress\"}", 20, -1, 1000, NULL);
    }
    say_result(channel);
    return 0;
}

static int play_cut(struct dv_channel *channel)
{
    begin(channel, "cut");
    (void)!write(DV_CHANNEL_FD, "{\"type\": \"log", 13);
    (void)raise(SIGABRT);
    return 0;
}

static int play_endless(struct dv_channel *channel)
{
    static char line[200000];

    begin(channel, "endless");
    memset(line, 'x', sizeof(line));
    (void)!write(DV_CHANNEL_FD, line, sizeof(line));
    (void)pause();
    return 0;
}

/* Works until it is asked to stop, then fails as asked. */
static int play_obedient(struct dv_channel *channel)
{
    struct dv_message message;

    begin(channel, "obedient");
    say_log(channel, "at work");
    if (dv_message_receive(channel, -1, &message, NULL) != DV_OK) {
        return 72;
    }
    dv_message_finish(&message);
    say(channel,
        &(struct dv_message){.type = DV_MESSAGE_FAILURE,
            .failure = {.reason = "cancelled", .status = "CANCELLED", .text = "as asked"}});
    return 1;
}

/* Was just done when it was asked to stop. */
static int play_quick(struct dv_channel *channel)
{
    struct dv_message message;

    begin(channel, "quick");
    say_log(channel, "at work");
    if (dv_message_receive(channel, -1, &message, NULL) != DV_OK) {
        return 72;
    }
    dv_message_finish(&message);
    say_result(channel);
    return 0;
}

static int play_stranger(struct dv_channel *channel)
{
    begin(channel, "worker");
    return 0;
}

static int play(const char *role)
{
    static const struct {
        const char *name;
        int (*play)(struct dv_channel *channel);
    } roles[] = {{"good", play_good}, {"liar", play_liar}, {"crasher", play_crasher},
        {"silent", play_silent}, {"failing", play_failing}, {"starved", play_starved},
        {"early", play_early}, {"babbling", play_babbling}, {"cut", play_cut},
        {"endless", play_endless}, {"obedient", play_obedient}, {"quick", play_quick},
        {"stranger", play_stranger}};

    for (size_t i = 0; i < DV_ARRAY_SIZE(roles); i++) {
        if (dv_text_equal(roles[i].name, role)) {
            struct dv_channel *channel = dv_channel_create(DV_CHANNEL_FD);
            int result = roles[i].play(channel);
            channel = dv_channel_destroy(channel);
            return result;
        }
    }
    return 74;
}

/* --- Our side --------------------------------------------------------------------------- */

struct listener {
    struct dv_talk *talk;
    enum dv_status stop_at_log; /* DV_OK: do not */
    int log_count;
    int message_count;
};

static void on_message(void *user, const struct dv_message *message)
{
    struct listener *listener = user;

    listener->message_count++;
    listener->log_count += message->type == DV_MESSAGE_LOG;
    if (message->type == DV_MESSAGE_LOG && listener->stop_at_log != DV_OK) {
        dv_talk_stop(listener->talk, listener->stop_at_log, "because", 4000);
        dv_talk_stop(listener->talk, DV_IO, "too late to say so", 4000);
    }
}

static void talk_to(
    const char *role, struct listener *listener, struct dv_talk_verdict *ret_verdict)
{
    const struct dv_talk_options options = {
        .role = role, .user = listener, .on_message = on_message};
    const struct dv_message_job job = {.kind = "test"};

    assert_int_equal(dv_talk_start(&options, &job, &listener->talk, NULL), DV_OK);
    while (!dv_talk_verdict(listener->talk)) {
        struct pollfd fds[DV_TALK_POLL_COUNT];
        dv_talk_watch(listener->talk, fds);
        (void)poll(fds, DV_TALK_POLL_COUNT, dv_talk_patience_ms(listener->talk));
        dv_talk_step(listener->talk);
    }
    *ret_verdict = *dv_talk_verdict(listener->talk);
    listener->talk = dv_talk_destroy(listener->talk);
}

struct expectation {
    const char *role;
    enum dv_status status;
    enum dv_failure_reason reason;
    bool has_died;
    const char *text;
};

static void the_exit_status_is_the_truth(void **state)
{
    static const struct expectation expectations[] = {
        {"liar", DV_IO, DV_FAILURE_ERROR, false, "dv liar ended with exit status 3"},
        {"crasher", DV_IO, DV_FAILURE_SIGNAL, true, "dv crasher was killed by signal 9 (Killed)"},
        {"silent", DV_IO, DV_FAILURE_ERROR, false,
            "dv silent ended with exit status 0 without a result"},
        {"failing", DV_NO_SPACE, DV_FAILURE_DISK_FULL, false, "the disk is full"},
        {"starved", DV_NOMEM, DV_FAILURE_OOM, true, "not enough memory"},
        {"early", DV_IO, DV_FAILURE_ERROR, false,
            "dv early breaks the protocol: 'result' comes at the wrong time"},
        {"cut", DV_IO, DV_FAILURE_SIGNAL, true, NULL},
        {"stranger", DV_IO, DV_FAILURE_ERROR, false,
            "dv stranger breaks the protocol: it is dv worker " DV_VERSION
            ", not dv stranger " DV_VERSION},
        {"babbling", DV_IO, DV_FAILURE_ERROR, false, NULL},
        {"endless", DV_IO, DV_FAILURE_ERROR, false, NULL},
        {"nobody", DV_IO, DV_FAILURE_ERROR, false, "dv nobody ended with exit status 74"},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(expectations); i++) {
        const struct expectation *want = &expectations[i];
        struct listener listener = {0};
        struct dv_talk_verdict verdict;
        talk_to(want->role, &listener, &verdict);
        if (want->text) {
            assert_string_equal(verdict.text, want->text);
        } else {
            assert_true(verdict.text[0] != '\0');
        }
        assert_int_equal(verdict.status, want->status);
        assert_int_equal(verdict.reason, want->reason);
        assert_int_equal(verdict.has_died, want->has_died);
    }
}

static void all_it_says_is_heard_before_the_verdict(void **state)
{
    struct listener listener = {0};
    struct dv_talk_verdict verdict;

    (void)state;
    talk_to("good", &listener, &verdict);
    assert_int_equal(verdict.status, DV_OK);
    assert_string_equal(verdict.text, "");
    assert_int_equal(listener.log_count, 1000);
    assert_int_equal(listener.message_count, 1002); /* ack and result too */
}

static void one_that_is_stopped_ends_for_the_reason_given(void **state)
{
    struct listener listener = {.stop_at_log = DV_TIMEOUT};
    struct dv_talk_verdict verdict;

    (void)state;
    talk_to("obedient", &listener, &verdict);
    assert_int_equal(verdict.status, DV_TIMEOUT);
    assert_int_equal(verdict.reason, DV_FAILURE_TIMEOUT);
    assert_string_equal(verdict.text, "because");
    assert_false(verdict.has_died);
}

static void one_that_is_done_when_it_is_stopped_is_done(void **state)
{
    struct listener listener = {.stop_at_log = DV_CANCELLED};
    struct dv_talk_verdict verdict;

    (void)state;
    talk_to("quick", &listener, &verdict);
    assert_int_equal(verdict.status, DV_OK);
}

static void a_job_that_does_not_fit_is_refused(void **state)
{
    DV_CLEANUP(dv_freep) char *path = dv_alloc(70000);
    const struct dv_talk_options options = {.role = "good"};
    struct dv_talk *talk = NULL;

    (void)state;
    memset(path, 'x', 69999);
    const struct dv_message_job job = {.kind = "test", .source = path};
    assert_int_equal(dv_talk_start(&options, &job, &talk, NULL), DV_TOO_LARGE);
    assert_null(talk);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exit_status_is_the_truth),
        cmocka_unit_test(all_it_says_is_heard_before_the_verdict),
        cmocka_unit_test(one_that_is_stopped_ends_for_the_reason_given),
        cmocka_unit_test(one_that_is_done_when_it_is_stopped_is_done),
        cmocka_unit_test(a_job_that_does_not_fit_is_refused),
    };

    if (argc == 2) {
        return play(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
