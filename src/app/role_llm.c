/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `dv llm`: asks the configured endpoint, and holds its key. The job's `options` are {"settings",
 * "memory"|null} (llm/settings.h, dv_llm_memory()), its `source` the file of certificates if there
 * is one. Then it takes secret, and answers each ask with a reply, one at a time, until its channel
 * closes or it is asked to stop. It reads certificates and what looking up a name takes, connects
 * where the settings allow it, and does nothing else.
 */

#include "app/command.h"
#include "app/role.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_file.h"
#include "base/secret.h"
#include "base/text.h"
#include "llm/llm.h"
#include "llm/mask.h"
#include "llm/question.h"
#include "llm/settings.h"
#include "llm/transport.h"
#include "wire/channel.h"

#include <netdb.h>

_Static_assert(DV_MESSAGE_ASK_SIZE_MAX == DV_LLM_QUESTION_SIZE_MAX, "a question fits");
_Static_assert(DV_MESSAGE_REPLY_SIZE_MAX == DV_LLM_REPLY_SIZE_MAX, "an answer fits");

#define DATA_SIZE_MAX (512u << 20)
#define FILE_COUNT_MAX 64u
#define SECRET_TIMEOUT_MS 30000

struct llm_role {
    struct dv_role *role;
    struct dv_llm *llm;
};

static bool is_cancelled(void *user)
{
    return dv_role_is_cancelled(user);
}

/* --- Setting up ------------------------------------------------------------------------- */

static enum dv_status take_secret(
    const struct dv_role *role, char **ret_key, struct dv_error *reterr)
{
    struct dv_message message;
    size_t size;

    enum dv_status status =
        dv_message_receive(role->channel, SECRET_TIMEOUT_MS, &message, reterr);
    if (status != DV_OK) {
        return status;
    }
    bool is_secret = message.type == DV_MESSAGE_SECRET && dv_text_equal(message.secret.name, "llm");
    dv_message_finish(&message);
    if (!is_secret) {
        return dv_fail(reterr, DV_INVALID, "the first message after the job is no secret");
    }
    DV_CLEANUP(dv_file_closep) int fd = dv_channel_take_fd(role->channel);
    return dv_memory_file_read(fd, DV_LLM_KEY_SIZE_MAX, ret_key, &size, reterr);
}

static enum dv_status open_llm(struct llm_role *self, struct dv_error *reterr)
{
    const struct dv_json *options = self->role->job->options;
    const struct dv_llm_world world = {.user = self->role, .is_cancelled = is_cancelled};
    DV_CLEANUP(dv_secret_freep) char *key = NULL;
    struct dv_llm_settings settings;

    enum dv_status status =
        dv_llm_settings_from_json(dv_json_get(options, "settings"), &settings, reterr);
    if (status == DV_OK) {
        status = take_secret(self->role, &key, reterr);
    }
    if (status == DV_OK) {
        status = dv_llm_create(&settings, key, &world, &self->llm, reterr);
    }
    if (status == DV_OK) {
        dv_llm_remember(self->llm, dv_json_get(options, "memory"));
    }
    return status;
}

/* --- Answering -------------------------------------------------------------------------- */

static enum dv_status ask(
    const struct llm_role *self, struct dv_llm_reply *ret_reply, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = dv_channel_take_fd(self->role->channel);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = NULL;
    DV_CLEANUP(dv_freep) char *text = NULL;
    struct dv_llm_question question;
    size_t size;

    enum dv_status status = dv_memory_file_read(fd, DV_LLM_QUESTION_SIZE_MAX, &text, &size, reterr);
    if (status == DV_OK) {
        status = dv_json_parse(text, size, &document, reterr);
    }
    if (status == DV_OK) {
        status = dv_llm_question_from_json(document, &question, reterr);
    }
    return status == DV_OK ? dv_llm_ask(self->llm, &question, ret_reply, reterr) : status;
}

