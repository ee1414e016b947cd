/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_ACTIONS_H
#define DV_APP_ACTIONS_H

/*
 * Commands that are a noun with verbs (`dv dataset show ID`, `dv model list`): one table of verbs
 * each, run by the same code.
 */

#include "base/status.h"

#include <stddef.h>

struct dv_command_help;
struct dv_json;
struct dv_option;
struct dv_session;

struct dv_action {
    const char *name;
    size_t argument_count; /* after the verb, exactly */
    enum dv_status (*run)(
        struct dv_session *session, const char *const *arguments, struct dv_error *reterr);
};

/*
 * Parse, find the verb, open a session, run, close. `actions` ends with an entry without a name;
 * `options` are the command's own beside --server, --data and --json, ended the same way, at most
 * DV_ACTION_OPTIONS_MAX, or NULL. The result is the exit status.
 */
int dv_actions_run(const struct dv_command_help *help, const struct dv_action *actions,
    const struct dv_option *options, int argc, char **argv);

#define DV_ACTION_OPTIONS_MAX 8

/* What verbs have in common. An id that is none is not found, and never becomes part of a path. */
DV_MUST_CHECK enum dv_status dv_action_get(struct dv_session *session, const char *kind,
    const char *id, struct dv_json **ret_row, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_action_delete(struct dv_session *session, const char *kind,
    const char *id, struct dv_error *reterr);

/* All of a list: as one object with --json, else a line each by `print_row`. */
DV_MUST_CHECK enum dv_status dv_action_list(struct dv_session *session, const char *kind,
    void (*print_row)(const struct dv_json *row), struct dv_error *reterr);

/* "/api/{kind}/{id}{rest}"; the caller's. NULL: the id is none. */
char *dv_action_path(const char *kind, const char *id, const char *rest, struct dv_error *reterr);

/* One member of a row that is shown to a person; a table of them ends with {0}. */
struct dv_action_member {
    const char *label, *key;
};

/* A line for each that has a value. */
void dv_action_print_members(const struct dv_json *row, const struct dv_action_member *members);

#endif
