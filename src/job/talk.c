/* SPDX-License-Identifier: Apache-2.0 */

/* Read from dv_talk_step(): hear() what was said, keep the deadlines, and judge() the end. */

#include "job/talk.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_file.h"
#include "base/text.h"
#include "spec/limits.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define HELLO_TIMEOUT_S 30
#define ACK_TIMEOUT_S 60 /* the role locks itself in, and waits for one that is still dying */
#define END_TIMEOUT_S 30 /* from closing its channel, or its last word, to its end */
#define BREAK_GRACE_MS 1000
#define MESSAGES_MAX 64 /* taken in one step, so that one that floods us does not hold us up */

enum phase {
    PHASE_HELLO,  /* started; it is to say who it is */
    PHASE_ACK,    /* has the job; is to acknowledge it */
    PHASE_REPORT, /* at work */
    PHASE_END,    /* has said its last, or closed its channel: is to end */
    PHASE_OVER,
};

struct dv_talk {
    struct dv_talk_options options;
    struct dv_child *child;
    char *job_line; /* the encoded job, until it is sent */
    enum phase phase;
    uint64_t deadline_ns; /* of the phase; 0: none */
    uint64_t last_heard_ns;
    int document_fd; /* of the message that is being passed on; -1: it has none */
    bool is_stopped; /* by us */
    bool is_overdue; /* and that because it let a deadline pass */
    bool has_result;
    bool has_failed;       /* it said so itself */
    struct dv_error why;   /* of our stopping it */
    struct dv_error error; /* what its failure message said */
    enum dv_failure_reason reason;
    struct dv_talk_verdict verdict;
};

static void enter(struct dv_talk *talk, enum phase phase, unsigned timeout_s)
{
    talk->phase = phase;
    talk->deadline_ns =
        timeout_s > 0 ? dv_clock_monotonic_ns() + (uint64_t)timeout_s * 1000000000u : 0;
}

/* --- Start ------------------------------------------------------------------------------ */

static void take_line(void *user, const char *line)
{
    struct dv_talk *talk = user;

    talk->last_heard_ns = dv_clock_monotonic_ns();
    if (talk->options.on_line) {
        talk->options.on_line(talk->options.user, line);
    }
}

enum dv_status dv_talk_start(const struct dv_talk_options *options,
    const struct dv_message_job *job, struct dv_talk **ret_talk, struct dv_error *reterr)
{
    assert(options);
    assert(options->role);
    assert(ret_talk);

    struct dv_talk *talk = dv_alloc(sizeof(*talk));
    const struct dv_message message = {.type = DV_MESSAGE_JOB, .job = *job};
    const struct dv_child_options child = {
        .role = options->role, .program = options->program, .user = talk, .on_line = take_line};
    talk->options = *options;
    talk->document_fd = -1;
    talk->job_line = dv_message_encode(&message);
    talk->last_heard_ns = dv_clock_monotonic_ns();
    if (strlen(talk->job_line) >= DV_MESSAGE_SIZE_MAX) {
        talk = dv_talk_destroy(talk);
        return dv_fail(reterr, DV_TOO_LARGE, "the job does not fit into a message");
    }
    enum dv_status status = dv_child_start(&child, &talk->child, reterr);
    if (status != DV_OK) {
        talk = dv_talk_destroy(talk);
        return status;
    }
    enter(talk, PHASE_HELLO, HELLO_TIMEOUT_S);
    *ret_talk = talk;
    return DV_OK;
}

struct dv_talk *dv_talk_destroy(struct dv_talk *talk)
{
    if (!talk) {
        return NULL;
    }
    talk->child = dv_child_destroy(talk->child);
    dv_free(talk->job_line);
    return dv_free(talk);
}

/* --- Stopping --------------------------------------------------------------------------- */

static void stop(struct dv_talk *talk, enum dv_status why, enum dv_failure_reason reason,
    const char *text, int grace_ms)
{
    if (talk->is_stopped || talk->phase == PHASE_OVER) {
        return;
    }
    talk->is_stopped = true;
    talk->reason = reason;
    (void)dv_fail(&talk->why, why, "%s", text);
    dv_child_begin_stop(talk->child, grace_ms);
}

void dv_talk_stop(struct dv_talk *talk, enum dv_status why, const char *text, int grace_ms)
{
    assert(talk);
    assert(why != DV_OK);
    stop(talk, why, dv_failure_reason_from_status(why), text, grace_ms);
}

/* It does not keep to the protocol: what it says from now on is not believed. */
static void break_off(struct dv_talk *talk, const char *text)
{
    char line[512];

    (void)snprintf(
        line, sizeof(line), "dv %s breaks the protocol: %.400s", talk->options.role, text);
    stop(talk, DV_IO, DV_FAILURE_ERROR, line, BREAK_GRACE_MS);
    talk->has_result = false;
    enter(talk, PHASE_END, 0);
}

/* --- Hearing ---------------------------------------------------------------------------- */

