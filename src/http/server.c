/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "http/connection.h"
#include "http/exchange.h"
#include "http/file_writer.h"
#include "http/http_limits.h"
#include "http/reaper.h"
#include "http/router.h"
#include "http/server_impl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Handlers wait for the database, so there are more threads than a small machine has cores. */
#define THREAD_COUNT 8
/* A connection's memory at the library: room for the largest header, with its bookkeeping, and
 * for pieces of a body that are worth a system call. */
#define CONNECTION_MEMORY (64u << 10)
/* What everything but connections may have open: the database, files, children. */
#define DESCRIPTOR_RESERVE 128
#define STOP_GRACE_SECONDS 2

static const struct dv_http_limits defaults = {
    .connections = 4096,
    .header_seconds = 10,
    .idle_seconds = 60,
    .body_grace_seconds = 10,
    .body_rate = 8192,
    .drain_rate = 4096,
    .rate_seconds = 30,
    .header_size = 16384,
    .header_count = 64,
    .target_size = 8192,
    .json_size = 1 << 20,
    .stream_count = 256,
    .heartbeat_seconds = 15,
    .upload_count = 64,
};

/* --- Memory of bodies ------------------------------------------------------------------------- */

bool dv_http_server_take_memory(struct dv_http_server *server, size_t size)
{
    if (atomic_fetch_add(&server->body_memory, size) > DV_HTTP_BODY_MEMORY_MAX - size) {
        atomic_fetch_sub(&server->body_memory, size);
        return false;
    }
    return true;
}

void dv_http_server_give_memory(struct dv_http_server *server, size_t size)
{
    atomic_fetch_sub(&server->body_memory, size);
}

/* --- Start ------------------------------------------------------------------------------------ */

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

static struct dv_http_limits fill_in(const struct dv_http_limits *limits)
{
    struct dv_http_limits full = {
        .connections = or_default(limits->connections, defaults.connections),
        .connections_per_address = limits->connections_per_address,
        .header_seconds = or_default(limits->header_seconds, defaults.header_seconds),
        .idle_seconds = or_default(limits->idle_seconds, defaults.idle_seconds),
        .body_grace_seconds = or_default(limits->body_grace_seconds, defaults.body_grace_seconds),
        .body_rate = or_default(limits->body_rate, defaults.body_rate),
        .drain_rate = or_default(limits->drain_rate, defaults.drain_rate),
        .rate_seconds = or_default(limits->rate_seconds, defaults.rate_seconds),
        .header_size = or_default(limits->header_size, defaults.header_size),
        .header_count = or_default(limits->header_count, defaults.header_count),
        .target_size = or_default(limits->target_size, defaults.target_size),
        .json_size = or_default(limits->json_size, defaults.json_size),
        .stream_count = or_default(limits->stream_count, defaults.stream_count),
        .heartbeat_seconds = or_default(limits->heartbeat_seconds, defaults.heartbeat_seconds),
        .upload_count = or_default(limits->upload_count, defaults.upload_count),
    };

    assert(full.header_count <= DV_HTTP_FIELD_COUNT_MAX);
    return full;
}

/* As many connections as descriptors allow, where one may hold a file besides its socket. */
static uint32_t choose_connection_max(uint32_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return wanted;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    uint64_t room = limit.rlim_cur > 2 * DESCRIPTOR_RESERVE
                        ? (limit.rlim_cur - DESCRIPTOR_RESERVE) / 2
                        : DESCRIPTOR_RESERVE / 2;
    return room < wanted ? (uint32_t)room : wanted;
}

static enum dv_status bind_socket(const struct dv_http_options *options, int fd,
    const struct addrinfo *address, struct dv_error *reterr)
{
    int one = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        if (errno == EADDRINUSE) {
            return dv_fail(reterr, DV_CONFLICT, "something else listens on %s port %u",
                options->host, options->port);
        }
        return dv_fail_errno(
            reterr, errno, "cannot listen on %s port %u", options->host, options->port);
    }
    return DV_OK;
}

static char *print_url(int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t size = sizeof(storage);
    char host[INET6_ADDRSTRLEN] = "";

    (void)getsockname(fd, (struct sockaddr *)&storage, &size);
    if (storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)&storage;
        (void)inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof(host));
        return dv_strprintf("http://[%s]:%u", host, ntohs(address->sin6_port));
    }
    const struct sockaddr_in *address = (const struct sockaddr_in *)&storage;
    (void)inet_ntop(AF_INET, &address->sin_addr, host, sizeof(host));
    return dv_strprintf("http://%s:%u", host, ntohs(address->sin_port));
}

static enum dv_status open_socket(struct dv_http_server *server, struct dv_error *reterr)
{
    const struct dv_http_options *options = &server->options;
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *address = NULL;
    char port[8];

