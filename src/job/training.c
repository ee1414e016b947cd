/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from step(), which calls the function of the phase until that changes no more; the phases
 * are in the order of the head comment of training.h.
 */

#include "job/training.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "job/admission.h"
#include "job/context.h"
#include "job/ending.h"
#include "job/errand.h"
#include "job/job_folder.h"
#include "job/job_log.h"
#include "job/publication.h"
#include "job/reporter.h"
#include "job/sweeper.h"
#include "job/watchdog.h"
#include "store/models.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define STOP_GRACE_MS 3500 /* a cancelled job has ended within 5 s, its partial model included */
#define SALVAGE_SECONDS 20.0
#define SALVAGE_SECONDS_SHUTDOWN 3.0
#define NOTE_SECONDS 15.0 /* how often the time used is noted */
#define LOST_GRACE_MS 500
#define RETRY_FIRST_MS 1000u
#define RETRY_MAX_MS 30000u
#define RESULT_SIZE_MAX (64u << 20)

enum phase { PHASE_WAIT, PHASE_TRAIN, PHASE_SALVAGE, PHASE_PUBLISH, PHASE_END };

struct training {
    struct dv_errand errand;
    struct dv_json *row; /* as it was when it was claimed */
    int64_t fence, restarts, restarts_max, timeout_seconds;
    dv_training_room_fn find_room;
    void *user;
    struct dv_job_folder *folder; /* NULL: the row is damaged */
    struct dv_job_log *log;
    struct dv_reporter *reporter;
    struct dv_watchdog watchdog;

    enum phase phase;
    uint64_t phase_ns; /* when it was entered */
    uint64_t noted_ns; /* when the time used was noted last */
    uint64_t retry_ns; /* PHASE_WAIT: not before */
    uint32_t retry_ms;
    bool has_looked; /* for a result of an earlier server's */
    bool has_waited; /* and that was said */
    bool is_partial; /* what is being published */
    bool is_cancelled, is_shutdown;
    bool is_lost; /* the job is another's by now: nothing more is written */
    struct dv_publication publication;
    struct dv_ending ending;
};

static struct training *training_of(const struct dv_errand *errand)
{
    return (struct training *)errand; /* it is the first member */
}

static void enter(struct training *training, enum phase phase)
{
    training->phase = phase;
    training->phase_ns = dv_clock_monotonic_ns();
    training->noted_ns = training->phase_ns;
}

/* --- How it may end --------------------------------------------------------------------- */

static void end(struct training *training, enum dv_ending_kind kind)
{
    training->ending.kind = kind;
    enter(training, PHASE_END);
}

static void fail(struct training *training, enum dv_failure_reason reason, const char *text)
{
    struct dv_ending *ending = &training->ending;

    ending->reason = reason;
    (void)dv_text_copy(ending->text, sizeof(ending->text), text);
    dv_job_log_say(training->log, "error", "failed (%s): %s", dv_failure_reason_name(reason), text);
    end(training, DV_ENDING_FAILED);
}

static void requeue(struct training *training, enum dv_failure_reason reason, bool is_charged)
{
    training->ending.reason = reason;
    training->ending.is_charged = is_charged;
    end(training, DV_ENDING_REQUEUED);
}

static void lose(struct training *training)
{
    if (training->is_lost) {
        return;
    }
    training->is_lost = true;
    dv_log(
        DV_LOG_WARNING, "job %s is another's by now: its worker is stopped", training->errand.id);
    if (training->errand.talk) {
        dv_talk_stop(
            training->errand.talk, DV_CONFLICT, "the job is another's by now", LOST_GRACE_MS);
    } else {
        training->errand.is_over = true;
    }
}

/* The child's verdict, if it has one; it is let go then. */
static bool take_verdict(struct training *training, struct dv_talk_verdict *ret_verdict)
{
    const struct dv_talk_verdict *verdict = dv_talk_verdict(training->errand.talk);

    if (!verdict) {
        return false;
    }
    *ret_verdict = *verdict;
    training->errand.talk = dv_talk_destroy(training->errand.talk);
    return true;
}

/* --- The child -------------------------------------------------------------------------- */

