/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading order: dv_search_run() and run_loop() at the end, then begin() with what it sets up; what
 * the other two files call stands first.
 */
#include "train/search/search.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "nn/backend.h"
#include "nn/time_measure.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/job_spec.h"
#include "train/search/search_impl.h"
#include "train/search/search_journal.h"
#include "train/task.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#define ITERATIONS_DEFAULT 5 /* docs/howto/search.md and the contract */
#define SCREENING_MIN 4      /* iterations from which on candidates are screened first */
#define SCREENING_PART 6     /* of the default's epochs */
#define RETRAIN_EACH 6       /* of so many candidates one is trained again */
#define TIME_SHARE 0.9       /* of a time limit; the rest is for measuring and writing */
#define MEMORY_SHARE 0.8     /* of the machine's, or of what the worker may have */

/* What a proposal may have and cost, in the default network's. */
#define PARAMETERS_FACTOR 4
#define PARAMETERS_MIN 2000000u
#define MACS_FACTOR 4
#define MACS_MIN 1000000u
#define COST_MAX 2.0

/* --- For all three files ------------------------------------------------------------------ */

double dv_search_elapsed(const struct dv_search *search)
{
    return search->elapsed_before + dv_clock_seconds_since(search->start_ns);
}

double dv_search_seconds_left(const struct dv_search *search)
{
    double limit = (double)search->task->job->timeout_seconds;

    return limit > 0.0 ? TIME_SHARE * limit - dv_search_elapsed(search) : INFINITY;
}

void dv_search_log(const struct dv_search *search, enum dv_log_level level, const char *format, ...)
{
    const struct dv_train_callbacks *callbacks = &search->task->options->callbacks;
    char text[512];
    va_list arguments;

    if (!callbacks->log) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    callbacks->log(callbacks->user, level, text);
}

enum dv_status dv_search_note(
    struct dv_search *search, const char *event, struct dv_json *entry, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    dv_json_set_string(entry, "event", event);
    dv_json_set_string(entry, "at", now);
    dv_json_set_number(entry, "elapsed", dv_search_elapsed(search));
    enum dv_status status = dv_search_journal_append(search->journal, entry, reterr);
    if (status == DV_OK) {
        status = dv_search_state_apply(&search->state, entry, reterr);
    }
    dv_json_unref(entry);
    return status;
}

void dv_search_report(const struct dv_search *search, uint32_t index)
{
    const struct dv_train_callbacks *callbacks = &search->task->options->callbacks;

    if (callbacks->run) {
        struct dv_json *run = dv_search_state_run(&search->state, index);
        callbacks->run(callbacks->user, run);
        dv_json_unref(run);
    }
}

/* --- Callbacks of candidates -------------------------------------------------------------- */

static void on_progress(void *user, const struct dv_train_progress *progress)
{
    const struct dv_search *search = user;
    const struct dv_train_callbacks *callbacks = &search->task->options->callbacks;
    const struct dv_candidate *best = dv_search_state_best(&search->state);
    struct dv_train_progress whole = *progress;

    whole.fraction = search->fraction_before + search->fraction_each * progress->fraction;
    whole.seconds = dv_search_elapsed(search);
    if (best && !(progress->best_accuracy > best->val_accuracy)) {
        whole.best_accuracy = best->val_accuracy;
    }
    /* Of the whole: what is left of this one, and the rest of the budget at the speed so far. */
    whole.seconds_left =
        whole.fraction > 0.01 ? whole.seconds * (1.0 - whole.fraction) / whole.fraction : NAN;
    callbacks->progress(callbacks->user, &whole);
}

static void on_log(void *user, enum dv_log_level level, const char *text)
{
    const struct dv_search *search = user;
    const struct dv_train_callbacks *callbacks = &search->task->options->callbacks;

    callbacks->log(callbacks->user, level, text);
}

