/* SPDX-License-Identifier: Apache-2.0 */
#include "http/connection.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "http/reaper.h"
#include "http/server_impl.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <sys/socket.h>

static void print_address(const struct sockaddr *address, char ret_text[static INET6_ADDRSTRLEN])
{
    const void *bytes = NULL;

    if (address && address->sa_family == AF_INET) {
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    } else if (address && address->sa_family == AF_INET6) {
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    }
    if (!bytes || !inet_ntop(address->sa_family, bytes, ret_text, INET6_ADDRSTRLEN)) {
        ret_text[0] = '\0';
    }
}

static void begin_phase(struct dv_http_connection *connection, enum dv_http_phase phase)
{
    connection->phase = phase;
    connection->phase_ns = dv_clock_monotonic_ns();
    connection->window_ns = connection->phase_ns;
    connection->window_bytes = UINT64_MAX; /* read at the first look */
    connection->is_first_window = true;
    connection->has_hung_up = false;
}

struct dv_http_connection *dv_http_connection_open(
    struct dv_http_server *server, int fd, const struct sockaddr *address)
{
    struct dv_http_connection *connection = dv_alloc(sizeof(*connection));

    connection->server = server;
    connection->fd = fd;
    print_address(address, connection->address);
    pthread_mutex_lock(&server->lock);
    begin_phase(connection, DV_HTTP_PHASE_FIRST);
    connection->next = server->connections;
    if (server->connections) {
        server->connections->previous = connection;
    }
    server->connections = connection;
    bool is_first = server->connection_count++ == 0;
    pthread_mutex_unlock(&server->lock);
    if (is_first) {
        dv_http_reaper_wake(server); /* it sleeps while there is nobody */
    }
    return connection;
}

struct dv_http_connection *dv_http_connection_close(struct dv_http_connection *connection)
{
    struct dv_http_server *server = connection->server;

    pthread_mutex_lock(&server->lock);
    if (connection->previous) {
        connection->previous->next = connection->next;
    } else {
        server->connections = connection->next;
    }
    if (connection->next) {
        connection->next->previous = connection->previous;
    }
    server->connection_count--;
    pthread_mutex_unlock(&server->lock);
    return dv_free(connection);
}

void dv_http_connection_cut(struct dv_http_connection *connection)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    connection->is_cut = true;
    if (connection->phase == DV_HTTP_PHASE_REPLY || connection->phase == DV_HTTP_PHASE_STREAM) {
        /* What it did not read need not stay in the kernel's memory for minutes. */
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    (void)shutdown(connection->fd, SHUT_RDWR); /* fails when the client has gone already */
}

static bool is_waiting(const struct dv_http_connection *connection)
{
    return !connection->is_cut &&
           (connection->phase == DV_HTTP_PHASE_FIRST || connection->phase == DV_HTTP_PHASE_IDLE ||
               connection->phase == DV_HTTP_PHASE_HEADER);
}

bool dv_http_connection_make_room(struct dv_http_server *server)
{
    struct dv_http_connection *oldest = NULL;

    pthread_mutex_lock(&server->lock);
    bool is_full = server->connection_count >= server->connection_max;
    for (struct dv_http_connection *at = is_full ? server->connections : NULL; at; at = at->next) {
        if (is_waiting(at) && (!oldest || at->phase_ns < oldest->phase_ns)) {
            oldest = at;
        }
    }
    if (oldest) {
        dv_http_connection_cut(oldest);
    }
    bool has_room = (!is_full || oldest) && !server->is_stopping;
    pthread_mutex_unlock(&server->lock);
    return has_room;
}

void dv_http_connection_set_phase(struct dv_http_connection *connection, enum dv_http_phase phase)
{
    pthread_mutex_lock(&connection->server->lock);
    begin_phase(connection, phase);
    pthread_mutex_unlock(&connection->server->lock);
}