static void on_message(void *user, const struct dv_message *message)
{
    struct training *training = user;

    if (message->type == DV_MESSAGE_PROGRESS && training->phase == PHASE_TRAIN) {
        dv_reporter_take(training->reporter, &message->progress);
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
    struct training *training = user;

    dv_job_log_add(training->log, "warning", "output", line);
}

static enum dv_status start_worker(
    struct training *training, const char *kind, struct dv_error *reterr)
{
    const struct dv_job_context *context = training->errand.context;
    const struct dv_job_folder *folder = training->folder;
    const char *previous = dv_json_get_string(training->row, "failure_reason", NULL);
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
        .previous_failure = training->restarts > 0 ? previous : NULL,
        .attempt = training->restarts,
        .thread_count = dv_job_folder_thread_count(folder),
        .memory_max = context->memory_max};

    return dv_talk_start(&options, &job, &training->errand.talk, reterr);
}

/* --- Wait ------------------------------------------------------------------------------- */

/* Has the model a version of this number, and which number comes next? */
static enum dv_status find_version(struct training *training, int64_t version, bool *ret_is_there,
    int64_t *ret_next, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *model = NULL;
    struct dv_job_context *context = training->errand.context;
    int64_t highest = 0;
    bool is_there = false;

    if (!dv_gate_is_open(&context->gate)) {
        return dv_fail(reterr, DV_UNAVAILABLE, "the database is away");
    }
    enum dv_status status = dv_models_get(
        context->store, dv_json_get_string(training->row, "model_id", ""), &model, reterr);
    if (dv_gate_must_wait(&context->gate, status, reterr)) {
        return DV_UNAVAILABLE;
    }
    const struct dv_json *versions = dv_json_get(model, "versions");
    for (size_t i = 0; i < dv_json_count(versions); i++) {
        int64_t number = dv_json_get_integer(dv_json_at(versions, i), "version", 0);
        highest = number > highest ? number : highest;
        is_there = is_there || number == version;
    }
    *ret_is_there = is_there;
    *ret_next = highest + 1;
    return status;
}

static void drop_publication(struct training *training)
{
    struct dv_error error = {0};

    dv_publication_finish(&training->publication);
    if (dv_publication_forget(training->folder->path, &error) != DV_OK) {
        dv_job_log_say(training->log, "warning", "%s", error.text);
    }
}

/*
 * A partial model was being published when a server died. If its row was written, the note alone
 * is left over. If not, and nobody wants the job's end any more, the model is no one's.
 */
static bool is_stale(struct training *training, bool *ret_must_wait)
{
    bool is_there = false;
    int64_t next;
    struct dv_error error = {0};

    enum dv_status status =
        find_version(training, training->publication.version, &is_there, &next, &error);
    *ret_must_wait = status == DV_UNAVAILABLE;
    if (*ret_must_wait || (training->is_cancelled && !is_there)) {
        return false;
    }
    if (!is_there) {
        status =
            dv_sweeper_hide(training->errand.context->sweeper, training->publication.place, &error);
        if (status != DV_OK) {
            dv_job_log_say(training->log, "warning", "%s", error.text);
        }
    }
    return true;
}

/* What an earlier server had come to is not done again. False: ask again later. */
static bool take_up(struct training *training)
{
    const struct dv_job_folder *folder = training->folder;
    struct dv_error error = {0};
    bool must_wait = false;

    enum dv_status status =
        dv_publication_find(folder->path, folder->model_folder, &training->publication, &error);
    if (status == DV_OK && training->publication.is_partial && is_stale(training, &must_wait)) {
        drop_publication(training);
        status = DV_NOT_FOUND;
    }
    if (must_wait) {
        dv_publication_finish(&training->publication);
        return false;
    }
    if (status == DV_CORRUPT) {
        dv_job_log_say(training->log, "warning", "%s: it is made again", error.text);
        drop_publication(training);
    }
    if (status == DV_OK || dv_path_exists(folder->result)) {
        training->is_partial = status == DV_OK && training->publication.is_partial;
        dv_job_log_say(training->log, "info", "the training was done before the restart");
        enter(training, PHASE_PUBLISH);
    }
    return true;
}

static void wait_a_while(struct training *training, uint32_t ms)
{
    training->retry_ns = dv_clock_monotonic_ns() + (uint64_t)ms * 1000000u;
}

