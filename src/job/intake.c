/* SPDX-License-Identifier: Apache-2.0 */

/* Read from step(): the phases come in the order in which they are written. */

#include "job/intake.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "job/context.h"
#include "job/errand.h"
#include "job/sweeper.h"
#include "job/watchdog.h"
#include "store/datasets.h"

#include <assert.h>
#include <math.h>

#define STOP_GRACE_MS 2000
#define ATTEMPTS_MAX 3 /* of one that dies: a third crash over the same upload is its own fault */
#define INTERVAL_MS 1000
#define RETRY_MS 2000
#define END_RETRY_MS 10000
#define SUMMARY_SIZE_MAX (64u << 20)

enum phase { PHASE_START, PHASE_READ, PHASE_END };

struct intake {
    struct dv_errand errand;
    char *name;
    char source[DV_PATH_SIZE];
    char staging[DV_PATH_SIZE]; /* DATA/datasets/.{another id} */
    char place[DV_PATH_SIZE];   /* DATA/datasets/{id} */
    struct dv_watchdog watchdog;

    enum phase phase;
    int attempts;
    uint64_t retry_ns; /* PHASE_START, PHASE_END: not before */
    bool is_shutdown;
    bool is_forgotten; /* the row is gone */

    double progress;        /* newest, NAN until the first */
    struct dv_json *counts; /* of findings so far */
    bool has_news;          /* since it was written last */
    uint64_t written_ns;

    bool is_ready; /* how it ended */
    struct dv_json *summary;
    char text[512]; /* of an end in `error` */
};

static struct intake *intake_of(const struct dv_errand *errand)
{
    return (struct intake *)errand; /* it is the first member */
}

static void hide(struct intake *intake, const char *path)
{
    struct dv_error error = {0};

    if (path[0] && dv_sweeper_hide(intake->errand.context->sweeper, path, &error) != DV_OK) {
        dv_log(DV_LOG_WARNING, "%s", error.text);
    }
}

static void hide_staging(struct intake *intake)
{
    if (intake->staging[0]) { /* it is hidden by name: only to be removed */
        dv_sweeper_add(intake->errand.context->sweeper, intake->staging);
        intake->staging[0] = '\0';
    }
}

static void fail(struct intake *intake, const char *text)
{
    intake->is_ready = false;
    (void)dv_text_copy(intake->text, sizeof(intake->text), text);
    intake->phase = PHASE_END;
}

/* --- What the child says ---------------------------------------------------------------- */

static void on_message(void *user, const struct dv_message *message)
{
    struct intake *intake = user;

    if (message->type == DV_MESSAGE_PROGRESS) {
        intake->progress = message->progress.fraction;
        intake->has_news = true;
    } else if (message->type == DV_MESSAGE_FINDINGS) {
        dv_json_unref(intake->counts);
        intake->counts = dv_json_copy(message->findings.counts);
        intake->has_news = true;
    } else if (message->type == DV_MESSAGE_LOG) {
        dv_log(DV_LOG_INFO, "data set %s: %.1000s", intake->errand.id, message->log.text);
    }
}

static void on_line(void *user, const char *line)
{
    struct intake *intake = user;

    dv_log(DV_LOG_INFO, "dv ingest of data set %s printed: %.1000s", intake->errand.id, line);
}

/* What is not written now is overtaken by what comes next. */
static void write_news(struct intake *intake)
{
    struct dv_job_context *context = intake->errand.context;
    struct dv_error error = {0};
    bool is_due = dv_clock_monotonic_ns() - intake->written_ns >= INTERVAL_MS * 1000000ull;

    if (!intake->has_news || !is_due || !dv_gate_is_open(&context->gate)) {
        return;
    }
    double progress = isfinite(intake->progress) ? fmin(fmax(intake->progress, 0.0), 1.0) : 0.0;
    enum dv_status status =
        dv_datasets_progress(context->store, intake->errand.id, progress, intake->counts, &error);
    intake->written_ns = dv_clock_monotonic_ns();
    intake->has_news = dv_gate_must_wait(&context->gate, status, &error);
    if (status == DV_NOT_FOUND) {
        dv_errand_order(&intake->errand, DV_ERRAND_FORGET);
    }
}