    (void)snprintf(port, sizeof(port), "%u", options->port);
    if (getaddrinfo(options->host, port, &hints, &address) != 0) {
        return dv_fail(reterr, DV_INVALID, "'%s' is no address to listen on", options->host);
    }
    enum dv_status status = DV_OK;
    server->listen_fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listen_fd < 0) {
        status = dv_fail_errno(reterr, errno, "cannot make a socket");
    } else {
        status = bind_socket(options, server->listen_fd, address, reterr);
    }
    freeaddrinfo(address);
    if (status == DV_OK) {
        server->url = print_url(server->listen_fd);
    }
    return status;
}

static enum dv_status start_daemon(struct dv_http_server *server, struct dv_error *reterr)
{
    const struct dv_http_limits *limits = &server->options.limits;
    bool is_ipv6 = strchr(server->options.host, ':') != NULL;

    /* Its own limit is per thread, and out of the way: ours is asked first. */
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | (is_ipv6 ? MHD_USE_IPv6 : 0u), 0,
        dv_http_exchange_accept, server, dv_http_exchange_handle, server, MHD_OPTION_LISTEN_SOCKET,
        server->listen_fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREAD_COUNT,
        MHD_OPTION_CONNECTION_LIMIT, 2u * THREAD_COUNT * server->connection_max,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)limits->connections_per_address,
        MHD_OPTION_CONNECTION_TIMEOUT, 0u, /* the reaper's */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)CONNECTION_MEMORY / 8,
        MHD_OPTION_NOTIFY_CONNECTION, dv_http_exchange_connection, server,
        MHD_OPTION_URI_LOG_CALLBACK, dv_http_exchange_line, server, MHD_OPTION_NOTIFY_COMPLETED,
        dv_http_exchange_done, server, MHD_OPTION_UNESCAPE_CALLBACK, dv_http_exchange_unescape,
        server, MHD_OPTION_STRICT_FOR_CLIENT, 0, /* the guard is stricter, and answers in our way */
        MHD_OPTION_END);
    if (!server->daemon) {
        return dv_fail(reterr, DV_IO, "cannot start the threads of the HTTP server");
    }
    return DV_OK;
}

enum dv_status dv_http_server_start(const struct dv_http_options *options,
    struct dv_http_server **ret_server, struct dv_error *reterr)
{
    assert(options->host);
    assert(options->routes);
    assert(ret_server);

    struct dv_http_server *server = dv_alloc(sizeof(*server));
    pthread_condattr_t attributes;
    server->options = *options;
    server->options.limits = fill_in(&options->limits);
    server->connection_max = choose_connection_max(server->options.limits.connections);
    server->listen_fd = -1;
    server->reaper_fd = -1;
    pthread_mutex_init(&server->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->has_ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    server->router = dv_http_router_create(options->routes);

    enum dv_status status = open_socket(server, reterr);
    if (status == DV_OK) {
        status = dv_file_writer_create(&server->writer, reterr);
    }
    if (status == DV_OK) {
        status = dv_http_reaper_start(server, reterr);
    }
    if (status == DV_OK) {
        status = start_daemon(server, reterr);
    }
    if (status != DV_OK) {
        server = dv_http_server_stop(server);
        return status;
    }
    *ret_server = server;
    return DV_OK;
}

/* --- Use and stop ----------------------------------------------------------------------------- */

const char *dv_http_server_url(const struct dv_http_server *server)
{
    return server->url;
}

void dv_http_server_wake_streams(struct dv_http_server *server)
{
    dv_http_reaper_wake(server);
}

/* No new connection, 503 for new requests, streams end; those under way have a moment. */
static void let_end(struct dv_http_server *server)
{
    struct timespec deadline;

    (void)MHD_quiesce_daemon(server->daemon);
    (void)shutdown(server->listen_fd, SHUT_RDWR);
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += STOP_GRACE_SECONDS;
    pthread_mutex_lock(&server->lock);
    server->is_stopping = true;
    pthread_mutex_unlock(&server->lock);
    dv_http_reaper_wake(server);

    pthread_mutex_lock(&server->lock);
    while (server->request_count > 0 &&
           pthread_cond_timedwait(&server->has_ended, &server->lock, &deadline) == 0) {
    }
    /* From here nothing is suspended any more, and the library may only be stopped when nothing
     * is: who waits for the disk is resumed by it. */
    server->is_cutting = true;
    while (server->waiting_count > 0) {
        pthread_cond_wait(&server->has_ended, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

struct dv_http_server *dv_http_server_stop(struct dv_http_server *server)
{
    if (!server) {
        return NULL;
    }
    if (server->daemon) {
        let_end(server);
    }
    pthread_mutex_lock(&server->lock);
    server->is_cutting = true;
    pthread_mutex_unlock(&server->lock);
    dv_http_reaper_stop(server);
    MHD_stop_daemon(server->daemon);
    dv_http_reaper_close(server); /* not before: a connection that is the first wakes it */
    server->writer = dv_file_writer_destroy(server->writer);
    assert(server->connection_count == 0);
    dv_file_closep(&server->listen_fd);
    server->router = dv_http_router_destroy(server->router);
    pthread_cond_destroy(&server->has_ended);
    pthread_mutex_destroy(&server->lock);
    dv_free(server->url);
    return dv_free(server);
}
