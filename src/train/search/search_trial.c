/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading order: dv_search_try() at the end; then killed workers, training, the verdict, measuring,
 * folders.
 */
#include "train/search/search_impl.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/job_spec.h"
#include "train/attempts.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/report.h"
#include "train/salvage.h"
#include "train/strategy.h"
#include "train/task.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <unistd.h>

#define KILLS_MAX 2
#define HISTORY_EPOCHS_MAX 100000u /* of all candidates; about 300 bytes each */

enum dv_status dv_search_folder(const char *job_folder, uint32_t iteration,
    char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    return dv_path_format(ret_path, reterr, "%s/candidates/%u", job_folder, iteration);
}

static struct dv_candidate *last(struct dv_search *search)
{
    return &search->state.candidates[search->state.count - 1];
}

static struct dv_search_note *last_note(struct dv_search *search)
{
    return &search->state.notes[search->state.count - 1];
}

static struct dv_json *entry_of(const struct dv_candidate *candidate)
{
    struct dv_json *entry = dv_json_object();

    dv_json_set_integer(entry, "iteration", candidate->iteration);
    return entry;
}

/* --- A candidate as a job of its own ------------------------------------------------------ */

/* What a strategy is given to train a candidate by. */
struct trial {
    char folder[DV_PATH_SIZE];
    struct dv_train_options options;
    struct dv_job_spec job;
    struct dv_train_task task;
    struct dv_json *architecture;
    struct dv_arena *arena;
};

static void finish_trial(struct trial *trial)
{
    trial->architecture = dv_json_unref(trial->architecture);
    trial->arena = dv_arena_destroy(trial->arena);
}

/* Whole seconds that are left of a time limit; what a resumed candidate had used is counted too. */
static int64_t timeout_of(struct dv_search *search)
{
    double left = dv_search_seconds_left(search);
    double used = dv_search_elapsed(search) - last_note(search)->proposed_at;

    return isfinite(left) ? (int64_t)fmax(1.0, ceil(left + used)) : 0;
}

static enum dv_status make_trial(
    struct dv_search *search, struct trial *trial, struct dv_error *reterr)
{
    const struct dv_train_options *outer = search->task->options;
    const struct dv_candidate *candidate = last(search);
    const struct dv_search_note *note = last_note(search);

