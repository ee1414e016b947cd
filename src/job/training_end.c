/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What becomes of a job after its worker's end: the phases salvage, publish and end, in that
 * order, and dv_training_look_around(), which finds out whether an earlier server had come so far.
 */

#include "job/training_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "job/context.h"
#include "job/job_folder.h"
#include "job/job_log.h"
#include "job/reporter.h"
#include "job/sweeper.h"
#include "store/models.h"
#include "store/runs.h"

#include <assert.h>
#include <string.h>

#define SALVAGE_SECONDS 20.0
#define SALVAGE_SECONDS_SHUTDOWN 3.0
#define RESULT_SIZE_MAX (64u << 20)

/* --- How it may end --------------------------------------------------------------------- */

static void end(struct dv_training *training, enum dv_ending_kind kind)
{
    training->ending.kind = kind;
    if (training->folder && (kind == DV_ENDING_FAILED || kind == DV_ENDING_CANCELLED)) {
        dv_job_folder_trim(training->folder); /* before the row: it may be what fills the disk */
    }
    dv_training_enter(training, DV_TRAINING_END);
}

void dv_training_fail(struct dv_training *training, enum dv_failure_reason reason, const char *text)
{
    struct dv_ending *ending = &training->ending;

    ending->reason = reason;
    (void)dv_text_copy(ending->text, sizeof(ending->text), text);
    dv_job_log_say(training->log, "error", "failed (%s): %s", dv_failure_reason_name(reason), text);
    end(training, DV_ENDING_FAILED);
}

void dv_training_requeue(
    struct dv_training *training, enum dv_failure_reason reason, bool is_charged)
{
    training->ending.reason = reason;
    training->ending.is_charged = is_charged;
    end(training, DV_ENDING_REQUEUED);
}

void dv_training_lose(struct dv_training *training)
{
    if (training->is_lost) {
        return;
    }
    training->is_lost = true;
    dv_log(
        DV_LOG_WARNING, "job %s is another's by now: its worker is stopped", training->errand.id);
    if (training->errand.talk) {
        dv_talk_stop(training->errand.talk, DV_CONFLICT, "the job is another's by now",
            DV_TRAINING_LOST_GRACE_MS);
    } else {
        training->errand.is_over = true;
    }
}

/* --- What an earlier server left -------------------------------------------------------- */

/*
 * The highest version that the model has now. While the job is ours nobody else makes one, so it is
 * asked for once, and publishing does not need the store.
 */
static enum dv_status find_highest_version(struct dv_training *training, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *model = NULL;
    struct dv_job_context *context = training->errand.context;
    const char *model_id = dv_json_get_string(training->row, "model_id", "");

    if (!dv_gate_is_open(&context->gate)) {
        return dv_fail(reterr, DV_UNAVAILABLE, "the database is away");
    }
    enum dv_status status = dv_models_get(context->store, model_id, &model, reterr);
    if (dv_gate_must_wait(&context->gate, status, reterr)) {
        return DV_UNAVAILABLE;
    }
    const struct dv_json *versions = dv_json_get(model, "versions");
    for (size_t i = 0; i < dv_json_count(versions); i++) {
        int64_t version = dv_json_get_integer(dv_json_at(versions, i), "version", 0);
        if (version > training->highest_version) {
            training->highest_version = version;
        }
    }
    return status;
}

static void drop_publication(struct dv_training *training)
{
    struct dv_error error = {0};

    dv_publication_finish(&training->publication);
    if (dv_publication_forget(training->folder->path, &error) != DV_OK) {
        dv_job_log_say(training->log, "warning", "%s", error.text);
    }
}

/* What the worker left is of no use to the next attempt either. */
static void forget_result(struct dv_training *training)
{
    drop_publication(training);
    enum dv_status removed = dv_folder_remove(training->folder->result, NULL);
    (void)removed; /* a result without its model is found out */
}

/*
 * Take what is being published out of the registry, unless a row of a version speaks of it. It is
 * hidden where the next server looks for what this one did not come to remove.
 */
static void withdraw(struct dv_training *training)
{
    const struct dv_job_context *context = training->errand.context;
    DV_CLEANUP(dv_freep) char *models = dv_strprintf("%s/models", context->data_folder);
    struct dv_error error = {0};

    if (training->publication.result && training->publication.version > training->highest_version &&
        dv_sweeper_hide_in(context->sweeper, training->publication.place, models, &error) !=
            DV_OK) {
        dv_log(DV_LOG_WARNING, "%s", error.text);
    }
}

/*
 * A partial model was being published when a server died. If its row was written, the note alone
 * is left over. If not, and nobody wants the job's end any more, the model is no one's.
 */
static bool is_stale(const struct dv_training *training)
{
    return training->publication.is_partial &&
           (!training->is_cancelled || training->publication.version <= training->highest_version);
}

/* What an earlier server had come to is not done again. */
static void take_up(struct dv_training *training)
{
    const struct dv_job_folder *folder = training->folder;
    struct dv_error error = {0};

    enum dv_status status =
        dv_publication_find(folder->path, folder->model_folder, &training->publication, &error);
    if (status == DV_CORRUPT) {
        dv_job_log_say(training->log, "warning", "%s: it is made again", error.text);
        drop_publication(training);
    }
    if (status == DV_OK && is_stale(training)) {
        withdraw(training);
        drop_publication(training);
        status = DV_NOT_FOUND;
    }
    if (status == DV_OK || dv_path_exists(folder->result)) {
        training->is_partial = status == DV_OK && training->publication.is_partial;
        dv_job_log_say(training->log, "info", "the training was done before the restart");
        dv_training_enter(training, DV_TRAINING_PUBLISH);
    }
}

