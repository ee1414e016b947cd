/* SPDX-License-Identifier: Apache-2.0 */

/* `dv dataset create | list | show | delete`. */

#include "app/actions.h"
#include "app/command.h"
#include "app/dataset_source.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#define KIND "datasets"
#define FINDINGS_SHOWN 20u

static const struct dv_command_help help = {
    .usage = "dv dataset create NAME FILE.zip|DIR | list | show ID | delete ID",
    .summary = "Make a data set of an archive or a folder of pictures; look at it; delete it.",
};

static enum dv_status create(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    dv_session_print_events(session);
    enum dv_status status =
        dv_dataset_create(session, arguments[1], arguments[0], false, &row, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (session->is_json) {
        dv_json_set_string(row, "type", "result");
        dv_print_json(dv_json_ref(row));
    } else {
        dv_dataset_print(row);
    }
    return DV_OK;
}

static void print_row(const struct dv_json *row)
{
    dv_print_line("%s  %-10s %8lld pictures  %4zu classes  %s", dv_json_get_string(row, "id", ""),
        dv_json_get_string(row, "readiness", ""),
        (long long)dv_json_get_integer(row, "total_samples", 0),
        dv_json_count(dv_json_get(row, "classes")), dv_json_get_string(row, "name", ""));
}

static enum dv_status list(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    (void)arguments;
    return dv_action_list(session, KIND, print_row, reterr);
}

/* --- show ------------------------------------------------------------------------------------- */

static void print_classes(const struct dv_json *classes)
{
    dv_print_line("%-32s %8s %8s %8s", "class", "train", "val", "test");
    for (size_t i = 0; i < dv_json_count(classes); i++) {
        const struct dv_json *row = dv_json_at(classes, i);
        dv_print_line("%-32.80s %8lld %8lld %8lld", dv_json_get_string(row, "name", ""),
            (long long)dv_json_get_integer(row, "train", 0),
            (long long)dv_json_get_integer(row, "val", 0),
            (long long)dv_json_get_integer(row, "test", 0));
    }
}

static void print_findings(const struct dv_json *row)
{
    const struct dv_json *counts = dv_json_get(row, "finding_counts");
    const struct dv_json *findings = dv_json_get(row, "findings");
    size_t count = dv_json_count(findings);

    for (void *at = dv_json_first(counts); at; at = dv_json_next(counts, at)) {
        dv_print_line("%s: %lld", dv_json_key(at),
            (long long)dv_json_to_integer(dv_json_value(at), 0));
    }
    for (size_t i = 0; i < count && i < FINDINGS_SHOWN; i++) {
        const struct dv_json *finding = dv_json_at(findings, i);
        dv_print_line("  %s: %s: %s", dv_json_get_string(finding, "path", ""),
            dv_json_get_string(finding, "code", ""), dv_json_get_string(finding, "message", ""));
    }
    if (count > FINDINGS_SHOWN) {
        dv_print_line("  ... --json lists more");
    }
}

static enum dv_status show(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_action_get(session, KIND, arguments[0], &row, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (session->is_json) {
        dv_print_json(dv_json_ref(row));
        return DV_OK;
    }
    const char *readiness = dv_json_get_string(row, "readiness", "");
    const char *error = dv_json_get_string(row, "error", NULL);
    dv_dataset_print(row);
    if (!dv_text_equal(readiness, "ready")) {
        dv_print_line("%s%s%s", readiness, error ? ": " : "", error ? error : "");
    }
    print_classes(dv_json_get(row, "classes"));
    print_findings(row);
    return DV_OK;
}

static enum dv_status delete_one(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    return dv_action_delete(session, KIND, arguments[0], reterr);
}

static const struct dv_action actions[] = {
    {"create", 2, create},
    {"list", 0, list},
    {"show", 1, show},
    {"delete", 1, delete_one},
    {0},
};

int dv_cmd_dataset(int argc, char **argv)
{
    return dv_actions_run(&help, actions, NULL, argc, argv);
}
