/* SPDX-License-Identifier: Apache-2.0 */
#include "app/actions.h"

#include "app/command.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define ARGUMENTS_MAX 3 /* the verb and what it takes */

static const struct dv_action *find(
    const struct dv_action *actions, const struct dv_arguments *arguments)
{
    for (const struct dv_action *action = actions; action->name; action++) {
        if (dv_text_equal(action->name, arguments->items[0])) {
            return action;
        }
    }
    return NULL;
}

static int refuse(const struct dv_command_help *help, const struct dv_action *action,
    const struct dv_arguments *arguments)
{
    if (action) {
        (void)fprintf(stderr, "dv: '%s' takes %zu argument%s, not %zu\nusage: %s\n", action->name,
            action->argument_count, action->argument_count == 1 ? "" : "s", arguments->count - 1,
            help->usage);
    } else {
        (void)fprintf(
            stderr, "dv: there is no '%.80s' here\nusage: %s\n", arguments->items[0], help->usage);
    }
    return DV_EXIT_USAGE;
}

/* The command's own options in front of everybody's. */
static void join_options(const struct dv_option *own, struct dv_common_options *common,
    struct dv_option *ret_options)
{
    const struct dv_option shared[] = {DV_CLIENT_OPTIONS(*common), {0}};
    size_t count = 0;

    for (; own && own[count].name; count++) {
        assert(count < DV_ACTION_OPTIONS_MAX);
        ret_options[count] = own[count];
    }
    memcpy(ret_options + count, shared, sizeof(shared));
}

int dv_actions_run(const struct dv_command_help *help, const struct dv_action *actions,
    const struct dv_option *options, int argc, char **argv)
{
    struct dv_common_options common = dv_common_options_default();
    struct dv_option all[DV_ACTION_OPTIONS_MAX + 4];
    struct dv_arguments arguments;
    struct dv_session session;
    struct dv_error error = {0};
    bool is_over;

    join_options(options, &common, all);
    int result = dv_command_begin(help, all, argc, argv, 1, ARGUMENTS_MAX, &arguments, &is_over);
    if (is_over) {
        return result;
    }
    const struct dv_action *action = find(actions, &arguments);
    if (!action || action->argument_count != arguments.count - 1) {
        result = refuse(help, action, &arguments);
        dv_free(arguments.items);
        return result;
    }
    enum dv_status status = dv_session_open(&common, &session, &error);
    if (status == DV_OK) {
        status = action->run(&session, arguments.items + 1, &error);
        dv_session_close(&session);
    }
    dv_free(arguments.items);
    return status == DV_OK ? DV_EXIT_DONE : dv_command_fail(common.is_json, &error);
}

/* --- What verbs have in common ---------------------------------------------------------------- */

char *dv_action_path(const char *kind, const char *id, const char *rest, struct dv_error *reterr)
{
    int noun_size = (int)strlen(kind) - 1; /* "datasets" are many */

    if (!dv_uuid_is_valid(id)) {
        (void)dv_fail(reterr, DV_NOT_FOUND,
            "'%.80s' is no id; `dv %.*s list` shows those there are", id, noun_size, kind);
        return NULL;
    }
    return dv_strprintf("/api/%s/%s%s", kind, id, rest);
}

enum dv_status dv_action_get(struct dv_session *session, const char *kind, const char *id,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *path = dv_action_path(kind, id, "", reterr);

    return path ? dv_session_call(session, "GET", path, NULL, ret_row, reterr) : DV_NOT_FOUND;
}

enum dv_status dv_action_delete(
    struct dv_session *session, const char *kind, const char *id, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *path = dv_action_path(kind, id, "", reterr);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *answer = NULL;

    enum dv_status status =
        path ? dv_session_call(session, "DELETE", path, NULL, &answer, reterr) : DV_NOT_FOUND;
    if (status == DV_OK && session->is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "result");
        dv_json_set_string(line, "deleted", id);
        dv_print_json(line);
    }
    return status;
}

enum dv_status dv_action_list(struct dv_session *session, const char *kind,
    void (*print_row)(const struct dv_json *row), struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *path = dv_strprintf("/api/%s", kind);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_session_list(session, path, &rows, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (session->is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_integer(line, "total", (int64_t)dv_json_count(rows));
        dv_json_set(line, "items", dv_json_ref(rows));
        dv_print_json(line);
        return DV_OK;
    }
    for (size_t i = 0; i < dv_json_count(rows); i++) {
        print_row(dv_json_at(rows, i));
    }
    return DV_OK;
}

void dv_action_print_members(const struct dv_json *row, const struct dv_action_member *members)
{
    for (; members->label; members++) {
        const struct dv_json *value = dv_json_get(row, members->key);
        if (dv_json_is_string(value)) {
            dv_print_line("%-16s %s", members->label, dv_json_to_string(value, ""));
        } else if (dv_json_is_object(value) || dv_json_is_array(value)) {
            DV_CLEANUP(dv_freep) char *text = dv_json_print(value);
            dv_print_line("%-16s %s", members->label, text);
        } else if (dv_json_is_integer(value)) {
            dv_print_line("%-16s %lld", members->label, (long long)dv_json_to_integer(value, 0));
        }
    }
}
