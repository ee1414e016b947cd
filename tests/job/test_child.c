/* SPDX-License-Identifier: Apache-2.0 */

/* The test program is its own child: started with a role as argument it plays that role. */

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "job/child.h"
#include "wire/channel.h"
#include "wire/message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* --- The roles -------------------------------------------------------------------------- */

static void say_hello(struct dv_channel *channel, const char *role)
{
    struct dv_message hello = {
        .type = DV_MESSAGE_HELLO, .hello = {role, DV_VERSION, (int64_t)getpid()}};
    struct dv_message ack = {.type = DV_MESSAGE_ACK};
    struct dv_message job;

    if (dv_message_send(channel, &hello, -1, 1000, NULL) != DV_OK ||
        dv_message_receive(channel, 5000, &job, NULL) != DV_OK) {
        _exit(70);
    }
    dv_message_finish(&job);
    if (dv_message_send(channel, &ack, -1, 1000, NULL) != DV_OK) {
        _exit(71);
    }
}

static int count_open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    while (folder && readdir(folder)) {
        count++;
    }
    if (folder) {
        (void)closedir(folder);
    }
    return count - 3; /* ".", ".." and the folder's own */
}

/* Says what it finds around itself, then ends well. */
static int play_reporter(struct dv_channel *channel)
{
    struct dv_json *value = dv_json_object();
    struct dv_message result = {.type = DV_MESSAGE_RESULT, .result = {value}};

    say_hello(channel, "reporter");
    (void)puts("one line");
    (void)fflush(stdout);
    (void)fputs("another\nand no end", stderr);
    dv_json_set_integer(value, "descriptors", count_open_descriptors());
    dv_json_set_bool(value, "has_secret", getenv("DV_SECRET_KEY") != NULL);
    dv_json_set_bool(value, "has_threads", getenv("OMP_NUM_THREADS") != NULL);
    dv_json_set_bool(value, "is_leader", getsid(0) == getpid());
    enum dv_status status = dv_message_send(channel, &result, -1, 1000, NULL);
    dv_json_unref(value);
    return status == DV_OK ? 0 : 72;
}

/* Ends when it is asked to. */
static int play_polite(struct dv_channel *channel)
{
    struct dv_message message;

    say_hello(channel, "polite");
    if (dv_message_receive(channel, -1, &message, NULL) != DV_OK) {
        return 73;
    }
    bool is_asked = message.type == DV_MESSAGE_CANCEL;
    dv_message_finish(&message);
    return is_asked ? 5 : 74;
}

/* Answers when it is spoken to, and is gone. */
static int play_brief(struct dv_channel *channel)
{
    const struct dv_message result = {.type = DV_MESSAGE_RESULT};
    struct dv_message message;

    say_hello(channel, "brief");
    if (dv_message_receive(channel, -1, &message, NULL) != DV_OK) {
        return 77;
    }
    dv_message_finish(&message);
    return dv_message_send(channel, &result, -1, 1000, NULL) == DV_OK ? 0 : 78;
}

/* Only SIGKILL ends it. */
static int play_deaf(struct dv_channel *channel)
{
    (void)signal(SIGTERM, SIG_IGN);
    say_hello(channel, "deaf");
    while (pause() != 0) {
    }
    return 75;
}

static int play_crash(struct dv_channel *channel)
{
    say_hello(channel, "crash");
    (void)fputs("dv: out of memory\n", stderr);
    (void)raise(SIGKILL);
    return 0;
}

static int play_refusing(struct dv_channel *channel)
{
    struct dv_message hello = {
        .type = DV_MESSAGE_HELLO, .hello = {"refusing", DV_VERSION, (int64_t)getpid()}};
    struct dv_message failure = {
        .type = DV_MESSAGE_FAILURE, .failure = {"disk_full", "NO_SPACE", "the disk is full"}};

    (void)!dv_message_send(channel, &hello, -1, 1000, NULL);
    (void)!dv_message_send(channel, &failure, -1, 1000, NULL);
    return 1;
}

static int play_babbling(struct dv_channel *channel)
{
    (void)!dv_channel_send(channel, "good morning", 12, -1, 1000, NULL);
    (void)pause();
    return 0;
}

/* Prints without end. */
static int play_flooding(struct dv_channel *channel)
{
    say_hello(channel, "flooding");
    while (printf("%s\n", "the quick brown fox jumps over the lazy dog") > 0) {
    }
    return 76;
}

