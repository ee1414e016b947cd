/* SPDX-License-Identifier: Apache-2.0 */
#include "job/reporter.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "job/context.h"
#include "store/jobs.h"
#include "store/runs.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define EPOCHS_WAITING_MAX 10000 /* while the store is away; later ones are left out */
#define RUNS_WAITING_MAX 256     /* the same of candidates */
#define INTERVAL_MS 1000

struct report {
    struct dv_job_progress columns;
    struct dv_json *figures;
    struct dv_json *run; /* it is about a candidate, and the above is not there; or NULL */
};

struct dv_reporter {
    struct dv_job_context *context;
    char *job_id;
    int64_t fence;
    struct report *epochs; /* that have ended and are not written, and candidates; oldest first */
    size_t epoch_count, epoch_capacity;
    struct report newest; /* of what came since; its figures are NULL when there is none */
    uint64_t written_ns;  /* when something was written last */
    bool is_refused;
};

struct dv_reporter *dv_reporter_create(
    struct dv_job_context *context, const char *job_id, int64_t fence)
{
    assert(context);
    assert(job_id);

    struct dv_reporter *reporter = dv_alloc(sizeof(*reporter));
    reporter->context = context;
    reporter->job_id = dv_strdup(job_id);
    reporter->fence = fence;
    return reporter;
}

static void finish(struct report *report)
{
    report->figures = dv_json_unref(report->figures);
    report->run = dv_json_unref(report->run);
}

struct dv_reporter *dv_reporter_destroy(struct dv_reporter *reporter)
{
    if (!reporter) {
        return NULL;
    }
    for (size_t i = 0; i < reporter->epoch_count; i++) {
        finish(&reporter->epochs[i]);
    }
    finish(&reporter->newest);
    dv_free(reporter->epochs);
    dv_free(reporter->job_id);
    return dv_free(reporter);
}

/* --- Taking ----------------------------------------------------------------------------- */

struct dv_json *dv_reporter_figures(const struct dv_message_progress *progress)
{
    struct dv_json *json = dv_json_object();

    dv_json_set_string(json, "stage", progress->stage);
    dv_json_set_integer(json, "iteration", progress->iteration);
    dv_json_set_integer(json, "epoch", progress->epoch);
    dv_json_set_integer(json, "epochs", progress->epochs);
    dv_json_set_integer(json, "step", progress->step);
    dv_json_set_integer(json, "steps", progress->steps);
    dv_json_set_number(json, "loss", progress->loss);
    dv_json_set_number(json, "train_accuracy", progress->accuracy);
    dv_json_set_number(json, "val_loss", progress->val_loss);
    dv_json_set_number(json, "accuracy", progress->val_accuracy);
    dv_json_set_number(json, "best_accuracy", progress->best_accuracy);
    dv_json_set_number(json, "learning_rate", progress->learning_rate);
    dv_json_set_number(json, "images_per_second", progress->images_per_second);
    dv_json_set_number(json, "eta_seconds", progress->eta_seconds);
    dv_json_set_number(json, "progress", progress->fraction);
    return json;
}

/* What is out of range was never measured. */
static double in_range(double value, double low, double high)
{
    return value >= low && value <= high ? value : (double)NAN;
}

static struct report make_report(const struct dv_message_progress *progress)
{
    struct report report = {.figures = dv_reporter_figures(progress),
        .columns = {.progress = in_range(progress->fraction, 0.0, 1.0),
            .accuracy = in_range(progress->val_accuracy, 0.0, 1.0),
            .best_accuracy = in_range(progress->best_accuracy, 0.0, 1.0),
            .eta_seconds = in_range(progress->eta_seconds, 0.0, 1e9),
            .images_per_second = in_range(progress->images_per_second, 0.0, 1e12),
            .iteration = progress->iteration,
            .epoch = progress->epoch,
            .epochs = progress->epochs,
            .event_type = progress->is_epoch_end ? "metrics" : "progress"}};

    report.columns.event = report.figures;
    return report;
}

static void take_epoch(struct dv_reporter *reporter, const struct report *report)
{
    if (reporter->epoch_count == reporter->epoch_capacity) {
        reporter->epoch_capacity = reporter->epoch_capacity ? 2 * reporter->epoch_capacity : 16;
        reporter->epochs =
            dv_realloc(reporter->epochs, reporter->epoch_capacity * sizeof(*reporter->epochs));
    }
    reporter->epochs[reporter->epoch_count++] = *report;
}

