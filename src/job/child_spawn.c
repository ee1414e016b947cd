/* SPDX-License-Identifier: Apache-2.0 */
#include "job/child_spawn.h"

#include "base/alloc.h"
#include "base/text.h"
#include "wire/channel.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

#define FD_ABOVE 64 /* clear of the numbers that the child's descriptors get */

/*
 * What a child inherits of the environment: how to compute, how to speak. Keys and tokens stay
 * behind.
 */
static const char *const passed_prefixes[] = {"OMP_", "GOMP_", "DNNL_", "ONEDNN_",
    "LANG=", "LC_ALL=", "LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS="};

static bool is_passed(const char *variable)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(passed_prefixes); i++) {
        if (dv_text_has_prefix(variable, passed_prefixes[i])) {
            return true;
        }
    }
    return false;
}

/*
 * How long a compute thread spins for its next piece of work before it sleeps. By default it is
 * milliseconds, and then a thread that shares its core with a loader thread, or with anybody else,
 * holds up the whole team: steps were seen to take three to ten times as long.
 */
static char spin_default[] = "GOMP_SPINCOUNT=1000";

/* The strings are borrowed from our own environment; dv_free() the array. */
static char **make_environment(void)
{
    bool has_spin = false;
    size_t count = 0;

    while (environ[count]) {
        count++;
    }
    char **result = dv_alloc((count + 2) * sizeof(*result));
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_passed(environ[i])) {
            result[kept++] = environ[i];
            has_spin = has_spin || dv_text_has_prefix(environ[i], "GOMP_SPINCOUNT=") ||
                       dv_text_has_prefix(environ[i], "OMP_WAIT_POLICY=");
        }
    }
    if (!has_spin) {
        result[kept++] = spin_default;
    }
    return result;
}

/* A new program starts with every signal as it was before anyone touched it. */
static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < 32; number++) {
        (void)signal(number, SIG_DFL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Put the three descriptors in their places: first clear of those places, then into them. */
static bool place_descriptors(int channel_fd, int output_fd)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC); /* where the parent has no 0, it is that */
    int input = fcntl(null, F_DUPFD_CLOEXEC, FD_ABOVE);
    int output = fcntl(output_fd, F_DUPFD_CLOEXEC, FD_ABOVE);
    int channel = fcntl(channel_fd, F_DUPFD_CLOEXEC, FD_ABOVE);

    return input >= 0 && output >= 0 && channel >= 0 && dup2(input, STDIN_FILENO) >= 0 &&
           dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0 &&
           dup2(channel, DV_CHANNEL_FD) >= 0 && close_range(DV_CHANNEL_FD + 1, ~0u, 0) == 0;
}

/* On the way to the parent's log. What is called here is safe after fork(). */
static void say_failure(int error_number)
{
    static const char begin[] = "dv: the program cannot be started: ";
    const char *reason = strerrordesc_np(error_number);
    ssize_t written = write(STDERR_FILENO, begin, sizeof(begin) - 1);

    if (reason && written > 0) {
        written = write(STDERR_FILENO, reason, strlen(reason));
    }
    (void)written; /* the exit status tells all the same */
}

/* The child's side; only returns if it fails. */
static void become_role(const char *program, char *const *arguments, char *const *environment,
    int channel_fd, int output_fd, pid_t parent)
{
    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent) {
        return; /* it died before it could be watched */
    }
    reset_signals();
    (void)umask(077);
    if (place_descriptors(channel_fd, output_fd)) {
        (void)execve(program, arguments, environment);
    }
    say_failure(errno);
}

enum dv_status dv_child_spawn(const char *program, const char *role, int channel_fd, int output_fd,
    pid_t *ret_pid, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char **environment = make_environment();
    char *const arguments[] = {(char *)"dv", (char *)role, NULL};
    pid_t parent = getpid();

    assert(role);
    assert(ret_pid);
    pid_t pid = fork();
    if (pid < 0) {
        return dv_fail_errno(reterr, errno, "cannot start dv %s", role);
    }
    if (pid == 0) {
        become_role(program ? program : "/proc/self/exe", arguments, environment, channel_fd,
            output_fd, parent);
        _exit(127);
    }
    *ret_pid = pid;
    return DV_OK;
}