/* Plan it and ask for room. True: it may start. */
static bool is_admitted(struct training *training)
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
        fail(training, dv_failure_reason_from_status(status), error.text);
    }
    training->errand.memory_bytes = status == DV_OK ? plan.memory_bytes : 0;
    training->errand.disk_bytes = status == DV_OK ? plan.disk_bytes : 0;
    return status == DV_OK;
}

/* No process could be started: this is the machine's trouble, and may pass. */
static void try_later(struct training *training, const char *why)
{
    training->retry_ms = training->retry_ms == 0 ? RETRY_FIRST_MS : 2 * training->retry_ms;
    training->retry_ms = training->retry_ms > RETRY_MAX_MS ? RETRY_MAX_MS : training->retry_ms;
    dv_job_log_say(
        training->log, "warning", "%s; trying again in %u s", why, training->retry_ms / 1000u);
    wait_a_while(training, training->retry_ms);
}

static void start_training(struct training *training)
{
    struct dv_error error = {0};

    enum dv_status status = dv_job_folder_prepare(
        training->folder, training->row, training->errand.context->thread_count, &error);
    if (status != DV_OK) {
        fail(training, dv_failure_reason_from_status(status), error.text);
        return;
    }
    status = start_worker(training, "train", &error);
    if (status != DV_OK) {
        try_later(training, error.text);
        return;
    }
    dv_job_log_say(training->log, "debug", "process %d works with %lld threads",
        (int)dv_talk_pid(training->errand.talk),
        (long long)dv_job_folder_thread_count(training->folder));
    training->watchdog =
        (struct dv_watchdog){.silence_seconds = training->errand.context->silence_seconds};
    enter(training, PHASE_TRAIN);
}

static void do_wait(struct training *training)
{
    if (!training->has_looked) {
        training->has_looked = take_up(training);
        return; /* the phase may be another, or the store away */
    }
    if (training->is_cancelled) {
        enter(training, PHASE_SALVAGE);
    } else if (training->is_shutdown) {
        requeue(training, DV_FAILURE_HOST_RESTART, false);
    } else if (dv_clock_monotonic_ns() >= training->retry_ns && is_admitted(training)) {
        start_training(training);
    }
}

/* --- Train ------------------------------------------------------------------------------ */

static double seconds_used(const struct training *training)
{
    return dv_job_folder_seconds(training->folder) + dv_clock_seconds_since(training->noted_ns);
}

/* What is not noted is given to the job as a present. */
static void note_seconds(struct training *training)
{
    struct dv_error error = {0};

    if (training->timeout_seconds <= 0) {
        return;
    }
    if (dv_job_folder_set_seconds(training->folder, seconds_used(training), &error) != DV_OK) {
        dv_log(DV_LOG_WARNING, "%s", error.text);
    }
    training->noted_ns = dv_clock_monotonic_ns();
}

static void keep_time_limit(struct training *training)
{
    char text[80];

    if (training->timeout_seconds <= 0) {
        return;
    }
    if (seconds_used(training) > (double)training->timeout_seconds) {
        (void)snprintf(text, sizeof(text), "the time limit of %lld s has passed",
            (long long)training->timeout_seconds);
        dv_talk_stop(training->errand.talk, DV_TIMEOUT, text, STOP_GRACE_MS);
    } else if (dv_clock_seconds_since(training->noted_ns) > NOTE_SECONDS) {
        note_seconds(training);
    }
}

static void keep_watch(struct training *training)
{
    struct dv_talk *talk = training->errand.talk;

    switch (dv_watchdog_look(&training->watchdog, dv_talk_pid(talk), dv_talk_last_heard_ns(talk))) {
    case DV_WATCHDOG_SILENT:
        dv_job_log_say(training->log, "warning", "the worker has said nothing for %u s",
            training->watchdog.silence_seconds);
        break;
    case DV_WATCHDOG_STUCK:
        dv_talk_stop(talk, DV_TIMEOUT, "the worker says nothing and does nothing: it is stuck",
            STOP_GRACE_MS);
        break;
    case DV_WATCHDOG_FINE:
        break;
    }
}

