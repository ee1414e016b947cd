/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading order: one function an event, the table of them, then what is asked of the state.
 */
#include "train/search/search_state.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/hyperparameters.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>
#include <math.h>

#define SLOTS_MAX 1000
#define PROBLEM "the search's journal: "

void dv_search_state_init(struct dv_search_state *state, struct dv_arena *arena)
{
    assert(state);
    assert(arena);
    *state = (struct dv_search_state){.arena = arena};
}

void dv_search_state_finish(struct dv_search_state *state)
{
    for (uint32_t i = 0; i < state->count; i++) {
        state->notes[i].metrics = dv_json_unref(state->notes[i].metrics);
        state->notes[i].history = dv_json_unref(state->notes[i].history);
    }
    state->count = 0;
}

/* --- Words ------------------------------------------------------------------------------ */

/* `name` is one of dv_operator_name() and the like. */
#define DEFINE_READER(function, enumeration, name_of, limit)                                       \
    static bool function(const struct dv_json *json, const char *key, enum enumeration *ret_value) \
    {                                                                                              \
        const char *text = dv_json_get_string(json, key, NULL);                                    \
        for (int i = 0; text && i < (int)(limit); i++) {                                           \
            if (dv_text_equal(name_of((enum enumeration)i), text)) {                               \
                *ret_value = (enum enumeration)i;                                                  \
                return true;                                                                       \
            }                                                                                      \
        }                                                                                          \
        return false;                                                                              \
    }

DEFINE_READER(read_operator, dv_operator, dv_operator_name, DV_OPERATOR_COUNT)
DEFINE_READER(read_source, dv_proposal_source, dv_proposal_source_name, DV_PROPOSAL_SOURCE_COUNT)
DEFINE_READER(read_status, dv_candidate_status, dv_candidate_status_name, DV_CANDIDATE_STATUS_COUNT)
DEFINE_READER(read_verdict, dv_verdict, dv_verdict_name, DV_VERDICT_COUNT)

static const char *copy_text(
    struct dv_search_state *state, const struct dv_json *json, const char *key)
{
    const char *text = dv_json_get_string(json, key, NULL);

    return text ? dv_arena_strdup(state->arena, text) : NULL;
}

static struct dv_json *copy_or_null(const struct dv_json *json)
{
    return json ? dv_json_copy(json) : dv_json_null();
}

/* --- Events ----------------------------------------------------------------------------- */

static enum dv_status apply_planned(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    int64_t slots = dv_json_get_integer(entry, "slots", 0);
    int64_t retrains = dv_json_get_integer(entry, "retrains", -1);

    if (state->is_planned || slots < 1 || slots > SLOTS_MAX || retrains < 0 || retrains >= slots) {
        return dv_fail(reterr, DV_CORRUPT, PROBLEM "a plan that cannot be");
    }
    state->plan = (struct dv_search_plan){.slots = (uint32_t)slots,
        .retrains = (uint32_t)retrains,
        .epochs = dv_json_get_integer(entry, "epochs", 1),
        .screening_epochs = dv_json_get_integer(entry, "screening_epochs", 1)};
    state->strategy = copy_text(state, entry, "strategy");
    state->identity = copy_text(state, entry, "identity");
    state->candidates = dv_arena_array(state->arena, state->plan.slots, sizeof(*state->candidates));
    state->notes = dv_arena_array(state->arena, state->plan.slots, sizeof(*state->notes));
    state->is_planned = state->strategy && state->identity;
    return state->is_planned ? DV_OK : dv_fail(reterr, DV_CORRUPT, PROBLEM "a plan of nothing");
}

static enum dv_status read_hyperparameters(struct dv_search_state *state,
    const struct dv_json *entry, struct dv_hyperparameters *ret_hyperparameters,
    struct dv_error *reterr)
{
    struct dv_hyperparameters read = dv_hyperparameters_default();
    struct dv_problems problems;

    dv_problems_init(&problems, state->arena, 1);
    enum dv_status status = dv_hyperparameters_merge(
        &read, dv_json_get(entry, "hyperparameters"), "/hyperparameters", &problems, reterr);
    if (status == DV_OK) {
        *ret_hyperparameters = read;
    }
    return status == DV_INVALID ? dv_fail(reterr, DV_CORRUPT, PROBLEM "wrong hyperparameters")
                                : status;
}