static bool on_is_cancelled(void *user)
{
    const struct dv_search *search = user;
    const struct dv_train_callbacks *callbacks = &search->task->options->callbacks;

    return callbacks->is_cancelled(callbacks->user);
}

static struct dv_train_callbacks wrap(struct dv_search *search)
{
    const struct dv_train_callbacks *outer = &search->task->options->callbacks;

    return (struct dv_train_callbacks){.user = search,
        .progress = outer->progress ? on_progress : NULL,
        .log = outer->log ? on_log : NULL,
        .is_cancelled = outer->is_cancelled ? on_is_cancelled : NULL};
}

/* --- Setting up ------------------------------------------------------------------------- */

static uint64_t max_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Totals, not what is free now: a resumed search must come to the same. */
static uint64_t memory_max(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGE_SIZE);
    double total = pages > 0 && page_size > 0 ? (double)pages * (double)page_size : 1e18;
    struct rlimit limit;

    if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        total = fmin(total, (double)limit.rlim_cur);
    }
    return (uint64_t)(MEMORY_SHARE * total);
}

static bool go_on_measuring(void *user, uint32_t done, uint32_t count)
{
    const struct dv_search *search = user;
    const struct dv_train_callbacks *callbacks = &search->task->options->callbacks;

    if (callbacks->progress) {
        callbacks->progress(callbacks->user,
            &(struct dv_train_progress){
                .status = "preparing", .iteration = 1, .step = done, .step_count = count});
    }
    return !callbacks->is_cancelled || !callbacks->is_cancelled(callbacks->user);
}

/*
 * Of one thread, whose times others on the machine disturb less: of interest is how networks
 * compare. Without a folder to keep it in there is no table, nor for `ref`, which takes as long as
 * a network has multiply-adds.
 */
static enum dv_status load_times(struct dv_search *search, struct dv_error *reterr)
{
    const char *folder = search->task->options->plan_cache_folder;
    const struct dv_backend_impl *backend = dv_backend_find(search->task->backend);
    const struct dv_time_watcher watcher = {go_on_measuring, search};
    struct dv_error why = {0};

    if (!folder || !backend || dv_text_equal(search->task->backend, "ref")) {
        return DV_OK;
    }
    enum dv_status status =
        dv_time_measure_cached(folder, backend, 1, &watcher, search->arena, &search->times, &why);
    if (status == DV_CANCELLED) {
        return dv_fail(reterr, status, "%s", why.text);
    }
    if (status != DV_OK) {
        dv_search_log(
            search, DV_LOG_WARNING, "networks are compared by multiply-adds: %s", why.text);
    }
    return DV_OK;
}

static enum dv_status make_default(struct dv_search *search, struct dv_error *reterr)
{
    const struct dv_hyperparameters *h = search->options->hyperparameters;
    struct dv_hyperparameters settled = *h;
    struct dv_train_task task = *search->task;
    struct dv_task_network network;

    task.arena = search->arena;
    enum dv_status status =
        dv_task_make_network(&task, (uint32_t)h->image_size, h->dropout, &network, reterr);
    if (status != DV_OK) {
        return status;
    }
    search->default_arch = network.arch;
    search->default_macs = max_of(1, network.graph->macs);
    search->default_parameters = network.graph->parameter_count;
    search->limits = (struct dv_search_limits){
        .parameters_max = max_of(PARAMETERS_MIN, PARAMETERS_FACTOR * search->default_parameters),
        .macs_max = max_of(MACS_MIN, MACS_FACTOR * search->default_macs),
        .memory_max = memory_max(),
        .cost_max = fmax(COST_MAX, (double)MACS_MIN / (double)search->default_macs)};
    search->gate = (struct dv_gate){.dataset = search->task->dataset,
        .defaults = h,
        .fixed = search->task->job->hyperparameters,
        .times = search->times};
    search->gate.default_cost = dv_gate_picture_cost(&search->gate, network.graph, h->batch_size);
    dv_gate_settle_dropout(&search->gate, network.arch, &settled);
    return DV_OK;
}

