/* SPDX-License-Identifier: Apache-2.0 */

/* A job's way to its worker's end: waiting for room, training, and what its end means. */

#include "job/training_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "job/admission.h"
#include "job/asker.h"
#include "job/context.h"
#include "job/job_folder.h"
#include "job/job_log.h"
#include "job/replay.h"
#include "job/reporter.h"

#include <assert.h>
#include <stdio.h>

#define RETRY_FIRST_MS 1000u
#define RETRY_MAX_MS 30000u

/* --- The child -------------------------------------------------------------------------- */

/* A worker that says what cannot be is not to be trusted with the rest either. */
static void refuse(struct dv_training *training, const struct dv_error *error)
{
    char text[512];

    (void)snprintf(text, sizeof(text), "dv worker breaks the protocol: %.400s", error->text);
    dv_talk_stop(training->errand.talk, DV_IO, text, DV_TRAINING_STOP_GRACE_MS);
}

static void take_run(struct dv_training *training, const struct dv_message_run *message)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *run = NULL;
    struct dv_error error = {0};

    enum dv_status status = dv_talk_take_document(
        training->errand.talk, DV_MESSAGE_RUN_SIZE_MAX, &run, &error);
    if (status == DV_OK && (message->iteration < 1 || !dv_json_is_object(run) ||
                               dv_json_get_integer(run, "iteration", 0) != message->iteration)) {
        status = dv_fail(&error, DV_INVALID, "what came with a run is another's");
    }
    if (status == DV_OK) {
        status = dv_reporter_take_run(training->reporter, run, &error);
    }
    if (status != DV_OK) {
        refuse(training, &error);
        return;
    }
    bool has_ended = dv_text_equal(message->status, "completed") ||
                     dv_text_equal(message->status, "failed");
    training->run = has_ended ? 0 : message->iteration;
    training->has_epoch = false;
}

static void take_question(struct dv_training *training, const struct dv_message_ask *message)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *question = NULL;
    struct dv_error error = {0};

    enum dv_status status = dv_talk_take_document(
        training->errand.talk, DV_MESSAGE_ASK_SIZE_MAX, &question, &error);
    if (status == DV_OK) {
        status = dv_asker_take(training->asker, message, question, &error);
    }
    if (status != DV_OK) {
        refuse(training, &error);
    }
}

static void take_progress(
    struct dv_training *training, const struct dv_message_progress *progress)
{
    dv_reporter_take(training->reporter, progress);
    if (progress->is_epoch_end && progress->iteration == training->run) {
        training->has_epoch = true;
    }
}

/* From the asker. A worker that has gone, or another than the one that asked, asks anew. */
static void on_reply(void *user, const struct dv_message *reply, int document_fd)
{
    struct dv_training *training = user;
    struct dv_talk *talk = training->errand.talk;
    struct dv_error error = {0};

    if (!talk || !dv_talk_is_open(talk)) {
        return;
    }
    enum dv_status status = dv_talk_send(talk, reply, document_fd, &error);
    if (status != DV_OK && status != DV_NOT_FOUND) {
        dv_talk_stop(talk, status, error.text, DV_TRAINING_STOP_GRACE_MS);
    }
}

struct dv_asker *dv_training_create_asker(struct dv_training *training)
{
    const struct dv_asker_options options = {.context = training->errand.context,
        .job_id = training->errand.id,
        .fence = training->fence,
        .log = training->log,
        .user = training,
        .on_reply = on_reply};

    return dv_asker_create(&options);
}

static void on_message(void *user, const struct dv_message *message)
{
    struct dv_training *training = user;
    bool is_training = training->phase == DV_TRAINING_TRAIN;

    if (message->type == DV_MESSAGE_PROGRESS && is_training) {
        take_progress(training, &message->progress);
    } else if (message->type == DV_MESSAGE_RUN && is_training) {
        take_run(training, &message->run);
    } else if (message->type == DV_MESSAGE_ASK && is_training) {
        take_question(training, &message->ask);
    } else if (message->type == DV_MESSAGE_REPLY) {
        struct dv_error error = {0};
        (void)dv_fail(&error, DV_INVALID, "'reply' is not a worker's to say");
        refuse(training, &error);
    } else if (message->type == DV_MESSAGE_LOG) {
        dv_job_log_add(training->log, message->log.level, "worker", message->log.text);
    } else if (message->type == DV_MESSAGE_ACK) {
        for (size_t i = 0; i < dv_json_count(message->ack.not_applied); i++) {
            dv_job_log_say(training->log, "debug", "%s",
                dv_json_to_string(dv_json_at(message->ack.not_applied, i), ""));
        }
    }
}

static void on_line(void *user, const char *line)
{
    struct dv_training *training = user;

    dv_job_log_add(training->log, "warning", "output", line);
}