static enum dv_status read_design(struct dv_search_state *state, const struct dv_json *entry,
    struct dv_candidate *candidate, struct dv_error *reterr)
{
    struct dv_problems problems;
    struct dv_arch *arch = NULL;
    const struct dv_json *json = dv_json_get(entry, "architecture");

    dv_problems_init(&problems, state->arena, 1);
    if (!json || dv_arch_parse(json, state->arena, &problems, &arch, NULL) != DV_OK) {
        return dv_fail(reterr, DV_CORRUPT, PROBLEM "an architecture that is none");
    }
    candidate->arch = arch;
    return read_hyperparameters(state, entry, &candidate->hyperparameters, reterr);
}

static void count_proposal(struct dv_search_state *state, const struct dv_json *entry)
{
    uint32_t asked = (uint32_t)dv_json_get_integer(entry, "asked", 0);
    bool is_replaced = dv_json_get_bool(entry, "replaced", false);

    state->asked += asked;
    state->valid_first += asked == 1 && !is_replaced;
    state->repaired += asked > 1 && !is_replaced;
    state->replaced += is_replaced;
}

static void read_parents(
    const struct dv_json *entry, uint32_t iteration, uint32_t ret_parents[static 2])
{
    const struct dv_json *parents = dv_json_get(entry, "parents");

    for (size_t i = 0; i < 2; i++) {
        int64_t parent = dv_json_to_integer(dv_json_at(parents, i), 0);
        ret_parents[i] = parent > 0 && parent < iteration ? (uint32_t)parent : 0;
    }
}

static enum dv_status apply_expected(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    struct dv_search_expectation expected = {.iteration = state->count + 1};

    if (dv_json_get_integer(entry, "iteration", 0) != expected.iteration ||
        !read_operator(entry, "operator", &expected.operation)) {
        return dv_fail(reterr, DV_CORRUPT, PROBLEM "a wish that cannot be");
    }
    read_parents(entry, expected.iteration, expected.parents);
    state->expected = expected;
    return DV_OK;
}

static enum dv_status apply_proposed(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    struct dv_candidate made = {.status = DV_CANDIDATE_PROPOSED,
        .iteration = state->count + 1,
        .train_accuracy = NAN,
        .val_accuracy = NAN,
        .val_loss = NAN,
        .seconds = NAN};

    if (!state->is_planned || state->count >= state->plan.slots ||
        dv_json_get_integer(entry, "iteration", 0) != made.iteration ||
        !read_operator(entry, "operator", &made.operation) ||
        !read_source(entry, "source", &made.source) ||
        !dv_text_copy(made.hash, sizeof(made.hash), dv_json_get_string(entry, "hash", ""))) {
        return dv_fail(reterr, DV_CORRUPT, PROBLEM "a proposal that cannot be");
    }
    read_parents(entry, made.iteration, made.parents);
    enum dv_status status = read_design(state, entry, &made, reterr);
    if (status != DV_OK) {
        return status;
    }
    made.hypothesis = copy_text(state, entry, "hypothesis");
    made.parameter_count = (uint64_t)dv_json_get_integer(entry, "parameters", 0);
    made.macs = (uint64_t)dv_json_get_integer(entry, "macs", 0);
    made.cost = dv_json_get_number(entry, "cost", 1.0);
    made.repair_count = (uint32_t)dv_json_get_integer(entry, "repairs", 0);
    count_proposal(state, entry);
    state->notes[state->count] = (struct dv_search_note){.kill_mark = -1,
        .kill_worker = -1,
        .proposed_at = dv_json_get_number(entry, "elapsed", 0.0)};
    state->candidates[state->count++] = made;
    return DV_OK;
}

/* The last candidate, which the entry must be of. */
static enum dv_status last_of(const struct dv_search_state *state, const struct dv_json *entry,
    bool is_judged, uint32_t *ret_index, struct dv_error *reterr)
{
    if (state->count == 0 || dv_json_get_integer(entry, "iteration", 0) != state->count ||
        state->notes[state->count - 1].is_judged != is_judged) {
        return dv_fail(reterr, DV_CORRUPT, PROBLEM "an entry of a candidate that has no such step");
    }
    *ret_index = state->count - 1;
    return DV_OK;
}