static enum dv_status make_proposers(struct dv_search *search, struct dv_error *reterr)
{
    const struct dv_search_options *options = search->options;
    char path[DV_PATH_SIZE];

    enum dv_status status =
        dv_path_format(path, reterr, "%s/replay.jsonl", search->task->options->job_folder);
    if (status == DV_OK && dv_path_exists(path)) {
        status = dv_proposer_replay_init(
            &search->replay, path, &search->proposers[search->proposer_count++], reterr);
    } else if (status == DV_OK && options->make) {
        bool is_made =
            options->make(options->self, search->task, &search->proposers[search->proposer_count]);
        search->proposer_count += is_made;
    }
    if (status == DV_OK) {
        search->proposers[search->proposer_count++] =
            dv_proposer_offline_init(&search->offline, &search->gate, search->default_arch);
    }
    return status;
}

/* --- The journal ------------------------------------------------------------------------ */

/* Of everything that the candidates depend on; the caller frees. */
static char *make_identity(const struct dv_search *search)
{
    const struct dv_train_task *task = search->task;
    DV_CLEANUP(dv_json_unrefp)
    struct dv_json *json = dv_hyperparameters_to_json(search->options->hyperparameters);
    DV_CLEANUP(dv_freep) char *text = dv_json_print_canonical(json);
    char arch_hash[DV_SHA256_TEXT_SIZE];

    dv_arch_hash(search->default_arch, arch_hash);
    return dv_strprintf("%s/%s/%s/%lld/%lld/%s", task->backend, task->dataset->content_hash,
        arch_hash, (long long)task->job->max_iterations, (long long)task->job->seed, text);
}

static enum dv_status write_plan(
    struct dv_search *search, const char *identity, struct dv_error *reterr)
{
    int64_t wanted = search->task->job->max_iterations;
    int64_t slots = wanted > 0 ? wanted : ITERATIONS_DEFAULT;
    int64_t epochs = search->options->hyperparameters->epochs;
    int64_t screening = (epochs + SCREENING_PART / 2) / SCREENING_PART;
    int64_t retrains = (slots - 1) / RETRAIN_EACH;
    struct dv_json *entry = dv_json_object();

    retrains = retrains > 0 ? retrains : 1;
    screening = screening > 0 ? screening : 1;
    if (slots < SCREENING_MIN || screening >= epochs) {
        screening = epochs;
        retrains = 0;
    }
    dv_json_set_integer(entry, "version", 1);
    dv_json_set_string(entry, "strategy", search->options->strategy);
    dv_json_set_string(entry, "identity", identity);
    dv_json_set_integer(entry, "slots", slots);
    dv_json_set_integer(entry, "retrains", retrains);
    dv_json_set_integer(entry, "epochs", epochs);
    dv_json_set_integer(entry, "screening_epochs", screening);
    return dv_search_note(search, "planned", entry, reterr);
}

static enum dv_status apply_all(
    struct dv_search_state *state, const struct dv_json *entries, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    for (size_t i = 0; status == DV_OK && i < dv_json_count(entries); i++) {
        status = dv_search_state_apply(state, dv_json_at(entries, i), reterr);
    }
    return status;
}

static enum dv_status journal_path(
    const char *job_folder, char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    return dv_path_format(ret_path, reterr, "%s/search.jsonl", job_folder);
}