enum dv_status dv_training_start_worker(
    struct dv_training *training, const char *kind, struct dv_error *reterr)
{
    const struct dv_job_context *context = training->errand.context;
    const struct dv_job_folder *folder = training->folder;
    const char *previous = dv_json_get_string(training->row, "failure_reason", NULL);
    bool has_died = training->restarts > 0 || dv_json_count(training->run_restarts) > 0;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *more = dv_json_object();
    const struct dv_talk_options options = {.role = "worker",
        .program = context->program,
        .user = training,
        .on_message = on_message,
        .on_line = on_line};
    const struct dv_message_job job = {.kind = kind,
        .source = folder->job_file,
        .dataset_folder = folder->dataset,
        .job_folder = folder->work,
        .cache_folder = folder->plans,
        .previous_failure = has_died ? previous : NULL,
        .attempt = training->fence, /* restarts are counted anew when the job is resumed */
        .thread_count = dv_job_folder_thread_count(folder),
        .memory_max = context->memory_max,
        .options = more};

    /* Who has asked before may have answers in the store, wherever the endpoint is now. */
    dv_json_set_bool(more, "can_ask",
        context->llm_settings ||
            dv_text_equal(dv_json_get_string(training->row, "strategy", ""), "llm"));
    return dv_talk_start(&options, &job, &training->errand.talk, reterr);
}

bool dv_training_take_verdict(struct dv_training *training, struct dv_talk_verdict *ret_verdict)
{
    const struct dv_talk_verdict *verdict = dv_talk_verdict(training->errand.talk);

    if (!verdict) {
        return false;
    }
    *ret_verdict = *verdict;
    training->errand.talk = dv_talk_destroy(training->errand.talk);
    return true;
}

/* --- Wait ------------------------------------------------------------------------------- */

static void wait_a_while(struct dv_training *training, uint32_t ms)
{
    training->retry_ns = dv_clock_monotonic_ns() + (uint64_t)ms * 1000000u;
}

/* Plan it and ask for room. True: it may start. */
static bool is_admitted(struct dv_training *training)
{
    struct dv_job_plan plan;
    struct dv_admission_room room = {0};
    struct dv_error error = {0};

    enum dv_status status = dv_admission_plan(
        dv_json_get(training->row, "spec"), training->folder->dataset, &plan, &error);
    if (status == DV_OK) {
        training->errand.memory_bytes = 0;
        training->errand.disk_bytes = 0;
        training->find_room(training->user, &training->errand, &room);
        if (dv_path_exists(training->folder->pictures)) {
            plan.disk_bytes = 0; /* most of it is there already */
        }
        status = dv_admission_check(&plan, &room, &error);
    }
    if (status == DV_UNAVAILABLE) {
        if (!training->has_waited) {
            dv_job_log_say(training->log, "info", "waiting: %s", error.text);
        }
        training->has_waited = true;
        wait_a_while(training, RETRY_FIRST_MS);
    } else if (status != DV_OK) {
        dv_training_fail(training, dv_failure_reason_from_status(status), error.text);
    }
    training->errand.memory_bytes = status == DV_OK ? plan.memory_bytes : 0;
    training->errand.disk_bytes = status == DV_OK ? plan.disk_bytes : 0;
    return status == DV_OK;
}

/* No process could be started: this is the machine's trouble, and may pass. */
static void try_later(struct dv_training *training, const char *why)
{
    training->retry_ms = training->retry_ms == 0 ? RETRY_FIRST_MS : 2 * training->retry_ms;
    training->retry_ms = training->retry_ms > RETRY_MAX_MS ? RETRY_MAX_MS : training->retry_ms;
    dv_job_log_say(
        training->log, "warning", "%s; trying again in %u s", why, training->retry_ms / 1000u);
    wait_a_while(training, training->retry_ms);
}

static void start_training(struct dv_training *training)
{
    struct dv_error error = {0};

    enum dv_status status = dv_job_folder_prepare(
        training->folder, training->row, training->errand.context->thread_count, &error);
    if (status == DV_OK) {
        status = dv_replay_prepare(
            training->errand.context->store, training->folder, training->row, &error);
    }
    if (status == DV_UNAVAILABLE) {
        try_later(training, error.text);
        return;
    }
    if (status != DV_OK) {
        dv_training_fail(training, dv_failure_reason_from_status(status), error.text);
        return;
    }
    status = dv_training_start_worker(training, "train", &error);
    if (status != DV_OK) {
        try_later(training, error.text);
        return;
    }
    dv_job_log_say(training->log, "debug", "process %d works with %lld threads",
        (int)dv_talk_pid(training->errand.talk),
        (long long)dv_job_folder_thread_count(training->folder));
    training->watchdog =
        (struct dv_watchdog){.silence_seconds = training->errand.context->silence_seconds};
    dv_training_enter(training, DV_TRAINING_TRAIN);
}

void dv_training_wait(struct dv_training *training)
{
    if (!training->has_looked) {
        training->has_looked = dv_training_look_around(training);
        return; /* the phase may be another, or the store away */
    }
    if (training->is_cancelled) {
        dv_training_enter(training, DV_TRAINING_SALVAGE);
    } else if (training->is_shutdown) {
        dv_training_requeue(training, DV_FAILURE_HOST_RESTART, false);
    } else if (dv_clock_monotonic_ns() >= training->retry_ns && is_admitted(training)) {
        start_training(training);
    }
}

