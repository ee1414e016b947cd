/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from dv_asker_step(): each question goes through the states below in their order; those that
 * the store knows skip what is between.
 */

#include "job/asker.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "base/text.h"
#include "job/context.h"
#include "job/errand.h"
#include "job/job_log.h"
#include "job/talk.h"
#include "store/exchanges.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define QUESTIONS_MAX 16u
#define NUMBER_MAX ((int64_t)1 << 40)
#define PURPOSE_SIZE 40
#define RESPONSE_SIZE_MAX (4u << 20)   /* of what is kept: the transcript is left out of a longer one */
#define MEMORY_SIZE_MAX (16u << 10)
#define DEATHS_MAX 2
/* dv llm ends each question within its own patience, which is a quarter of an hour. */
#define ANSWER_SECONDS_MAX 1200u

enum state {
    STATE_NEW,      /* does the store know it? */
    STATE_WAITING,  /* to be asked */
    STATE_ASKED,    /* of dv llm, which has it */
    STATE_ANSWERED, /* to be kept */
    STATE_KEPT,     /* to be told */
};

struct question {
    int64_t number;
    char purpose[PURPOSE_SIZE];
    char *request; /* JSON */
    enum state state;
    uint64_t since_ns;
    struct dv_json *row; /* once answered: as store/exchanges.h has it */
};

struct dv_asker {
    struct dv_asker_options options;
    char *job_id;
    struct question questions[QUESTIONS_MAX];
    size_t count;
    struct dv_talk *talk;
    bool has_secret;  /* dv llm, of the one that runs */
    int deaths;
    char why[300];    /* it is not started any more; "": it is */
    bool is_refused;  /* the job is another's: nothing is kept, nobody told */
};

/* --- Life ------------------------------------------------------------------------------- */

struct dv_asker *dv_asker_create(const struct dv_asker_options *options)
{
    struct dv_asker *asker = dv_alloc(sizeof(*asker));

    assert(options->context);
    assert(options->log);
    assert(options->on_reply);
    asker->options = *options;
    asker->job_id = dv_strdup(options->job_id);
    return asker;
}

static void finish(struct question *question)
{
    question->request = dv_free(question->request);
    question->row = dv_json_unref(question->row);
}

struct dv_asker *dv_asker_destroy(struct dv_asker *asker)
{
    if (!asker) {
        return NULL;
    }
    for (size_t i = 0; i < asker->count; i++) {
        finish(&asker->questions[i]);
    }
    asker->talk = dv_talk_destroy(asker->talk);
    dv_free(asker->job_id);
    return dv_free(asker);
}

/* --- Questions -------------------------------------------------------------------------- */

static struct question *find(struct dv_asker *asker, int64_t number)
{
    for (size_t i = 0; i < asker->count; i++) {
        if (asker->questions[i].number == number) {
            return &asker->questions[i];
        }
    }
    return NULL;
}

static struct question *find_state(struct dv_asker *asker, enum state state)
{
    for (size_t i = 0; i < asker->count; i++) {
        if (asker->questions[i].state == state) {
            return &asker->questions[i];
        }
    }
    return NULL;
}

enum dv_status dv_asker_take(struct dv_asker *asker, const struct dv_message_ask *ask,
    const struct dv_json *question, struct dv_error *reterr)
{
    assert(asker);
    if (ask->id < 1 || ask->id > NUMBER_MAX || !dv_json_is_object(question)) {
        return dv_fail(reterr, DV_INVALID, "question %lld is none", (long long)ask->id);
    }
    if (find(asker, ask->id)) {
        return DV_OK;
    }
    if (asker->count == QUESTIONS_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "more than %u questions at a time", QUESTIONS_MAX);
    }
    struct question *added = &asker->questions[asker->count++];
    *added = (struct question){
        .number = ask->id, .request = dv_json_print(question), .state = STATE_NEW};
    (void)dv_text_copy(added->purpose, sizeof(added->purpose), ask->purpose);
    return DV_OK;
}

