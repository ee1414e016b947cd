/* SPDX-License-Identifier: Apache-2.0 */
#include "app/llm_check.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_file.h"
#include "base/secret.h"
#include "base/text.h"
#include "job/child.h"
#include "llm/llm.h"
#include "llm/question.h"
#include "llm/settings.h"
#include "wire/message.h"

#include <string.h>

#define PATIENCE_MS 60000
#define ANSWER_GRACE_MS 10000 /* for a role that has patience, beside that */
#define STOP_GRACE_MS 1000
#define OUTPUT_MAX 1000 /* tokens: the thoughts of a model that thinks count */

/* --- The call --------------------------------------------------------------------------- */

static enum dv_status start(
    const struct dv_llm_settings *settings, struct dv_child **ret_child, struct dv_error *reterr)
{
    const struct dv_child_options child_options = {.role = "llm"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *options = dv_json_object();
    const struct dv_message job = {.type = DV_MESSAGE_JOB,
        .job = {.kind = "ask",
            .source = settings->ca_file[0] ? settings->ca_file : NULL,
            .options = options}};
    struct dv_message ack;

    dv_json_set(options, "settings", dv_llm_settings_to_json(settings));
    dv_json_set(options, "memory", dv_json_null());
    enum dv_status status = dv_child_start(&child_options, ret_child, reterr);
    if (status == DV_OK) {
        status = dv_child_handshake(*ret_child, &job, &ack, reterr);
    }
    if (status == DV_OK) {
        dv_message_finish(&ack);
    }
    return status;
}

/* An empty file where there is no key. */
static enum dv_status send_key(
    struct dv_child *child, const struct dv_llm_settings *settings, struct dv_error *reterr)
{
    const struct dv_message message = {.type = DV_MESSAGE_SECRET, .secret = {.name = "llm"}};
    DV_CLEANUP(dv_file_closep) int none = -1;

    if (settings->key_fd >= 0) {
        return dv_child_send(child, &message, settings->key_fd, reterr);
    }
    enum dv_status status = dv_memory_file_create("dv-secret", "", 0, &none, reterr);
    return status == DV_OK ? dv_child_send(child, &message, none, reterr) : status;
}

static struct dv_json *make_message(const char *role, const char *content)
{
    struct dv_json *message = dv_json_object();

    dv_json_set_string(message, "role", role);
    dv_json_set_string(message, "content", content);
    return message;
}

/* {"ok": true}, bound by a schema as a search's questions are. */
static struct dv_json *make_question(void)
{
    static const char schema_text[] =
        "{\"type\":\"object\",\"properties\":{\"ok\":{\"type\":\"boolean\"}},\"required\":[\"ok\"],"
        "\"additionalProperties\":false}";
    DV_CLEANUP(dv_json_unrefp) struct dv_json *messages = dv_json_array();
    DV_CLEANUP(dv_json_unrefp) struct dv_json *schema = NULL;

    if (dv_json_parse(schema_text, sizeof(schema_text) - 1, &schema, NULL) != DV_OK) {
        schema = NULL; /* then any object will do */
    }
    dv_json_append(messages, make_message("system", "You answer with one JSON object, no other text."));
    dv_json_append(messages, make_message("user", "This is a test. Answer with {\"ok\": true} as JSON."));
    const struct dv_llm_question question = {.messages = messages,
        .schema = schema,
        .schema_name = "test",
        .output_max = OUTPUT_MAX,
        .seed = -1};
    return dv_llm_question_to_json(&question);
}

static enum dv_status send_question(struct dv_child *child, struct dv_error *reterr)
{
    const struct dv_message message = {
        .type = DV_MESSAGE_ASK, .ask = {.id = 1, .purpose = "test"}};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *question = make_question();
    DV_CLEANUP(dv_freep) char *text = dv_json_print(question);
    DV_CLEANUP(dv_file_closep) int fd = -1;

    enum dv_status status = dv_memory_file_create("dv-question", text, strlen(text), &fd, reterr);
    return status == DV_OK ? dv_child_send(child, &message, fd, reterr) : status;
}

static enum dv_status receive_reply(struct dv_child *child, int64_t patience_ms,
    struct dv_message *ret_message, struct dv_json **ret_document, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = NULL;
    DV_CLEANUP(dv_freep) char *text = NULL;
    struct dv_message message;
    size_t size;

    enum dv_status status = dv_child_receive(child, (int)patience_ms + ANSWER_GRACE_MS, &message, reterr);
    if (status != DV_OK) {
        return status;
    }
    DV_CLEANUP(dv_file_closep) int fd = dv_child_take_fd(child);
    if (message.type == DV_MESSAGE_FAILURE) {
        status = dv_fail(reterr, dv_status_from_name(message.failure.status), "%s", message.failure.text);
    } else if (message.type != DV_MESSAGE_REPLY) {
        status = dv_fail(reterr, DV_INVALID, "dv llm answers out of turn");
    } else {
        status = dv_memory_file_read(fd, DV_LLM_REPLY_SIZE_MAX, &text, &size, reterr);
    }
    if (status == DV_OK) {
        status = dv_json_parse(text, size, &document, reterr);
    }
    if (status == DV_OK) {
        status = dv_llm_reply_validate(document, reterr);
    }
    if (status != DV_OK) {
        dv_message_finish(&message);
        return status;
    }
    *ret_message = message;
    *ret_document = document;
    document = NULL;
    return DV_OK;
}

static enum dv_status call(const struct dv_llm_settings *settings, struct dv_message *ret_message,
    struct dv_json **ret_document, struct dv_error *reterr)
{
    DV_CLEANUP(dv_child_destroyp) struct dv_child *child = NULL;
    struct dv_child_exit end;

    enum dv_status status = start(settings, &child, reterr);
    if (status == DV_OK) {
        status = send_key(child, settings, reterr);
    }
    if (status == DV_OK) {
        status = send_question(child, reterr);
    }
    if (status == DV_OK) {
        status = receive_reply(child, settings->patience_ms, ret_message, ret_document, reterr);
    }
    if (child) {
        dv_child_stop(child, STOP_GRACE_MS, &end);
    }
    return status;
}

/* --- What came of it -------------------------------------------------------------------- */

static void describe_reply(struct dv_json *json, const struct dv_llm_settings *settings,
    const struct dv_message_reply *reply, const struct dv_json *document)
{
    const char *rung = dv_json_get_string(document, "rung", "?");
    const char *mismatch = dv_json_get_string(document, "mismatch", NULL);
    bool is_answered = dv_text_equal(reply->outcome, "answered");
    DV_CLEANUP(dv_freep)
    char *summary = is_answered
                        ? dv_strprintf("%s, %s: answers in %.1f s (%s)%s", settings->url,
                              reply->model, (double)reply->latency_ms * 1e-3, rung,
                              mismatch ? ", but not as it was asked to" : "")
                        : dv_strprintf("%s, %s: %s: %s", settings->url, reply->model,
                              reply->outcome, reply->reason ? reply->reason : "no reason given");

    dv_json_set_text(json, "model", reply->model);
    dv_json_set_text(json, "outcome", reply->outcome);
    dv_json_set_text(json, "reason", mismatch ? mismatch : reply->reason);
    dv_json_set_text(json, "rung", rung);
    dv_json_set_integer(json, "latency_ms", reply->latency_ms);
    dv_json_set_text(json, "summary", summary);
}

static void describe_failure(struct dv_json *json, const char *outcome, const struct dv_error *error)
{
    dv_json_set_text(json, "outcome", outcome);
    dv_json_set_text(json, "reason", error->text);
    dv_json_set_text(json, "summary", error->text);
}

static struct dv_json *make_answer(void)
{
    static const char *const keys[] = {
        "base_url", "model", "outcome", "reason", "rung", "latency_ms"};
    struct dv_json *json = dv_json_object();

    dv_json_set_bool(json, "is_configured", false);
    for (size_t i = 0; i < DV_ARRAY_SIZE(keys); i++) {
        dv_json_set(json, keys[i], dv_json_null());
    }
    dv_json_set_string(json, "summary", "not configured");
    return json;
}

struct dv_json *dv_llm_check(const struct dv_llm_settings *settings, int64_t patience_ms)
{
    struct dv_llm_settings patient = *settings;
    struct dv_json *json = make_answer();
    struct dv_message message = {0};
    struct dv_json *document = NULL;
    struct dv_error error = {0};

    dv_json_set_bool(json, "is_configured", true);
    dv_json_set_text(json, "base_url", settings->url);
    dv_json_set_text(json, "model", settings->models[0]);
    patient.patience_ms = patience_ms;
    if (call(&patient, &message, &document, &error) == DV_OK) {
        describe_reply(json, settings, &message.reply, document);
        dv_message_finish(&message);
        dv_json_unref(document);
    } else {
        describe_failure(json, "role", &error);
    }
    return json;
}

struct dv_json *dv_llm_check_environment(void)
{
    struct dv_llm_settings settings;
    struct dv_error error = {0};

    enum dv_status status = dv_llm_settings_take(&settings, &error);
    if (status == DV_OK) {
        dv_secret_hide_process();
        struct dv_json *json = dv_llm_check(&settings, PATIENCE_MS);
        dv_file_closep(&settings.key_fd);
        return json;
    }
    struct dv_json *json = make_answer();
    if (status != DV_NOT_FOUND) {
        describe_failure(json, "settings", &error);
    }
    return json;
}
