/* SPDX-License-Identifier: Apache-2.0 */
#include "app/session.h"

#include "app/connection.h"
#include "app/interrupt.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "client/client.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum dv_status dv_session_open(
    const struct dv_common_options *common, struct dv_session *ret_session, struct dv_error *reterr)
{
    struct dv_session session = {.is_json = common->is_json, .server = common->server};

    assert(ret_session);
    enum dv_status status = dv_interrupt_open(&session.interrupt_fd, reterr);
    if (status == DV_OK) {
        status = dv_data_folder_open(common->data_folder, &session.folder, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    dv_progress_view_init(&session.view, common->is_json);
    session.view.is_silent = common->is_json;
    *ret_session = session;
    return DV_OK;
}

void dv_session_close(struct dv_session *session)
{
    dv_progress_view_end(&session->view);
    session->connection = dv_connection_close(session->connection);
    dv_data_folder_close(&session->folder);
}

void dv_session_print_events(struct dv_session *session)
{
    session->has_events = session->is_json;
    session->view.is_silent = false;
}

bool dv_session_is_interrupted(const struct dv_session *session)
{
    (void)session;
    return dv_interrupt_has_come();
}

void dv_session_say(struct dv_session *session, const char *level, const char *text)
{
    if (session->has_events) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "log");
        dv_json_set_string(line, "level", level);
        dv_json_set_string(line, "text", text);
        dv_print_json(line);
    } else if (!dv_text_equal(level, "debug")) {
        DV_CLEANUP(dv_freep) char *line = dv_strdup(text);
        dv_text_make_printable(line);
        dv_progress_view_end(&session->view);
        (void)fflush(stdout); /* where both go to one file, it has them in their order */
        (void)fprintf(stderr, "%s\n", line);
    }
}

/* --- The server ------------------------------------------------------------------------------- */

enum dv_status dv_session_connect(struct dv_session *session, struct dv_error *reterr)
{
    const struct dv_connection_options options = {.server = session->server,
        .token = getenv("DV_TOKEN"),
        .folder = &session->folder,
        .interrupt_fd = session->interrupt_fd};

    return session->connection ? DV_OK
                               : dv_connection_open(&options, &session->connection, reterr);
}

enum dv_status dv_session_call(struct dv_session *session, const char *method, const char *path,
    const struct dv_json *body, struct dv_json **ret_answer, struct dv_error *reterr)
{
    enum dv_status status = dv_session_connect(session, reterr);

    return status == DV_OK ? dv_client_call(dv_connection_client(session->connection), method,
                                 path, body, ret_answer, reterr)
                           : status;
}

/* Move the items of a page to the end of all; its cursor, the caller's, or NULL after the last. */
static char *take_page(struct dv_json *items, const struct dv_json *page)
{
    const struct dv_json *more = dv_json_get(page, "items");
    const char *cursor = dv_json_get_string(page, "next_cursor", NULL);

    for (size_t i = 0; i < dv_json_count(more); i++) {
        dv_json_append(items, dv_json_ref(dv_json_at(more, i)));
    }
    return cursor ? dv_strdup(cursor) : NULL;
}

enum dv_status dv_session_list(struct dv_session *session, const char *path,
    struct dv_json **ret_items, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *items = dv_json_array();
    DV_CLEANUP(dv_freep) char *cursor = NULL;
    char mark = strchr(path, '?') ? '&' : '?';

    do {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *page = NULL;
        DV_CLEANUP(dv_freep)
        char *page_path = cursor ? dv_strprintf("%s%climit=500&cursor=%s", path, mark, cursor)
                                 : dv_strprintf("%s%climit=500", path, mark);
        enum dv_status status =
            dv_session_call(session, "GET", page_path, NULL, &page, reterr);
        if (status != DV_OK) {
            return status;
        }
        dv_free(cursor);
        cursor = take_page(items, page);
    } while (cursor);
    *ret_items = dv_json_ref(items);
    return DV_OK;
}

enum dv_status dv_session_follow(struct dv_session *session, const char *path, int64_t *last_id,
    bool (*on_event)(void *user, int64_t id, const char *type, const struct dv_json *event),
    void *user, struct dv_error *reterr)
{
    enum dv_status status = dv_session_connect(session, reterr);
    while (status == DV_OK) {
        struct dv_error gone;
        status = dv_client_follow(dv_connection_client(session->connection), path, last_id,
            on_event, user, &gone);
        if (status == DV_OK) {
            return DV_OK;
        }
        if (status != DV_UNAVAILABLE || !dv_connection_is_local(session->connection)) {
            return dv_fail(reterr, status, "%s", gone.text);
        }
        status = dv_connection_renew(session->connection, reterr);
    }
    return status;
}

enum dv_status dv_session_scratch(
    struct dv_session *session, struct dv_scratch *ret_scratch, struct dv_error *reterr)
{
    const char *temporary = getenv("TMPDIR");
    char parent[DV_PATH_SIZE];

    enum dv_status status = dv_session_connect(session, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_connection_is_local(session->connection)
                 ? dv_path_format(parent, reterr, "%s/cache", session->folder.path)
                 : dv_path_format(
                       parent, reterr, "%s", temporary && temporary[0] ? temporary : "/tmp");
    return status == DV_OK ? dv_scratch_open(parent, ret_scratch, reterr) : status;
}