/* Leaves a process behind that holds its output open, says which, and ends. */
static int play_leaving(struct dv_channel *channel)
{
    struct dv_json *value = dv_json_object();
    struct dv_message result = {.type = DV_MESSAGE_RESULT, .result = {value}};

    say_hello(channel, "leaving");
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            (void)pause();
        }
    }
    dv_json_set_integer(value, "pid", pid);
    (void)!dv_message_send(channel, &result, -1, 1000, NULL);
    dv_json_unref(value);
    return 0;
}

static int play(const char *role)
{
    static const struct {
        const char *name;
        int (*play)(struct dv_channel *channel);
    } roles[] = {{"reporter", play_reporter}, {"polite", play_polite}, {"deaf", play_deaf},
        {"crash", play_crash}, {"refusing", play_refusing}, {"babbling", play_babbling},
        {"brief", play_brief}, {"flooding", play_flooding}, {"leaving", play_leaving}};

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

/* --- Tests ------------------------------------------------------------------------------ */

static struct dv_child *start(const char *role)
{
    struct dv_child_options options = {.role = role};
    struct dv_child *child = NULL;

    assert_int_equal(dv_child_start(&options, &child, NULL), DV_OK);
    return child;
}

static enum dv_status shake(struct dv_child *child, struct dv_error *reterr)
{
    struct dv_message job = {.type = DV_MESSAGE_JOB, .job = {.kind = "test"}};
    struct dv_message ack = {0};

    enum dv_status status = dv_child_handshake(child, &job, &ack, reterr);
    dv_message_finish(&ack);
    return status;
}

static void count_lines(void *user, const char *line)
{
    int *count = user;

    assert_true(line[0] != '\0');
    (*count)++;
}

static void a_child_has_its_channel_and_nothing_else(void **state)
{
    int line_count = 0;
    struct dv_child_options options = {
        .role = "reporter", .user = &line_count, .on_line = count_lines};
    struct dv_child *child = NULL;
    struct dv_message result;
    struct dv_child_exit end;

    (void)state;
    assert_int_equal(setenv("DV_SECRET_KEY", "x", 1), 0);
    assert_int_equal(setenv("OMP_NUM_THREADS", "1", 1), 0);
    int extra = open("/dev/null", O_RDONLY); /* not close-on-exec, as a library might leave it */
    assert_int_equal(dv_child_start(&options, &child, NULL), DV_OK);
    assert_int_equal(shake(child, NULL), DV_OK);
    assert_int_equal(dv_child_receive(child, 5000, &result, NULL), DV_OK);
    assert_int_equal(result.type, DV_MESSAGE_RESULT);
    assert_int_equal(dv_json_get_integer(result.result.value, "descriptors", -1), 4);
    assert_false(dv_json_get_bool(result.result.value, "has_secret", true));
    assert_true(dv_json_get_bool(result.result.value, "has_threads", false));
    assert_true(dv_json_get_bool(result.result.value, "is_leader", false));
    dv_message_finish(&result);
    assert_int_equal(dv_child_receive(child, 5000, &result, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_child_wait(child, 5000, &end, NULL), DV_OK);
    assert_false(end.is_signal);
    assert_int_equal(end.code, 0);
    assert_int_equal(line_count, 3);
    child = dv_child_destroy(child);
    dv_file_closep(&extra);
}

static void a_polite_child_ends_by_message(void **state)
{
    struct dv_child *child = start("polite");
    struct dv_child_exit end;

    (void)state;
    assert_int_equal(shake(child, NULL), DV_OK);
    dv_child_stop(child, 4000, &end);
    assert_false(end.is_signal);
    assert_int_equal(end.code, 5);
    child = dv_child_destroy(child);
}

static void a_deaf_child_is_killed_in_bounded_time(void **state)
{
    struct dv_child *child = start("deaf");
    struct dv_child_exit end;

    (void)state;
    assert_int_equal(shake(child, NULL), DV_OK);
    uint64_t start_ns = dv_clock_monotonic_ns();
    dv_child_stop(child, 200, &end);
    assert_true(dv_clock_seconds_since(start_ns) < 2.0);
    assert_true(end.is_signal);
    assert_int_equal(end.code, SIGKILL);
    child = dv_child_destroy(child);
}

static void a_crash_has_its_signal_and_reason(void **state)
{
    struct dv_child *child = start("crash");
    struct dv_message message;
    struct dv_child_exit end;
    char text[80];

    (void)state;
    assert_int_equal(shake(child, NULL), DV_OK);
    assert_int_equal(dv_child_receive(child, 5000, &message, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_child_wait(child, 5000, &end, NULL), DV_OK);
    assert_true(end.is_signal);
    assert_int_equal(end.reason, DV_FAILURE_OOM);
    dv_child_exit_text(&end, text);
    assert_string_equal(text, "was killed by signal 9 (Killed)");
    child = dv_child_destroy(child);
}

static void a_refusal_comes_back_as_its_status_and_text(void **state)
{
    struct dv_child *child = start("refusing");
    struct dv_error error;

    (void)state;
    assert_int_equal(shake(child, &error), DV_NO_SPACE);
    assert_string_equal(error.text, "the disk is full");
    child = dv_child_destroy(child);
}

static void one_that_does_not_keep_to_the_protocol_is_refused(void **state)
{
    struct dv_child *child = start("babbling");

    (void)state;
    assert_int_equal(shake(child, NULL), DV_INVALID);
    child = dv_child_destroy(child);
}

static void a_program_that_is_not_there_ends_with_127(void **state)
{
    struct dv_child_options options = {.role = "worker", .program = "/nowhere/dv"};
    struct dv_child *child = NULL;
    struct dv_child_exit end;

    (void)state;
    assert_int_equal(dv_child_start(&options, &child, NULL), DV_OK);
    assert_int_equal(shake(child, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_child_wait(child, 5000, &end, NULL), DV_OK);
    assert_int_equal(end.code, 127);
    child = dv_child_destroy(child);
}

static void an_interrupt_ends_the_waiting(void **state)
{
    int pipes[2];
    struct dv_message message;

    (void)state;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    struct dv_child_options options = {.role = "deaf", .interrupt_fd = pipes[0]};
    struct dv_child *child = NULL;
    assert_int_equal(dv_child_start(&options, &child, NULL), DV_OK);
    assert_int_equal(shake(child, NULL), DV_OK);
    assert_int_equal(dv_child_receive(child, 20, &message, NULL), DV_TIMEOUT);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(dv_child_receive(child, -1, &message, NULL), DV_CANCELLED);
    child = dv_child_destroy(child);
    dv_file_closep(&pipes[0]);
    dv_file_closep(&pipes[1]);
}

/*
 * poll() as it is when a child says something and ends just after the kernel has looked at its
 * channel: only the end is reported.
 */
static bool hides_last_words;

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (hides_last_words && count == 4) {
        fds[0].fd = -1;
        fds[0].revents = 0;
        hides_last_words = false;
    }
    return __real_poll(fds, count, timeout_ms);
}

static void the_last_words_of_a_child_are_heard(void **state)
{
    const struct dv_message cancel = {.type = DV_MESSAGE_CANCEL};
    struct dv_child *child = start("brief");
    struct dv_message result;

    (void)state;
    assert_int_equal(shake(child, NULL), DV_OK);
    assert_int_equal(dv_child_send(child, &cancel, -1, NULL), DV_OK);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)dv_child_pid(child), &info, WEXITED | WNOWAIT), 0);
    hides_last_words = true;
    assert_int_equal(dv_child_receive(child, -1, &result, NULL), DV_OK);
    hides_last_words = false;
    assert_int_equal(result.type, DV_MESSAGE_RESULT);
    dv_message_finish(&result);
    child = dv_child_destroy(child);
}