static void drop(struct dv_asker *asker, struct question *question)
{
    size_t index = (size_t)(question - asker->questions);

    finish(question);
    asker->count--;
    memmove(question, question + 1, (asker->count - index) * sizeof(*question));
}

/* Nobody could be asked. */
static void answer_offline(struct question *question, const char *why)
{
    struct dv_json *row = dv_json_object();

    dv_json_set_string(row, "outcome", "offline");
    dv_json_set_text(row, "reason", why);
    dv_json_set(row, "model", dv_json_null());
    dv_json_set(row, "response", dv_json_object());
    question->row = row;
    question->state = STATE_ANSWERED;
}

/* --- The store -------------------------------------------------------------------------- */

static bool must_wait(struct dv_asker *asker, enum dv_status status, const struct dv_error *error)
{
    return dv_gate_must_wait(&asker->options.context->gate, status, error);
}

static void look_up(struct dv_asker *asker, struct question *question)
{
    struct dv_error error = {0};

    enum dv_status status = dv_exchanges_get(
        asker->options.context->store, asker->job_id, question->number, &question->row, &error);
    if (must_wait(asker, status, &error)) {
        return;
    }
    question->state = status == DV_OK ? STATE_KEPT : STATE_WAITING;
    if (status != DV_OK && status != DV_NOT_FOUND) {
        dv_job_log_say(asker->options.log, "warning", "%s", error.text);
    }
}

static void say_outcome(struct dv_asker *asker, const struct question *question)
{
    const struct dv_json *row = question->row;
    const char *outcome = dv_json_get_string(row, "outcome", "");
    bool is_answered = dv_text_equal(outcome, "answered");

    dv_job_log_say(asker->options.log, is_answered ? "info" : "warning",
        "language model, %s: %s%s%.400s (%.1f s, %lld + %lld tokens)", question->purpose, outcome,
        is_answered ? "" : ": ", is_answered ? "" : dv_json_get_string(row, "reason", "no reason given"),
        (double)dv_json_get_integer(row, "latency_ms", 0) * 1e-3,
        (long long)dv_json_get_integer(row, "prompt_tokens", 0),
        (long long)dv_json_get_integer(row, "completion_tokens", 0));
}

static void keep(struct dv_asker *asker, struct question *question)
{
    const struct dv_json *row = question->row;
    DV_CLEANUP(dv_freep) char *response = dv_json_print(dv_json_get(row, "response"));
    const struct dv_exchange exchange = {.number = question->number,
        .purpose = question->purpose,
        .outcome = dv_json_get_string(row, "outcome", ""),
        .reason = dv_json_get_string(row, "reason", NULL),
        .model = dv_json_get_string(row, "model", NULL),
        .request = question->request,
        .response = response,
        .prompt_tokens = dv_json_get_integer(row, "prompt_tokens", 0),
        .completion_tokens = dv_json_get_integer(row, "completion_tokens", 0),
        .latency_ms = dv_json_get_integer(row, "latency_ms", 0),
        .dollars = dv_json_get_number(row, "dollars", (double)NAN)};
    struct dv_error error = {0};

    enum dv_status status = dv_exchanges_put(asker->options.context->store, asker->job_id,
        asker->options.fence, &exchange, &error);
    if (must_wait(asker, status, &error)) {
        return;
    }
    if (status == DV_CONFLICT || status == DV_NOT_FOUND) {
        asker->is_refused = true;
        return;
    }
    if (status != DV_OK) { /* what is not kept is not used either */
        dv_job_log_say(asker->options.log, "warning", "an answer is lost: %s", error.text);
        question->row = dv_json_unref(question->row);
        answer_offline(question, "its answer could not be kept");
        question->state = STATE_KEPT;
        return;
    }
    say_outcome(asker, question);
    question->state = STATE_KEPT;
}