static enum dv_status apply_killed(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    bool is_judged = state->count > 0 && state->notes[state->count - 1].is_judged;
    uint32_t index;
    enum dv_status status = last_of(state, entry, is_judged, &index, reterr);

    if (status != DV_OK) {
        return status;
    }
    struct dv_search_note *note = &state->notes[index];
    if (note->is_measured) {
        return dv_fail(reterr, DV_CORRUPT, PROBLEM "a worker died of what was done with");
    }
    int64_t mark = dv_json_get_integer(entry, "mark", -1);
    note->kill_count = note->kill_count > 0 && mark == note->kill_mark ? note->kill_count + 1 : 1;
    note->kill_mark = mark;
    note->kill_worker = dv_json_get_integer(entry, "worker", -1);
    return DV_OK;
}

static enum dv_status apply_judged(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    uint32_t index;
    enum dv_status status = last_of(state, entry, false, &index, reterr);

    if (status != DV_OK) {
        return status;
    }
    struct dv_candidate *candidate = &state->candidates[index];
    struct dv_search_note *note = &state->notes[index];
    struct dv_candidate judged = *candidate;
    if (!read_status(entry, "status", &judged.status) ||
        !read_verdict(entry, "verdict", &judged.verdict)) {
        return dv_fail(reterr, DV_CORRUPT, PROBLEM "a verdict that is none");
    }
    status = read_hyperparameters(state, entry, &judged.hyperparameters, reterr);
    if (status != DV_OK) {
        return status;
    }
    judged.failure = copy_text(state, entry, "failure");
    judged.train_accuracy = dv_json_get_number(entry, "train_accuracy", NAN);
    judged.val_accuracy = dv_json_get_number(entry, "val_accuracy", NAN);
    judged.val_loss = dv_json_get_number(entry, "val_loss", NAN);
    judged.seconds = dv_json_get_number(entry, "seconds", NAN);
    *candidate = judged;
    note->kill_count = 0; /* measuring it is another thing */
    note->is_judged = true;
    note->is_measured = judged.status == DV_CANDIDATE_FAILED;
    note->failure = dv_status_from_name(dv_json_get_string(entry, "status_code", ""));
    note->epochs = dv_json_get_integer(entry, "epochs", 0);
    note->history = copy_or_null(dv_json_get(entry, "history"));
    note->metrics = dv_json_object();
    dv_json_set(note->metrics, "training", copy_or_null(dv_json_get(entry, "training")));
    dv_json_set(note->metrics, "usage", copy_or_null(dv_json_get(entry, "usage")));
    return DV_OK;
}

static enum dv_status apply_measured(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    const struct dv_json *metrics = dv_json_get(entry, "metrics");
    uint32_t index;
    enum dv_status status = last_of(state, entry, true, &index, reterr);

    if (status != DV_OK) {
        return status;
    }
    const char *failure = copy_text(state, entry, "failure");
    if (failure) {
        state->candidates[index].status = DV_CANDIDATE_FAILED;
        state->candidates[index].failure = failure;
        state->candidates[index].verdict = DV_VERDICT_NONE;
        state->notes[index].failure =
            dv_status_from_name(dv_json_get_string(entry, "status_code", ""));
    }
    for (void *i = dv_json_first(metrics); i; i = dv_json_next(metrics, i)) {
        dv_json_set(state->notes[index].metrics, dv_json_key(i), dv_json_copy(dv_json_value(i)));
    }
    state->notes[index].is_measured = true;
    return DV_OK;
}

static enum dv_status apply_screened(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    (void)reterr;
    state->screened =
        dv_arena_strdup(state->arena, dv_json_get_string(entry, "reason", "exhausted"));
    return DV_OK;
}

static enum dv_status apply_over(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    (void)reterr;
    state->over = dv_arena_strdup(state->arena, dv_json_get_string(entry, "reason", "done"));
    return DV_OK;
}

static const struct {
    const char *event;
    enum dv_status (*apply)(
        struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr);
} events[] = {
    {"planned", apply_planned},
    {"expected", apply_expected},
    {"proposed", apply_proposed},
    {"killed", apply_killed},
    {"judged", apply_judged},
    {"measured", apply_measured},
    {"screened", apply_screened},
    {"over", apply_over},
};

enum dv_status dv_search_state_apply(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr)
{
    const char *event = dv_json_get_string(entry, "event", "");