static void a_child_has_its_descriptors_where_the_parent_has_none(void **state)
{
    struct dv_message result;
    struct dv_child_exit end;

    (void)state;
    int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
    (void)close(STDIN_FILENO);
    struct dv_child *child = start("reporter");
    assert_int_equal(shake(child, NULL), DV_OK);
    assert_int_equal(dv_child_receive(child, 5000, &result, NULL), DV_OK);
    assert_int_equal(dv_json_get_integer(result.result.value, "descriptors", -1), 4);
    dv_message_finish(&result);
    assert_int_equal(dv_child_wait(child, 5000, &end, NULL), DV_OK);
    child = dv_child_destroy(child);
    if (input >= 0) {
        assert_int_equal(dup2(input, STDIN_FILENO), STDIN_FILENO);
    }
    dv_file_closep(&input);
}

/* A middle process starts a child and is killed: the child must not outlive it. */
static void a_child_dies_with_its_parent(void **state)
{
    int pipes[2];
    pid_t grandchild = 0;

    (void)state;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        struct dv_child *child = start("deaf");
        pid_t pid = dv_child_pid(child);
        if (shake(child, NULL) != DV_OK || write(pipes[1], &pid, sizeof(pid)) < 0) {
            _exit(1);
        }
        for (;;) {
            (void)pause();
        }
    }
    assert_int_equal(read(pipes[0], &grandchild, sizeof(grandchild)), (int)sizeof(grandchild));
    assert_int_equal(kill(middle, SIGKILL), 0);
    int alive = 0;
    for (int i = 0; i < 200 && alive == 0; i++) {
        alive = kill(grandchild, 0);
        (void)usleep(10000);
    }
    assert_int_equal(alive, -1);
    assert_int_equal(errno, ESRCH);
    dv_file_closep(&pipes[0]);
    dv_file_closep(&pipes[1]);
}