/* The worker gets the answer alone: what else was said is nothing to it. */
static void tell(struct dv_asker *asker, struct question *question)
{
    const struct dv_json *row = question->row;
    const struct dv_json *response = dv_json_get(row, "response");
    const struct dv_json *answer = dv_json_get(response, "answer");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = dv_json_object();
    DV_CLEANUP(dv_file_closep) int fd = -1;
    struct dv_error error = {0};
    const struct dv_message reply = {.type = DV_MESSAGE_REPLY,
        .reply = {.id = question->number,
            .outcome = dv_json_get_string(row, "outcome", "offline"),
            .reason = dv_json_get_string(row, "reason", NULL),
            .model = dv_json_get_string(row, "model", ""),
            .wait_ms = dv_json_get_integer(response, "wait_ms", -1),
            .prompt_tokens = dv_json_get_integer(row, "prompt_tokens", 0),
            .completion_tokens = dv_json_get_integer(row, "completion_tokens", 0),
            .dollars = dv_json_get_number(row, "dollars", 0.0),
            .latency_ms = dv_json_get_integer(row, "latency_ms", 0)}};

    dv_json_set(document, "answer", answer ? dv_json_ref(answer) : dv_json_null());
    dv_json_set_text(document, "mismatch", dv_json_get_string(response, "mismatch", NULL));
    DV_CLEANUP(dv_freep) char *text = dv_json_print(document);
    if (dv_memory_file_create("dv-reply", text, strlen(text), &fd, &error) == DV_OK) {
        asker->options.on_reply(asker->options.user, &reply, fd);
        drop(asker, question);
    } else { /* no memory for that now: it is tried again */
        dv_log(DV_LOG_WARNING, "%s", error.text);
    }
}

/* --- dv llm ----------------------------------------------------------------------------- */

/* What it has learned goes to the next one, of this job or another. */
static void keep_memory(struct dv_job_context *context, const struct dv_json *memory)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print(memory);

    if (dv_json_is_object(memory) && strlen(text) < MEMORY_SIZE_MAX) {
        dv_json_unref(context->llm_memory);
        context->llm_memory = dv_json_copy(memory);
    }
}

static struct dv_json *make_response(const struct dv_json *document, int64_t wait_ms)
{
    static const char *const members[] = {
        "answer", "mismatch", "rung", "is_prompt_cut", "exchanges"};
    struct dv_json *response = dv_json_object();

    for (size_t i = 0; i < DV_ARRAY_SIZE(members); i++) {
        const struct dv_json *value = dv_json_get(document, members[i]);
        dv_json_set(response, members[i], value ? dv_json_ref(value) : dv_json_null());
    }
    dv_json_set_integer(response, "wait_ms", wait_ms);
    DV_CLEANUP(dv_freep) char *text = dv_json_print(response);
    if (strlen(text) > RESPONSE_SIZE_MAX) {
        dv_json_set(response, "exchanges", dv_json_null());
    }
    return response;
}

static void take_reply(struct dv_asker *asker, const struct dv_message_reply *reply)
{
    struct question *question = find(asker, reply->id);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = NULL;
    struct dv_error error = {0};

    enum dv_status status =
        dv_talk_take_document(asker->talk, DV_MESSAGE_REPLY_SIZE_MAX, &document, &error);
    if (status != DV_OK || !question || question->state != STATE_ASKED) {
        dv_talk_stop(asker->talk, DV_IO,
            status != DV_OK ? error.text : "dv llm answers what nobody asked", 0);
        return;
    }
    struct dv_json *row = dv_json_object();
    dv_json_set_text(row, "outcome", reply->outcome);
    dv_json_set_text(row, "reason", reply->reason);
    dv_json_set_text(row, "model", reply->model);
    dv_json_set_integer(row, "prompt_tokens", reply->prompt_tokens);
    dv_json_set_integer(row, "completion_tokens", reply->completion_tokens);
    dv_json_set_number(row, "dollars", reply->dollars);
    dv_json_set_integer(row, "latency_ms", reply->latency_ms);
    dv_json_set(row, "response", make_response(document, reply->wait_ms));
    keep_memory(asker->options.context, dv_json_get(document, "memory"));
    question->row = row;
    question->state = STATE_ANSWERED;
}

