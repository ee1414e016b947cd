/* SPDX-License-Identifier: Apache-2.0 */

/* `dv predict`: open each picture here, let `dv infer` look at it, print what it says. */

#include "app/command.h"
#include "app/model_store.h"
#include "app/session.h"
#include "base/alloc.h"
#include "base/json.h"

#include <stdio.h>

#define PREDICT_TIMEOUT_MS 120000
#define STOP_GRACE_MS 2000

static const struct dv_command_help help = {
    .usage = "dv predict MODEL-ID|MODEL-FOLDER IMAGE...",
    .summary = "Classify pictures.",
};

struct request {
    struct dv_common_options common;
    int64_t top_k;
};

static void print_answer(
    const struct request *request, const char *path, const struct dv_json *predictions)
{
    if (request->common.is_json) {
        struct dv_json *line = dv_json_object();
        dv_json_set_string(line, "type", "prediction");
        dv_json_set_string(line, "path", path);
        dv_json_set(line, "predictions", dv_json_ref(predictions));
        dv_print_json(line);
        return;
    }
    (void)printf("%s:", path);
    for (size_t i = 0; i < dv_json_count(predictions); i++) {
        const struct dv_json *item = dv_json_at(predictions, i);
        (void)printf("%s %s %.1f %%", i > 0 ? "," : "", dv_json_get_string(item, "class", ""),
            100 * dv_json_get_number(item, "probability", 0));
    }
    (void)putchar('\n');
}

/* One picture; a failure that concerns only it is said here and is DV_INVALID. */
static enum dv_status predict_one(struct dv_child *child, const struct request *request,
    const char *path, int64_t id, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    struct dv_message ask = {
        .type = DV_MESSAGE_PREDICT, .predict = {.id = id, .top_k = request->top_k}};
    struct dv_message answer;
    struct dv_error error = {0};

    if (dv_file_open_read(path, &fd, &error) != DV_OK) {
        (void)dv_command_fail(request->common.is_json, &error);
        return DV_INVALID;
    }
    enum dv_status status = dv_child_send(child, &ask, fd, reterr);
    if (status == DV_OK) {
        status = dv_child_receive(child, PREDICT_TIMEOUT_MS, &answer, reterr);
    }
    if (status != DV_OK) {
        return status == DV_INVALID ? DV_CORRUPT : status;
    }
    if (answer.type == DV_MESSAGE_RESULT) {
        print_answer(request, path, dv_json_get(answer.result.value, "predictions"));
    } else if (answer.type == DV_MESSAGE_FAILURE) {
        (void)dv_fail(&error, DV_INVALID, "%s: %s", path, answer.failure.text);
        (void)dv_command_fail(request->common.is_json, &error);
        status = DV_INVALID;
    } else {
        status = dv_fail(reterr, DV_CORRUPT, "dv infer gave no answer");
    }
    dv_message_finish(&answer);
    return status;
}

/* All of them; *ret_bad_count counts the pictures that could not be classified. */
static enum dv_status predict_all(struct dv_child *child, const struct request *request,
    const struct dv_arguments *arguments, size_t *ret_bad_count, struct dv_error *reterr)
{
    size_t bad_count = 0;

    for (size_t i = 1; i < arguments->count; i++) {
        enum dv_status status =
            predict_one(child, request, arguments->items[i], (int64_t)i, reterr);
        if (status == DV_INVALID) {
            bad_count++;
        } else if (status != DV_OK) {
            return status;
        }
    }
    *ret_bad_count = bad_count;
    return DV_OK;
}

static enum dv_status predict(struct dv_session *session, const struct request *request,
    const struct dv_arguments *arguments, size_t *ret_bad_count, struct dv_error *reterr)
{
    DV_CLEANUP(dv_child_destroyp) struct dv_child *child = NULL;
    const struct dv_child_options options = {
        .role = "infer", .interrupt_fd = session->interrupt_fd};
    char model_folder[DV_PATH_SIZE];
    struct dv_message ack;
    struct dv_child_exit end;

    enum dv_status status = dv_model_resolve(session, arguments->items[0], model_folder, reterr);
    if (status == DV_OK) {
        status = dv_child_start(&options, &child, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    const struct dv_message job = {.type = DV_MESSAGE_JOB,
        .job = {.kind = "predict",
            .model_folder = model_folder,
            .thread_count = session->thread_count}};
    status = dv_child_handshake(child, &job, &ack, reterr);
    if (status == DV_OK) {
        dv_message_finish(&ack);
        status = predict_all(child, request, arguments, ret_bad_count, reterr);
    }
    dv_child_stop(child, STOP_GRACE_MS, &end);
    return status;
}

int dv_cmd_predict(int argc, char **argv)
{
    struct request request = {.common = dv_common_options_default(), .top_k = 5};
    const struct dv_option options[] = {
        {.name = "top-k",
            .value = "N",
            .help = "classes a picture (default 5)",
            .take = dv_option_take_integer,
            .user = &request.top_k},
        DV_COMMON_OPTIONS(request.common),
        {0},
    };
    struct dv_arguments arguments;
    struct dv_session session;
    struct dv_error error = {0};
    size_t bad_count = 0;
    bool is_over;

    int result =
        dv_command_begin(&help, options, argc, argv, 2, (size_t)argc, &arguments, &is_over);
    if (is_over) {
        return result;
    }
    enum dv_status status = dv_session_open(&request.common, &session, &error);
    if (status == DV_OK) {
        status = predict(&session, &request, &arguments, &bad_count, &error);
        dv_session_close(&session);
    }
    dv_free(arguments.items);
    if (status != DV_OK) {
        return dv_command_fail(request.common.is_json, &error);
    }
    return bad_count > 0 ? DV_EXIT_FAILED : DV_EXIT_DONE;
}