static enum dv_status send_reply(const struct llm_role *self, int64_t id,
    const struct dv_llm_reply *reply, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = dv_llm_reply_to_json(reply, self->llm);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(document);
    DV_CLEANUP(dv_file_closep) int fd = -1;
    const struct dv_message message = {.type = DV_MESSAGE_REPLY,
        .reply = {.id = id,
            .outcome = dv_llm_outcome_name(reply->outcome),
            .reason = reply->reason[0] ? reply->reason : NULL,
            .model = reply->model,
            .wait_ms = reply->wait_ms,
            .prompt_tokens = reply->prompt_tokens,
            .completion_tokens = reply->completion_tokens,
            .dollars = reply->dollars,
            .latency_ms = reply->latency_ms}};

    enum dv_status status = dv_memory_file_create("dv-reply", text, strlen(text), &fd, reterr);
    return status == DV_OK
               ? dv_message_send(self->role->channel, &message, fd, SECRET_TIMEOUT_MS, reterr)
               : status;
}

/* A question that is none is the parent's mistake, and ends the role with it. */
static enum dv_status answer(
    const struct llm_role *self, const struct dv_message_ask *message, struct dv_error *reterr)
{
    struct dv_llm_reply reply;

    enum dv_status status = ask(self, &reply, reterr);
    if (status == DV_OK) {
        status = send_reply(self, message->id, &reply, reterr);
        dv_llm_reply_finish(&reply);
    }
    return status;
}

static enum dv_status serve(const struct llm_role *self, struct dv_error *reterr)
{
    struct dv_role *role = self->role;
    enum dv_status status = DV_OK;

    while (status == DV_OK && !role->is_cancelled) {
        struct dv_message message;
        status = dv_message_receive(role->channel, DV_CHANNEL_FOREVER, &message, reterr);
        if (status != DV_OK) {
            break;
        }
        if (message.type == DV_MESSAGE_ASK) {
            status = answer(self, &message.ask, reterr);
        } else {
            role->is_cancelled = true;
        }
        dv_message_finish(&message);
    }
    return status == DV_NOT_FOUND ? DV_OK : status; /* nobody asks any more */
}

static enum dv_status run(
    struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr)
{
    struct llm_role self = {.role = role};

    (void)ret_result;
    enum dv_status status = open_llm(&self, reterr);
    if (status == DV_OK) {
        status = serve(&self, reterr);
    }
    self.llm = dv_llm_destroy(self.llm);
    return status;
}

/* --- Locking in ------------------------------------------------------------------------- */

/* Certificates, and how a name is looked up; those that this machine has. */
static void find_readable(const char **ret_paths, size_t count_max)
{
    static const char *const paths[] = {"/etc/ssl", "/etc/pki", "/etc/ca-certificates",
        "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/etc/crypto-policies",
        "/etc/resolv.conf", "/run/systemd/resolve", "/etc/hosts", "/etc/host.conf",
        "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/localtime"};
    size_t count = 0;

    for (size_t i = 0; i < DV_ARRAY_SIZE(paths) && count + 1 < count_max; i++) {
        if (dv_path_exists(paths[i])) {
            ret_paths[count++] = paths[i];
        }
    }
    ret_paths[count] = NULL;
}

/* Libraries that come late cannot be loaded once the filter is there: have them come now. */
static void load_libraries(void)
{
    struct addrinfo *found = NULL;

    /* What fails here fails with a message later. */
    if (dv_llm_transport_prepare(NULL) == DV_OK &&
        getaddrinfo("localhost", NULL, NULL, &found) == 0) {
        freeaddrinfo(found);
    }
}

int dv_role_llm(int argc, char **argv)
{
    const char *readable[16];
    const struct dv_role_impl impl = {
        .name = "llm",
        .sandbox = {.filter = DV_SANDBOX_FILTER_NETWORK,
            .readable = readable,
            .data_size_max = DATA_SIZE_MAX,
            .file_count_max = FILE_COUNT_MAX},
        .run = run,
    };

    (void)argc;
    (void)argv;
    find_readable(readable, DV_ARRAY_SIZE(readable));
    load_libraries();
    return dv_role_play(&impl);
}