static void on_message(void *user, const struct dv_message *message)
{
    struct dv_asker *asker = user;

    if (message->type == DV_MESSAGE_REPLY) {
        take_reply(asker, &message->reply);
    } else if (message->type == DV_MESSAGE_LOG) {
        dv_job_log_add(asker->options.log, message->log.level, "llm", message->log.text);
    }
}

static void on_line(void *user, const char *line)
{
    const struct dv_asker *asker = user;

    dv_job_log_add(asker->options.log, "warning", "llm", line);
}

static enum dv_status start(struct dv_asker *asker, struct dv_error *reterr)
{
    const struct dv_job_context *context = asker->options.context;
    const char *ca_file = dv_json_get_string(context->llm_settings, "ca_file", "");
    DV_CLEANUP(dv_json_unrefp) struct dv_json *options = dv_json_object();
    const struct dv_talk_options talk = {.role = "llm",
        .program = context->program,
        .user = asker,
        .on_message = on_message,
        .on_line = on_line};
    const struct dv_message_job job = {
        .kind = "ask", .source = ca_file[0] ? ca_file : NULL, .options = options};

    dv_json_set(options, "settings", dv_json_ref(context->llm_settings));
    dv_json_set(options, "memory",
        context->llm_memory ? dv_json_ref(context->llm_memory) : dv_json_null());
    asker->has_secret = false;
    return dv_talk_start(&talk, &job, &asker->talk, reterr);
}

/* An empty file where there is no key. */
static enum dv_status send_secret(struct dv_asker *asker, struct dv_error *reterr)
{
    const struct dv_message message = {.type = DV_MESSAGE_SECRET, .secret = {.name = "llm"}};
    int key_fd = asker->options.context->llm_key_fd;
    DV_CLEANUP(dv_file_closep) int none = -1;

