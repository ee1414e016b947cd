/* SPDX-License-Identifier: Apache-2.0 */
#include "http/reaper.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "http/connection.h"
#include "http/http_limits.h"
#include "http/server_impl.h"
#include "http/stream.h"

#include <assert.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 250
/* A stream is stalled when it has something to read and takes nothing for so many heartbeats. */
#define STALL_HEARTBEATS 4

/* --- Deadlines and rates ---------------------------------------------------------------------- */

static bool has_passed(uint64_t start_ns, uint64_t seconds)
{
    return dv_clock_monotonic_ns() - start_ns >= seconds * 1000000000u;
}

/* Bytes of answers that the client's side has taken; UINT64_MAX: cannot be told. */
static uint64_t count_taken(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked)) {
        return UINT64_MAX;
    }
    return info.tcpi_bytes_acked;
}

static bool has_unsent(int fd)
{
    int size = 0;

    return ioctl(fd, TIOCOUTQ, &size) == 0 && size > 0;
}

/*
 * Was less than `rate` bytes a second seen over the window that has now passed? `bytes` counts from
 * some beginning; the first look of a phase only notes it.
 */
static bool is_below(struct dv_http_connection *connection, uint64_t bytes, uint64_t rate,
    uint32_t first_seconds, uint32_t seconds)
{
    uint64_t window = connection->is_first_window ? first_seconds : seconds;

    if (connection->window_bytes == UINT64_MAX) {
        connection->window_bytes = bytes;
    }
    if (bytes == UINT64_MAX || !has_passed(connection->window_ns, window)) {
        return false;
    }
    bool is_below = bytes - connection->window_bytes < rate * window;
    connection->window_ns = dv_clock_monotonic_ns();
    connection->window_bytes = bytes;
    connection->is_first_window = false;
    return is_below;
}

/* Has a stream had something to read all the time, and taken nothing? */
static bool is_stalled(struct dv_http_connection *connection, const struct dv_http_limits *limits)
{
    uint64_t bytes = count_taken(connection->fd);

    if (bytes != connection->window_bytes || !has_unsent(connection->fd)) {
        connection->window_bytes = bytes;
        connection->window_ns = dv_clock_monotonic_ns();
    }
    return has_passed(
        connection->window_ns, (uint64_t)STALL_HEARTBEATS * limits->heartbeat_seconds);
}

static bool is_due(struct dv_http_connection *connection, const struct dv_http_limits *limits)
{
    switch (connection->phase) {
    case DV_HTTP_PHASE_FIRST:
    case DV_HTTP_PHASE_HEADER:
        return has_passed(connection->phase_ns, limits->header_seconds);
    case DV_HTTP_PHASE_IDLE:
        return has_passed(connection->phase_ns, limits->idle_seconds);
    case DV_HTTP_PHASE_BODY:
        return is_below(connection, atomic_load(&connection->received), limits->body_rate,
            limits->body_grace_seconds, limits->rate_seconds);
    case DV_HTTP_PHASE_REPLY:
        return is_below(connection, count_taken(connection->fd), limits->drain_rate,
            limits->rate_seconds, limits->rate_seconds);
    case DV_HTTP_PHASE_STREAM:
        return is_stalled(connection, limits);
    case DV_HTTP_PHASE_LINGER:
        return has_passed(connection->phase_ns, DV_HTTP_LINGER_SECONDS);
    case DV_HTTP_PHASE_WORKING:
        return false;
    }
    return false;
}

/* --- Clients that have gone ------------------------------------------------------------------- */

/* Does the connection wait for its client to send? */
static bool is_listening(const struct dv_http_connection *connection)
{
    switch (connection->phase) {
    case DV_HTTP_PHASE_FIRST:
    case DV_HTTP_PHASE_IDLE:
    case DV_HTTP_PHASE_HEADER:
    case DV_HTTP_PHASE_BODY:
    case DV_HTTP_PHASE_LINGER:
        return !connection->is_cut;
    case DV_HTTP_PHASE_WORKING:
    case DV_HTTP_PHASE_REPLY:
    case DV_HTTP_PHASE_STREAM:
        return false;
    }
    return false;
}

