/* SPDX-License-Identifier: Apache-2.0 */
#include "app/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

static int pipe_fds[2] = {-1, -1};

static void write_a_byte(int number)
{
    int saved = errno;

    (void)number;
    ssize_t written = write(pipe_fds[1], "x", 1);
    (void)written; /* a full pipe says it already */
    errno = saved;
}

/* What the caller had us ignore stays so: nohup ignores SIGHUP, a script's "&" SIGINT. */
static void catch_signal(int number)
{
    struct sigaction action = {.sa_handler = write_a_byte, .sa_flags = SA_RESTART};
    struct sigaction old;

    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
        (void)sigemptyset(&action.sa_mask);
        (void)sigaction(number, &action, NULL);
    }
}

enum dv_status dv_interrupt_open(int *ret_fd, struct dv_error *reterr)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

    if (pipe_fds[0] < 0) {
        if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
            return dv_fail_errno(reterr, errno, "cannot make a pipe");
        }
        for (size_t i = 0; i < DV_ARRAY_SIZE(numbers); i++) {
            catch_signal(numbers[i]);
        }
        (void)signal(SIGPIPE, SIG_IGN);
    }
    *ret_fd = pipe_fds[0];
    return DV_OK;
}

bool dv_interrupt_has_come(void)
{
    struct pollfd poll_fd = {.fd = pipe_fds[0], .events = POLLIN};

    return poll(&poll_fd, 1, 0) > 0;
}
