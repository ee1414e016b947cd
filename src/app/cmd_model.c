/* SPDX-License-Identifier: Apache-2.0 */

/* `dv model list | show | download | delete`. */

#include "app/actions.h"
#include "app/command.h"
#include "app/connection.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "client/client.h"

#include <math.h>
#include <stdio.h>

#define KIND "models"

static const struct dv_command_help help = {
    .usage = "dv model list | show ID | download ID [-o FILE] [--format F] | delete ID",
    .summary = "Look at trained models; get the files of one; delete it with its files.",
};

static void print_row(const struct dv_json *row)
{
    double accuracy = dv_json_get_number(row, "accuracy", (double)NAN);
    char text[16] = "-"; /* it was measured on nothing */

    if (isfinite(accuracy)) {
        (void)snprintf(text, sizeof(text), "%.2f %%", 100 * accuracy);
    }
    dv_print_line("%s  %-8s %8s  %-10s %s", dv_json_get_string(row, "id", ""),
        dv_json_get_string(row, "status", ""), text, dv_json_get_string(row, "strategy", ""),
        dv_json_get_string(row, "name", ""));
}

static enum dv_status list(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    (void)arguments;
    return dv_action_list(session, KIND, print_row, reterr);
}

/* For people; --json has the architecture, the metrics and the history too. */
static void print_whole(const struct dv_json *row)
{
    static const struct dv_action_member members[] = {
        {"error", "error"},
        {"description", "description"},
        {"parameters", "parameters"},
        {"FLOPs a picture", "flops"},
        {"strategy", "strategy"},
        {"data set", "dataset_id"},
        {"job", "job_id"},
        {"made", "created_at"},
        {"hyperparameters", "hyperparameters"},
        {"classes", "classes"},
        {"files", "model_path"},
        {0},
    };
    const char *split = dv_json_get_string(dv_json_get(row, "metrics"), "split", "");
    double accuracy = dv_json_get_number(row, "accuracy", (double)NAN);

    dv_print_line("model %s  \"%s\": %s%s", dv_json_get_string(row, "id", ""),
        dv_json_get_string(row, "name", ""), dv_json_get_string(row, "status", ""),
        dv_json_get_bool(row, "is_partial", false) ? " (partial)" : "");
    if (isfinite(accuracy)) {
        dv_print_line("%-16s %.2f %%, loss %.4f (%s)", "accuracy", 100 * accuracy,
            dv_json_get_number(row, "loss", (double)NAN), split);
    }
    dv_action_print_members(row, members);
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

/* --- download --------------------------------------------------------------------------------- */

/* The formats of the API, and how a file of each is called. */
static const struct format {
    const char *name, *suffix;
} formats[] = {
    {"archive", "zip"},
    {"safetensors", "safetensors"},
    {"onnx", "onnx"},
    {"pth", "pth"},
    {"py", "py"},
};

/* One command runs in a process. */
static struct {
    const char *output; /* NULL: named after the model */
    const struct format *format;
} download_options = {.format = &formats[0]};

static enum dv_status take_format(void *user, const char *text, struct dv_error *reterr)
{
    (void)user;
    for (size_t i = 0; i < DV_ARRAY_SIZE(formats); i++) {
        if (dv_text_equal(formats[i].name, text)) {
            download_options.format = &formats[i];
            return DV_OK;
        }
    }
    return dv_fail(reterr, DV_INVALID,
        "there is no format '%.40s'; there is archive, safetensors, onnx, pth, py", text);
}

static enum dv_status download(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    const struct format *format = download_options.format;
    DV_CLEANUP(dv_freep) char *query = dv_strprintf("/download?format=%s", format->name);
    DV_CLEANUP(dv_freep) char *path = dv_action_path(KIND, arguments[0], query, reterr);
    if (!path) {
        return DV_NOT_FOUND;
    }
    DV_CLEANUP(dv_freep) char *name = dv_strprintf("%s.%s", arguments[0], format->suffix);
    const char *output = download_options.output ? download_options.output : name;
    enum dv_status status = dv_session_connect(session, reterr);
    if (status == DV_OK) {
        status = dv_client_download(
            dv_connection_client(session->connection), path, output, reterr);
    }
    if (status == DV_OK && session->is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "result");
        dv_json_set_text(line, "path", output);
        dv_print_json(line);
    } else if (status == DV_OK) {
        dv_print_line("%s", output);
    }
    return status;
}

static enum dv_status delete_one(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    return dv_action_delete(session, KIND, arguments[0], reterr);
}

static const struct dv_action actions[] = {
    {"list", 0, list},
    {"show", 1, show},
    {"download", 1, download},
    {"delete", 1, delete_one},
    {0},
};

int dv_cmd_model(int argc, char **argv)
{
    const struct dv_option options[] = {
        {.name = "output",
            .letter = 'o',
            .value = "FILE",
            .help = "of download; the model's id with a suffix if not given",
            .text = &download_options.output},
        {.name = "format",
            .value = "F",
            .help = "of download: archive (default), safetensors or py",
            .take = take_format},
        {0},
    };

    return dv_actions_run(&help, actions, options, argc, argv);
}