/* --- Train ------------------------------------------------------------------------------ */

double dv_training_seconds(const struct dv_training *training)
{
    return dv_job_folder_seconds(training->folder) + dv_clock_seconds_since(training->noted_ns);
}

/* What is not noted is given to the job as a present. */
static void note_seconds(struct dv_training *training)
{
    struct dv_error error = {0};

    if (training->timeout_seconds <= 0) {
        return;
    }
    if (dv_job_folder_set_seconds(training->folder, dv_training_seconds(training), &error) !=
        DV_OK) {
        dv_log(DV_LOG_WARNING, "%s", error.text);
    }
    training->noted_ns = dv_clock_monotonic_ns();
}

static void keep_time_limit(struct dv_training *training)
{
    char text[80];

    if (training->timeout_seconds <= 0) {
        return;
    }
    if (dv_training_seconds(training) > (double)training->timeout_seconds) {
        (void)snprintf(text, sizeof(text), "the time limit of %lld s has passed",
            (long long)training->timeout_seconds);
        dv_talk_stop(training->errand.talk, DV_TIMEOUT, text, DV_TRAINING_STOP_GRACE_MS);
    } else if (dv_clock_seconds_since(training->noted_ns) > DV_TRAINING_NOTE_SECONDS) {
        note_seconds(training);
    }
}

static void keep_watch(struct dv_training *training)
{
    struct dv_talk *talk = training->errand.talk;

    if (dv_asker_is_busy(training->asker)) { /* it may wait for us: its silence is no sign */
        training->watchdog.window_ns = 0;
        return;
    }
    switch (dv_watchdog_look(&training->watchdog, dv_talk_pid(talk), dv_talk_last_heard_ns(talk))) {
    case DV_WATCHDOG_SILENT:
        dv_job_log_say(training->log, "warning", "the worker has said nothing for %u s",
            training->watchdog.silence_seconds);
        break;
    case DV_WATCHDOG_STUCK:
        dv_talk_stop(talk, DV_TIMEOUT, "the worker says nothing and does nothing: it is stuck",
            DV_TRAINING_STOP_GRACE_MS);
        break;
    case DV_WATCHDOG_FINE:
        break;
    }
}

static int64_t count_restarts(const struct dv_training *training, int64_t iteration)
{
    for (size_t i = 0; i < dv_json_count(training->run_restarts); i++) {
        const struct dv_json *row = dv_json_at(training->run_restarts, i);
        if (dv_json_get_integer(row, "iteration", 0) == iteration) {
            return dv_json_get_integer(row, "restarts", 0);
        }
    }
    return 0;
}

/* It died of a candidate: what is charged for it is the candidate, whose worker knows when to give it up. */
static void decide_run(struct dv_training *training, const struct dv_talk_verdict *verdict)
{
    int64_t before = training->has_epoch ? 0 : count_restarts(training, training->run);
    char text[512];

    if (before + 1 >= DV_TRAINING_RUN_RESTARTS_MAX) {
        (void)snprintf(text, sizeof(text), "%.400s; candidate %lld has ended %lld workers in a row",
            verdict->text, (long long)training->run, (long long)before + 1);
        dv_training_fail(training, verdict->reason, text);
        return;
    }
    dv_job_log_say(training->log, "warning",
        "%s, at candidate %lld; starting it again from its last checkpoint", verdict->text,
        (long long)training->run);
    training->ending.run = training->run;
    training->ending.run_restarts = before + 1;
    dv_training_requeue(training, verdict->reason, false);
}

/* The worker has ended without a result of its own accord: whether to start it again. */
static void decide(struct dv_training *training, const struct dv_talk_verdict *verdict)
{
    if (!verdict->has_died) {
        dv_training_fail(training, verdict->reason, verdict->text);
    } else if (training->run > 0) {
        decide_run(training, verdict);
    } else if (training->restarts >= training->restarts_max) {
        char text[512];
        (void)snprintf(text, sizeof(text), "%.400s; it was started again %lld times", verdict->text,
            (long long)training->restarts);
        dv_training_fail(training, verdict->reason, training->restarts > 0 ? text : verdict->text);
    } else {
        dv_job_log_say(training->log, "warning",
            "%s; starting it again from its last checkpoint (%lld of %lld)", verdict->text,
            (long long)training->restarts + 1, (long long)training->restarts_max);
        dv_training_requeue(training, verdict->reason, true);
    }
}

void dv_training_train(struct dv_training *training)
{
    struct dv_talk_verdict verdict;

    if (!dv_training_take_verdict(training, &verdict)) {
        keep_watch(training);
        keep_time_limit(training);
        return;
    }
    note_seconds(training);
    if (training->is_lost) {
        training->errand.is_over = true;
    } else if (verdict.status == DV_OK) {
        dv_training_enter(training, DV_TRAINING_PUBLISH);
    } else if (training->is_cancelled) {
        dv_training_enter(training, DV_TRAINING_SALVAGE);
    } else if (training->is_shutdown) {
        dv_training_requeue(training, DV_FAILURE_HOST_RESTART, false);
    } else {
        decide(training, &verdict);
    }
}
