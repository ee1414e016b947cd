/* SPDX-License-Identifier: Apache-2.0 */

/* The errand itself: what its phases do is in training_run.c and training_end.c. */

#include "job/training.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "job/asker.h"
#include "job/context.h"
#include "job/job_folder.h"
#include "job/job_log.h"
#include "job/reporter.h"
#include "job/training_impl.h"

#include <assert.h>
#include <math.h>

static struct dv_training *training_of(const struct dv_errand *errand)
{
    return (struct dv_training *)errand; /* it is the first member */
}

void dv_training_enter(struct dv_training *training, enum dv_training_phase phase)
{
    training->phase = phase;
    training->phase_ns = dv_clock_monotonic_ns();
    training->noted_ns = training->phase_ns;
}

/* Its questions first: what comes of them is for the worker. */
static void step_asker(struct dv_training *training)
{
    dv_asker_step(training->asker);
    training->errand.helper = dv_asker_talk(training->asker);
}

static void step(struct dv_errand *errand)
{
    static void (*const phases[])(struct dv_training * training) = {
        [DV_TRAINING_WAIT] = dv_training_wait,
        [DV_TRAINING_TRAIN] = dv_training_train,
        [DV_TRAINING_SALVAGE] = dv_training_salvage,
        [DV_TRAINING_PUBLISH] = dv_training_publish,
        [DV_TRAINING_END] = dv_training_end};
    struct dv_training *training = training_of(errand);
    enum dv_training_phase before;

    step_asker(training);
    (void)dv_job_log_flush(training->log, false);
    if (dv_reporter_flush(training->reporter, false) == DV_CONFLICT &&
        training->phase < DV_TRAINING_PUBLISH) {
        dv_training_lose(training);
    }
    for (before = DV_TRAINING_COUNT; !errand->is_over && training->phase != before;) {
        before = training->phase;
        phases[before](training);
    }
}

static int ms_until(double seconds)
{
    return seconds <= 0.0 ? 0 : (int)(seconds * 1e3) + 1;
}

/* -1: it has no time limit, or is being stopped for it. */
static int limit_patience_ms(const struct dv_training *training)
{
    double left = (double)training->timeout_seconds - dv_training_seconds(training);

    return left > 0.0 ? ms_until(fmin(left, DV_TRAINING_NOTE_SECONDS)) + 1 : -1;
}

static int phase_patience_ms(const struct dv_training *training)
{
    const struct dv_gate *gate = &training->errand.context->gate;
    uint64_t now_ns = dv_clock_monotonic_ns();
    int patience_ms = -1;

    switch (training->phase) {
    case DV_TRAINING_WAIT:
        return !training->has_looked ? dv_gate_patience_ms(gate)
               : training->retry_ns > now_ns
                   ? ms_until((double)(training->retry_ns - now_ns) * 1e-9)
                   : 0;
    case DV_TRAINING_TRAIN:
        patience_ms = dv_watchdog_patience_ms(
            &training->watchdog, dv_talk_last_heard_ns(training->errand.talk));
        return dv_errand_least_ms(patience_ms, limit_patience_ms(training));
    case DV_TRAINING_SALVAGE:
        return ms_until(1.0);
    default: /* it is the store that is waited for */
        return dv_gate_patience_ms(gate);
    }
}

static int patience(const struct dv_errand *errand)
{
    const struct dv_training *training = training_of(errand);

    int patience_ms = dv_errand_least_ms(
        dv_job_log_patience_ms(training->log), dv_reporter_patience_ms(training->reporter));
    patience_ms = dv_errand_least_ms(patience_ms, dv_asker_patience_ms(training->asker));
    return dv_errand_least_ms(patience_ms, phase_patience_ms(training));
}

static void order(struct dv_errand *errand, enum dv_errand_order order)
{
    struct dv_training *training = training_of(errand);
    bool can_stop = errand->talk && training->phase == DV_TRAINING_TRAIN;

    if (order == DV_ERRAND_FORGET) {
        dv_training_lose(training);
    } else if (order == DV_ERRAND_CANCEL && !training->is_cancelled) {
        training->is_cancelled = true;
        dv_job_log_say(training->log, "info", "cancelled by request");
        if (can_stop) {
            dv_talk_stop(
                errand->talk, DV_CANCELLED, "cancelled by request", DV_TRAINING_STOP_GRACE_MS);
        }
    } else if (order == DV_ERRAND_SHUTDOWN && !training->is_shutdown) {
        training->is_shutdown = true;
        if (can_stop) {
            dv_talk_stop(errand->talk, DV_CANCELLED, "the server ends", DV_TRAINING_STOP_GRACE_MS);
        }
    }
}

static void destroy(struct dv_errand *errand)
{
    struct dv_training *training = training_of(errand);

    errand->talk = dv_talk_destroy(errand->talk);
    errand->helper = NULL;
    training->asker = dv_asker_destroy(training->asker);
    training->log = dv_job_log_destroy(training->log);
    training->reporter = dv_reporter_destroy(training->reporter);
    training->folder = dv_job_folder_destroy(training->folder);
    dv_publication_finish(&training->publication);
    dv_ending_finish(&training->ending);
    dv_json_unref(training->run_restarts);
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
    struct dv_training *training = dv_alloc(sizeof(*training));
    struct dv_error error = {0};

    assert(context);
    assert(find_room);
    training->errand =
        (struct dv_errand){.impl = &training_impl, .context = context, .role = "worker", .helper_role = "llm"};
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
    training->asker = dv_training_create_asker(training);
    dv_training_enter(training, DV_TRAINING_WAIT);
    if (dv_job_folder_create(context->data_folder, row, &training->folder, &error) != DV_OK) {
        dv_training_fail(training, DV_FAILURE_ERROR, error.text);
    }
    return &training->errand;
}
