/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/file.h"
#include "spec/limits.h"
#include "wire/channel.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

struct ends {
    struct dv_channel *ours;
    int theirs;
};

static int open_ends(void **state)
{
    struct ends *ends = dv_alloc(sizeof(*ends));
    int fds[2];

    assert_int_equal(dv_channel_pair(fds, NULL), DV_OK);
    ends->ours = dv_channel_create(fds[0]);
    ends->theirs = fds[1];
    *state = ends;
    return 0;
}

static int close_ends(void **state)
{
    struct ends *ends = *state;

    ends->ours = dv_channel_destroy(ends->ours);
    dv_file_closep(&ends->theirs);
    dv_free(ends);
    return 0;
}

static void put(const struct ends *ends, const char *bytes, size_t size)
{
    assert_int_equal(dv_file_write_all(ends->theirs, bytes, size, NULL), DV_OK);
}

static void expect_line(const struct ends *ends, const char *expected)
{
    const char *line;
    size_t size;

    assert_int_equal(dv_channel_receive(ends->ours, 1000, &line, &size, NULL), DV_OK);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(line, expected);
}

static void lines_come_out_one_by_one_however_they_were_cut(void **state)
{
    struct ends *ends = *state;

    put(ends, "one\ntw", 6);
    expect_line(ends, "one");
    assert_false(dv_channel_has_line(ends->ours));
    put(ends, "o\n\nfour\n", 8);
    expect_line(ends, "two");
    assert_true(dv_channel_has_line(ends->ours));
    expect_line(ends, "");
    expect_line(ends, "four");
}

static void silence_is_a_timeout(void **state)
{
    struct ends *ends = *state;
    const char *line;
    size_t size;

    put(ends, "half", 4);
    assert_int_equal(dv_channel_receive(ends->ours, 10, &line, &size, NULL), DV_TIMEOUT);
    put(ends, "\n", 1);
    expect_line(ends, "half");
}

static void the_end_is_told_apart_from_an_end_within_a_line(void **state)
{
    struct ends *ends = *state;
    const char *line;
    size_t size;

    put(ends, "whole\n", 6);
    assert_int_equal(shutdown(ends->theirs, SHUT_WR), 0);
    expect_line(ends, "whole");
    assert_int_equal(dv_channel_receive(ends->ours, 1000, &line, &size, NULL), DV_NOT_FOUND);

    int fds[2];
    assert_int_equal(dv_channel_pair(fds, NULL), DV_OK);
    struct dv_channel *cut = dv_channel_create(fds[0]);
    assert_int_equal(dv_file_write_all(fds[1], "part", 4, NULL), DV_OK);
    dv_file_closep(&fds[1]);
    assert_int_equal(dv_channel_receive(cut, 1000, &line, &size, NULL), DV_CORRUPT);
    cut = dv_channel_destroy(cut);
}

static void a_line_at_the_limit_passes_and_one_byte_more_does_not(void **state)
{
    struct ends *ends = *state;
    DV_CLEANUP(dv_freep) char *text = dv_alloc(DV_MESSAGE_SIZE_MAX + 1);
    struct dv_channel *peer = dv_channel_create(dup(ends->theirs));
    const char *line;
    size_t size;

    memset(text, 'x', DV_MESSAGE_SIZE_MAX);
    assert_int_equal(
        dv_channel_send(peer, text, DV_MESSAGE_SIZE_MAX, -1, 1000, NULL), DV_TOO_LARGE);
    assert_int_equal(dv_channel_send(peer, text, DV_MESSAGE_SIZE_MAX - 1, -1, 1000, NULL), DV_OK);
    assert_int_equal(dv_channel_receive(ends->ours, 1000, &line, &size, NULL), DV_OK);
    assert_int_equal(size, DV_MESSAGE_SIZE_MAX - 1);

    put(ends, text, DV_MESSAGE_SIZE_MAX);
    assert_int_equal(dv_channel_receive(ends->ours, 1000, &line, &size, NULL), DV_TOO_LARGE);
    peer = dv_channel_destroy(peer);
}

