/* SPDX-License-Identifier: Apache-2.0 */

/* `dv model list | show | delete`. */

#include "app/actions.h"
#include "app/command.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>

#define RECORD_NAME "record.json"

static const struct dv_command_help help = {
    .usage = "dv model list | show ID | delete ID",
    .summary = "Look at trained models; delete one with its files.",
};

static void print_row(const struct dv_json *record)
{
    double accuracy = dv_json_get_number(record, "accuracy", (double)NAN);
    char text[16] = "-"; /* it was measured on nothing */

    if (isfinite(accuracy)) {
        (void)snprintf(text, sizeof(text), "%.2f %%", 100 * accuracy);
    }
    dv_print_line("%s  %8s  %-10s %s", dv_json_get_string(record, "id", ""), text,
        dv_json_get_string(record, "strategy", ""), dv_json_get_string(record, "name", ""));
}

static enum dv_status list(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *records = NULL;

    (void)arguments;
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

static enum dv_status show(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    const char *id = arguments[0];
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

static enum dv_status delete_one(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *record = NULL;
    const char *id = arguments[0];

    enum dv_status status = dv_data_folder_lock(&session->folder, reterr);
    if (status == DV_OK) {
        status =
            dv_data_folder_record(&session->folder, "models", id, RECORD_NAME, &record, reterr);
    }
    if (status == DV_OK) {
        status = dv_data_folder_delete(&session->folder, "models", id, reterr);
    }
    if (status == DV_OK) {
        dv_actions_print_deleted(session, id);
    }
    return status;
}

static const struct dv_action actions[] = {
    {"list", 0, list},
    {"show", 1, show},
    {"delete", 1, delete_one},
    {0},
};

int dv_cmd_model(int argc, char **argv)
{
    return dv_actions_run(&help, actions, argc, argv);
}