/* The worker has ended without a result of its own accord: whether to start it again. */
static void decide(struct training *training, const struct dv_talk_verdict *verdict)
{
    if (!verdict->has_died) {
        fail(training, verdict->reason, verdict->text);
    } else if (training->restarts >= training->restarts_max) {
        char text[512];
        (void)snprintf(text, sizeof(text), "%.400s; it was started again %lld times", verdict->text,
            (long long)training->restarts);
        fail(training, verdict->reason, training->restarts > 0 ? text : verdict->text);
    } else {
        dv_job_log_say(training->log, "warning",
            "%s; starting it again from its last checkpoint (%lld of %lld)", verdict->text,
            (long long)training->restarts + 1, (long long)training->restarts_max);
        requeue(training, verdict->reason, true);
    }
}

static void do_train(struct training *training)
{
    struct dv_talk_verdict verdict;

    if (!take_verdict(training, &verdict)) {
        keep_watch(training);
        keep_time_limit(training);
        return;
    }
    note_seconds(training);
    if (training->is_lost) {
        training->errand.is_over = true;
    } else if (verdict.status == DV_OK) {
        enter(training, PHASE_PUBLISH);
    } else if (training->is_cancelled) {
        enter(training, PHASE_SALVAGE);
    } else if (training->is_shutdown) {
        requeue(training, DV_FAILURE_HOST_RESTART, false);
    } else {
        decide(training, &verdict);
    }
}

/* --- Salvage ---------------------------------------------------------------------------- */

static enum dv_status start_salvage(struct training *training, struct dv_error *reterr)
{
    if (!dv_path_exists(training->folder->best)) {
        return dv_fail(reterr, DV_NOT_FOUND, "no epoch has ended: there is nothing to keep");
    }
    dv_job_folder_trim(training->folder);
    enum dv_status status = dv_job_folder_prepare(
        training->folder, training->row, training->errand.context->thread_count, reterr);
    return status == DV_OK ? start_worker(training, "salvage", reterr) : status;
}

static void cancel_without_model(struct training *training, const char *why)
{
    dv_job_log_say(training->log, "info", "cancelled without a model: %s", why);
    end(training, DV_ENDING_CANCELLED);
}

static void keep_salvage_limit(struct training *training)
{
    double limit = training->is_shutdown ? SALVAGE_SECONDS_SHUTDOWN : SALVAGE_SECONDS;

    if (dv_clock_seconds_since(training->phase_ns) > limit) {
        dv_talk_stop(training->errand.talk, DV_TIMEOUT,
            "making one of the best checkpoint took too long", LOST_GRACE_MS);
    }
}

static void do_salvage(struct training *training)
{
    struct dv_talk_verdict verdict;
    struct dv_error error = {0};

    if (!training->errand.talk) {
        if (start_salvage(training, &error) != DV_OK) {
            cancel_without_model(training, error.text);
        }
        return;
    }
    if (!take_verdict(training, &verdict)) {
        keep_salvage_limit(training);
    } else if (training->is_lost) {
        training->errand.is_over = true;
    } else if (verdict.status == DV_OK) {
        training->is_partial = true;
        enter(training, PHASE_PUBLISH);
    } else {
        cancel_without_model(training, verdict.text);
    }
}

/* --- Publish ---------------------------------------------------------------------------- */

/* What the worker left becomes a note of what is going to be where. */
static enum dv_status prepare_publication(struct training *training, struct dv_error *reterr)
{
    const struct dv_job_folder *folder = training->folder;
    struct dv_json *result = NULL;
    bool is_there;
    int64_t next = 0;