void dv_reporter_take(struct dv_reporter *reporter, const struct dv_message_progress *progress)
{
    assert(reporter);
    assert(progress);
    finish(&reporter->newest); /* it is older than this one */
    if (!progress->is_epoch_end) {
        reporter->newest = make_report(progress);
    } else if (reporter->epoch_count < EPOCHS_WAITING_MAX) {
        struct report report = make_report(progress);
        take_epoch(reporter, &report);
    }
}

static size_t count_runs(const struct dv_reporter *reporter)
{
    size_t count = 0;

    for (size_t i = 0; i < reporter->epoch_count; i++) {
        count += reporter->epochs[i].run != NULL;
    }
    return count;
}

/* Forget what waits of this candidate: what comes now says it all. */
static void overtake(struct dv_reporter *reporter, int64_t iteration)
{
    size_t kept = 0;

    for (size_t i = 0; i < reporter->epoch_count; i++) {
        struct report *report = &reporter->epochs[i];
        if (report->run && dv_json_get_integer(report->run, "iteration", 0) == iteration) {
            finish(report);
        } else {
            reporter->epochs[kept++] = *report;
        }
    }
    reporter->epoch_count = kept;
}

enum dv_status dv_reporter_take_run(
    struct dv_reporter *reporter, const struct dv_json *run, struct dv_error *reterr)
{
    assert(reporter);
    overtake(reporter, dv_json_get_integer(run, "iteration", 0));
    if (count_runs(reporter) >= RUNS_WAITING_MAX || reporter->epoch_count >= EPOCHS_WAITING_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "more candidates than can wait for the database");
    }
    const struct report report = {.run = dv_json_ref(run)};
    take_epoch(reporter, &report);
    return DV_OK;
}

/* --- Writing ---------------------------------------------------------------------------- */

int dv_reporter_patience_ms(const struct dv_reporter *reporter)
{
    assert(reporter);
    if (reporter->is_refused || (reporter->epoch_count == 0 && !reporter->newest.figures)) {
        return -1;
    }
    int wait_ms = dv_gate_patience_ms(&reporter->context->gate);
    if (wait_ms > 0 || reporter->epoch_count > 0) {
        return wait_ms;
    }
    uint64_t passed_ms = (dv_clock_monotonic_ns() - reporter->written_ns) / 1000000u;
    return passed_ms >= INTERVAL_MS ? 0 : INTERVAL_MS - (int)passed_ms;
}

/* DV_OK: written, or of no use any more. */
static enum dv_status write_report(struct dv_reporter *reporter, struct report *report)
{
    struct dv_store *store = reporter->context->store;
    struct dv_error error = {0};

    enum dv_status status =
        report->run ? dv_runs_put(store, reporter->job_id, reporter->fence, report->run, &error)
                    : dv_jobs_progress(
                          store, reporter->job_id, reporter->fence, &report->columns, &error);
    if (dv_gate_must_wait(&reporter->context->gate, status, &error)) {
        return DV_UNAVAILABLE;
    }
    finish(report);
    reporter->written_ns = dv_clock_monotonic_ns();
    if (status == DV_CONFLICT || status == DV_NOT_FOUND) {
        reporter->is_refused = true;
        return DV_CONFLICT;
    }
    if (status != DV_OK) {
        dv_log(DV_LOG_WARNING, "progress of job %s is lost: %s", reporter->job_id, error.text);
    }
    return DV_OK;
}

static enum dv_status write_epochs(struct dv_reporter *reporter)
{
    enum dv_status status = DV_OK;
    size_t done = 0;

    while (done < reporter->epoch_count && status == DV_OK) {
        status = write_report(reporter, &reporter->epochs[done]);
        done += status != DV_UNAVAILABLE;
    }
    reporter->epoch_count -= done;
    if (reporter->epoch_count > 0) { /* with none there may be no array either */
        memmove(reporter->epochs, reporter->epochs + done,
            reporter->epoch_count * sizeof(*reporter->epochs));
    }
    return status;
}

enum dv_status dv_reporter_flush(struct dv_reporter *reporter, bool is_last)
{
    assert(reporter);
    if (reporter->is_refused) {
        return DV_CONFLICT;
    }
    if (reporter->epoch_count == 0 && (is_last || dv_reporter_patience_ms(reporter) != 0)) {
        return DV_OK;
    }
    if (!dv_gate_is_open(&reporter->context->gate)) {
        return reporter->epoch_count > 0 ? DV_UNAVAILABLE : DV_OK;
    }
    enum dv_status status = write_epochs(reporter);
    if (status == DV_OK && !is_last && dv_reporter_patience_ms(reporter) == 0) {
        status = write_report(reporter, &reporter->newest);
        status = status == DV_UNAVAILABLE ? DV_OK : status; /* a newer one will come */
    }
    return status;
}