/* --- Start ------------------------------------------------------------------------------ */

/* Where the upload lies; DV_NOT_FOUND: nowhere. */
static enum dv_status find_source(struct intake *intake, struct dv_error *reterr)
{
    static const char *const suffixes[] = {"", ".zip"};

    for (size_t i = 0; i < DV_ARRAY_SIZE(suffixes); i++) {
        enum dv_status status = dv_path_format(intake->source, reterr, "%s/uploads/%s%s",
            intake->errand.context->data_folder, intake->errand.id, suffixes[i]);
        if (status != DV_OK || dv_path_exists(intake->source)) {
            return status;
        }
    }
    intake->source[0] = '\0';
    return dv_fail(reterr, DV_NOT_FOUND, "the upload is no longer there: upload it again");
}

static enum dv_status make_staging(struct intake *intake, struct dv_error *reterr)
{
    char id[DV_UUID_TEXT_SIZE];

    hide_staging(intake);
    dv_uuid_make(id);
    enum dv_status status = dv_path_format(
        intake->staging, reterr, "%s/datasets/.%s", intake->errand.context->data_folder, id);
    return status == DV_OK ? dv_folder_make(intake->staging, reterr) : status;
}

static enum dv_status start_child(struct intake *intake, struct dv_error *reterr)
{
    const struct dv_job_context *context = intake->errand.context;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *options = dv_json_object();
    const struct dv_talk_options talk = {.role = "ingest",
        .program = context->program,
        .user = intake,
        .on_message = on_message,
        .on_line = on_line};
    const struct dv_message_job job = {.kind = "ingest",
        .source = intake->source,
        .job_folder = intake->staging,
        .attempt = intake->attempts,
        .thread_count = context->thread_count,
        .options = options};

    dv_json_set_string(options, "id", intake->errand.id);
    dv_json_set_string(options, "name", intake->name);
    dv_json_set_integer(options, "seed", 0);
    return dv_talk_start(&talk, &job, &intake->errand.talk, reterr);
}

/* What is in the data set's folder, under the names of the row's columns. */
static enum dv_status read_summary(
    struct intake *intake, const char *folder, const char *name, struct dv_error *reterr)
{
    static const char *const columns[] = {"total_samples", "size_bytes", "classes", "findings",
        "finding_counts", "content_hash", "source_hash"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_json *summary = dv_json_object();
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder, name);
    if (status == DV_OK) {
        status = dv_json_read_file(path, SUMMARY_SIZE_MAX, &json, reterr);
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(columns) && status == DV_OK; i++) {
        struct dv_json *value = dv_json_get(json, columns[i]);
        if (value) {
            dv_json_set(summary, columns[i], dv_json_ref(value));
        }
    }
    dv_json_unref(intake->summary);
    intake->summary = summary;
    return status;
}

/* The folder is in its place, made now or by a server before this one. */
static void conclude(struct intake *intake)
{
    struct dv_error error = {0};

    if (read_summary(intake, intake->place, "dataset.json", &error) != DV_OK) {
        hide(intake, intake->place);
        fail(intake, error.text);
        return;
    }
    dv_json_set_string(intake->summary, "file_path", intake->place);
    intake->is_ready = true;
    intake->phase = PHASE_END;
}

/* Has a server before this one come as far as the rename? A place that is half there goes. */
static bool is_made(struct intake *intake)
{
    DV_CLEANUP(dv_freep) char *summary = dv_strprintf("%s/dataset.json", intake->place);

    if (dv_path_exists(summary)) {
        return true;
    }
    hide(intake, intake->place);
    return false;
}

