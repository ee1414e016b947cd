/* SPDX-License-Identifier: Apache-2.0 */
#include "app/own_server.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_SIZE 4096u
#define READY_TIMEOUT_MS 60000 /* a database that is migrated takes its time */
#define STOP_GRACE_SECONDS 20.0

/* --- Starting --------------------------------------------------------------------------------- */

/* The child's side; returns only if it fails. `output_fd` is close-on-exec, its copy is not. */
static void become_server(char *const *arguments, int output_fd, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
        dup2(output_fd, STDOUT_FILENO) >= 0) {
        (void)execv("/proc/self/exe", arguments);
    }
}

static enum dv_status spawn(const char *data_folder, const char *jobs_since,
    struct dv_own_server *server, struct dv_error *reterr)
{
    char *const arguments[] = {(char *)"dv", (char *)"serve", (char *)"--json", (char *)"--listen",
        (char *)"127.0.0.1:0", (char *)"--data", (char *)data_folder, (char *)"--jobs-since",
        (char *)jobs_since, NULL};
    pid_t parent = getpid();
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return dv_fail_errno(reterr, errno, "cannot make a pipe");
    }
    server->output_fd = ends[0];
    server->pid = fork();
    if (server->pid == 0) {
        become_server(arguments, ends[1], parent);
        _exit(127);
    }
    int error_number = errno;
    (void)close(ends[1]);
    return server->pid > 0 ? DV_OK : dv_fail_errno(reterr, error_number, "cannot start a server");
}

/* Its first line. DV_NOT_FOUND: it ended without one. */
static enum dv_status read_line(const struct dv_own_server *server, int interrupt_fd,
    char ret_line[static LINE_SIZE], struct dv_error *reterr)
{
    struct pollfd pollers[] = {
        {.fd = server->output_fd, .events = POLLIN}, {.fd = interrupt_fd, .events = POLLIN}};
    size_t size = 0;

    while (size < LINE_SIZE - 1) {
        int count = poll(pollers, DV_ARRAY_SIZE(pollers), READY_TIMEOUT_MS);
        if (count == 0) {
            return dv_fail(reterr, DV_TIMEOUT, "the server that was started does not get ready");
        }
        if (count > 0 && pollers[1].revents) {
            return dv_fail(reterr, DV_CANCELLED, "interrupted");
        }
        ssize_t got = count > 0 ? read(server->output_fd, ret_line + size, LINE_SIZE - 1 - size) : -1;
        if (got == 0) {
            return dv_fail(reterr, DV_NOT_FOUND, "the server that was started has ended");
        }
        if (got < 0 && errno != EINTR) {
            return dv_fail_errno(reterr, errno, "cannot hear the server that was started");
        }
        size += got > 0 ? (size_t)got : 0;
        ret_line[size] = '\0';
        if (strchr(ret_line, '\n')) {
            break;
        }
    }
    return DV_OK;
}

/* {"type": "ready", "url"} or {"type": "error", "status", "message"}. */
static enum dv_status wait_ready(
    struct dv_own_server *server, int interrupt_fd, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *said = NULL;
    char line[LINE_SIZE];

    enum dv_status status = read_line(server, interrupt_fd, line, reterr);
    if (status == DV_OK) {
        status = dv_json_parse(line, strlen(line), &said, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    const char *url = dv_json_get_string(said, "url", NULL);
    if (!url) {
        return dv_fail(reterr, dv_status_from_name(dv_json_get_string(said, "status", "IO")), "%s",
            dv_json_get_string(said, "message", "the server cannot be started"));
    }
    server->url = dv_strdup(url);
    return DV_OK;
}

enum dv_status dv_own_server_start(const char *data_folder, const char *jobs_since,
    int interrupt_fd, struct dv_own_server **ret_server, struct dv_error *reterr)
{
    struct dv_own_server *server = dv_alloc(sizeof(*server));

    assert(data_folder);
    assert(jobs_since);
    assert(ret_server);
    server->output_fd = -1;
    enum dv_status status = spawn(data_folder, jobs_since, server, reterr);
    if (status == DV_OK) {
        status = wait_ready(server, interrupt_fd, reterr);
    }
    if (status != DV_OK) {
        (void)dv_own_server_stop(server);
        return status;
    }
    *ret_server = server;
    return DV_OK;
}

/* --- Stopping --------------------------------------------------------------------------------- */

static bool has_ended(pid_t pid)
{
    pid_t ended = waitpid(pid, NULL, WNOHANG);

    return ended == pid || (ended < 0 && errno != EINTR);
}

struct dv_own_server *dv_own_server_stop(struct dv_own_server *server)
{
    if (!server) {
        return NULL;
    }
    uint64_t since_ns = dv_clock_monotonic_ns();
    if (server->pid > 0) {
        (void)kill(server->pid, SIGTERM);
        while (!has_ended(server->pid)) {
            if (dv_clock_seconds_since(since_ns) > STOP_GRACE_SECONDS) {
                (void)kill(server->pid, SIGKILL);
            }
            (void)usleep(2000);
        }
    }
    dv_file_closep(&server->output_fd);
    dv_free(server->url);
    return dv_free(server);
}
