/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from dv_child_start(), then "Without waiting": dv_child_attend() and dv_child_next() do all
 * there is to do; wait_once() is the one place that waits, and the calls below it are loops of
 * these three.
 */

#include "job/child.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "job/child_spawn.h"
#include "wire/channel.h"
#include "wire/message.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELLO_TIMEOUT_MS 30000
#define ACK_TIMEOUT_MS 60000
#define SEND_TIMEOUT_MS 30000
#define LAST_GRACE_MS 500 /* between SIGTERM, which most roles do not survive, and SIGKILL */
#define LINE_SIZE_MAX 4096
#define OUTPUT_BLOCK_SIZE 16384
#define OUTPUT_BLOCKS_MAX 16 /* read at once, so that one that floods us does not hold us up */
#define LAST_BLOCKS_MAX 256  /* at its end: more than a pipe can hold */

enum stop_phase { STOP_NONE, STOP_ASKED, STOP_TERMINATED, STOP_KILLED };

struct dv_child {
    struct dv_child_options options;
    pid_t pid;
    int pid_fd; /* readable once it has ended */
    int output_fd;
    struct dv_channel *channel;
    struct dv_buffer line;  /* of output, not whole yet */
    uint64_t oom_kills;     /* of the machine, when it started */
    bool was_out_of_memory; /* it, or a C++ library in it, said so itself */
    bool is_closed;         /* its channel: nothing more will come */
    enum stop_phase stop_phase;
    uint64_t terminate_ns, kill_ns; /* when to go on with stopping */
    bool is_reaped;
    struct dv_child_exit end; /* once reaped */
};

/* How often the kernel has killed for memory since boot; 0 where it does not say. */
static uint64_t count_oom_kills(void)
{
    FILE *file = fopen("/proc/vmstat", "re");
    char line[128];
    uint64_t count = 0;

    while (file && fgets(line, sizeof(line), file)) {
        if (dv_text_has_prefix(line, "oom_kill ")) {
            line[strcspn(line, "\n")] = '\0';
            (void)dv_text_to_uint64(line + strlen("oom_kill "), &count);
        }
    }
    if (file) {
        (void)fclose(file);
    }
    return count;
}

/* --- Start ------------------------------------------------------------------------------ */

static enum dv_status open_and_spawn(struct dv_child *child, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int theirs = -1;
    DV_CLEANUP(dv_file_closep) int write_end = -1;
    int sockets[2];
    int pipes[2];

    enum dv_status status = dv_channel_pair(sockets, reterr);
    if (status != DV_OK) {
        return status;
    }
    child->channel = dv_channel_create(sockets[0]);
    theirs = sockets[1];
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        return dv_fail_errno(reterr, errno, "cannot make a pipe");
    }
    child->output_fd = pipes[0];
    write_end = pipes[1];
    (void)fcntl(child->output_fd, F_SETFL, O_NONBLOCK);

    status = dv_child_spawn(
        child->options.program, child->options.role, theirs, write_end, &child->pid, reterr);
    if (status != DV_OK) {
        return status;
    }
    child->pid_fd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    if (child->pid_fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot watch dv %s", child->options.role);
    }
    (void)fcntl(child->pid_fd, F_SETFD, FD_CLOEXEC);
    return DV_OK;
}

enum dv_status dv_child_start(
    const struct dv_child_options *options, struct dv_child **ret_child, struct dv_error *reterr)
{
    assert(options);
    assert(options->role);
    assert(ret_child);

    struct dv_child *child = dv_alloc(sizeof(*child));
    child->options = *options;
    child->pid_fd = -1;
    child->output_fd = -1;
    child->line = (struct dv_buffer)DV_BUFFER_INIT(LINE_SIZE_MAX);
    child->oom_kills = count_oom_kills();
    enum dv_status status = open_and_spawn(child, reterr);
    if (status != DV_OK) {
        child = dv_child_destroy(child);
        return status;
    }
    *ret_child = child;
    return DV_OK;
}

/* --- Output ----------------------------------------------------------------------------- */

static void end_line(struct dv_child *child)
{
    /* Of ours, of a C++ library, of OpenMP: the last words of a process without memory. */
    static const char *const signs[] = {"dv: out of memory", "std::bad_alloc",
        "libgomp: Thread creation failed", "libgomp: Out of memory"};
    const char *line = dv_buffer_text(&child->line);

    for (size_t i = 0; i < DV_ARRAY_SIZE(signs); i++) {
        child->was_out_of_memory = child->was_out_of_memory || strstr(line, signs[i]);
    }
    if (line[0] && child->options.on_line) {
        child->options.on_line(child->options.user, line);
    }
    dv_buffer_consume(&child->line, child->line.size);
}