static void do_start(struct intake *intake)
{
    struct dv_error error = {0};

    if (intake->is_shutdown || intake->is_forgotten) {
        intake->errand.is_over = true;
        return;
    }
    if (dv_clock_monotonic_ns() < intake->retry_ns) {
        return;
    }
    enum dv_status status = find_source(intake, &error); /* to be removed in any case */
    if (is_made(intake)) {
        conclude(intake);
        return;
    }
    if (status == DV_OK) {
        status = make_staging(intake, &error);
    }
    if (status != DV_OK) {
        fail(intake, error.text);
        return;
    }
    if (start_child(intake, &error) != DV_OK) { /* the machine's trouble: it may pass */
        dv_log(DV_LOG_WARNING, "data set %s waits: %s", intake->errand.id, error.text);
        intake->retry_ns = dv_clock_monotonic_ns() + RETRY_MS * 1000000ull;
        return;
    }
    intake->attempts++;
    intake->watchdog =
        (struct dv_watchdog){.silence_seconds = intake->errand.context->silence_seconds};
    intake->phase = PHASE_READ;
}

/* --- Read ------------------------------------------------------------------------------- */

static void keep_watch(struct intake *intake)
{
    struct dv_talk *talk = intake->errand.talk;

    if (dv_watchdog_look(&intake->watchdog, dv_talk_pid(talk), dv_talk_last_heard_ns(talk)) ==
        DV_WATCHDOG_STUCK) {
        dv_talk_stop(talk, DV_TIMEOUT, "reading the upload got stuck", STOP_GRACE_MS);
    }
}

static void publish(struct intake *intake)
{
    struct dv_error error = {0};

    if (dv_file_rename(intake->staging, intake->place, &error) != DV_OK) {
        fail(intake, error.text);
        return;
    }
    intake->staging[0] = '\0';
    conclude(intake);
}

static void refuse(struct intake *intake, const char *text)
{
    struct dv_error error = {0};

    /* One that died before it could say so has no findings to show. */
    if (read_summary(intake, intake->staging, "findings.json", &error) != DV_OK && intake->counts) {
        dv_json_set(intake->summary, "finding_counts", dv_json_ref(intake->counts));
    }
    hide_staging(intake); /* before the row: it may be what fills the disk */
    fail(intake, text);
}

static void do_read(struct intake *intake)
{
    const struct dv_talk_verdict *end = dv_talk_verdict(intake->errand.talk);

    write_news(intake);
    if (!end) {
        keep_watch(intake);
        return;
    }
    struct dv_talk_verdict verdict = *end;
    intake->errand.talk = dv_talk_destroy(intake->errand.talk);
    if (intake->is_forgotten || (intake->is_shutdown && verdict.status != DV_OK)) {
        intake->errand.is_over = true;
    } else if (verdict.status == DV_OK) {
        publish(intake);
    } else if (verdict.has_died && intake->attempts < ATTEMPTS_MAX) {
        dv_log(DV_LOG_WARNING, "data set %s: %s; trying again", intake->errand.id, verdict.text);
        intake->phase = PHASE_START;
    } else {
        refuse(intake, verdict.text);
    }
}

/* --- End -------------------------------------------------------------------------------- */

/* An answer that was lost on the way: is the row as we want it? */
static enum dv_status find_out(struct intake *intake, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status =
        dv_datasets_get(intake->errand.context->store, intake->errand.id, &row, reterr);
    if (status != DV_OK) {
        return status;
    }
    const char *readiness = dv_json_get_string(row, "readiness", "");
    return dv_text_equal(readiness, intake->is_ready ? "ready" : "error")
               ? DV_OK
               : dv_fail(reterr, DV_CONFLICT, "data set %s is '%s' by now", intake->errand.id,
                     readiness);
}

static enum dv_status write_end(struct intake *intake, struct dv_error *reterr)
{
    struct dv_store *store = intake->errand.context->store;
    const char *id = intake->errand.id;

    enum dv_status status =
        intake->is_ready ? dv_datasets_finish(store, id, intake->summary, reterr)
                         : dv_datasets_fail(store, id, intake->text, intake->summary, reterr);
    return status == DV_CONFLICT ? find_out(intake, reterr) : status;
}

/*
 * The store does not take even the failure. With the row as it is the data set would be read again
 * at once, and so for ever: it waits, and what may be the reason is left out.
 */
static void wait_to_write(struct intake *intake, const char *why)
{
    dv_log(DV_LOG_ERROR, "the end of data set %s is not written yet: %s", intake->errand.id, why);
    intake->summary = dv_json_unref(intake->summary);
    intake->retry_ns = dv_clock_monotonic_ns() + END_RETRY_MS * 1000000ull;
}

