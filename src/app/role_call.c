/* SPDX-License-Identifier: Apache-2.0 */
#include "app/role_call.h"

#include "app/command.h"
#include "app/session.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>

#define STOP_GRACE_MS 4000 /* cancelling is bounded by 5 s */
#define END_TIMEOUT_MS 30000

struct conversation {
    struct dv_session *session;
    const struct dv_role_call *call;
    struct dv_child *child;
    struct dv_role_outcome outcome;
    bool has_result;
    bool has_failed;
    struct dv_error failure; /* what its failure message said */
};

static void say_line(void *user, const char *line)
{
    dv_session_say(user, "warning", line);
}

static void take_message(struct conversation *talk, const struct dv_message *message)
{
    const struct dv_role_call *call = talk->call;

    switch (message->type) {
    case DV_MESSAGE_PROGRESS:
        if (call->on_progress) {
            call->on_progress(call->user, &message->progress);
        }
        break;
    case DV_MESSAGE_FINDINGS:
        if (call->on_findings) {
            call->on_findings(call->user, message->findings.counts);
        }
        break;
    case DV_MESSAGE_LOG:
        dv_session_say(talk->session, message->log.level, message->log.text);
        break;
    case DV_MESSAGE_RESULT:
        talk->has_result = true;
        break;
    case DV_MESSAGE_FAILURE:
        talk->has_failed = true;
        (void)dv_fail(&talk->failure, dv_status_from_name(message->failure.status), "%s",
            message->failure.text);
        if (!dv_failure_reason_from_name(message->failure.reason, &talk->outcome.reason)) {
            talk->outcome.reason = DV_FAILURE_ERROR;
        }
        break;
    default: /* nothing else is said after the ack */
        break;
    }
}

static int ms_until(uint64_t deadline_ns)
{
    uint64_t now_ns = dv_clock_monotonic_ns();

    if (deadline_ns == 0) {
        return -1;
    }
    uint64_t left_ms = now_ns < deadline_ns ? (deadline_ns - now_ns) / 1000000u + 1 : 0;
    return left_ms > 1000000u ? 1000000 : (int)left_ms;
}

/* Until the channel closes. DV_OK also when it broke: the exit status then says why. */
static enum dv_status listen_to(struct conversation *talk, struct dv_error *reterr)
{
    for (;;) {
        struct dv_message message;
        enum dv_status status =
            dv_child_receive(talk->child, ms_until(talk->call->deadline_ns), &message, reterr);
        if (status == DV_NOT_FOUND || status == DV_CORRUPT) {
            return DV_OK;
        }
        if (status == DV_TIMEOUT && ms_until(talk->call->deadline_ns) > 0) {
            continue;
        }
        if (status != DV_OK) {
            return status;
        }
        take_message(talk, &message);
        dv_message_finish(&message);
    }
}

static enum dv_status shake_hands(struct conversation *talk, struct dv_error *reterr)
{
    struct dv_message job = {.type = DV_MESSAGE_JOB, .job = talk->call->job};
    struct dv_message ack = {0};
    struct dv_error error = {0};

    enum dv_status status = dv_child_handshake(talk->child, &job, &ack, &error);
    if (status == DV_NOT_FOUND) {
        /* A path that is not there, or a child that died: its end tells which. */
        struct dv_child_exit end;
        if (dv_child_wait(talk->child, END_TIMEOUT_MS, &end, NULL) == DV_OK &&
            (end.is_signal || end.code != DV_EXIT_FAILED)) {
            return DV_OK;
        }
    }
    if (status != DV_OK) {
        return dv_fail(reterr, status, "%s", error.text);
    }
    for (size_t i = 0; i < dv_json_count(ack.ack.not_applied); i++) {
        dv_session_say(
            talk->session, "debug", dv_json_to_string(dv_json_at(ack.ack.not_applied, i), ""));
    }
    dv_message_finish(&ack);
    return DV_OK;
}

/* From the handshake until the channel closes. */
static enum dv_status talk_to(struct conversation *talk, struct dv_error *reterr)
{
    const struct dv_role_call *call = talk->call;

    enum dv_status status = shake_hands(talk, reterr);
    if (status == DV_OK && call->converse) {
        status = call->converse(call->user, talk->child, reterr);
        status = status == DV_NOT_FOUND || status == DV_CORRUPT ? DV_OK : status;
    }
    return status == DV_OK ? listen_to(talk, reterr) : status;
}

/* The conversation is over, the child has ended: what has become of it? */
static enum dv_status judge(struct conversation *talk, struct dv_error *reterr)
{
    const struct dv_child_exit *end = &talk->outcome.end;
    char text[80];

    if (talk->has_failed) {
        return dv_fail(reterr, talk->failure.status, "%s", talk->failure.text);
    }
    if (talk->has_result && !end->is_signal && end->code == 0) {
        return DV_OK;
    }
    talk->outcome.reason = end->reason;
    talk->outcome.has_died = end->is_signal;
    dv_child_exit_text(end, text);
    return dv_fail(reterr, end->reason == DV_FAILURE_OOM ? DV_NOMEM : DV_IO, "dv %s %s",
        talk->call->role, text);
}

enum dv_status dv_role_call(struct dv_session *session, const struct dv_role_call *call,
    struct dv_role_outcome *ret_outcome, struct dv_error *reterr)
{
    struct conversation talk = {.session = session, .call = call};
    const struct dv_child_options options = {.role = call->role,
        .interrupt_fd = session->interrupt_fd,
        .user = session,
        .on_line = say_line};

    assert(ret_outcome);
    *ret_outcome = (struct dv_role_outcome){.reason = DV_FAILURE_ERROR};
    enum dv_status status = dv_child_start(&options, &talk.child, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = talk_to(&talk, reterr);
    if (status != DV_OK) {
        talk.outcome.reason = dv_failure_reason_from_status(status);
    } else {
        status = dv_child_wait(talk.child, END_TIMEOUT_MS, &talk.outcome.end, reterr);
        status = status == DV_OK ? judge(&talk, reterr) : status;
    }
    if (status != DV_OK) {
        /* One that has ended stays so. */
        dv_child_stop(talk.child, STOP_GRACE_MS, &talk.outcome.end);
    }
    talk.child = dv_child_destroy(talk.child);
    *ret_outcome = talk.outcome;
    return status;
}
