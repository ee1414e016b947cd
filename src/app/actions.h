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
struct dv_session;

struct dv_action {
    const char *name;
    size_t argument_count; /* after the verb, exactly */
    enum dv_status (*run)(
        struct dv_session *session, const char *const *arguments, struct dv_error *reterr);
};

/*
 * Parse, find the verb, open the data folder, run, close. `actions` ends with an entry without a
 * name. The result is the exit status.
 */
int dv_actions_run(
    const struct dv_command_help *help, const struct dv_action *actions, int argc, char **argv);

/* What a verb `delete` says with --json. */
void dv_actions_print_deleted(const struct dv_session *session, const char *id);

#endif