    *trial = (struct trial){.options = *outer, .job = *search->task->job, .task = *search->task};
    enum dv_status status =
        dv_search_folder(outer->job_folder, candidate->iteration, trial->folder, reterr);
    if (status == DV_OK) {
        status = dv_folder_make(trial->folder, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    bool is_cause = note->kill_worker == outer->attempt && note->kill_count > 0;
    trial->arena = dv_arena_create(0);
    trial->architecture = dv_arch_to_json(candidate->arch);
    trial->options.job_folder = trial->folder;
    trial->options.callbacks = search->callbacks;
    trial->options.previous_failure = is_cause ? outer->previous_failure : NULL;
    trial->job.architecture = trial->architecture;
    trial->job.hyperparameters = NULL; /* all are in the candidate's */
    trial->job.timeout_seconds = timeout_of(search);
    trial->task.options = &trial->options;
    trial->task.job = &trial->job;
    trial->task.arena = trial->arena;
    trial->task.iteration = candidate->iteration;
    trial->task.attempt = 0;
    trial->task.rate_scale = 1.0;
    return DV_OK;
}

/* --- Workers that died on it -------------------------------------------------------------- */

/* Grows with every checkpoint of the candidate. */
static int64_t read_mark(const struct dv_search *search, uint32_t iteration)
{
    DV_CLEANUP(dv_checkpoint_destroyp) struct dv_checkpoint *checkpoint = NULL;
    char folder[DV_PATH_SIZE];
    bool has_damage = false;

    if (dv_search_folder(search->task->options->job_folder, iteration, folder, NULL) != DV_OK ||
        dv_checkpoint_read_last(folder, &checkpoint, &has_damage, NULL) != DV_OK) {
        return 0;
    }
    return (int64_t)checkpoint->counters.sequence;
}

enum dv_status dv_search_blame(struct dv_search *search, struct dv_error *reterr)
{
    const struct dv_train_options *options = search->task->options;
    const struct dv_candidate *candidate = last(search);

    if (!options->previous_failure || last_note(search)->is_measured ||
        last_note(search)->kill_worker == options->attempt) {
        return DV_OK;
    }
    struct dv_json *entry = entry_of(candidate);
    dv_json_set_integer(entry, "worker", options->attempt);
    dv_json_set_string(entry, "reason", options->previous_failure);
    dv_json_set_integer(entry, "mark", read_mark(search, candidate->iteration));
    dv_search_log(search, DV_LOG_WARNING, "candidate %u: the worker that had it ended: %s",
        candidate->iteration, options->previous_failure);
    return dv_search_note(search, "killed", entry, reterr);
}

/* --- Verdict ---------------------------------------------------------------------------- */

static enum dv_verdict judge(const struct dv_search *search, const struct dv_candidate *candidate)
{
    const struct dv_candidate *rival = dv_search_state_rival(&search->state, candidate);

    return rival
               ? dv_verdict_between(candidate->val_accuracy, rival->val_accuracy, search->val_count)
               : DV_VERDICT_FIRST;
}

static enum dv_status write_verdict(struct dv_search *search, const struct dv_candidate *judged,
    struct dv_json *entry, struct dv_error *reterr)
{
    dv_json_set_string(entry, "status", dv_candidate_status_name(judged->status));
    dv_json_set_string(entry, "failure", judged->failure);
    dv_json_set_number(entry, "train_accuracy", judged->train_accuracy);
    dv_json_set_number(entry, "val_accuracy", judged->val_accuracy);
    dv_json_set_number(entry, "val_loss", judged->val_loss);
    dv_json_set_number(entry, "seconds", judged->seconds);
    dv_json_set_string(entry, "verdict", dv_verdict_name(judged->verdict));
    dv_json_set(entry, "hyperparameters", dv_hyperparameters_to_json(&judged->hyperparameters));
    dv_search_log(search, DV_LOG_INFO, "candidate %u: %s%s%s", judged->iteration,
        judged->failure ? "failed: " : "",
        judged->failure ? judged->failure : dv_verdict_name(judged->verdict),
        judged->failure ? "" : " in validation accuracy");
    return dv_search_note(search, "judged", entry, reterr);
}

static enum dv_status write_failure(
    struct dv_search *search, enum dv_status why, const char *text, struct dv_error *reterr)
{
    struct dv_candidate judged = *last(search);
    struct dv_json *entry = entry_of(&judged);

    judged.status = DV_CANDIDATE_FAILED;
    judged.failure = text;
    dv_json_set_string(entry, "status_code", dv_status_name(why));
    return write_verdict(search, &judged, entry, reterr);
}

/* Of the whole process; what this candidate took is the difference. */
static double cpu_seconds(void)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *usage = dv_metrics_usage();

    return dv_json_get_number(usage, "cpu_seconds", NAN);
}

static struct dv_json *make_usage(double cpu_before)
{
    struct dv_json *usage = dv_metrics_usage();

