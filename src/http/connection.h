/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_CONNECTION_H
#define DV_HTTP_CONNECTION_H

/*
 * A client's connection as the reaper sees it: which phase it is in, since when, and how much came
 * or went. libmicrohttpd owns the socket; between open and close it may be shut down from here.
 */

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct dv_http_server;
struct sockaddr;

enum dv_http_phase {
    DV_HTTP_PHASE_FIRST,  /* from connecting to the end of the first header */
    DV_HTTP_PHASE_IDLE,   /* between requests */
    DV_HTTP_PHASE_HEADER, /* of a later request: its first line is there */
    DV_HTTP_PHASE_BODY,
    DV_HTTP_PHASE_WORKING, /* waits for us: a handler, the disk */
    DV_HTTP_PHASE_REPLY,
    DV_HTTP_PHASE_STREAM,
    DV_HTTP_PHASE_LINGER, /* refused, and may still be sending */
};

struct dv_http_connection {
    struct dv_http_server *server;
    int fd;
    char address[INET6_ADDRSTRLEN];
    _Atomic uint64_t received; /* bytes of bodies */

    /* Under the server's lock. */
    struct dv_http_connection *previous, *next;
    enum dv_http_phase phase;
    uint64_t phase_ns;  /* when it began */
    uint64_t window_ns; /* when the rate was looked at last */
    uint64_t window_bytes;
    bool is_first_window;
    bool has_hung_up; /* at the last look */
    bool is_cut;
};

/* A connection that was accepted, in the server's list. */
struct dv_http_connection *dv_http_connection_open(
    struct dv_http_server *server, int fd, const struct sockaddr *address);

/* To be called before the socket is closed. Returns NULL. */
struct dv_http_connection *dv_http_connection_close(struct dv_http_connection *connection);

/* Is there room for one more? If not, the one that has waited longest for a request is cut. */
bool dv_http_connection_make_room(struct dv_http_server *server);

void dv_http_connection_set_phase(struct dv_http_connection *connection, enum dv_http_phase phase);

/* Under the server's lock: shut the socket down, so that libmicrohttpd sees it end. */
void dv_http_connection_cut(struct dv_http_connection *connection);

#endif
