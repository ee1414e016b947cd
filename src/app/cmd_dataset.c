/* SPDX-License-Identifier: Apache-2.0 */

/* `dv dataset create | list | show | delete`. */

#include "app/actions.h"
#include "app/command.h"
#include "app/dataset_store.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "pack/pack.h"

#include <stdio.h>

#define FINDINGS_SHOWN 20

static const struct dv_command_help help = {
    .usage = "dv dataset create NAME FILE.zip|DIR | list | show ID | delete ID",
    .summary = "Make a data set of an archive or a folder of pictures; look at it; delete it.",
};

/* --- create and list -------------------------------------------------------------------- */

static enum dv_status create(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    struct dv_stored dataset;

    dv_session_print_events(session);
    enum dv_status status = dv_data_folder_lock(&session->folder, reterr);
    if (status == DV_OK) {
        status = dv_dataset_create(session, arguments[1], arguments[0], false, &dataset, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    if (session->is_json) {
        struct dv_json *line = dv_json_copy(dataset.record);
        dv_json_set_string(line, "type", "result");
        dv_print_json(line);
    } else {
        dv_dataset_print(&dataset);
    }
    dv_stored_finish(&dataset);
    return DV_OK;
}

static enum dv_status list(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *records = NULL;

    (void)arguments;
    enum dv_status status =
        dv_data_folder_records(&session->folder, "datasets", "dataset.json", &records, reterr);
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
        const struct dv_json *record = dv_json_at(records, i);
        dv_print_line("%s  %8lld pictures  %4zu classes  %s", dv_json_get_string(record, "id", ""),
            (long long)dv_json_get_integer(record, "total_samples", 0),
            dv_json_count(dv_json_get(record, "classes")), dv_json_get_string(record, "name", ""));
    }
    return DV_OK;
}

/* --- show ------------------------------------------------------------------------------- */

static struct dv_json *findings_to_json(const struct dv_pack *pack)
{
    struct dv_json *list_json = dv_json_array();

    for (uint64_t i = 0; i < dv_pack_finding_count(pack); i++) {
        struct dv_pack_finding finding;
        struct dv_json *item = dv_json_object();
        dv_pack_finding(pack, i, &finding);
        dv_json_set_string(item, "path", finding.path);
        dv_json_set_string(item, "code", dv_finding_code_name(finding.code));
        dv_json_set_string(item, "message", finding.message);
        dv_json_append(list_json, item);
    }
    return list_json;
}

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

static void print_findings(const struct dv_pack *pack)
{
    uint64_t count = dv_pack_finding_count(pack);

    for (unsigned code = 0; code < DV_FINDING_CODE_COUNT; code++) {
        uint64_t total = dv_pack_finding_total(pack, (enum dv_finding_code)code);
        if (total > 0) {
            dv_print_line("%s: %llu", dv_finding_code_name((enum dv_finding_code)code),
                (unsigned long long)total);
        }
    }
    for (uint64_t i = 0; i < count && i < FINDINGS_SHOWN; i++) {
        struct dv_pack_finding finding;
        dv_pack_finding(pack, i, &finding);
        dv_print_line(
            "  %s: %s: %s", finding.path, dv_finding_code_name(finding.code), finding.message);
    }
    if (count > FINDINGS_SHOWN) {
        dv_print_line("  ... --json lists all %llu", (unsigned long long)count);
    }
}

static enum dv_status show(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    DV_CLEANUP(dv_pack_closep) struct dv_pack *pack = NULL;
    struct dv_stored dataset;

    enum dv_status status = dv_dataset_find(session, arguments[0], &dataset, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_pack_open(dataset.folder, &pack, reterr);
    if (status == DV_OK && session->is_json) {
        struct dv_json *line = dv_json_copy(dataset.record);
        dv_json_set_string(line, "readiness", "ready");
        dv_json_set_string(line, "file_path", dataset.folder);
        dv_json_set(line, "findings", findings_to_json(pack));
        dv_print_json(line);
    } else if (status == DV_OK) {
        dv_dataset_print(&dataset);
        print_classes(dv_json_get(dataset.record, "classes"));
        print_findings(pack);
    }
    dv_stored_finish(&dataset);
    return status;
}

/* --- delete ----------------------------------------------------------------------------- */

static enum dv_status delete_one(
    struct dv_session *session, const char *const *arguments, struct dv_error *reterr)
{
    struct dv_stored dataset;

    enum dv_status status = dv_data_folder_lock(&session->folder, reterr);
    if (status == DV_OK) {
        status = dv_dataset_find(session, arguments[0], &dataset, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    status = dv_data_folder_delete(&session->folder, "datasets", dataset.id, reterr);
    if (status == DV_OK) {
        dv_actions_print_deleted(session, dataset.id);
    }
    dv_stored_finish(&dataset);
    return status;
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
    return dv_actions_run(&help, actions, argc, argv);
}