    dv_json_set_number(usage, "cpu_seconds", cpu_seconds() - cpu_before);
    return usage;
}

/*
 * The epochs that are kept in the journal, evenly chosen and the last among them: all candidates
 * together have a part of its size. The model's own history has all.
 */
static struct dv_json *shorten_history(
    const struct dv_search *search, const struct dv_json *history)
{
    struct dv_json *kept = dv_json_array();
    size_t count = dv_json_count(history);
    size_t most = HISTORY_EPOCHS_MAX / search->state.plan.slots;
    size_t step = count / most + (count % most != 0);

    for (size_t i = 0; i < count; i++) {
        if ((count - 1 - i) % step == 0) {
            dv_json_append(kept, dv_json_copy(dv_json_at(history, i)));
        }
    }
    return kept;
}

static enum dv_status write_success(struct dv_search *search, const struct trial *trial,
    const struct dv_trained *trained, double cpu_before, struct dv_error *reterr)
{
    const struct dv_trainer_result *result = &trained->result;
    const struct dv_json *history = result->history;
    struct dv_candidate judged = *last(search);
    struct dv_json *entry = entry_of(&judged);
    size_t best = result->best_epoch > 0 ? (size_t)result->best_epoch - 1 : 0;

    judged.status = DV_CANDIDATE_COMPLETED;
    judged.hyperparameters = trained->hyperparameters;
    judged.train_accuracy = dv_json_get_number(dv_json_at(history, best), "train_accuracy", NAN);
    judged.val_accuracy = result->val_accuracy;
    judged.val_loss = result->val_loss;
    judged.seconds = result->seconds;
    judged.verdict = judge(search, &judged);
    dv_json_set_integer(entry, "best_epoch", (int64_t)result->best_epoch);
    dv_json_set_integer(entry, "epochs", (int64_t)dv_json_count(history));
    dv_json_set(entry, "training", dv_report_training(&trial->task, trained));
    dv_json_set(entry, "usage", make_usage(cpu_before));
    dv_json_set(entry, "history", shorten_history(search, history));
    return write_verdict(search, &judged, entry, reterr);
}

/* --- Training --------------------------------------------------------------------------- */

/* The network's own fault, or bad luck: the search goes on without it. */
static bool is_of_candidate(enum dv_status status)
{
    return status == DV_DIVERGED || status == DV_NOMEM || status == DV_INVALID ||
           status == DV_UNSUPPORTED || status == DV_TOO_LARGE || status == DV_TIMEOUT;
}

static void plan_progress(struct dv_search *search)
{
    const struct dv_candidate *candidate = last(search);
    double budget = dv_search_budget(search);
    double own = (double)candidate->hyperparameters.epochs * candidate->cost;

    search->fraction_before = fmin(0.95, dv_search_cost(search) / budget);
    search->fraction_each = fmin(0.97 - search->fraction_before, own / budget);
}

static enum dv_status train(struct dv_search *search, struct dv_error *reterr)
{
    const struct dv_strategy *native = dv_strategy_find("native");
    struct dv_trained trained = {0};
    struct dv_error why = {0};
    struct trial trial;
    double cpu_before = cpu_seconds();

    enum dv_status status = make_trial(search, &trial, reterr);
    if (status != DV_OK) {
        return status;
    }
    plan_progress(search);
    status = dv_attempts_train(&trial.task, native, &last(search)->hyperparameters, &trained, &why);
    if (status == DV_OK) {
        status = write_success(search, &trial, &trained, cpu_before, reterr);
    } else if (is_of_candidate(status)) {
        const char *text = dv_arena_strdup(search->arena, why.text);
        status = write_failure(search, status, text, reterr);
    } else {
        status = dv_fail(reterr, status, "%s", why.text);
    }
    dv_trained_finish(&trained);
    finish_trial(&trial);
    return status;
}

/* --- Measuring -------------------------------------------------------------------------- */

enum dv_status dv_search_read_trained(const struct dv_train_task *task, uint32_t iteration,
    struct dv_arena *arena, struct dv_trained *ret_trained, struct dv_error *reterr)
{
    struct dv_train_options options = *task->options;
    struct dv_train_task inner = *task;
    const char *strategy = NULL;
    char folder[DV_PATH_SIZE];

    enum dv_status status = dv_search_folder(task->options->job_folder, iteration, folder, reterr);
    if (status == DV_OK) {
        options.job_folder = folder;
        inner.options = &options;
        inner.arena = arena;
        inner.iteration = iteration;
        status = dv_salvage_read(&inner, &strategy, ret_trained, reterr);
    }
    if (status == DV_OK) {
        ret_trained->iteration = iteration;
    }
    return status;
}

/* Enough to compare by; who wants the confusion matrix of each evaluates it. */
static void shorten(struct dv_json *metrics)
{
    static const char *const splits[] = {"val", "test"};
    static const char *const long_ones[] = {"per_class", "confusion", "calibration"};

    for (size_t i = 0; i < DV_ARRAY_SIZE(long_ones); i++) {
        dv_json_remove(metrics, long_ones[i]);
        for (size_t s = 0; s < DV_ARRAY_SIZE(splits); s++) {
            dv_json_remove(dv_json_get(metrics, splits[s]), long_ones[i]);
        }
    }
    dv_json_remove(metrics, "training");
    dv_json_remove(metrics, "usage");
}

static enum dv_status write_unmeasured(
    struct dv_search *search, enum dv_status why, const char *text, struct dv_error *reterr)
{
    struct dv_json *entry = entry_of(last(search));