static void answer_hello(struct dv_talk *talk, const struct dv_message_hello *hello)
{
    struct dv_error error = {0};
    char text[160];

    if (!dv_text_equal(hello->version, DV_VERSION) ||
        !dv_text_equal(hello->role, talk->options.role)) {
        (void)snprintf(text, sizeof(text), "it is dv %.40s %.40s, not dv %.40s " DV_VERSION,
            hello->role, hello->version, talk->options.role);
        break_off(talk, text);
        return;
    }
    enum dv_status status = dv_child_send_line(talk->child, talk->job_line, -1, &error);
    talk->job_line = dv_free(talk->job_line);
    if (status != DV_OK && status != DV_NOT_FOUND) { /* one that has gone: its end tells why */
        break_off(talk, error.text);
        return;
    }
    enter(talk, PHASE_ACK, ACK_TIMEOUT_S);
}

static void take_failure(struct dv_talk *talk, const struct dv_message_failure *failure)
{
    enum dv_failure_reason reason = DV_FAILURE_ERROR;

    talk->has_failed = true;
    (void)dv_fail(&talk->error, dv_status_from_name(failure->status), "%s", failure->text);
    (void)!dv_failure_reason_from_name(failure->reason, &reason); /* else it is an error */
    if (!talk->is_stopped) {
        talk->reason = reason;
    }
    enter(talk, PHASE_END, END_TIMEOUT_S);
}

/* Which phase a message belongs to; what comes at another time breaks the protocol. */
static bool is_in_order(enum phase phase, enum dv_message_type type)
{
    switch (type) {
    case DV_MESSAGE_HELLO:
        return phase == PHASE_HELLO;
    case DV_MESSAGE_ACK:
        return phase == PHASE_ACK;
    case DV_MESSAGE_FAILURE:
        return phase < PHASE_END;
    case DV_MESSAGE_PROGRESS:
    case DV_MESSAGE_LOG:
    case DV_MESSAGE_FINDINGS:
    case DV_MESSAGE_RUN:
    case DV_MESSAGE_ASK:
    case DV_MESSAGE_REPLY:
    case DV_MESSAGE_RESULT:
        return phase == PHASE_REPORT;
    default:
        return false;
    }
}

/* What rides along comes with its line: what of it was not taken would be the next one's. */
static bool has_document(enum dv_message_type type)
{
    return type == DV_MESSAGE_RUN || type == DV_MESSAGE_ASK || type == DV_MESSAGE_REPLY;
}

static void pass_on(struct dv_talk *talk, const struct dv_message *message)
{
    DV_CLEANUP(dv_file_closep)
    int document_fd = has_document(message->type) ? dv_child_take_fd(talk->child) : -1;

    talk->document_fd = document_fd;
    if (talk->options.on_message) {
        talk->options.on_message(talk->options.user, message);
    }
    talk->document_fd = -1;
}

static void hear(struct dv_talk *talk, const struct dv_message *message)
{
    char text[80];

    talk->last_heard_ns = dv_clock_monotonic_ns();
    if (!is_in_order(talk->phase, message->type)) {
        (void)snprintf(text, sizeof(text), "'%s' comes at the wrong time",
            dv_message_type_name(message->type));
        break_off(talk, text);
        return;
    }
    if (message->type == DV_MESSAGE_HELLO) {
        answer_hello(talk, &message->hello);
        return;
    }
    if (message->type == DV_MESSAGE_FAILURE) {
        take_failure(talk, &message->failure);
        return;
    }
    if (message->type == DV_MESSAGE_ACK) {
        enter(talk, PHASE_REPORT, 0);
    } else if (message->type == DV_MESSAGE_RESULT) {
        talk->has_result = true;
        enter(talk, PHASE_END, END_TIMEOUT_S);
    }
    pass_on(talk, message);
}

/* False: there may be more. */
static bool hear_all(struct dv_talk *talk)
{
    for (int i = 0; i < MESSAGES_MAX; i++) {
        struct dv_message message;
        struct dv_error error = {0};
        enum dv_status status = dv_child_next(talk->child, &message, &error);
        if (status == DV_TIMEOUT) {
            return true;
        }
        if (status == DV_NOT_FOUND || status == DV_CORRUPT) { /* cut within a line: it died so */
            if (talk->phase < PHASE_END) {
                enter(talk, PHASE_END, END_TIMEOUT_S);
            }
            return true;
        }
        if (status != DV_OK) {
            break_off(talk, error.text);
            return status != DV_INVALID; /* after anything else the channel is of no use */
        }
        hear(talk, &message);
        dv_message_finish(&message);
    }
    return false;
}

/* --- The end ---------------------------------------------------------------------------- */