    if (key_fd < 0) {
        enum dv_status status = dv_memory_file_create("dv-secret", "", 0, &none, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    return dv_talk_send(asker->talk, &message, key_fd < 0 ? none : key_fd, reterr);
}

static enum dv_status ask(
    struct dv_asker *asker, struct question *question, struct dv_error *reterr)
{
    const struct dv_message message = {
        .type = DV_MESSAGE_ASK, .ask = {.id = question->number, .purpose = question->purpose}};
    DV_CLEANUP(dv_file_closep) int fd = -1;

    enum dv_status status = dv_memory_file_create(
        "dv-question", question->request, strlen(question->request), &fd, reterr);
    if (status == DV_OK) {
        status = dv_talk_send(asker->talk, &message, fd, reterr);
    }
    if (status == DV_OK) {
        question->state = STATE_ASKED;
        question->since_ns = dv_clock_monotonic_ns();
    }
    return status;
}

/* It has died, or does not do what it is for. */
static void note_death(struct dv_asker *asker, const char *why)
{
    asker->deaths++;
    if (asker->deaths < DEATHS_MAX) {
        dv_job_log_say(asker->options.log, "warning", "%s; starting it again", why);
    } else {
        (void)dv_text_copy(asker->why, sizeof(asker->why), why);
        dv_job_log_say(asker->options.log, "warning",
            "%s; no language model is asked any more in this attempt", why);
    }
    for (size_t i = 0; i < asker->count; i++) {
        if (asker->questions[i].state == STATE_ASKED) {
            asker->questions[i].state = STATE_WAITING;
        }
    }
}

static void hear(struct dv_asker *asker)
{
    const struct question *asked = find_state(asker, STATE_ASKED);

    dv_talk_step(asker->talk);
    const struct dv_talk_verdict *verdict = dv_talk_verdict(asker->talk);
    if (verdict) {
        char why[sizeof(asker->why)];
        (void)dv_text_copy(
            why, sizeof(why), verdict->text[0] ? verdict->text : "dv llm ended by itself");
        asker->talk = dv_talk_destroy(asker->talk);
        note_death(asker, why);
    } else if (asked && asked->state == STATE_ASKED &&
               dv_clock_seconds_since(asked->since_ns) > (double)ANSWER_SECONDS_MAX) {
        dv_talk_stop(asker->talk, DV_TIMEOUT, "dv llm does not come to an end with a question", 0);
    }
}

/* Have the first question that waits asked, one at a time. */
static void speak(struct dv_asker *asker)
{
    struct question *question = find_state(asker, STATE_WAITING);
    struct dv_error error = {0};
    enum dv_status status = DV_OK;

    if (!question || find_state(asker, STATE_ASKED)) {
        return;
    }
    if (!asker->options.context->llm_settings || asker->why[0]) {
        answer_offline(question, asker->why[0] ? asker->why : "no endpoint is configured");
        return;
    }
    if (!asker->talk) {
        status = start(asker, &error);
    } else if (dv_talk_is_open(asker->talk)) {
        status = asker->has_secret ? DV_OK : send_secret(asker, &error);
        asker->has_secret = status == DV_OK;
        status = status == DV_OK ? ask(asker, question, &error) : status;
    }
    if (status != DV_OK && !asker->talk) {
        note_death(asker, error.text);
    } else if (status != DV_OK && status != DV_NOT_FOUND) { /* one that has gone: its end tells */
        dv_talk_stop(asker->talk, DV_IO, error.text, 0);
    }
}

/* --- Going on --------------------------------------------------------------------------- */

/* One step of the question; true: it is another state now, or gone. */
static bool move(struct dv_asker *asker, size_t index)
{
    struct question *question = &asker->questions[index];
    enum state before = question->state;
    size_t count = asker->count;

    if ((before == STATE_NEW || before == STATE_ANSWERED) &&
        !dv_gate_is_open(&asker->options.context->gate)) {
        return false;
    }
    if (before == STATE_NEW) {
        look_up(asker, question);
    } else if (before == STATE_ANSWERED) {
        keep(asker, question);
    } else if (before == STATE_KEPT) {
        tell(asker, question);
    }
    return asker->count < count || question->state != before;
}

void dv_asker_step(struct dv_asker *asker)
{
    bool has_moved = true;

    assert(asker);
    if (asker->talk) {
        hear(asker);
    }
    while (has_moved && !asker->is_refused) {
        has_moved = false;
        for (size_t i = 0; i < asker->count && !asker->is_refused; i++) {
            has_moved = move(asker, i) || has_moved;
        }
        if (!has_moved && find_state(asker, STATE_WAITING)) {
            speak(asker);
            has_moved = find_state(asker, STATE_ANSWERED) != NULL &&
                        dv_gate_is_open(&asker->options.context->gate);
        }
    }
}

int dv_asker_patience_ms(const struct dv_asker *asker)
{
    int patience_ms = -1;

    assert(asker);
    if (asker->is_refused) {
        return -1;
    }
    for (size_t i = 0; i < asker->count; i++) {
        enum state state = asker->questions[i].state;
        bool is_store = state == STATE_NEW || state == STATE_ANSWERED;
        int own_ms = is_store             ? dv_gate_patience_ms(&asker->options.context->gate)
                     : state == STATE_KEPT ? 1000
                     : state == STATE_ASKED ? 60000
                     : asker->talk          ? -1
                                            : 0;
        patience_ms = dv_errand_least_ms(patience_ms, own_ms);
    }
    return asker->talk ? dv_errand_least_ms(patience_ms, dv_talk_patience_ms(asker->talk))
                       : patience_ms;
}

bool dv_asker_is_busy(const struct dv_asker *asker)
{
    assert(asker);
    return asker->count > 0;
}

struct dv_talk *dv_asker_talk(const struct dv_asker *asker)
{
    assert(asker);
    return asker->talk;
}
