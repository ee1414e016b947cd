/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_SESSION_H
#define DV_APP_SESSION_H

/*
 * The surroundings of one command: the data folder, the server it talks to, how to speak, when to
 * stop.
 */

#include "app/command.h"
#include "app/data_folder.h"
#include "app/progress_view.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_client;
struct dv_connection;
struct dv_json;

struct dv_session {
    struct dv_data_folder folder;
    struct dv_connection *connection; /* NULL: it has not been needed yet */
    struct dv_progress_view view;
    bool is_json;
    bool has_events; /* --json prints what happens, not the result alone */
    int interrupt_fd;
    const char *server; /* as we were told; NULL: whoever serves the folder */
};

DV_MUST_CHECK enum dv_status dv_session_open(const struct dv_common_options *common,
    struct dv_session *ret_session, struct dv_error *reterr);
void dv_session_close(struct dv_session *session);

/* Find or become the server, once. */
DV_MUST_CHECK enum dv_status dv_session_connect(
    struct dv_session *session, struct dv_error *reterr);

/* A call of the API (client/client.h), connected first. */
DV_MUST_CHECK enum dv_status dv_session_call(struct dv_session *session, const char *method,
    const char *path, const struct dv_json *body, struct dv_json **ret_answer,
    struct dv_error *reterr);

/*
 * All items of a list of the API, page by page; `path` may have a query. The array is the caller's.
 */
DV_MUST_CHECK enum dv_status dv_session_list(struct dv_session *session, const char *path,
    struct dv_json **ret_items, struct dv_error *reterr);

/*
 * Follow the events of one thing, `path`, after the event `*last_id` until on_event says false,
 * whoever serves it meanwhile. Events come once each, in order; `*last_id` becomes the last one's.
 */
DV_MUST_CHECK enum dv_status dv_session_follow(struct dv_session *session, const char *path,
    int64_t *last_id,
    bool (*on_event)(void *user, int64_t id, const char *type, const struct dv_json *event),
    void *user, struct dv_error *reterr);

/* A folder for large files of this command: in DATA, or where the system keeps such things. */
DV_MUST_CHECK enum dv_status dv_session_scratch(
    struct dv_session *session, struct dv_scratch *ret_scratch, struct dv_error *reterr);

/* With --json print events from now on; at first only a command's result is printed. */
void dv_session_print_events(struct dv_session *session);

/* Has someone asked this command to stop? */
bool dv_session_is_interrupted(const struct dv_session *session);

/*
 * A line for people on standard error, or, where --json prints events, an object of type `log`.
 */
void dv_session_say(struct dv_session *session, const char *level, const char *text);

#endif
