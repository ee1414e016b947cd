/* SPDX-License-Identifier: Apache-2.0 */

/* `dv model list | show | delete`. */

#include "app/command.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <stdio.h>

#define RECORD_NAME "record.json"

static const struct dv_command_help help = {
    .usage = "dv model list | show ID | delete ID",
    .summary = "Look at trained models; delete one with its files.",
};

typedef enum dv_status (*action_fn)(
    struct dv_session *session, const char *id, struct dv_error *reterr);

static void print_row(const struct dv_json *record)
{
    (void)printf("%s  %6.2f %%  %-10s %s\n", dv_json_get_string(record, "id", ""),
        100 * dv_json_get_number(record, "accuracy", 0), dv_json_get_string(record, "strategy", ""),
        dv_json_get_string(record, "name", ""));
}

static enum dv_status list(struct dv_session *session, const char *id, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *records = NULL;

    (void)id;
    enum dv_status status =
        dv_data_folder_records(&session->folder, "models", RECORD_NAME, &records, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (session->is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_integer(line, "total", (int64_t)dv_json_count(records));
        dv_json_set(line, "items", dv_json_ref(records));
        dv_print_json(line);
        return DV_OK;
    }
    for (size_t i = 0; i < dv_json_count(records); i++) {
        print_row(dv_json_at(records, i));
    }
    return DV_OK;
}

static enum dv_status show(struct dv_session *session, const char *id, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *record = NULL;

    enum dv_status status =
        dv_data_folder_record(&session->folder, "models", id, RECORD_NAME, &record, reterr);
    if (status != DV_OK) {
        return status;
    }
    DV_CLEANUP(dv_freep)
    char *path = dv_strprintf("%s/models/%s/versions/1", session->folder.path, id);
    dv_json_set_string(record, "model_path", path);
    if (session->is_json) {
        dv_print_json(dv_json_ref(record));
    } else {
        DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(record);
        (void)fputs(text, stdout);
    }
    return DV_OK;
}

static enum dv_status delete (struct dv_session *session, const char *id, struct dv_error *reterr) {
    DV_CLEANUP(dv_json_unrefp) struct dv_json *record = NULL;

    enum dv_status status = dv_data_folder_lock(&session->folder, reterr);
    if (status == DV_OK){status = dv_data_folder_record(
                             &session->folder, "models", id, RECORD_NAME, &record, reterr);}
if (status == DV_OK)
{
    status = dv_data_folder_delete(&session->folder, "models", id, reterr);
}
if (status == DV_OK && session->is_json) {
    struct dv_json *line = dv_json_object();
    dv_json_set_string(line, "type", "result");
    dv_json_set_string(line, "deleted", id);
    dv_print_json(line);
}
return status;
}

static const struct {
    const char *name;
    bool has_id;
    action_fn run;
} actions[] = {{"list", false, list}, {"show", true, show}, {"delete", true, delete}};

static action_fn find_action(const struct dv_arguments *arguments)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(actions); i++) {
        if (dv_text_equal(actions[i].name, arguments->items[0]) &&
            arguments->count == (actions[i].has_id ? 2u : 1u)) {
            return actions[i].run;
        }
    }
    return NULL;
}

int dv_cmd_model(int argc, char **argv)
{
    struct dv_common_options common = dv_common_options_default();
    const struct dv_option options[] = {DV_COMMON_OPTIONS(common), {0}};
    struct dv_arguments arguments;
    struct dv_session session;
    struct dv_error error = {0};
    bool is_over;

    int result = dv_command_begin(&help, options, argc, argv, 1, 2, &arguments, &is_over);
    if (is_over) {
        return result;
    }
    action_fn run = find_action(&arguments);
    if (!run) {
        (void)fprintf(stderr, "usage: %s\n", help.usage);
        dv_free(arguments.items);
        return DV_EXIT_USAGE;
    }
    enum dv_status status = dv_session_open(&common, &session, &error);
    if (status == DV_OK) {
        status = run(&session, arguments.count > 1 ? arguments.items[1] : NULL, &error);
        dv_session_close(&session);
    }
    dv_free(arguments.items);
    return status == DV_OK ? DV_EXIT_DONE : dv_command_fail(common.is_json, &error);
}
