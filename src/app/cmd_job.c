/* SPDX-License-Identifier: Apache-2.0 */

/* `dv job list | show | logs | cancel | resume`. */

#include "app/actions.h"
#include "app/command.h"
#include "app/connection.h"
#include "app/job_follow.h"
#include "app/run_view.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>

#define KIND "jobs"

static const struct dv_command_help help = {
    .usage = "dv job list | show ID | logs ID [-f] | cancel ID | resume ID",
    .summary = "Look at jobs; read what they said; stop one; have it go on.",
};

static bool is_following; /* of `logs`; one command runs in a process */

static void print_row(const struct dv_json *row)
{
    dv_print_line("%s  %-10s %3.0f %%  %-8s %s", dv_json_get_string(row, "id", ""),
        dv_json_get_string(row, "status", ""), 100 * dv_json_get_number(row, "progress", 0.0),
        dv_json_get_string(row, "strategy", ""), dv_json_get_string(row, "model_name", ""));
}

static enum dv_status list(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    (void)arguments;
    return dv_action_list(session, KIND, print_row, reterr);
}

/* Of a job that searched: what it tried. */
static void print_runs(const struct dv_json *runs)
{
    if (dv_json_is_null(dv_json_get(dv_json_at(runs, 0), "source"))) {
        return;
    }
    dv_print_line("%s", "candidates");
    for (size_t i = 0; i < dv_json_count(runs); i++) {
        dv_run_view_print(dv_json_at(runs, i));
    }
}

/* For people; --json has the history and the result too. */
static void print_whole(const struct dv_json *row)
{
    static const struct dv_action_member members[] = {
        {"failure reason", "failure_reason"},
        {"error", "error"},
        {"strategy", "strategy"},
        {"data set", "dataset_id"},
        {"model", "model_id"},
        {"queued", "queued_at"},
        {"started", "started_at"},
        {"finished", "finished_at"},
        {"restarts", "restarts"},
        {"hyperparameters", "hyperparameters"},
        {0},
    };
    double best = dv_json_get_number(row, "best_accuracy", (double)NAN);

    dv_print_line("job %s  \"%s\": %s", dv_json_get_string(row, "id", ""),
        dv_json_get_string(row, "model_name", ""), dv_json_get_string(row, "status", ""));
    dv_print_line("%-16s %.0f %%", "progress", 100 * dv_json_get_number(row, "progress", 0.0));
    if (dv_json_get_integer(row, "epochs", 0) > 0) {
        dv_print_line("%-16s %lld of %lld", "epoch",
            (long long)dv_json_get_integer(row, "epoch", 0),
            (long long)dv_json_get_integer(row, "epochs", 0));
    }
    if (isfinite(best)) {
        dv_print_line("%-16s %.2f %% of validation", "best accuracy", 100 * best);
    }
    dv_action_print_members(row, members);
    print_runs(dv_json_get(row, "runs"));
    dv_run_view_print_search(row);
}

static enum dv_status show(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_action_get(session, KIND, arguments[0], &row, reterr);
    if (status == DV_OK && session->is_json) {
        dv_print_json(dv_json_ref(row));
    } else if (status == DV_OK) {
        print_whole(row);
    }
    return status;
}

/* --- logs ------------------------------------------------------------------------------------- */

static void print_log(const struct dv_session *session, const struct dv_json *line)
{
    if (session->is_json) {
        dv_print_json(dv_json_ref(line));
        return;
    }
    dv_print_line("%s %-7s %s", dv_json_get_string(line, "at", ""),
        dv_json_get_string(line, "level", ""), dv_json_get_string(line, "text", ""));
    (void)fflush(stdout);
}

/* A log event holds its line, but for the time. */
static bool on_event(void *user, int64_t id, const char *type, const struct dv_json *event)
{
    const struct dv_json *data = dv_json_get(event, "data");

    (void)id;
    if (dv_text_equal(type, "log")) {
        struct dv_json *line = dv_json_copy(data);
        dv_json_set(line, "at", dv_json_ref(dv_json_get(event, "at")));
        print_log(user, line);
        dv_json_unref(line);
    }
    if (dv_output_is_unread()) {
        return false;
    }
    return !dv_text_equal(type, "status") ||
           !dv_job_has_ended(dv_json_get_string(data, "status", ""));
}

/*
 * From the first line to the end of the job, as long as somebody reads: the table of events holds
 * them all.
 */
static enum dv_status follow_logs(
    struct dv_session *session, const char *path, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *events = dv_strprintf("%s/events", path);
    enum dv_status status = DV_OK;
    bool has_ended = false; /* for good: an earlier end may have been resumed from */
    int64_t last_id = 0;

    while (status == DV_OK && !has_ended && !dv_output_is_unread()) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
        status = dv_session_follow(session, events, &last_id, on_event, session, reterr);
        if (status == DV_OK) {
            status = dv_session_call(session, "GET", path, NULL, &row, reterr);
        }
        has_ended = dv_job_has_ended(dv_json_get_string(row, "status", ""));
    }
    return status;
}

static enum dv_status logs(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *path = dv_action_path(KIND, arguments[0], "", reterr);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *lines = NULL;

    if (!path) {
        return DV_NOT_FOUND;
    }
    enum dv_status status = dv_session_connect(session, reterr);
    if (status == DV_OK && is_following && !dv_connection_is_own(session->connection)) {
        return follow_logs(session, path, reterr);
    }
    /* Where nobody else serves, nothing runs that could say more. */
    DV_CLEANUP(dv_freep) char *list_path = dv_strprintf("%s/logs", path);
    if (status == DV_OK) {
        status = dv_session_list(session, list_path, &lines, reterr);
    }
    for (size_t i = 0; status == DV_OK && i < dv_json_count(lines); i++) {
        print_log(session, dv_json_at(lines, i));
    }
    return status;
}

/* --- Changing --------------------------------------------------------------------------------- */

/* Where the server ends with this command, the job is seen to its end here. */

static void print_job(const struct dv_session *session, const struct dv_json *row)
{
    if (session->is_json) {
        dv_print_json(dv_json_ref(row));
    } else {
        print_row(row);
    }
}

static enum dv_status cancel(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *path = dv_action_path(KIND, arguments[0], "", reterr);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status =
        path ? dv_session_call(session, "DELETE", path, NULL, &row, reterr) : DV_NOT_FOUND;
    if (status == DV_OK && dv_connection_is_own(session->connection)) {
        status = dv_job_follow(session, &row, reterr);
    }
    if (status == DV_OK) {
        print_job(session, row);
    }
    return status;
}

static enum dv_status resume(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *path = dv_action_path(KIND, arguments[0], "/resume", reterr);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status =
        path ? dv_session_call(session, "POST", path, NULL, &row, reterr) : DV_NOT_FOUND;
    if (status == DV_OK && dv_connection_is_own(session->connection)) {
        dv_session_print_events(session);
        status = dv_job_follow(session, &row, reterr);
    }
    if (status == DV_OK) {
        print_job(session, row);
    }
    return status;
}

static const struct dv_action actions[] = {
    {"list", 0, list},
    {"show", 1, show},
    {"logs", 1, logs},
    {"cancel", 1, cancel},
    {"resume", 1, resume},
    {0},
};

int dv_cmd_job(int argc, char **argv)
{
    const struct dv_option options[] = {
        {.name = "follow",
            .letter = 'f',
            .help = "of logs: until the job has ended",
            .flag = &is_following},
        {0},
    };

    return dv_actions_run(&help, actions, options, argc, argv);
}