static void take_output(struct dv_child *child, const char *data, size_t size)
{
    while (size > 0) {
        const char *newline = memchr(data, '\n', size);
        size_t length = newline ? (size_t)(newline - data) : size;

        if (length >= LINE_SIZE_MAX - child->line.size) {
            end_line(child); /* a line without end is cut */
        }
        if (length >= LINE_SIZE_MAX) {
            length = LINE_SIZE_MAX - 1;
            newline = NULL;
        }
        dv_buffer_append(&child->line, data, length);
        if (newline) {
            end_line(child);
            length++;
        }
        data += length;
        size -= length;
    }
}

/* What is there now, up to a number of blocks. At the end of the pipe the descriptor is closed. */
static void drain_output(struct dv_child *child, int blocks_max)
{
    char data[OUTPUT_BLOCK_SIZE];

    for (int i = 0; child->output_fd >= 0 && i < blocks_max; i++) {
        ssize_t got = read(child->output_fd, data, sizeof(data));
        if (got > 0) {
            take_output(child, data, (size_t)got);
        } else if (got < 0 && errno == EAGAIN) {
            return;
        } else if (got == 0 || errno != EINTR) {
            end_line(child);
            dv_file_closep(&child->output_fd);
        }
    }
}

/* --- The end ---------------------------------------------------------------------------- */

static enum dv_failure_reason read_reason(const struct dv_child *child, bool is_signal, int code)
{
    if (child->was_out_of_memory) {
        return DV_FAILURE_OOM;
    }
    if (is_signal && code == SIGKILL && count_oom_kills() > child->oom_kills) {
        return DV_FAILURE_OOM;
    }
    return is_signal ? DV_FAILURE_SIGNAL : DV_FAILURE_ERROR;
}

/* To the whole group; to the process alone while it has none yet. */
static void send_signal(const struct dv_child *child, int number)
{
    if (!child->is_reaped && kill(-child->pid, number) != 0) {
        (void)kill(child->pid, number);
    }
}

/*
 * It has ended: take its last words and its exit status. Until it is waited for its number is its
 * own, so this is the moment to end whatever it left behind in its group.
 */
static void reap(struct dv_child *child)
{
    int result = 0;

    (void)kill(-child->pid, SIGKILL);
    drain_output(child, LAST_BLOCKS_MAX);
    while (waitpid(child->pid, &result, 0) < 0 && errno == EINTR) {
    }
    child->is_reaped = true;
    child->end.is_signal = WIFSIGNALED(result);
    child->end.code = WIFSIGNALED(result) ? WTERMSIG(result) : WEXITSTATUS(result);
    child->end.reason = read_reason(child, child->end.is_signal, child->end.code);
}

/* The shorter of two waiting times, of which -1 is for ever. */
static int least_ms(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

/* --- Without waiting -------------------------------------------------------------------- */

void dv_child_watch(const struct dv_child *child, struct pollfd ret_fds[static DV_CHILD_POLL_COUNT])
{
    assert(child);
    ret_fds[0] = (struct pollfd){
        .fd = child->is_closed ? -1 : dv_channel_fd(child->channel), .events = POLLIN};
    ret_fds[1] = (struct pollfd){.fd = child->output_fd, .events = POLLIN};
    ret_fds[2] = (struct pollfd){.fd = child->is_reaped ? -1 : child->pid_fd, .events = POLLIN};
}

/* When stopping goes on; 0: it does not. */
static uint64_t next_stop_ns(const struct dv_child *child)
{
    return child->is_reaped                       ? 0
           : child->stop_phase == STOP_ASKED      ? child->terminate_ns
           : child->stop_phase == STOP_TERMINATED ? child->kill_ns
                                                  : 0;
}

int dv_child_patience_ms(const struct dv_child *child)
{
    uint64_t due_ns = next_stop_ns(child);
    uint64_t now_ns = dv_clock_monotonic_ns();

    if (!child->is_closed && dv_channel_has_line(child->channel)) {
        return 0;
    }
    if (due_ns == 0) {
        return -1;
    }
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / 1000000u) + 1;
}