/*
 * The library waits for an edge, and a client's last bytes and its end may come in one: it then
 * reads the bytes and misses the end. So whoever will send no more, at two looks, in one phase and
 * with nothing left to read, is cut.
 */
static void note_end(struct dv_http_connection *connection, const struct pollfd *poll_fd)
{
    int unread = 0;

    if (!poll_fd->revents || ioctl(connection->fd, FIONREAD, &unread) != 0 || unread > 0) {
        return;
    }
    if (connection->has_hung_up) {
        dv_http_connection_cut(connection);
    }
    connection->has_hung_up = true;
}

static void look_for_ends(struct dv_http_server *server)
{
    nfds_t count = 0;

    for (struct dv_http_connection *at = server->connections; at; at = at->next) {
        if (is_listening(at) && count < server->poll_max) {
            server->polls[count++] = (struct pollfd){.fd = at->fd, .events = POLLRDHUP};
        }
    }
    if (poll(server->polls, count, 0) <= 0) {
        return;
    }
    const struct pollfd *next = server->polls;
    for (struct dv_http_connection *at = server->connections; at; at = at->next) {
        if (is_listening(at) && next < server->polls + count) {
            note_end(at, next++);
        }
    }
}

/* --- The thread ------------------------------------------------------------------------------- */

/* One look at everything; false: there is nobody. */
static bool look(struct dv_http_server *server)
{
    pthread_mutex_lock(&server->lock);
    for (struct dv_http_connection *at = server->connections; at; at = at->next) {
        if (!at->is_cut && is_due(at, &server->options.limits)) {
            dv_http_connection_cut(at);
        }
    }
    look_for_ends(server);
    dv_http_streams_tick(server);
    bool has_anybody = server->connections != NULL;
    pthread_mutex_unlock(&server->lock);
    return has_anybody;
}

static void *run(void *user)
{
    struct dv_http_server *server = user;
    struct pollfd wake = {.fd = server->reaper_fd, .events = POLLIN};
    bool is_ending = false;

    for (bool has_anybody = false; !is_ending;) {
        uint64_t count;
        (void)poll(&wake, 1, has_anybody ? TICK_MS : -1);
        if (read(server->reaper_fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
            pthread_mutex_lock(&server->lock);
            is_ending = server->is_cutting;
            dv_http_streams_wake(server);
            pthread_mutex_unlock(&server->lock);
        }
        has_anybody = look(server);
    }
    return NULL;
}

void dv_http_reaper_wake(struct dv_http_server *server)
{
    const uint64_t one = 1;

    /* It can fail only where the counter is full, and then the reaper is awake. */
    if (write(server->reaper_fd, &one, sizeof(one)) < 0) {
        assert(errno == EAGAIN);
    }
}

enum dv_status dv_http_reaper_start(struct dv_http_server *server, struct dv_error *reterr)
{
    /* Some more may be open for the moment until those that were cut for them are closed. */
    server->poll_max = 2 * server->connection_max;
    server->polls = dv_alloc(server->poll_max * sizeof(*server->polls));
    server->reaper_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->reaper_fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot make an eventfd");
    }
    int error = pthread_create(&server->reaper, NULL, run, server);
    if (error != 0) {
        return dv_fail_errno(reterr, error, "cannot start a thread for deadlines");
    }
    server->has_reaper = true;
    return DV_OK;
}

void dv_http_reaper_stop(struct dv_http_server *server)
{
    if (server->has_reaper) {
        dv_http_reaper_wake(server);
        pthread_join(server->reaper, NULL);
        server->has_reaper = false;
    }
    server->polls = dv_free(server->polls);
}

void dv_http_reaper_close(struct dv_http_server *server)
{
    assert(!server->has_reaper);
    dv_file_closep(&server->reaper_fd);
}
