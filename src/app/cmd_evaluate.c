/* SPDX-License-Identifier: Apache-2.0 */

/* `dv evaluate`: measure a model on a data set, in a worker with a folder of its own. */

#include "app/command.h"
#include "app/dataset_source.h"
#include "app/machine.h"
#include "app/model_source.h"
#include "app/role_call.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/dataset.h"

#include <stdio.h>

static const struct dv_command_help help = {
    .usage = "dv evaluate MODEL-ID|MODEL-FOLDER DATASET-ID|FILE.zip|DIR [--split test]",
    .summary = "Measure a model on a data set whose classes it knows.",
};

#define RESULT_SIZE_MAX (64u << 20)

struct request {
    struct dv_common_options common;
    const char *model;
    const char *dataset;
    const char *split;
};

static void on_progress(void *user, const struct dv_message_progress *progress)
{
    struct dv_session *session = user;

    dv_progress_view_train(&session->view, progress);
}

static void print_result(const struct request *request, struct dv_json *result)
{
    const struct dv_json *classes = dv_json_get(result, "per_class");

    if (request->common.is_json) {
        dv_print_json(dv_json_ref(result));
        return;
    }
    int64_t total = dv_json_get_integer(result, "total", 0);
    if (total == 0) {
        dv_print_line("the split '%s' is empty", request->split);
        return;
    }
    dv_print_line("%-24s %9s %9s %9s %7s", "class", "precision", "recall", "f1", "total");
    for (size_t i = 0; i < dv_json_count(classes); i++) {
        const struct dv_json *row = dv_json_at(classes, i);
        dv_print_line("%-24.80s %8.1f%% %8.1f%% %8.1f%% %7lld",
            dv_json_get_string(row, "class", ""), 100 * dv_json_get_number(row, "precision", 0),
            100 * dv_json_get_number(row, "recall", 0), 100 * dv_json_get_number(row, "f1", 0),
            (long long)dv_json_get_integer(row, "total", 0));
    }
    dv_print_line("accuracy %.2f %% (%lld of %lld), loss %.4f",
        100 * dv_json_get_number(result, "accuracy", 0),
        (long long)dv_json_get_integer(result, "correct", 0), (long long)total,
        dv_json_get_number(result, "loss", 0));
}

/* Have the worker measure; its result is read from `scratch`. */
static enum dv_status measure(struct dv_session *session, const struct request *request,
    const char *model_folder, const char *dataset_folder, const char *scratch,
    struct dv_json **ret_result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *options = dv_json_object();
    struct dv_role_outcome outcome;
    char path[DV_PATH_SIZE];

    dv_json_set_string(options, "split", request->split);
    const struct dv_role_call call = {.role = "worker",
        .job = {.kind = "evaluate",
            .dataset_folder = dataset_folder,
            .model_folder = model_folder,
            .job_folder = scratch,
            .thread_count = dv_machine_processors(),
            .options = options},
        .user = session,
        .on_progress = on_progress};
    enum dv_status status = dv_role_call(session, &call, &outcome, reterr);
    dv_progress_view_end(&session->view);
    if (status == DV_OK) {
        status = dv_path_format(path, reterr, "%s/result.json", scratch);
    }
    if (status == DV_OK) {
        status = dv_json_read_file(path, RESULT_SIZE_MAX, ret_result, reterr);
    }
    return status;
}

static enum dv_status evaluate_in_scratch(struct dv_session *session, const struct request *request,
    const char *model_folder, const char *dataset_folder, struct dv_json **ret_result,
    struct dv_error *reterr)
{
    struct dv_scratch scratch;

    enum dv_status status = dv_session_scratch(session, &scratch, reterr);
    if (status == DV_OK) {
        status = measure(
            session, request, model_folder, dataset_folder, scratch.path, ret_result, reterr);
        dv_scratch_close(&scratch);
    }
    return status;
}

static enum dv_status evaluate(
    struct dv_session *session, const struct request *request, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *result = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *dataset = NULL;
    char model_folder[DV_PATH_SIZE];

    if (session->server) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "models are measured on this machine for now: leave out --server and DV_SERVER");
    }
    enum dv_status status = dv_model_resolve(session, request->model, model_folder, reterr);
    if (status == DV_OK) {
        status = dv_dataset_resolve(session, request->dataset, &dataset, reterr);
    }
    if (status == DV_OK) {
        status = evaluate_in_scratch(session, request, model_folder,
            dv_json_get_string(dataset, "file_path", ""), &result, reterr);
    }
    if (status == DV_OK) {
        print_result(request, result);
    }
    return status;
}

static enum dv_status take_split(void *user, const char *text, struct dv_error *reterr)
{
    enum dv_split split;

    if (!dv_text_equal(text, "all") && !dv_split_from_name(text, &split)) {
        return dv_fail(
            reterr, DV_INVALID, "there is no '%.40s'; there is train, val, test, all", text);
    }
    *(const char **)user = text;
    return DV_OK;
}

int dv_cmd_evaluate(int argc, char **argv)
{
    struct request request = {.common = dv_common_options_default(), .split = "test"};
    const struct dv_option options[] = {
        {.name = "split",
            .value = "S",
            .help = "train, val, test (default) or all",
            .take = take_split,
            .user = &request.split},
        DV_COMMON_OPTIONS(request.common),
        {0},
    };
    struct dv_arguments arguments;
    struct dv_session session;
    struct dv_error error = {0};
    bool is_over;

    int result = dv_command_begin(&help, options, argc, argv, 2, 2, &arguments, &is_over);
    if (is_over) {
        return result;
    }
    request.model = arguments.items[0];
    request.dataset = arguments.items[1];
    enum dv_status status = dv_session_open(&request.common, &session, &error);
    if (status == DV_OK) {
        status = evaluate(&session, &request, &error);
        dv_session_close(&session);
    }
    dv_free(arguments.items);
    return status == DV_OK ? DV_EXIT_DONE : dv_command_fail(request.common.is_json, &error);
}