static void go_on_stopping(struct dv_child *child)
{
    uint64_t now_ns = dv_clock_monotonic_ns();

    if (child->stop_phase == STOP_ASKED && now_ns >= child->terminate_ns) {
        send_signal(child, SIGTERM);
        child->stop_phase = STOP_TERMINATED;
    }
    if (child->stop_phase == STOP_TERMINATED && now_ns >= child->kill_ns) {
        send_signal(child, SIGKILL);
        child->stop_phase = STOP_KILLED;
    }
}

static bool has_ended(const struct dv_child *child)
{
    struct pollfd end = {.fd = child->pid_fd, .events = POLLIN};

    return poll(&end, 1, 0) > 0;
}

void dv_child_attend(struct dv_child *child)
{
    assert(child);
    drain_output(child, OUTPUT_BLOCKS_MAX);
    if (child->is_reaped) {
        return;
    }
    if (has_ended(child)) {
        reap(child);
    } else {
        go_on_stopping(child);
    }
}

enum dv_status dv_child_next(
    struct dv_child *child, struct dv_message *ret_message, struct dv_error *reterr)
{
    assert(child);
    assert(ret_message);
    if (child->is_closed) {
        return dv_fail(reterr, DV_NOT_FOUND, "dv %s has ended", child->options.role);
    }
    enum dv_status status = dv_message_receive(child->channel, 0, ret_message, reterr);
    if (status == DV_TIMEOUT && child->is_reaped) {
        status = dv_fail(reterr, DV_NOT_FOUND, "dv %s has ended", child->options.role);
    }
    /* After bytes that are no message nothing that follows can be trusted. */
    child->is_closed = status != DV_OK && status != DV_TIMEOUT && status != DV_INVALID;
    return status;
}

enum dv_status dv_child_send_line(
    struct dv_child *child, const char *line, int passed_fd, struct dv_error *reterr)
{
    assert(child);
    return dv_channel_send(child->channel, line, strlen(line), passed_fd, 0, reterr);
}

void dv_child_begin_stop(struct dv_child *child, int grace_ms)
{
    const struct dv_message cancel = {.type = DV_MESSAGE_CANCEL};
    uint64_t now_ns = dv_clock_monotonic_ns();

    assert(child);
    if (child->is_reaped || child->stop_phase != STOP_NONE) {
        return;
    }
    enum dv_status status = dv_message_send(child->channel, &cancel, -1, 0, NULL);
    (void)status; /* one that does not read is stopped by what follows */
    child->stop_phase = STOP_ASKED;
    child->kill_ns = now_ns + (uint64_t)grace_ms * 1000000u;
    child->terminate_ns =
        child->kill_ns - (uint64_t)least_ms(grace_ms / 2, LAST_GRACE_MS) * 1000000u;
}

const struct dv_child_exit *dv_child_end(const struct dv_child *child)
{
    assert(child);
    return child->is_reaped ? &child->end : NULL;
}

/* --- Waiting ---------------------------------------------------------------------------- */

/* Wait until something happens, and attend to it. True: the interrupt descriptor is readable. */
static bool wait_once(struct dv_child *child, bool with_interrupt, int timeout_ms)
{
    struct pollfd fds[DV_CHILD_POLL_COUNT + 1];
    int interrupt_fd = child->options.interrupt_fd > 0 ? child->options.interrupt_fd : -1;

    dv_child_watch(child, fds);
    fds[DV_CHILD_POLL_COUNT] =
        (struct pollfd){.fd = with_interrupt ? interrupt_fd : -1, .events = POLLIN};
    int count = poll(fds, DV_ARRAY_SIZE(fds), least_ms(timeout_ms, dv_child_patience_ms(child)));
    dv_child_attend(child);
    return count > 0 && fds[DV_CHILD_POLL_COUNT].revents;
}

enum dv_status dv_child_receive(
    struct dv_child *child, int timeout_ms, struct dv_message *ret_message, struct dv_error *reterr)
{
    uint64_t start_ns = dv_clock_monotonic_ns();

    assert(child);
    assert(ret_message);
    for (;;) {
        int left_ms = dv_clock_ms_left(start_ns, timeout_ms);
        enum dv_status status = dv_child_next(child, ret_message, reterr);
        if (status != DV_TIMEOUT) {
            return status;
        }
        if (left_ms == 0) {
            return dv_fail(reterr, DV_TIMEOUT, "dv %s said nothing for %d ms", child->options.role,
                timeout_ms);
        }
        if (wait_once(child, true, left_ms)) {
            return dv_fail(reterr, DV_CANCELLED, "interrupted");
        }
    }
}

enum dv_status dv_child_send(struct dv_child *child, const struct dv_message *message,
    int passed_fd, struct dv_error *reterr)
{
    return dv_message_send(child->channel, message, passed_fd, SEND_TIMEOUT_MS, reterr);
}