    assert(state);
    for (size_t i = 0; i < DV_ARRAY_SIZE(events); i++) {
        if (dv_text_equal(events[i].event, event)) {
            enum dv_status status = events[i].apply(state, entry, reterr);
            if (status == DV_OK) {
                state->elapsed = dv_json_get_number(entry, "elapsed", state->elapsed);
            }
            return status;
        }
    }
    return dv_fail(reterr, DV_CORRUPT, PROBLEM "no event is named '%.40s'", event);
}

/* --- Questions -------------------------------------------------------------------------- */

bool dv_candidate_is_better(const struct dv_candidate *a, const struct dv_candidate *b)
{
    if (a->val_accuracy < b->val_accuracy || a->val_accuracy > b->val_accuracy) {
        return a->val_accuracy > b->val_accuracy;
    }
    if (a->macs != b->macs) {
        return a->macs < b->macs;
    }
    return a->iteration < b->iteration;
}

static bool is_whole(const struct dv_search_state *state, const struct dv_candidate *candidate)
{
    return state->plan.retrains == 0 || candidate->operation == DV_OPERATOR_RETRAIN;
}

static const struct dv_candidate *find_best(const struct dv_search_state *state, bool is_of_whole)
{
    const struct dv_candidate *best = NULL;

    for (uint32_t i = 0; i < state->count; i++) {
        const struct dv_candidate *candidate = &state->candidates[i];
        if (candidate->status == DV_CANDIDATE_COMPLETED &&
            (!is_of_whole || is_whole(state, candidate)) &&
            (!best || dv_candidate_is_better(candidate, best))) {
            best = candidate;
        }
    }
    return best;
}

const struct dv_candidate *dv_search_state_best(const struct dv_search_state *state)
{
    return find_best(state, false);
}

const struct dv_candidate *dv_search_state_best_whole(const struct dv_search_state *state)
{
    return find_best(state, true);
}

const struct dv_candidate *dv_search_state_rival(
    const struct dv_search_state *state, const struct dv_candidate *candidate)
{
    const struct dv_candidate *rival = NULL;

    assert(candidate);
    for (uint32_t i = 0; i < state->count; i++) {
        const struct dv_candidate *other = &state->candidates[i];
        if (other->iteration == candidate->iteration || other->status != DV_CANDIDATE_COMPLETED ||
            is_whole(state, other) != is_whole(state, candidate)) {
            continue;
        }
        if (other->iteration == candidate->parents[0]) {
            return other;
        }
        if (!rival || dv_candidate_is_better(other, rival)) {
            rival = other;
        }
    }
    return rival;
}

const struct dv_candidate *dv_search_state_final(const struct dv_search_state *state)
{
    bool has_retrained = false;

    for (uint32_t i = 0; i < state->count; i++) {
        has_retrained = has_retrained || (state->candidates[i].operation == DV_OPERATOR_RETRAIN &&
                                             state->candidates[i].status == DV_CANDIDATE_COMPLETED);
    }
    return find_best(state, has_retrained && !dv_text_equal(state->over, "target"));
}

static bool was_retrained(const struct dv_search_state *state, uint32_t iteration)
{
    for (uint32_t i = 0; i < state->count; i++) {
        if (state->candidates[i].operation == DV_OPERATOR_RETRAIN &&
            state->candidates[i].parents[0] == iteration) {
            return true;
        }
    }
    return false;
}

/* The best that was only screened; NULL: there is none left. */
static const struct dv_candidate *best_screened(const struct dv_search_state *state)
{
    const struct dv_candidate *best = NULL;

    for (uint32_t i = 0; i < state->count; i++) {
        const struct dv_candidate *candidate = &state->candidates[i];
        bool is_screened = candidate->status == DV_CANDIDATE_COMPLETED &&
                           candidate->operation != DV_OPERATOR_RETRAIN &&
                           !was_retrained(state, candidate->iteration);
        if (is_screened && (!best || dv_candidate_is_better(candidate, best))) {
            best = candidate;
        }
    }
    return best;
}

const struct dv_candidate *dv_search_state_to_retrain(
    const struct dv_search_state *state, uint64_t val_count)
{
    const struct dv_candidate *best = best_screened(state);
    const struct dv_candidate *first = &state->candidates[0];

    if (!best || first->status != DV_CANDIDATE_COMPLETED ||
        was_retrained(state, first->iteration)) {
        return best;
    }
    double error = dv_accuracy_deviation(best->val_accuracy, val_count);
    return first->val_accuracy >= best->val_accuracy - error ? first : best;
}