    if (training->publication.result) {
        return DV_OK;
    }
    enum dv_status status = find_version(training, 0, &is_there, &next, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_json_read_file(training->is_partial ? folder->partial_result : folder->result,
        RESULT_SIZE_MAX, &result, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (!dv_json_is_object(result)) {
        dv_json_unref(result);
        return dv_fail(reterr, DV_CORRUPT, "the worker's result is no object");
    }
    return dv_publication_prepare(folder->path, folder->model_folder, result, next,
        training->is_partial, &training->publication, reterr);
}

static void do_publish(struct training *training)
{
    const struct dv_job_folder *folder = training->folder;
    struct dv_ending *ending = &training->ending;
    struct dv_error error = {0};

    enum dv_status status = prepare_publication(training, &error);
    if (status == DV_UNAVAILABLE) {
        return;
    }
    if (status == DV_OK) {
        status = dv_publication_move(&training->publication,
            training->is_partial ? folder->partial_model : folder->model, &error);
    }
    if (status == DV_NOT_FOUND || status == DV_CORRUPT || status == DV_INVALID) {
        drop_publication(training); /* of no use to the next attempt either */
        enum dv_status removed = dv_folder_remove(folder->result, NULL);
        (void)removed;
    }
    if (status != DV_OK && training->is_partial) {
        cancel_without_model(training, error.text);
    } else if (status != DV_OK) {
        fail(training, dv_failure_reason_from_status(status), error.text);
    } else {
        ending->result = dv_json_ref(training->publication.result);
        memcpy(ending->model_path, training->publication.place, sizeof(ending->model_path));
        end(training, training->is_partial ? DV_ENDING_CANCELLED : DV_ENDING_COMPLETED);
    }
}

/* --- End -------------------------------------------------------------------------------- */

/* The files that this ending leaves nothing to do with. */
static void tidy(struct training *training)
{
    struct dv_error error = {0};
    enum dv_status status = DV_OK;

    if (!training->folder) {
        return;
    }
    if (training->ending.kind == DV_ENDING_COMPLETED) {
        status = dv_sweeper_hide(training->errand.context->sweeper, training->folder->path, &error);
    } else if (training->ending.kind != DV_ENDING_REQUEUED) {
        if (training->ending.kind == DV_ENDING_CANCELLED) {
            drop_publication(training);
        }
        dv_job_folder_trim(training->folder);
        if (training->folder->record) { /* who has it go on gives it its time again */
            status = dv_job_folder_set_seconds(training->folder, 0.0, &error);
        }
    }
    if (status != DV_OK) {
        dv_log(DV_LOG_WARNING, "%s", error.text);
    }
}

/* The job turned out to be another's: what was put into the registry for it goes again. */
static void withdraw(struct training *training, const char *why)
{
    bool is_there = true;
    int64_t next;
    struct dv_error error = {0};

    dv_log(DV_LOG_WARNING, "the end of job %s is not written: %s", training->errand.id, why);
    if (training->publication.result &&
        find_version(training, training->publication.version, &is_there, &next, &error) !=
            DV_UNAVAILABLE &&
        !is_there) {
        enum dv_status status =
            dv_sweeper_hide(training->errand.context->sweeper, training->publication.place, &error);
        (void)status; /* without a row it is spoken of at the next start */
    }
}

static void do_end(struct training *training)
{
    struct dv_ending *ending = &training->ending;
    struct dv_error error = {0};

    /* A refusal of its figures is the ending's too, and said there. */
    if (!dv_job_log_flush(training->log, true) ||
        dv_reporter_flush(training->reporter, true) == DV_UNAVAILABLE) {
        return;
    }
    enum dv_status status = dv_ending_write(
        ending, training->errand.context, training->errand.id, training->fence, &error);
    if (status == DV_UNAVAILABLE) {
        return;
    }
    if (status == DV_OK) {
        tidy(training);
    } else if (status == DV_INVALID && ending->kind != DV_ENDING_FAILED) {
        withdraw(training, error.text);
        fail(training, DV_FAILURE_ERROR, error.text);
        return;
    } else {
        withdraw(training, error.text);
    }
    training->errand.is_over = true;
}

/* --- The errand ------------------------------------------------------------------------- */

static void step(struct dv_errand *errand)
{
    static void (*const phases[])(struct training * training) = {[PHASE_WAIT] = do_wait,
        [PHASE_TRAIN] = do_train,
        [PHASE_SALVAGE] = do_salvage,
        [PHASE_PUBLISH] = do_publish,
        [PHASE_END] = do_end};
    struct training *training = training_of(errand);
    enum phase before;

    (void)dv_job_log_flush(training->log, false);
    if (dv_reporter_flush(training->reporter, false) == DV_CONFLICT &&
        training->phase < PHASE_PUBLISH) {
        lose(training);
    }
    do {
        before = training->phase;
        phases[before](training);
    } while (!errand->is_over && training->phase != before);
}

static int ms_until(double seconds)
{
    return seconds <= 0.0 ? 0 : (int)(seconds * 1e3) + 1;
}

static int phase_patience_ms(const struct training *training)
{
    const struct dv_gate *gate = &training->errand.context->gate;
    uint64_t now_ns = dv_clock_monotonic_ns();
    int patience_ms = -1;

    switch (training->phase) {
    case PHASE_WAIT:
        return !training->has_looked ? dv_gate_patience_ms(gate)
               : training->retry_ns > now_ns
                   ? ms_until((double)(training->retry_ns - now_ns) * 1e-9)
                   : 0;
    case PHASE_TRAIN: {
        patience_ms = dv_watchdog_patience_ms(
            &training->watchdog, dv_talk_last_heard_ns(training->errand.talk));
        double left = (double)training->timeout_seconds - seconds_used(training);
        if (left > 0.0) { /* else it is being stopped, or has no limit */
            left = left < NOTE_SECONDS ? left : NOTE_SECONDS;
            patience_ms = dv_errand_least_ms(patience_ms, ms_until(left) + 1);
        }
        return patience_ms;
    }
    case PHASE_SALVAGE:
        return ms_until(1.0);
    default: /* it is the store that is waited for */
        return dv_gate_patience_ms(gate);
    }
}

static int patience(const struct dv_errand *errand)
{
    const struct training *training = training_of(errand);

    int patience_ms = dv_errand_least_ms(
        dv_job_log_patience_ms(training->log), dv_reporter_patience_ms(training->reporter));
    return dv_errand_least_ms(patience_ms, phase_patience_ms(training));
}

static void order(struct dv_errand *errand, enum dv_errand_order order)
{
    struct training *training = training_of(errand);
    bool can_stop = errand->talk && training->phase == PHASE_TRAIN;

    if (order == DV_ERRAND_FORGET) {
        lose(training);
    } else if (order == DV_ERRAND_CANCEL && !training->is_cancelled) {
        training->is_cancelled = true;
        dv_job_log_say(training->log, "info", "cancelled by request");
        if (can_stop) {
            dv_talk_stop(errand->talk, DV_CANCELLED, "cancelled by request", STOP_GRACE_MS);
        }
    } else if (order == DV_ERRAND_SHUTDOWN && !training->is_shutdown) {
        training->is_shutdown = true;
        if (can_stop) {
            dv_talk_stop(errand->talk, DV_CANCELLED, "the server ends", STOP_GRACE_MS);
        }
    }
}

static void destroy(struct dv_errand *errand)
{
    struct training *training = training_of(errand);

    errand->talk = dv_talk_destroy(errand->talk);
    training->log = dv_job_log_destroy(training->log);
    training->reporter = dv_reporter_destroy(training->reporter);
    training->folder = dv_job_folder_destroy(training->folder);
    dv_publication_finish(&training->publication);
    dv_ending_finish(&training->ending);
    dv_json_unref(training->row);
    dv_free(training);
}

static const struct dv_errand_impl training_impl = {
    .step = step,
    .patience_ms = patience,
    .order = order,
    .destroy = destroy,
};

struct dv_errand *dv_training_create(
    struct dv_job_context *context, struct dv_json *row, dv_training_room_fn find_room, void *user)
{
    struct training *training = dv_alloc(sizeof(*training));
    struct dv_error error = {0};

    assert(context);
    assert(find_room);
    training->errand =
        (struct dv_errand){.impl = &training_impl, .context = context, .role = "worker"};
    training->row = row;
    training->fence = dv_json_get_integer(row, "fence", 0);
    training->restarts = dv_json_get_integer(row, "restarts", 0);
    training->restarts_max = dv_json_get_integer(row, "max_restarts", 0);
    training->timeout_seconds = dv_json_get_integer(row, "timeout_seconds", 0);
    training->is_cancelled = dv_json_get_bool(row, "cancel_requested", false);
    training->find_room = find_room;
    training->user = user;
    (void)dv_text_copy(
        training->errand.id, sizeof(training->errand.id), dv_json_get_string(row, "id", ""));
    training->log = dv_job_log_create(context, training->errand.id);
    training->reporter = dv_reporter_create(context, training->errand.id, training->fence);
    enter(training, PHASE_WAIT);
    if (dv_job_folder_create(context->data_folder, row, &training->folder, &error) != DV_OK) {
        fail(training, DV_FAILURE_ERROR, error.text);
    }
    return &training->errand;
}