/* Each call takes a part; between two of them there is time for others. */
static void one_that_floods_us_is_read_in_parts(void **state)
{
    int line_count = 0;
    struct dv_child_options options = {
        .role = "flooding", .user = &line_count, .on_line = count_lines};
    struct dv_child *child = NULL;
    struct dv_child_exit end;

    (void)state;
    assert_int_equal(dv_child_start(&options, &child, NULL), DV_OK);
    assert_int_equal(shake(child, NULL), DV_OK);
    for (int i = 0; i < 100; i++) {
        struct pollfd fds[DV_CHILD_POLL_COUNT];
        int before = line_count;
        dv_child_watch(child, fds);
        assert_true(poll(fds, DV_CHILD_POLL_COUNT, 5000) > 0);
        assert_true(fds[1].revents != 0);
        dv_child_attend(child);
        assert_true(line_count > before);
        assert_true(line_count - before < 10000);
        assert_null(dv_child_end(child));
    }
    dv_child_stop(child, 200, &end);
    assert_true(end.is_signal);
    child = dv_child_destroy(child);
}

static void stopping_goes_on_without_waiting(void **state)
{
    struct dv_child *child = start("deaf");
    const struct dv_child_exit *end = NULL;
    struct dv_message message;

    (void)state;
    assert_int_equal(shake(child, NULL), DV_OK);
    assert_int_equal(dv_child_patience_ms(child), -1);
    dv_child_begin_stop(child, 200);
    dv_child_begin_stop(child, 1000000); /* the earlier one holds */
    while (!end) {
        struct pollfd fds[DV_CHILD_POLL_COUNT];
        int patience_ms = dv_child_patience_ms(child);
        assert_true(patience_ms <= 101);
        dv_child_watch(child, fds);
        (void)poll(fds, DV_CHILD_POLL_COUNT, patience_ms);
        dv_child_attend(child);
        end = dv_child_end(child);
    }
    assert_true(end->is_signal);
    assert_int_equal(end->code, SIGKILL);
    assert_int_equal(dv_child_next(child, &message, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_child_patience_ms(child), -1);
    child = dv_child_destroy(child);
}

static void what_it_leaves_in_its_group_ends_with_it(void **state)
{
    struct dv_child *child = start("leaving");
    struct dv_message result;
    struct dv_child_exit end;

    (void)state;
    assert_int_equal(shake(child, NULL), DV_OK);
    assert_int_equal(dv_child_receive(child, 5000, &result, NULL), DV_OK);
    pid_t left = (pid_t)dv_json_get_integer(result.result.value, "pid", 0);
    dv_message_finish(&result);
    assert_true(left > 0);
    assert_int_equal(dv_child_wait(child, 5000, &end, NULL), DV_OK);
    assert_int_equal(end.code, 0);
    child = dv_child_destroy(child);
    int alive = 0;
    for (int i = 0; i < 200 && alive == 0; i++) {
        alive = kill(left, 0);
        (void)usleep(10000);
    }
    assert_int_equal(alive, -1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_has_its_channel_and_nothing_else),
        cmocka_unit_test(a_polite_child_ends_by_message),
        cmocka_unit_test(a_deaf_child_is_killed_in_bounded_time),
        cmocka_unit_test(a_crash_has_its_signal_and_reason),
        cmocka_unit_test(a_refusal_comes_back_as_its_status_and_text),
        cmocka_unit_test(one_that_does_not_keep_to_the_protocol_is_refused),
        cmocka_unit_test(a_program_that_is_not_there_ends_with_127),
        cmocka_unit_test(an_interrupt_ends_the_waiting),
        cmocka_unit_test(the_last_words_of_a_child_are_heard),
        cmocka_unit_test(a_child_has_its_descriptors_where_the_parent_has_none),
        cmocka_unit_test(a_child_dies_with_its_parent),
        cmocka_unit_test(one_that_floods_us_is_read_in_parts),
        cmocka_unit_test(stopping_goes_on_without_waiting),
        cmocka_unit_test(what_it_leaves_in_its_group_ends_with_it),
    };

    return argc > 1 ? play(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
