/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_SERVER_IMPL_H
#define DV_HTTP_SERVER_IMPL_H

/*
 * What the parts of the server share. Only files of this folder include it.
 *
 * One lock (`lock`) guards the lists of connections and streams and everything about when they are
 * cut or woken. It may be held while libmicrohttpd is told to suspend or resume; libmicrohttpd
 * holds none of its own when it calls us.
 */

#include "http/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct MHD_Daemon;
struct pollfd;
struct dv_file_writer;
struct dv_http_connection;
struct dv_http_router;
struct dv_http_stream;

struct dv_http_server {
    struct dv_http_options options; /* with the limits filled in */
    struct dv_http_router *router;
    struct dv_file_writer *writer;
    struct MHD_Daemon *daemon;
    int listen_fd;
    char *url;

    pthread_mutex_t lock;
    struct dv_http_connection *connections;
    uint32_t connection_count;
    uint32_t connection_max; /* as descriptors allow */
    struct dv_http_stream *streams;
    uint32_t stream_count;
    uint32_t request_count;   /* answered in full or in part, not idle */
    uint32_t waiting_count;   /* uploads that are suspended until the disk has caught up */
    pthread_cond_t has_ended; /* one of these two fell to 0 */
    bool is_stopping;         /* new requests are refused, streams end */
    bool is_cutting;          /* nothing is suspended any more */

    pthread_t reaper;
    bool has_reaper;
    int reaper_fd;        /* an eventfd that wakes it */
    struct pollfd *polls; /* its own */
    size_t poll_max;

    atomic_uint upload_count;
    atomic_size_t body_memory; /* bytes of bodies in memory */
};

/* Body memory: true, and taken, if there is so much left. */
bool dv_http_server_take_memory(struct dv_http_server *server, size_t size);
void dv_http_server_give_memory(struct dv_http_server *server, size_t size);

#endif
