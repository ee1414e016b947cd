/* SPDX-License-Identifier: Apache-2.0 */
#include "app/actions.h"

#include "app/command.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <stdio.h>

#define ARGUMENTS_MAX 3 /* the verb and what it takes */

static const struct dv_action *find(
    const struct dv_action *actions, const struct dv_arguments *arguments)
{
    for (const struct dv_action *action = actions; action->name; action++) {
        if (dv_text_equal(action->name, arguments->items[0]) &&
            action->argument_count == arguments->count - 1) {
            return action;
        }
    }
    return NULL;
}

int dv_actions_run(
    const struct dv_command_help *help, const struct dv_action *actions, int argc, char **argv)
{
    struct dv_common_options common = dv_common_options_default();
    const struct dv_option options[] = {DV_COMMON_OPTIONS(common), {0}};
    struct dv_arguments arguments;
    struct dv_session session;
    struct dv_error error = {0};
    bool is_over;

    int result =
        dv_command_begin(help, options, argc, argv, 1, ARGUMENTS_MAX, &arguments, &is_over);
    if (is_over) {
        return result;
    }
    const struct dv_action *action = find(actions, &arguments);
    if (!action) {
        (void)fprintf(stderr, "dv: there is no '%.80s' with %zu arguments\nusage: %s\n",
            arguments.items[0], arguments.count - 1, help->usage);
        dv_free(arguments.items);
        return DV_EXIT_USAGE;
    }
    enum dv_status status = dv_session_open(&common, &session, &error);
    if (status == DV_OK) {
        status = action->run(&session, arguments.items + 1, &error);
        dv_session_close(&session);
    }
    dv_free(arguments.items);
    return status == DV_OK ? DV_EXIT_DONE : dv_command_fail(common.is_json, &error);
}

void dv_actions_print_deleted(const struct dv_session *session, const char *id)
{
    if (session->is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "result");
        dv_json_set_string(line, "deleted", id);
        dv_print_json(line);
    }
}