static void keep_deadline(struct dv_talk *talk)
{
    static const char *const missing[] = {[PHASE_HELLO] = "did not say hello",
        [PHASE_ACK] = "did not acknowledge its job",
        [PHASE_REPORT] = "",
        [PHASE_END] = "did not end after its last word"};
    char text[120];

    if (talk->deadline_ns == 0 || dv_clock_monotonic_ns() < talk->deadline_ns) {
        return;
    }
    (void)snprintf(
        text, sizeof(text), "dv %.40s %s in time", talk->options.role, missing[talk->phase]);
    talk->deadline_ns = 0;
    talk->is_overdue = !talk->is_stopped;
    stop(talk, DV_TIMEOUT, DV_FAILURE_ERROR, text, BREAK_GRACE_MS);
}

static void say_how_it_ended(struct dv_talk *talk, const struct dv_child_exit *end)
{
    struct dv_talk_verdict *verdict = &talk->verdict;
    char text[80];

    dv_child_exit_text(end, text);
    verdict->reason = end->reason;
    verdict->status = end->reason == DV_FAILURE_OOM ? DV_NOMEM : DV_IO;
    (void)snprintf(verdict->text, sizeof(verdict->text), "dv %s %s%s", talk->options.role, text,
        !end->is_signal && end->code == 0 ? " without a result" : "");
}

/* Its exit status is the truth; what it said explains it. */
static void judge(struct dv_talk *talk, const struct dv_child_exit *end)
{
    struct dv_talk_verdict *verdict = &talk->verdict;
    bool is_good_end = !end->is_signal && end->code == 0;

    if (talk->has_result && is_good_end) {
        verdict->status = DV_OK;
    } else if (talk->is_stopped) {
        verdict->status = talk->why.status;
        verdict->reason = talk->reason;
        verdict->has_died = talk->is_overdue;
        (void)dv_text_copy(verdict->text, sizeof(verdict->text), talk->why.text);
    } else if (talk->has_failed) {
        verdict->status = talk->error.status;
        verdict->reason = talk->reason;
        verdict->has_died = talk->reason == DV_FAILURE_OOM;
        (void)dv_text_copy(verdict->text, sizeof(verdict->text), talk->error.text);
    } else {
        say_how_it_ended(talk, end);
        verdict->has_died = end->is_signal || end->reason == DV_FAILURE_OOM;
    }
    enter(talk, PHASE_OVER, 0);
}

void dv_talk_step(struct dv_talk *talk)
{
    assert(talk);
    if (talk->phase == PHASE_OVER) {
        return;
    }
    dv_child_attend(talk->child);
    /* Asked first: what it said before its end is heard before it is judged. */
    const struct dv_child_exit *end = dv_child_end(talk->child);
    bool is_heard = hear_all(talk);
    if (end && is_heard) {
        judge(talk, end);
    } else if (!end) {
        keep_deadline(talk);
    }
}

/* --- Speaking --------------------------------------------------------------------------- */

bool dv_talk_is_open(const struct dv_talk *talk)
{
    assert(talk);
    return talk->phase == PHASE_REPORT && !talk->is_stopped;
}

enum dv_status dv_talk_send(struct dv_talk *talk, const struct dv_message *message, int passed_fd,
    struct dv_error *reterr)
{
    assert(talk);
    DV_CLEANUP(dv_freep) char *line = dv_message_encode(message);
    return dv_child_send_line(talk->child, line, passed_fd, reterr);
}

enum dv_status dv_talk_take_document(struct dv_talk *talk, size_t size_max,
    struct dv_json **ret_document, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    size_t size;

    assert(talk);
    assert(ret_document);
    enum dv_status status =
        dv_memory_file_read(talk->document_fd, size_max, &text, &size, reterr);
    return status == DV_OK ? dv_json_parse(text, size, ret_document, reterr) : status;
}

/* --- Queries ---------------------------------------------------------------------------- */

void dv_talk_watch(const struct dv_talk *talk, struct pollfd ret_fds[static DV_TALK_POLL_COUNT])
{
    assert(talk);
    dv_child_watch(talk->child, ret_fds);
}

int dv_talk_patience_ms(const struct dv_talk *talk)
{
    assert(talk);

    int patience_ms = dv_child_patience_ms(talk->child);
    uint64_t now_ns = dv_clock_monotonic_ns();
    if (talk->phase == PHASE_OVER || (talk->deadline_ns > 0 && talk->deadline_ns <= now_ns)) {
        return 0;
    }
    if (talk->deadline_ns > 0) {
        int left_ms = (int)((talk->deadline_ns - now_ns) / 1000000u) + 1;
        patience_ms = patience_ms < 0 || left_ms < patience_ms ? left_ms : patience_ms;
    }
    return patience_ms;
}

const struct dv_talk_verdict *dv_talk_verdict(const struct dv_talk *talk)
{
    assert(talk);
    return talk->phase == PHASE_OVER ? &talk->verdict : NULL;
}

uint64_t dv_talk_last_heard_ns(const struct dv_talk *talk)
{
    assert(talk);
    return talk->last_heard_ns;
}

pid_t dv_talk_pid(const struct dv_talk *talk)
{
    assert(talk);
    return dv_child_pid(talk->child);
}