static void sending_to_one_who_does_not_read_times_out(void **state)
{
    struct ends *ends = *state;
    DV_CLEANUP(dv_freep) char *text = dv_alloc(60000);
    enum dv_status status = DV_OK;

    memset(text, 'x', 60000);
    for (int i = 0; i < 100 && status == DV_OK; i++) {
        status = dv_channel_send(ends->ours, text, 60000, -1, 5, NULL);
    }
    assert_int_equal(status, DV_TIMEOUT);
}

/* The first lines arrive whole; what follows the half one is an end, never another line. */
static void a_line_sent_by_half_is_not_continued_by_the_next(void **state)
{
    struct ends *ends = *state;
    DV_CLEANUP(dv_freep) char *text = dv_alloc(60000);
    struct dv_channel *peer = dv_channel_create(dup(ends->theirs));
    enum dv_status status = DV_OK;
    const char *line;
    size_t size;

    memset(text, 'x', 60000);
    while (status == DV_OK) {
        status = dv_channel_send(ends->ours, text, 60000, -1, 5, NULL);
    }
    while ((status = dv_channel_receive(peer, 5, &line, &size, NULL)) == DV_OK) {
        assert_int_equal(size, 60000);
    }
    assert_int_equal(status, DV_TIMEOUT);
    assert_int_equal(dv_channel_send(ends->ours, "next", 4, -1, 5, NULL), DV_TIMEOUT);
    assert_int_equal(shutdown(dv_channel_fd(ends->ours), SHUT_WR), 0);
    assert_int_equal(dv_channel_receive(peer, 1000, &line, &size, NULL), DV_CORRUPT);
    peer = dv_channel_destroy(peer);
}

static void sending_to_one_who_has_closed_is_told_without_a_signal(void **state)
{
    struct ends *ends = *state;

    dv_file_closep(&ends->theirs);
    assert_int_equal(dv_channel_send(ends->ours, "hello", 5, -1, 1000, NULL), DV_NOT_FOUND);
}

static void a_descriptor_rides_along_and_reads_the_same_file(void **state)
{
    struct ends *ends = *state;
    struct dv_channel *peer = dv_channel_create(dup(ends->theirs));
    int fds[2];
    char byte = 0;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(dv_channel_send(peer, "here", 4, fds[0], 1000, NULL), DV_OK);
    expect_line(ends, "here");
    int fd = dv_channel_take_fd(ends->ours);
    assert_true(fd >= 0);
    assert_int_equal(dv_channel_take_fd(ends->ours), -1);
    assert_int_equal(write(fds[1], "k", 1), 1);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'k');
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);

    dv_file_closep(&fd);
    dv_file_closep(&fds[0]);
    dv_file_closep(&fds[1]);
    peer = dv_channel_destroy(peer);
}

static void more_descriptors_than_we_keep_are_refused(void **state)
{
    struct ends *ends = *state;
    struct dv_channel *peer = dv_channel_create(dup(ends->theirs));
    const char *line;
    size_t size;
    enum dv_status status = DV_OK;

    for (int i = 0; i <= DV_CHANNEL_FDS_MAX; i++) {
        assert_int_equal(dv_channel_send(peer, "x", 1, STDIN_FILENO, 1000, NULL), DV_OK);
    }
    for (int i = 0; i <= DV_CHANNEL_FDS_MAX && status == DV_OK; i++) {
        status = dv_channel_receive(ends->ours, 1000, &line, &size, NULL);
    }
    assert_int_equal(status, DV_CORRUPT);
    peer = dv_channel_destroy(peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ends, close_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_come_out_one_by_one_however_they_were_cut),
        TEST(silence_is_a_timeout),
        TEST(the_end_is_told_apart_from_an_end_within_a_line),
        TEST(a_line_at_the_limit_passes_and_one_byte_more_does_not),
        TEST(sending_to_one_who_does_not_read_times_out),
        TEST(a_line_sent_by_half_is_not_continued_by_the_next),
        TEST(sending_to_one_who_has_closed_is_told_without_a_signal),
        TEST(a_descriptor_rides_along_and_reads_the_same_file),
        TEST(more_descriptors_than_we_keep_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
