/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_CONNECTION_H
#define DV_APP_CONNECTION_H

/*
 * The server that a command talks to: the one it is told of (--server, DV_SERVER, with DV_TOKEN);
 * else the one that serves DATA, which DATA/lock names; else one of its own for as long as the
 * command runs.
 *
 * Life: dv_connection_open(), calls with its client, dv_connection_close().
 */

#include "base/status.h"

#include <stdbool.h>

struct dv_client;
struct dv_connection;
struct dv_data_folder;

struct dv_connection_options {
    const char *server;                  /* an address; NULL: whoever serves the folder */
    const char *token;                   /* with `server`; NULL: none */
    const struct dv_data_folder *folder; /* borrowed, for as long as the connection is open */
    int interrupt_fd;
};

DV_MUST_CHECK enum dv_status dv_connection_open(const struct dv_connection_options *options,
    struct dv_connection **ret_connection, struct dv_error *reterr);

/* A server of its own is asked to end, and waited for. NULL is fine. Returns NULL. */
struct dv_connection *dv_connection_close(struct dv_connection *connection);

/*
 * The server is gone (its command has ended, it was killed): find who serves the folder now, or
 * become it. DV_UNAVAILABLE: the server is one that we were told of; there is no other.
 */
DV_MUST_CHECK enum dv_status dv_connection_renew(
    struct dv_connection *connection, struct dv_error *reterr);

/*
 * A server of our own leaves alone what was queued before the command began. This one job, which
 * was queued at `queued_at`, is to run all the same: it is served anew from that time on.
 */
DV_MUST_CHECK enum dv_status dv_connection_include(
    struct dv_connection *connection, const char *queued_at, struct dv_error *reterr);

/* Borrowed until the connection is renewed or closed. */
struct dv_client *dv_connection_client(struct dv_connection *connection);

/* Is it the folder that is served, whoever does it? False: a server we were told of. */
bool dv_connection_is_local(const struct dv_connection *connection);

/* Does the server end with this command? */
bool dv_connection_is_own(const struct dv_connection *connection);

#endif