/* --- JSON ------------------------------------------------------------------------------- */

static struct dv_json *parents_to_json(const uint32_t parents[static 2])
{
    struct dv_json *json = dv_json_array();

    for (size_t i = 0; i < 2 && parents[i] > 0; i++) {
        dv_json_append(json, dv_json_integer(parents[i]));
    }
    return json;
}

struct dv_json *dv_search_expectation_to_json(const struct dv_search_expectation *expected)
{
    struct dv_json *json = dv_json_object();

    assert(expected);
    dv_json_set_integer(json, "iteration", expected->iteration);
    dv_json_set_string(json, "operator", dv_operator_name(expected->operation));
    dv_json_set(json, "parents", parents_to_json(expected->parents));
    return json;
}

struct dv_json *dv_search_candidate_to_json(const struct dv_candidate *candidate)
{
    struct dv_json *json = dv_json_object();

    assert(candidate);
    dv_json_set_integer(json, "iteration", candidate->iteration);
    dv_json_set_string(json, "operator", dv_operator_name(candidate->operation));
    dv_json_set_string(json, "source", dv_proposal_source_name(candidate->source));
    dv_json_set(json, "parents", parents_to_json(candidate->parents));
    dv_json_set_text(json, "hypothesis", candidate->hypothesis);
    dv_json_set(json, "architecture", dv_arch_to_json(candidate->arch));
    dv_json_set(json, "hyperparameters", dv_hyperparameters_to_json(&candidate->hyperparameters));
    dv_json_set_string(json, "hash", candidate->hash);
    dv_json_set_integer(json, "parameters", (int64_t)candidate->parameter_count);
    dv_json_set_integer(json, "macs", (int64_t)candidate->macs);
    dv_json_set_number(json, "cost", candidate->cost);
    dv_json_set_integer(json, "repairs", candidate->repair_count);
    return json;
}

struct dv_json *dv_search_state_run(const struct dv_search_state *state, uint32_t index)
{
    assert(index < state->count);

    const struct dv_candidate *candidate = &state->candidates[index];
    const struct dv_search_note *note = &state->notes[index];
    struct dv_json *run = dv_search_candidate_to_json(candidate);
    bool has_ended = note->is_judged && note->is_measured;
    enum dv_candidate_status status = has_ended ? candidate->status : DV_CANDIDATE_RUNNING;

    dv_json_remove(run, "hash");
    dv_json_remove(run, "macs");
    dv_json_remove(run, "cost");
    dv_json_set_integer(run, "flops", (int64_t)candidate->macs * 2);
    dv_json_set_string(run, "status", dv_candidate_status_name(status));
    if (!has_ended) {
        return run;
    }
    dv_json_set_string(run, "failure", candidate->failure);
    dv_json_set(run, "accuracy", copy_or_null(dv_json_get(note->metrics, "accuracy")));
    dv_json_set(run, "loss", copy_or_null(dv_json_get(note->metrics, "loss")));
    dv_json_set_number(run, "best_accuracy", candidate->val_accuracy);
    dv_json_set_string(run, "verdict", dv_verdict_name(candidate->verdict));
    dv_json_set(run, "metrics", copy_or_null(note->metrics));
    dv_json_set(run, "history", copy_or_null(note->history));
    return run;
}

static struct dv_json *proposals_to_json(const struct dv_search_state *state)
{
    struct dv_json *json = dv_json_object();

    dv_json_set_integer(json, "asked", state->asked);
    dv_json_set_integer(json, "valid_first", state->valid_first);
    dv_json_set_integer(json, "repaired", state->repaired);
    dv_json_set_integer(json, "replaced", state->replaced);
    return json;
}

struct dv_json *dv_search_state_result(const struct dv_search_state *state, uint32_t best)
{
    struct dv_json *result = dv_json_object();
    struct dv_json *iterations = dv_json_array();

    for (uint32_t i = 0; i < state->count; i++) {
        struct dv_json *run = dv_search_state_run(state, i);
        dv_json_remove(run, "history");
        dv_json_append(iterations, run);
    }
    dv_json_set(result, "iterations", iterations);
    dv_json_set_integer(result, "best_iteration", best);
    dv_json_set(result, "proposals", proposals_to_json(state));
    dv_json_set_string(result, "ended", state->over);
    return result;
}