static void do_end(struct intake *intake)
{
    struct dv_job_context *context = intake->errand.context;
    struct dv_error error = {0};

    if (intake->is_forgotten) {
        hide(intake, intake->place);
    } else {
        if (!dv_gate_is_open(&context->gate) || dv_clock_monotonic_ns() < intake->retry_ns) {
            return;
        }
        enum dv_status status = write_end(intake, &error);
        if (dv_gate_must_wait(&context->gate, status, &error)) {
            return;
        }
        if (status == DV_NOT_FOUND) {
            hide(intake, intake->place);
        } else if (status != DV_OK && intake->is_ready) {
            hide(intake, intake->place);
            fail(intake, error.text);
            return;
        } else if (status != DV_OK) {
            wait_to_write(intake, error.text);
            return;
        }
    }
    hide(intake, intake->source);
    intake->errand.is_over = true;
}

/* --- The errand ------------------------------------------------------------------------- */

static void step(struct dv_errand *errand)
{
    static void (*const phases[])(struct intake * intake) = {
        [PHASE_START] = do_start, [PHASE_READ] = do_read, [PHASE_END] = do_end};
    struct intake *intake = intake_of(errand);
    enum phase before;

    do {
        before = intake->phase;
        phases[before](intake);
    } while (!errand->is_over && intake->phase != before);
}

static int patience(const struct dv_errand *errand)
{
    const struct intake *intake = intake_of(errand);
    uint64_t now_ns = dv_clock_monotonic_ns();

    if (intake->phase == PHASE_READ) {
        int watch_ms =
            dv_watchdog_patience_ms(&intake->watchdog, dv_talk_last_heard_ns(errand->talk));
        return dv_errand_least_ms(watch_ms, intake->has_news ? INTERVAL_MS : -1);
    }
    if (intake->retry_ns > now_ns) {
        return (int)((intake->retry_ns - now_ns) / 1000000u) + 1;
    }
    return intake->phase == PHASE_END ? dv_gate_patience_ms(&errand->context->gate) : 0;
}

static void order(struct dv_errand *errand, enum dv_errand_order order)
{
    struct intake *intake = intake_of(errand);
    bool is_forgotten = order != DV_ERRAND_SHUTDOWN;

    if (is_forgotten ? intake->is_forgotten : intake->is_shutdown) {
        return;
    }
    intake->is_forgotten = intake->is_forgotten || is_forgotten;
    intake->is_shutdown = intake->is_shutdown || !is_forgotten;
    if (errand->talk) {
        dv_talk_stop(errand->talk, DV_CANCELLED,
            is_forgotten ? "the data set was deleted" : "the server ends", STOP_GRACE_MS);
    }
}

static void destroy(struct dv_errand *errand)
{
    struct intake *intake = intake_of(errand);

    errand->talk = dv_talk_destroy(errand->talk);
    hide_staging(intake);
    dv_json_unref(intake->counts);
    dv_json_unref(intake->summary);
    dv_free(intake->name);
    dv_free(intake);
}

static const struct dv_errand_impl intake_impl = {
    .step = step,
    .patience_ms = patience,
    .order = order,
    .destroy = destroy,
};

struct dv_errand *dv_intake_create(struct dv_job_context *context, const struct dv_json *row)
{
    struct intake *intake = dv_alloc(sizeof(*intake));
    const char *id = dv_json_get_string(row, "id", "");
    struct dv_error error = {0};

    assert(context);
    assert(dv_uuid_is_valid(id));
    intake->errand = (struct dv_errand){.impl = &intake_impl, .context = context, .role = "ingest"};
    (void)dv_text_copy(intake->errand.id, sizeof(intake->errand.id), id);
    intake->name = dv_strdup(dv_json_get_string(row, "name", ""));
    intake->progress = (double)NAN;
    if (dv_path_format(intake->place, &error, "%s/datasets/%s", context->data_folder, id) !=
        DV_OK) {
        fail(intake, error.text);
    }
    return &intake->errand;
}