int dv_child_take_fd(struct dv_child *child)
{
    assert(child);
    return dv_channel_take_fd(child->channel);
}

/* --- Handshake -------------------------------------------------------------------------- */

/* A message of this type, or the failure that came instead of it. */
static enum dv_status expect(struct dv_child *child, enum dv_message_type type, int timeout_ms,
    struct dv_message *ret_message, struct dv_error *reterr)
{
    struct dv_message message;

    enum dv_status status = dv_child_receive(child, timeout_ms, &message, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (message.type == type) {
        *ret_message = message;
        return DV_OK;
    }
    if (message.type == DV_MESSAGE_FAILURE) {
        status = dv_fail(
            reterr, dv_status_from_name(message.failure.status), "%s", message.failure.text);
    } else {
        status = dv_fail(reterr, DV_INVALID, "dv %s said '%s' instead of '%s'", child->options.role,
            dv_message_type_name(message.type), dv_message_type_name(type));
    }
    dv_message_finish(&message);
    return status;
}

enum dv_status dv_child_handshake(struct dv_child *child, const struct dv_message *job,
    struct dv_message *ret_ack, struct dv_error *reterr)
{
    struct dv_message hello;

    assert(child);
    assert(job->type == DV_MESSAGE_JOB);
    enum dv_status status = expect(child, DV_MESSAGE_HELLO, HELLO_TIMEOUT_MS, &hello, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (!dv_text_equal(hello.hello.version, DV_VERSION) ||
        !dv_text_equal(hello.hello.role, child->options.role)) {
        status = dv_fail(reterr, DV_INVALID, "the child is dv %.40s %.40s, not dv %s %s",
            hello.hello.role, hello.hello.version, child->options.role, DV_VERSION);
    }
    dv_message_finish(&hello);
    if (status == DV_OK) {
        status = dv_child_send(child, job, -1, reterr);
    }
    /* One that has closed already may have said why before it did. */
    if (status == DV_OK || status == DV_NOT_FOUND) {
        status = expect(child, DV_MESSAGE_ACK, ACK_TIMEOUT_MS, ret_ack, reterr);
    }
    return status;
}

/* --- Stopping --------------------------------------------------------------------------- */

enum dv_status dv_child_wait(
    struct dv_child *child, int timeout_ms, struct dv_child_exit *ret_exit, struct dv_error *reterr)
{
    uint64_t start_ns = dv_clock_monotonic_ns();
    struct dv_message message;

    assert(child);
    assert(ret_exit);
    while (!child->is_reaped) {
        int left_ms = dv_clock_ms_left(start_ns, timeout_ms);
        (void)wait_once(child, false, left_ms);
        /* What it still says is dropped, so that it does not block on a full socket. */
        if (dv_child_next(child, &message, NULL) == DV_OK) {
            dv_message_finish(&message);
        } else if (left_ms == 0 && !child->is_reaped) {
            return dv_fail(reterr, DV_TIMEOUT, "dv %s still runs", child->options.role);
        }
    }
    *ret_exit = child->end;
    return DV_OK;
}

void dv_child_stop(struct dv_child *child, int grace_ms, struct dv_child_exit *ret_exit)
{
    assert(child);
    assert(ret_exit);
    dv_child_begin_stop(child, grace_ms);
    enum dv_status status = dv_child_wait(child, -1, ret_exit, NULL);
    assert(status == DV_OK);
}

struct dv_child *dv_child_destroy(struct dv_child *child)
{
    if (!child) {
        return NULL;
    }
    if (child->pid > 0 && !child->is_reaped) {
        send_signal(child, SIGKILL);
        reap(child);
    }
    child->channel = dv_channel_destroy(child->channel);
    dv_file_closep(&child->output_fd);
    dv_file_closep(&child->pid_fd);
    dv_buffer_finish(&child->line);
    return dv_free(child);
}

void dv_child_destroyp(struct dv_child **child)
{
    *child = dv_child_destroy(*child);
}

pid_t dv_child_pid(const struct dv_child *child)
{
    assert(child);
    return child->pid;
}

void dv_child_exit_text(const struct dv_child_exit *end, char ret_text[static 80])
{
    if (end->is_signal) {
        (void)snprintf(
            ret_text, 80, "was killed by signal %d (%.40s)", end->code, strsignal(end->code));
    } else {
        (void)snprintf(ret_text, 80, "ended with exit status %d", end->code);
    }
}
