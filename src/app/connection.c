/* SPDX-License-Identifier: Apache-2.0 */
#include "app/connection.h"

#include "app/data_folder.h"
#include "app/own_server.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "client/client.h"

#include <assert.h>
#include <poll.h>
#include <string.h>

#define FIND_SECONDS 30.0 /* one server may be ending and another starting */
#define LOOK_AGAIN_MS 50
#define TOKEN_SIZE_MAX 200u
#define PATIENCE_TOLD 60.0 /* somebody restarts it */
#define PATIENCE_LOCAL 2.0 /* its lock tells who comes next */

struct dv_connection {
    struct dv_connection_options options;
    char jobs_since[DV_TIME_TEXT_SIZE];
    struct dv_own_server *own; /* NULL: the server is another's */
    struct dv_client *client;
};

static enum dv_status make_client(struct dv_connection *connection, const char *url,
    const char *token, struct dv_error *reterr)
{
    const struct dv_client_options options = {.url = url,
        .token = token,
        .interrupt_fd = connection->options.interrupt_fd,
        .patience = connection->options.server ? PATIENCE_TOLD : PATIENCE_LOCAL};

    connection->client = dv_client_destroy(connection->client);
    return dv_client_create(&options, &connection->client, reterr);
}

/* --- Whoever serves the folder ---------------------------------------------------------------- */

static enum dv_status make_owner_client(
    struct dv_connection *connection, const char *url, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *token = NULL;
    char path[DV_PATH_SIZE];
    size_t size;

    enum dv_status status =
        dv_path_format(path, reterr, "%s/owner-token", connection->options.folder->path);
    if (status == DV_OK) {
        status = dv_file_read(path, TOKEN_SIZE_MAX, &token, &size, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    token[strcspn(token, "\r\n")] = '\0';
    status = make_client(connection, url, token, reterr);
    explicit_bzero(token, size);
    return status;
}

/* Does it answer? One that ends holds its lock a little longer than it answers. */
static enum dv_status greet(struct dv_connection *connection, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *answer = NULL;

    return dv_client_call(
        connection->client, "GET", "/api/system/info", NULL, &answer, reterr);
}

static enum dv_status start_own(struct dv_connection *connection, struct dv_error *reterr)
{
    enum dv_status status = dv_own_server_start(connection->options.folder->path,
        connection->jobs_since, connection->options.interrupt_fd, &connection->own, reterr);

    return status == DV_OK ? make_owner_client(connection, connection->own->url, reterr) : status;
}

/* Join the server of the folder or become it. DV_CONFLICT, DV_UNAVAILABLE: things are moving. */
static enum dv_status join(struct dv_connection *connection, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *url = NULL;

    enum dv_status status =
        dv_data_folder_find_server(connection->options.folder, &url, reterr);
    if (status == DV_NOT_FOUND) {
        return start_own(connection, reterr);
    }
    if (status == DV_OK) {
        status = make_owner_client(connection, url, reterr);
    }
    return status == DV_OK ? greet(connection, reterr) : status;
}

static enum dv_status find(struct dv_connection *connection, struct dv_error *reterr)
{
    struct pollfd poller = {.fd = connection->options.interrupt_fd, .events = POLLIN};
    uint64_t since_ns = dv_clock_monotonic_ns();

    for (;;) {
        enum dv_status status = join(connection, reterr);
        bool is_moving = status == DV_CONFLICT || status == DV_UNAVAILABLE;
        if (!is_moving || dv_clock_seconds_since(since_ns) > FIND_SECONDS) {
            return status;
        }
        if (poll(&poller, 1, LOOK_AGAIN_MS) > 0) {
            return dv_fail(reterr, DV_CANCELLED, "interrupted");
        }
    }
}

/* --- Life ------------------------------------------------------------------------------------- */

enum dv_status dv_connection_open(const struct dv_connection_options *options,
    struct dv_connection **ret_connection, struct dv_error *reterr)
{
    struct dv_connection *connection = dv_alloc(sizeof(*connection));

    assert(ret_connection);
    connection->options = *options;
    dv_clock_now_text(connection->jobs_since);
    enum dv_status status =
        options->server ? make_client(connection, options->server, options->token, reterr)
                        : find(connection, reterr);
    if (status != DV_OK) {
        (void)dv_connection_close(connection);
        return status;
    }
    *ret_connection = connection;
    return DV_OK;
}

struct dv_connection *dv_connection_close(struct dv_connection *connection)
{
    if (!connection) {
        return NULL;
    }
    connection->client = dv_client_destroy(connection->client);
    connection->own = dv_own_server_stop(connection->own);
    return dv_free(connection);
}

enum dv_status dv_connection_renew(struct dv_connection *connection, struct dv_error *reterr)
{
    if (connection->options.server) {
        return dv_fail(
            reterr, DV_UNAVAILABLE, "%s does not answer", connection->options.server);
    }
    connection->own = dv_own_server_stop(connection->own);
    return find(connection, reterr);
}

enum dv_status dv_connection_include(
    struct dv_connection *connection, const char *queued_at, struct dv_error *reterr)
{
    if (!connection->own || strcmp(queued_at, connection->jobs_since) >= 0) {
        return DV_OK;
    }
    (void)dv_text_copy(connection->jobs_since, sizeof(connection->jobs_since), queued_at);
    return dv_connection_renew(connection, reterr);
}

struct dv_client *dv_connection_client(struct dv_connection *connection)
{
    return connection->client;
}

bool dv_connection_is_local(const struct dv_connection *connection)
{
    return !connection->options.server;
}

bool dv_connection_is_own(const struct dv_connection *connection)
{
    return connection->own != NULL;
}