    dv_json_set_string(entry, "failure", text);
    dv_json_set_string(entry, "status_code", dv_status_name(why));
    dv_search_log(search, DV_LOG_INFO, "candidate %u: failed: %s", last(search)->iteration, text);
    return dv_search_note(search, "measured", entry, reterr);
}

static enum dv_status measure(struct dv_search *search, struct dv_error *reterr)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_candidate *candidate = last(search);
    struct dv_trained trained = {0};
    struct dv_json *metrics = NULL;
    struct dv_error why = {0};

    enum dv_status status =
        dv_search_read_trained(search->task, candidate->iteration, arena, &trained, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_report_measure(search->task, &trained, &metrics, &why);
    dv_trained_finish(&trained);
    if (status != DV_OK) {
        return is_of_candidate(status) ? write_unmeasured(search, status, why.text, reterr)
                                       : dv_fail(reterr, status, "%s", why.text);
    }
    struct dv_json *entry = entry_of(candidate);
    shorten(metrics);
    dv_json_set(entry, "metrics", metrics);
    return dv_search_note(search, "measured", entry, reterr);
}

/* --- Folders ---------------------------------------------------------------------------- */

/* What a checkpoint needs more than its best weights. */
static enum dv_status drop_checkpoints(const char *folder, struct dv_error *reterr)
{
    static const char *const names[] = {"last.0", "last.1"};
    char path[DV_PATH_SIZE];

    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        enum dv_status status = dv_path_format(path, reterr, "%s/%s", folder, names[i]);
        if (status == DV_OK && unlink(path) != 0 && errno != ENOENT) {
            status = dv_fail_errno(reterr, errno, "cannot remove %s", path);
        }
        if (status != DV_OK) {
            return status;
        }
    }
    return DV_OK;
}

/* Those that can still be the model keep their best weights, the others nothing. */
static enum dv_status tidy(const struct dv_search *search, struct dv_error *reterr)
{
    const struct dv_search_state *state = &search->state;
    const struct dv_candidate *best = dv_search_state_best(state);
    const struct dv_candidate *whole = dv_search_state_best_whole(state);
    enum dv_status status = DV_OK;
    char folder[DV_PATH_SIZE];

    for (uint32_t i = 0; status == DV_OK && i < state->count; i++) {
        const struct dv_candidate *candidate = &state->candidates[i];
        status = dv_search_folder(
            search->task->options->job_folder, candidate->iteration, folder, reterr);
        if (status == DV_OK) {
            bool can_win = candidate == best || candidate == whole;
            status = can_win ? drop_checkpoints(folder, reterr) : dv_folder_remove(folder, reterr);
        }
    }
    return status;
}

/* Two workers have died of it: what its failure is, for the journal. */
static enum dv_status killed_by(const struct dv_search *search)
{
    return dv_text_equal(search->task->options->previous_failure, "oom") ? DV_NOMEM : DV_IO;
}

static enum dv_status train_or_give_up(struct dv_search *search, struct dv_error *reterr)
{
    if (last_note(search)->kill_count >= KILLS_MAX) {
        return write_failure(search, killed_by(search),
            "two workers ended while they trained it, without a checkpoint between", reterr);
    }
    enum dv_status status = dv_search_expect(search, reterr);

    return status == DV_OK ? train(search, reterr) : status;
}

static enum dv_status measure_or_give_up(struct dv_search *search, struct dv_error *reterr)
{
    return last_note(search)->kill_count < KILLS_MAX
               ? measure(search, reterr)
               : write_unmeasured(
                     search, killed_by(search), "two workers ended while they measured it", reterr);
}

enum dv_status dv_search_try(struct dv_search *search, struct dv_error *reterr)
{
    uint32_t index = search->state.count - 1;
    enum dv_status status = DV_OK;

    assert(search->state.count > 0);
    dv_search_report(search, index);
    if (!last_note(search)->is_judged) {
        status = train_or_give_up(search, reterr);
    }
    if (status == DV_OK && !last_note(search)->is_measured) {
        status = measure_or_give_up(search, reterr);
    }
    if (status == DV_OK) {
        status = tidy(search, reterr);
    }
    if (status == DV_OK) {
        dv_search_report(search, index);
    }
    return status;
}
