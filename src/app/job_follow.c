/* SPDX-License-Identifier: Apache-2.0 */
#include "app/job_follow.h"

#include "app/connection.h"
#include "app/run_view.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "client/client.h"
#include "wire/message.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- Showing ---------------------------------------------------------------------------------- */

static double number(const struct dv_json *data, const char *key)
{
    return dv_json_get_number(data, key, (double)NAN);
}

static void show_progress(
    struct dv_session *session, const struct dv_json *data, bool is_epoch_end)
{
    const struct dv_message_progress progress = {.stage = dv_json_get_string(data, "stage", ""),
        .iteration = dv_json_get_integer(data, "iteration", 0),
        .epoch = dv_json_get_integer(data, "epoch", 0),
        .epochs = dv_json_get_integer(data, "epochs", 0),
        .step = dv_json_get_integer(data, "step", 0),
        .steps = dv_json_get_integer(data, "steps", 0),
        .loss = number(data, "loss"),
        .accuracy = number(data, "train_accuracy"),
        .val_loss = number(data, "val_loss"),
        .val_accuracy = number(data, "accuracy"),
        .best_accuracy = number(data, "best_accuracy"),
        .learning_rate = number(data, "learning_rate"),
        .images_per_second = number(data, "images_per_second"),
        .eta_seconds = number(data, "eta_seconds"),
        .fraction = number(data, "progress"),
        .is_epoch_end = is_epoch_end};

    dv_progress_view_train(&session->view, &progress);
}

bool dv_job_has_ended(const char *status)
{
    return dv_text_equal(status, "completed") || dv_text_equal(status, "failed") ||
           dv_text_equal(status, "cancelled");
}

static void show_status(struct dv_session *session, const char *status)
{
    if (session->has_events) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "status");
        dv_json_set_string(line, "status", status);
        dv_print_json(line);
    }
}

/* The server's one error of a job is why it failed; to a person, the command says that itself. */
static void show_log(struct dv_session *session, const struct dv_json *data)
{
    const char *level = dv_json_get_string(data, "level", "info");

    if (session->has_events || !dv_text_equal(level, "error") ||
        !dv_text_equal(dv_json_get_string(data, "source", ""), "server")) {
        dv_session_say(session, level, dv_json_get_string(data, "text", ""));
    }
}

/* Of those that are through; that one has begun its epochs tell. */
static void show_run(struct dv_session *session, const struct dv_json *data)
{
    if (session->has_events) {
        struct dv_json *line = dv_json_copy(data);
        dv_json_set_string(line, "type", "run");
        dv_print_json(line);
    } else if (!session->is_json &&
               !dv_text_equal(dv_json_get_string(data, "status", ""), "running")) {
        dv_progress_view_end(&session->view);
        dv_run_view_print(data);
        (void)fflush(stdout);
    }
}

/* One that is followed. */
struct following {
    struct dv_session *session;
    const char *queued_at; /* what was before is of an earlier try */
    int64_t last_id;
};

static bool on_event(void *user, int64_t id, const char *type, const struct dv_json *event)
{
    struct following *following = user;
    struct dv_session *session = following->session;
    const struct dv_json *data = dv_json_get(event, "data");

    (void)id;
    if (strcmp(dv_json_get_string(event, "at", "~"), following->queued_at) < 0) {
        return true;
    }
    if (dv_text_equal(type, "progress") || dv_text_equal(type, "metrics")) {
        show_progress(session, data, dv_text_equal(type, "metrics"));
    } else if (dv_text_equal(type, "run")) {
        show_run(session, data);
    } else if (dv_text_equal(type, "log")) {
        show_log(session, data);
    } else if (dv_text_equal(type, "status")) {
        const char *status = dv_json_get_string(data, "status", "");
        show_status(session, status);
        return !dv_job_has_ended(status);
    }
    return !dv_text_equal(type, "reset") && !dv_text_equal(type, "deleted");
}

/* --- To its end ------------------------------------------------------------------------------- */

static enum dv_status follow(
    struct following *following, struct dv_json **row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("/api/jobs/%s", dv_json_get_string(*row, "id", ""));
    DV_CLEANUP(dv_freep) char *events = dv_strprintf("%s/events", path);
    enum dv_status status = DV_OK;

    while (status == DV_OK && !dv_job_has_ended(dv_json_get_string(*row, "status", ""))) {
        struct dv_json *newer = NULL;
        status = dv_session_follow(
            following->session, events, &following->last_id, on_event, following, reterr);
        if (status == DV_OK) {
            status = dv_session_call(following->session, "GET", path, NULL, &newer, reterr);
        }
        if (status == DV_OK) {
            dv_json_unref(*row);
            *row = newer;
        }
    }
    return status;
}

/* Have it cancelled, and wait for that: what is interrupted here stops there. */
static void cancel(struct following *following, struct dv_json **row)
{
    struct dv_session *session = following->session;
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("/api/jobs/%s", dv_json_get_string(*row, "id", ""));
    DV_CLEANUP(dv_json_unrefp) struct dv_json *answer = NULL;
    struct dv_error error;

    dv_client_ignore_interrupts(dv_connection_client(session->connection));
    enum dv_status status = dv_session_call(session, "DELETE", path, NULL, &answer, &error);
    if (status == DV_OK) {
        status = follow(following, row, &error);
    }
    if (status != DV_OK) {
        dv_session_say(session, "warning", error.text);
    }
}

enum dv_status dv_job_follow(
    struct dv_session *session, struct dv_json **row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *queued_at = dv_strdup(dv_json_get_string(*row, "queued_at", ""));
    struct following following = {.session = session, .queued_at = queued_at};

    assert(session);
    assert(row);
    enum dv_status status = follow(&following, row, reterr);
    dv_progress_view_end(&session->view);
    if (status == DV_CANCELLED) {
        cancel(&following, row);
        dv_progress_view_end(&session->view);
    }
    return status;
}

enum dv_status dv_job_failure(const struct dv_json *row, struct dv_error *reterr)
{
    static const struct {
        const char *reason;
        enum dv_status status;
    } reasons[] = {{"oom", DV_NOMEM}, {"timeout", DV_TIMEOUT}, {"disk_full", DV_NO_SPACE},
        {"bad_data", DV_INVALID}, {"cancelled", DV_CANCELLED}};
    const char *reason = dv_json_get_string(row, "failure_reason", "");
    enum dv_status status = DV_IO;

    for (size_t i = 0; i < DV_ARRAY_SIZE(reasons); i++) {
        status = dv_text_equal(reasons[i].reason, reason) ? reasons[i].status : status;
    }
    if (dv_text_equal(dv_json_get_string(row, "status", ""), "cancelled")) {
        return dv_fail(reterr, DV_CANCELLED, "the job was cancelled");
    }
    return dv_fail(reterr, status, "%s", dv_json_get_string(row, "error", "the job failed"));
}