/* Which candidates have ended a worker before. */
static enum dv_status find_restarts(struct dv_training *training, struct dv_error *reterr)
{
    struct dv_job_context *context = training->errand.context;

    training->run_restarts = dv_json_unref(training->run_restarts);
    enum dv_status status =
        dv_runs_restarts(context->store, training->errand.id, &training->run_restarts, reterr);
    return dv_gate_must_wait(&context->gate, status, reterr) ? DV_UNAVAILABLE : status;
}

/* False: the store is away. */
bool dv_training_look_around(struct dv_training *training)
{
    struct dv_error error = {0};

    enum dv_status status = find_highest_version(training, &error);
    if (status == DV_OK) {
        status = find_restarts(training, &error);
    }
    if (status == DV_UNAVAILABLE) {
        return false;
    }
    if (status == DV_OK) {
        take_up(training);
    } else {
        dv_training_fail(training, DV_FAILURE_ERROR, error.text);
    }
    return true;
}

/* --- Salvage ---------------------------------------------------------------------------- */

static enum dv_status start_salvage(struct dv_training *training, struct dv_error *reterr)
{
    if (!dv_path_exists(training->folder->best)) {
        return dv_fail(reterr, DV_NOT_FOUND, "no epoch has ended: there is nothing to keep");
    }
    dv_job_folder_trim(training->folder);
    enum dv_status status = dv_job_folder_prepare(
        training->folder, training->row, training->errand.context->thread_count, reterr);
    return status == DV_OK ? dv_training_start_worker(training, "salvage", reterr) : status;
}

static void cancel_without_model(struct dv_training *training, const char *why)
{
    dv_job_log_say(training->log, "info", "cancelled without a model: %s", why);
    end(training, DV_ENDING_CANCELLED);
}

static void keep_salvage_limit(struct dv_training *training)
{
    double limit = training->is_shutdown ? SALVAGE_SECONDS_SHUTDOWN : SALVAGE_SECONDS;

    if (dv_clock_seconds_since(training->phase_ns) > limit) {
        dv_talk_stop(training->errand.talk, DV_TIMEOUT,
            "making one of the best checkpoint took too long", DV_TRAINING_LOST_GRACE_MS);
    }
}

void dv_training_salvage(struct dv_training *training)
{
    struct dv_talk_verdict verdict;
    struct dv_error error = {0};

    if (!training->errand.talk) {
        if (start_salvage(training, &error) != DV_OK) {
            cancel_without_model(training, error.text);
        }
        return;
    }
    if (!dv_training_take_verdict(training, &verdict)) {
        keep_salvage_limit(training);
    } else if (training->is_lost) {
        training->errand.is_over = true;
    } else if (verdict.status == DV_OK) {
        training->is_partial = true;
        dv_training_enter(training, DV_TRAINING_PUBLISH);
    } else {
        cancel_without_model(training, verdict.text);
    }
}

/* --- Publish ---------------------------------------------------------------------------- */

/* What the worker left becomes a note of what is going to be where. */
static enum dv_status prepare_publication(struct dv_training *training, struct dv_error *reterr)
{
    const struct dv_job_folder *folder = training->folder;
    struct dv_json *result = NULL;

    if (training->publication.result) {
        return DV_OK;
    }
    enum dv_status status =
        dv_json_read_file(training->is_partial ? folder->partial_result : folder->result,
            RESULT_SIZE_MAX, &result, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (!dv_json_is_object(result)) {
        dv_json_unref(result);
        return dv_fail(reterr, DV_CORRUPT, "the worker's result is no object");
    }
    return dv_publication_prepare(folder->path, folder->model_folder, result,
        training->highest_version + 1, training->is_partial, &training->publication, reterr);
}

void dv_training_publish(struct dv_training *training)
{
    const struct dv_job_folder *folder = training->folder;
    struct dv_ending *ending = &training->ending;
    struct dv_error error = {0};

    enum dv_status status = prepare_publication(training, &error);
    if (status == DV_OK) {
        status = dv_publication_move(&training->publication,
            training->is_partial ? folder->partial_model : folder->model, &error);
    }
    if (status == DV_NOT_FOUND || status == DV_CORRUPT || status == DV_INVALID) {
        forget_result(training);
    }
    if (status != DV_OK && training->is_partial) {
        cancel_without_model(training, error.text);
    } else if (status != DV_OK) {
        dv_training_fail(training, dv_failure_reason_from_status(status), error.text);
    } else {
        ending->result = dv_json_ref(training->publication.result);
        (void)dv_text_copy(ending->model_path, sizeof(ending->model_path),
            dv_json_get_string(ending->result, "model_path", ""));
        end(training, training->is_partial ? DV_ENDING_CANCELLED : DV_ENDING_COMPLETED);
    }
}

/* --- End -------------------------------------------------------------------------------- */

/* The files that this ending leaves nothing to do with. */
static void tidy(struct dv_training *training)
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
        if (training->folder->record) { /* who has it go on gives it its time again */
            status = dv_job_folder_set_seconds(training->folder, 0.0, &error);
        }
    }
    if (status != DV_OK) {
        dv_log(DV_LOG_WARNING, "%s", error.text);
    }
}

void dv_training_end(struct dv_training *training)
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
        withdraw(training);
        forget_result(training);
        dv_training_fail(training, DV_FAILURE_ERROR, error.text);
        return;
    } else {
        dv_log(DV_LOG_WARNING, "the end of job %s is not written: %s", training->errand.id,
            error.text);
        withdraw(training);
    }
    training->errand.is_over = true;
}
