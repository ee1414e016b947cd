/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `dv infer`: answers predict messages, each with a picture's descriptor, with a result
 * {"id", "predictions": [{"class", "probability"}, ...]} or a failure, until its channel closes
 * or it is asked to stop. Reads the model in `model_folder` and nothing else.
 */

#include "app/command.h"
#include "app/role.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "spec/limits.h"
#include "train/predict.h"
#include "wire/channel.h"
#include "wire/failure.h"

struct infer {
    struct dv_role *role;
    struct dv_predictor *predictor;
    float *probabilities;
    uint32_t *order;
};

static enum dv_status read_picture(
    int fd, char **ret_data, size_t *ret_size, struct dv_error *reterr)
{
    uint64_t size;
    void *data;

    if (fd < 0) {
        return dv_fail(reterr, DV_INVALID, "no picture came with the request");
    }
    enum dv_status status = dv_file_size(fd, &size, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (size > DV_IMAGE_FILE_SIZE_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "the picture has %llu bytes, the limit is %u",
            (unsigned long long)size, DV_IMAGE_FILE_SIZE_MAX);
    }
    status = dv_try_alloc(1, (size_t)size, &data, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_file_pread(fd, data, (size_t)size, 0, reterr);
    if (status != DV_OK) {
        dv_free(data);
        return status;
    }
    *ret_data = data;
    *ret_size = (size_t)size;
    return DV_OK;
}

static struct dv_json *make_answer(const struct infer *infer, const struct dv_message_predict *ask)
{
    uint32_t count = dv_predictor_class_count(infer->predictor);
    struct dv_json *answer = dv_json_object();
    struct dv_json *list = dv_json_array();

    if (ask->top_k > 0 && ask->top_k < (int64_t)count) {
        count = (uint32_t)ask->top_k;
    }
    dv_predictor_rank(infer->predictor, infer->probabilities, count, infer->order);
    for (uint32_t i = 0; i < count; i++) {
        struct dv_json *item = dv_json_object();
        uint32_t class_index = infer->order[i];
        dv_json_set_string(item, "class", dv_predictor_class_name(infer->predictor, class_index));
        dv_json_set_number(item, "probability", (double)infer->probabilities[class_index]);
        dv_json_append(list, item);
    }
    dv_json_set_integer(answer, "id", ask->id);
    dv_json_set(answer, "predictions", list);
    return answer;
}

static enum dv_status answer_one(const struct infer *infer, const struct dv_message_predict *ask,
    struct dv_json **ret_answer, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = dv_channel_take_fd(infer->role->channel);
    DV_CLEANUP(dv_freep) char *data = NULL;
    size_t size = 0;

    enum dv_status status = read_picture(fd, &data, &size, reterr);
    if (status == DV_OK) {
        status = dv_predictor_predict(infer->predictor, data, size, infer->probabilities, reterr);
    }
    if (status == DV_OK) {
        *ret_answer = make_answer(infer, ask);
    }
    return status;
}

static void answer(const struct infer *infer, const struct dv_message_predict *ask)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *value = NULL;
    struct dv_error error = {0};

    enum dv_status status = answer_one(infer, ask, &value, &error);
    if (status == DV_OK) {
        status = dv_role_try_send(infer->role,
            &(struct dv_message){.type = DV_MESSAGE_RESULT, .result = {.value = value}}, &error);
    }
    if (status == DV_TOO_LARGE && value) {
        dv_error_prefix(&error, "too many classes were asked for (--top-k)");
    }
    if (status != DV_OK) {
        dv_role_send(
            infer->role, &(struct dv_message){.type = DV_MESSAGE_FAILURE,
                             .failure = {.reason = dv_failure_reason_name(DV_FAILURE_BAD_DATA),
                                 .status = dv_status_name(status),
                                 .text = error.text}});
    }
}

static enum dv_status serve(const struct infer *infer, struct dv_error *reterr)
{
    while (!infer->role->is_cancelled) {
        struct dv_message message;
        enum dv_status status =
            dv_message_receive(infer->role->channel, DV_CHANNEL_FOREVER, &message, reterr);
        if (status == DV_NOT_FOUND) {
            return DV_OK; /* nobody asks any more */
        }
        if (status != DV_OK) {
            return status;
        }
        if (message.type == DV_MESSAGE_PREDICT) {
            answer(infer, &message.predict);
        } else {
            infer->role->is_cancelled = true;
        }
        dv_message_finish(&message);
    }
    return DV_OK;
}

static enum dv_status run(
    struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr)
{
    struct infer infer = {.role = role};

    (void)ret_result;
    if (!role->job->model_folder) {
        return dv_fail(reterr, DV_INVALID, "there is no model to predict with");
    }
    enum dv_status status = dv_predictor_create(
        role->job->model_folder, (uint32_t)role->job->thread_count, &infer.predictor, reterr);
    if (status != DV_OK) {
        return status;
    }
    uint32_t class_count = dv_predictor_class_count(infer.predictor);
    infer.probabilities = dv_alloc(class_count * sizeof(*infer.probabilities));
    infer.order = dv_alloc(class_count * sizeof(*infer.order));
    status = serve(&infer, reterr);
    infer.probabilities = dv_free(infer.probabilities);
    infer.order = dv_free(infer.order);
    infer.predictor = dv_predictor_destroy(infer.predictor);
    return status;
}

int dv_role_infer(int argc, char **argv)
{
    static const struct dv_role_impl impl = {
        .name = "infer",
        .sandbox = {.filter = DV_SANDBOX_FILTER_COMPUTE, .file_count_max = 256},
        .run = run,
    };

    (void)argc;
    (void)argv;
    return dv_role_play(&impl);
}