static enum dv_status open_journal(struct dv_search *search, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entries = NULL;
    DV_CLEANUP(dv_freep) char *identity = make_identity(search);
    const char *job_folder = search->task->options->job_folder;
    char path[DV_PATH_SIZE];

    enum dv_status status = journal_path(job_folder, path, reterr);
    if (status == DV_OK) {
        status = dv_search_journal_open(path, &search->journal, &entries, reterr);
    }
    if (status == DV_OK) {
        status = apply_all(&search->state, entries, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    search->elapsed_before = search->state.elapsed;
    if (!search->state.is_planned) {
        return write_plan(search, identity, reterr);
    }
    return dv_text_equal(search->state.identity, identity)
               ? DV_OK
               : dv_fail(reterr, DV_CONFLICT, "the search in %s is of another job or data set",
                     job_folder);
}

static enum dv_status begin(struct dv_search *search, struct dv_error *reterr)
{
    const struct dv_dataset_summary *dataset = search->task->dataset;

    search->callbacks = wrap(search);
    for (uint32_t c = 0; c < dataset->class_count; c++) {
        search->val_count += dataset->classes[c].counts[DV_SPLIT_VAL];
    }
    enum dv_status status = load_times(search, reterr);
    if (status == DV_OK) {
        status = make_default(search, reterr);
    }
    if (status == DV_OK) {
        status = make_proposers(search, reterr);
    }
    if (status == DV_OK) {
        status = open_journal(search, reterr);
    }
    if (status == DV_OK) {
        search->limits.epochs = search->state.plan.screening_epochs;
    }
    return status;
}

static void finish(struct dv_search *search)
{
    dv_proposer_replay_finish(&search->replay);
    dv_search_journal_close(search->journal);
    dv_search_state_finish(&search->state);
    dv_arena_destroy(search->arena);
}

/* --- The run ---------------------------------------------------------------------------- */

static bool is_last_done(const struct dv_search *search)
{
    const struct dv_search_note *note = &search->state.notes[search->state.count - 1];

    return note->is_judged && note->is_measured;
}

static enum dv_status run_loop(struct dv_search *search, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;

    /* Whoever listens now may not have heard of what was before. */
    for (uint32_t i = 0; i + 1 < search->state.count; i++) {
        dv_search_report(search, i);
    }
    if (search->state.count > 0) {
        status = dv_search_blame(search, reterr);
        if (status == DV_OK) {
            status = dv_search_try(search, reterr);
        }
    }
    while (status == DV_OK && !search->state.over) {
        status = dv_search_next(search, reterr);
        if (status == DV_OK && !is_last_done(search)) {
            status = dv_search_try(search, reterr);
        }
    }
    return status;
}

static enum dv_status fail_all(const struct dv_search *search, struct dv_error *reterr)
{
    const struct dv_candidate *first = &search->state.candidates[0];

    return dv_fail(reterr, search->state.notes[0].failure,
        "none of %u candidates could be trained; the first: %s", search->state.count,
        first->failure ? first->failure : "");
}

static enum dv_status take_best(
    struct dv_search *search, struct dv_trained *ret_trained, struct dv_error *reterr)
{
    const struct dv_candidate *best = dv_search_state_final(&search->state);
    struct dv_trained trained = {0};

    if (!best) {
        return fail_all(search, reterr);
    }
    enum dv_status status = dv_search_read_trained(
        search->task, best->iteration, search->task->arena, &trained, reterr);
    if (status != DV_OK) {
        return status;
    }
    const struct dv_search_note *note = &search->state.notes[best->iteration - 1];
    const struct dv_json *training = dv_json_get(note->metrics, "training");
    trained.diverged = (uint32_t)dv_json_get_integer(training, "diverged_attempts", 0);
    trained.result.images_per_second = dv_json_get_number(training, "images_per_second", NAN);
    trained.result.memory_planned =
        (size_t)dv_json_get_integer(training, "memory_planned_bytes", 0);
    trained.search = dv_search_state_result(&search->state, best->iteration);
    dv_search_log(search, DV_LOG_INFO, "candidate %u of %u is the model: validation accuracy %.4f",
        best->iteration, search->state.count, best->val_accuracy);
    *ret_trained = trained;
    return DV_OK;
}

enum dv_status dv_search_run(const struct dv_search_options *options,
    struct dv_trained *ret_trained, struct dv_error *reterr)
{
    assert(options->strategy);
    assert(options->hyperparameters);
    assert(ret_trained);

    struct dv_hyperparameters defaults = *options->hyperparameters;
    struct dv_search_options used = *options;
    struct dv_search search = {.options = &used,
        .task = options->task,
        .arena = dv_arena_create(0),
        .start_ns = dv_clock_monotonic_ns()};

    /* One size for all: candidates are compared on the same pictures. */
    if (defaults.image_size == 0) {
        defaults.image_size = dv_dataset_image_size(options->task->dataset);
    }
    used.hyperparameters = &defaults;
    dv_search_state_init(&search.state, search.arena);
    enum dv_status status = begin(&search, reterr);
    if (status == DV_OK) {
        status = run_loop(&search, reterr);
    }
    if (status == DV_OK) {
        status = take_best(&search, ret_trained, reterr);
    }
    finish(&search);
    return status;
}

/* --- Of a search that was stopped ---------------------------------------------------------- */

bool dv_search_is_there(const char *job_folder)
{
    char path[DV_PATH_SIZE];

    return journal_path(job_folder, path, NULL) == DV_OK && dv_path_exists(path);
}

/* DV_NOT_FOUND: none has ended. */
static enum dv_status read_ended(const struct dv_train_task *task,
    const struct dv_search_state *state, struct dv_trained *ret_trained, struct dv_error *reterr)
{
    const struct dv_candidate *best = dv_search_state_final(state);

    return best ? dv_search_read_trained(task, best->iteration, task->arena, ret_trained, reterr)
                : dv_fail(reterr, DV_NOT_FOUND, "no candidate had ended an epoch");
}

/* DV_NOT_FOUND: none is, or it has not ended an epoch. */
static enum dv_status read_running(const struct dv_train_task *task,
    const struct dv_search_state *state, struct dv_trained *ret_trained, struct dv_error *reterr)
{
    bool is_under_way = state->count > 0 && !state->notes[state->count - 1].is_judged;

    return is_under_way
               ? dv_search_read_trained(task, state->count, task->arena, ret_trained, reterr)
               : DV_NOT_FOUND;
}

/* The one under way may be better already than all that have ended. */
static enum dv_status salvage(const struct dv_train_task *task, const struct dv_search_state *state,
    struct dv_trained *ret_trained, struct dv_error *reterr)
{
    struct dv_trained running = {0};
    struct dv_trained ended = {0};
    struct dv_error why = {0};
    enum dv_status has_ended = read_ended(task, state, &ended, reterr);
    enum dv_status has_running = read_running(task, state, &running, &why);

    if (has_ended == DV_OK &&
        (has_running != DV_OK || !(running.result.val_accuracy > ended.result.val_accuracy))) {
        dv_trained_finish(&running);
        *ret_trained = ended;
        return DV_OK;
    }
    dv_trained_finish(&ended);
    if (has_running == DV_OK) {
        *ret_trained = running;
        return DV_OK;
    }
    return has_ended == DV_NOT_FOUND && has_running != DV_NOT_FOUND
               ? dv_fail(reterr, has_running, "%s", why.text)
               : has_ended;
}

enum dv_status dv_search_salvage(struct dv_train_task *task, const char **ret_strategy_name,
    struct dv_trained *ret_trained, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *entries = NULL;
    struct dv_search_state state;
    char path[DV_PATH_SIZE];

    assert(task);
    assert(ret_strategy_name);
    assert(ret_trained);
    dv_search_state_init(&state, task->arena);
    enum dv_status status = journal_path(task->options->job_folder, path, reterr);
    if (status == DV_OK) {
        status = dv_search_journal_read(path, &entries, reterr);
    }
    if (status == DV_OK) {
        status = apply_all(&state, entries, reterr);
    }
    if (status == DV_OK) {
        status = salvage(task, &state, ret_trained, reterr);
    }
    if (status == DV_OK) {
        ret_trained->search = dv_search_state_result(&state, ret_trained->iteration);
        *ret_strategy_name = state.strategy;
    }
    dv_search_state_finish(&state);
    return status;
}
