/* SPDX-License-Identifier: Apache-2.0 */

/* `dv predict`: open each picture here, let `dv infer` look at it, print what it says. */

#include "app/command.h"
#include "app/machine.h"
#include "app/model_source.h"
#include "app/role_call.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/json.h"
#include "spec/limits.h"

#define PREDICT_TIMEOUT_MS 120000
#define LINE_SIZE_MAX (2 * DV_MESSAGE_SIZE_MAX) /* no more than an answer holds */

static const struct dv_command_help help = {
    .usage = "dv predict MODEL-ID|MODEL-FOLDER IMAGE...",
    .summary = "Classify pictures.",
};

struct request {
    struct dv_common_options common;
    struct dv_arguments arguments; /* the model, then pictures */
    int64_t top_k;
    size_t at;        /* which argument `dv infer` is looking at */
    size_t bad_count; /* pictures that could not be classified */
};

static void print_answer(
    const struct request *request, const char *path, const struct dv_json *predictions)
{
    if (request->common.is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "prediction");
        dv_json_set_text(line, "path", path);
        dv_json_set(line, "predictions", dv_json_ref(predictions));
        dv_print_json(line);
        return;
    }

    struct dv_buffer line = DV_BUFFER_INIT(LINE_SIZE_MAX);
    dv_buffer_printf(&line, "%s:", path);
    for (size_t i = 0; i < dv_json_count(predictions); i++) {
        const struct dv_json *item = dv_json_at(predictions, i);
        dv_buffer_printf(&line, "%s %s %.1f %%", i > 0 ? "," : "",
            dv_json_get_string(item, "class", ""),
            100 * dv_json_get_number(item, "probability", 0));
    }
    dv_print_line("%s", dv_buffer_text(&line));
    dv_buffer_finish(&line);
}

/* What concerns one picture alone. */
static void print_refusal(struct request *request, const char *path, const struct dv_error *error)
{
    request->bad_count++;
    if (request->common.is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "error");
        dv_json_set_text(line, "path", path);
        dv_json_set_string(line, "status", dv_status_name(error->status));
        dv_json_set_string(line, "message", error->text);
        dv_print_json(line);
    } else {
        (void)dv_command_fail(false, error);
    }
}

static enum dv_status predict_one(
    struct dv_child *child, struct request *request, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    const char *path = request->arguments.items[request->at];
    const struct dv_message ask = {.type = DV_MESSAGE_PREDICT,
        .predict = {.id = (int64_t)request->at, .top_k = request->top_k}};
    struct dv_message answer;
    struct dv_error error = {0};

    enum dv_status status = dv_file_open_read(path, &fd, &error);
    if (status != DV_OK) {
        print_refusal(request, path, &error);
        return DV_OK;
    }
    status = dv_child_send(child, &ask, fd, reterr);
    if (status == DV_OK) {
        status = dv_child_receive(child, PREDICT_TIMEOUT_MS, &answer, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    if (answer.type == DV_MESSAGE_RESULT) {
        print_answer(request, path, dv_json_get(answer.result.value, "predictions"));
    } else if (answer.type == DV_MESSAGE_FAILURE) {
        (void)dv_fail(&error, dv_status_from_name(answer.failure.status), "%s: %s", path,
            answer.failure.text);
        print_refusal(request, path, &error);
    } else {
        status = dv_fail(reterr, DV_INVALID, "dv infer gave no answer");
    }
    dv_message_finish(&answer);
    return status;
}

static enum dv_status predict_all(void *user, struct dv_child *child, struct dv_error *reterr)
{
    const struct dv_message cancel = {.type = DV_MESSAGE_CANCEL};
    struct request *request = user;
    enum dv_status status = DV_OK;

    for (request->at = 1; request->at < request->arguments.count; request->at++) {
        status = predict_one(child, request, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    return dv_child_send(child, &cancel, -1, reterr);
}

static enum dv_status predict(
    struct dv_session *session, struct request *request, struct dv_error *reterr)
{
    char model_folder[DV_PATH_SIZE];
    struct dv_role_outcome outcome;
    struct dv_role_call call = {.role = "infer",
        .job = {.kind = "predict",
            .model_folder = model_folder,
            .thread_count = dv_machine_processors()},
        .user = request,
        .converse = predict_all};

    enum dv_status status =
        dv_model_resolve(session, request->arguments.items[0], model_folder, reterr);
    if (status == DV_OK) {
        status = dv_machine_worker_memory(&call.job.memory_max, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    status = dv_role_call(session, &call, &outcome, reterr);
    if (status != DV_OK && request->at > 0 && request->at < request->arguments.count) {
        dv_error_prefix(reterr, "%s", request->arguments.items[request->at]);
    }
    return status;
}

static enum dv_status take_top_k(void *user, const char *text, struct dv_error *reterr)
{
    int64_t value;

    enum dv_status status = dv_option_take_integer(&value, text, reterr);
    if (status == DV_OK && (value < 1 || value > DV_CLASSES_MAX)) {
        status = dv_fail(reterr, DV_INVALID, "'%s' is not from 1 to %u", text, DV_CLASSES_MAX);
    }
    if (status == DV_OK) {
        *(int64_t *)user = value;
    }
    return status;
}

int dv_cmd_predict(int argc, char **argv)
{
    struct request request = {.common = dv_common_options_default(), .top_k = 5};
    const struct dv_option options[] = {
        {.name = "top-k",
            .value = "N",
            .help = "classes a picture (default 5)",
            .take = take_top_k,
            .user = &request.top_k},
        DV_COMMON_OPTIONS(request.common),
        {0},
    };
    struct dv_session session;
    struct dv_error error = {0};
    bool is_over;

    int result =
        dv_command_begin(&help, options, argc, argv, 2, (size_t)argc, &request.arguments, &is_over);
    if (is_over) {
        return result;
    }
    enum dv_status status = dv_session_open(&request.common, &session, &error);
    if (status == DV_OK) {
        status = predict(&session, &request, &error);
        dv_session_close(&session);
    }
    dv_free(request.arguments.items);
    if (status != DV_OK) {
        return dv_command_fail(request.common.is_json, &error);
    }
    return request.bad_count > 0 ? DV_EXIT_FAILED : DV_EXIT_DONE;
}
