/* SPDX-License-Identifier: Apache-2.0 */
#include "app/worker_ask.h"

#include "app/role.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_file.h"
#include "wire/channel.h"

#include <assert.h>
#include <string.h>

static struct dv_worker_question *find(struct dv_worker_ask *self, int64_t number)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->questions[i].number == number) {
            return &self->questions[i];
        }
    }
    return NULL;
}

/* --- What comes ------------------------------------------------------------------------- */

static enum dv_status read_document(
    struct dv_role *role, struct dv_json **ret_document, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = dv_channel_take_fd(role->channel);
    DV_CLEANUP(dv_freep) char *text = NULL;
    size_t size;

    enum dv_status status =
        dv_memory_file_read(fd, DV_MESSAGE_REPLY_SIZE_MAX, &text, &size, reterr);
    return status == DV_OK ? dv_json_parse(text, size, ret_document, reterr) : status;
}

static struct dv_json *make_reply(
    const struct dv_message_reply *message, const struct dv_json *document)
{
    static const char *const members[] = {"answer", "mismatch"};
    struct dv_json *reply = dv_json_object();

    dv_json_set_text(reply, "outcome", message->outcome);
    dv_json_set_text(reply, "reason", message->reason);
    dv_json_set_text(reply, "model", message->model);
    for (size_t i = 0; i < DV_ARRAY_SIZE(members); i++) {
        const struct dv_json *value = dv_json_get(document, members[i]);
        dv_json_set(reply, members[i], value ? dv_json_ref(value) : dv_json_null());
    }
    dv_json_set_integer(reply, "prompt_tokens", message->prompt_tokens);
    dv_json_set_integer(reply, "completion_tokens", message->completion_tokens);
    dv_json_set_number(reply, "dollars", message->dollars);
    dv_json_set_integer(reply, "latency_ms", message->latency_ms);
    return reply;
}

/* A reply that nobody waits for is one to a question that was heard of already. */
static void on_message(struct dv_role *role, const struct dv_message *message)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = NULL;
    struct dv_error error = {0};

    if (message->type != DV_MESSAGE_REPLY) {
        return;
    }
    struct dv_worker_question *question = find(role->user, message->reply.id);
    enum dv_status status = read_document(role, &document, &error);
    if (status != DV_OK) { /* it has the outcome all the same */
        dv_role_log(role, DV_LOG_WARNING, error.text);
    }
    if (question && !question->reply) {
        question->reply = make_reply(&message->reply, document);
    }
}

/* --- Life ------------------------------------------------------------------------------- */

void dv_worker_ask_init(struct dv_worker_ask *self, struct dv_role *role)
{
    *self = (struct dv_worker_ask){.role = role};
    role->user = self;
    role->on_message = on_message;
}

void dv_worker_ask_finish(struct dv_worker_ask *self)
{
    for (size_t i = 0; i < self->count; i++) {
        dv_json_unref(self->questions[i].reply);
    }
    self->role->on_message = NULL;
    self->role->user = NULL;
}

/* --- The callbacks ---------------------------------------------------------------------- */

enum dv_status dv_worker_ask(struct dv_worker_ask *self, int64_t number, const char *purpose,
    const struct dv_json *question, struct dv_error *reterr)
{
    const struct dv_message message = {
        .type = DV_MESSAGE_ASK, .ask = {.id = number, .purpose = purpose}};

    if (find(self, number)) {
        return DV_OK; /* it is under way, or here */
    }
    if (self->count == DV_WORKER_QUESTIONS_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "more than %u questions at a time",
            DV_WORKER_QUESTIONS_MAX);
    }
    enum dv_status status = dv_role_send_document(self->role, &message, question, reterr);
    if (status == DV_OK) {
        self->questions[self->count++] = (struct dv_worker_question){.number = number};
    }
    return status;
}

enum dv_status dv_worker_hear(struct dv_worker_ask *self, int64_t number, int timeout_ms,
    struct dv_json **ret_reply, struct dv_error *reterr)
{
    struct dv_worker_question *question = find(self, number);
    uint64_t start_ns = dv_clock_monotonic_ns();

    assert(ret_reply);
    if (!question) {
        return dv_fail(
            reterr, DV_INVALID, "question %lld was not asked", (long long)number);
    }
    while (!question->reply) {
        enum dv_status status =
            dv_role_listen(self->role, dv_clock_ms_left(start_ns, timeout_ms), reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    *ret_reply = question->reply;
    self->count--;
    memmove(question, question + 1,
        (self->count - (size_t)(question - self->questions)) * sizeof(*question));
    return DV_OK;
}
