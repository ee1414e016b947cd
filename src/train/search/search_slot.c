/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading order: dv_search_next() at the end says which kind of candidate comes; above it the
 * retraining, the proposing with its repairs, the choice of operator and parents.
 */
#include "train/search/search_impl.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/job_spec.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/task.h"

#include <assert.h>
#include <math.h>

#define REPAIRS_MAX 2
#define DRAFTS_MAX 4           /* with the default five designs, which TPE wants */
#define PARENTS_MAX 3          /* the best, of which one is improved */
#define OTHER_PARENT_SHARE 5   /* one time in so many it is any other */
#define SCREENING_SHARE 0.6    /* of a time limit; the rest is for training the best again */
#define RETRAIN_EPOCHS_MAX 8   /* times the default's */
#define RETRAIN_TIME_SHARE 0.9 /* of what is left: epochs are measured as they go */

/* How often each operator is drawn, in hundredths; llm-search, 2.4. */
static const struct {
    enum dv_operator operation;
    unsigned share;
} shares[] = {
    {DV_OPERATOR_DRAFT, 10},
    {DV_OPERATOR_CROSSOVER, 15},
    {DV_OPERATOR_IMPROVE, 35},
    {DV_OPERATOR_TUNE, 40},
};

/* --- Costs ------------------------------------------------------------------------------ */

double dv_search_cost(const struct dv_search *search)
{
    double cost = 0.0;

    for (uint32_t i = 0; i < search->state.count; i++) {
        cost += (double)search->state.notes[i].epochs * search->state.candidates[i].cost;
    }
    return cost;
}

double dv_search_budget(const struct dv_search *search)
{
    return (double)search->state.plan.slots * (double)search->state.plan.epochs;
}

/* --- Operator and parents --------------------------------------------------------------- */

/* The completed ones, best first. */
static size_t rank(const struct dv_search *search, const struct dv_candidate **ret_ranked)
{
    const struct dv_search_state *state = &search->state;
    size_t count = 0;

    for (uint32_t i = 0; i < state->count; i++) {
        const struct dv_candidate *candidate = &state->candidates[i];
        size_t at = count;
        if (candidate->status != DV_CANDIDATE_COMPLETED) {
            continue;
        }
        while (at > 0 && dv_candidate_is_better(candidate, ret_ranked[at - 1])) {
            ret_ranked[at] = ret_ranked[at - 1];
            at--;
        }
        ret_ranked[at] = candidate;
        count++;
    }
    return count;
}

/* Of the three best with weights 3, 2, 1; one time in five any of the others. */
static uint32_t draw_parent(
    const struct dv_candidate *const *ranked, size_t count, struct dv_random *random)
{
    static const size_t by_weight[] = {0, 0, 0, 1, 1, 2};
    bool is_other = dv_random_below(random, OTHER_PARENT_SHARE) == 0;

    if (count == 0) {
        return 0;
    }
    if (is_other && count > PARENTS_MAX) {
        return ranked[PARENTS_MAX + dv_random_below(random, count - PARENTS_MAX)]->iteration;
    }
    size_t drawn = by_weight[dv_random_below(random, DV_ARRAY_SIZE(by_weight))];
    return ranked[drawn < count ? drawn : count - 1]->iteration;
}

static enum dv_operator draw_operator(struct dv_random *random)
{
    uint64_t at = dv_random_below(random, 100);
    size_t i = 0;

    while (i + 1 < DV_ARRAY_SIZE(shares) && at >= shares[i].share) {
        at -= shares[i].share;
        i++;
    }
    return shares[i].operation;
}

/* Candidates that are proposed, at most: without the default and those that are trained again. */
static uint32_t proposal_count(const struct dv_search *search)
{
    return search->state.plan.slots - 1 - search->state.plan.retrains;
}

/* A few designs that have nothing to do with each other come first; fewer in a short search. */
static bool is_draft(const struct dv_search *search, uint32_t iteration)
{
    uint32_t drafts = (proposal_count(search) + 2) / 3;

    return iteration <= 1 + (drafts < DRAFTS_MAX ? drafts : DRAFTS_MAX);
}

static void draw_slot(const struct dv_search *search, uint32_t iteration, struct dv_arena *arena,
    struct dv_slot *slot)
{
    const struct dv_candidate **ranked =
        dv_arena_array(arena, search->state.count + 1, sizeof(*ranked));
    size_t count = rank(search, ranked);
    struct dv_random random =
        dv_random_make((uint64_t)search->task->job->seed, DV_RANDOM_SEARCH, iteration, 0);
    enum dv_operator drawn = draw_operator(&random);

    *slot = (struct dv_slot){.iteration = iteration,
        .slot_count = search->state.plan.slots,
        .operation = is_draft(search, iteration) || count == 0 ? DV_OPERATOR_DRAFT : drawn,
        .limits = &search->limits};
    if (slot->operation == DV_OPERATOR_DRAFT) {
        return;
    }
    slot->parents[0] = draw_parent(ranked, count, &random);
    if (slot->operation == DV_OPERATOR_CROSSOVER && count > 1) {
        for (int i = 0; i < 64 && (slot->parents[1] == 0 || slot->parents[1] == slot->parents[0]);
             i++) {
            slot->parents[1] = draw_parent(ranked, count, &random);
        }
    }
    if (slot->operation == DV_OPERATOR_CROSSOVER &&
        (slot->parents[1] == 0 || slot->parents[1] == slot->parents[0])) {
        slot->operation = DV_OPERATOR_IMPROVE;
        slot->parents[1] = 0;
    }
}

static void choose_slot(const struct dv_search *search, uint32_t iteration, struct dv_arena *arena,
    struct dv_slot *slot)
{
    const struct dv_search_expectation *expected = &search->state.expected;

    draw_slot(search, iteration, arena, slot);
    if (expected->iteration == iteration) {
        slot->operation = expected->operation;
        memcpy(slot->parents, expected->parents, sizeof(slot->parents));
    }
}

static struct dv_search_history make_history(const struct dv_search *search)
{
    const struct dv_candidate *best = dv_search_state_best(&search->state);
    uint32_t count = search->state.count;
    bool is_under_way = count > 0 && !search->state.notes[count - 1].is_judged;

    count -= is_under_way;
    return (struct dv_search_history){.candidates = search->state.candidates,
        .count = count,
        .running = is_under_way ? &search->state.candidates[count] : NULL,
        .best = best ? best->iteration : 0,
        .dataset = search->task->dataset,
        .defaults = search->options->hyperparameters,
        .default_arch = search->default_arch,
        .target_accuracy = search->task->job->target_accuracy,
        .deviation = best ? dv_accuracy_deviation(best->val_accuracy, search->val_count) : 0.0,
        .seed = search->task->job->seed};
}

/* --- Asking ----------------------------------------------------------------------------- */

struct asking {
    struct dv_search *search;
    struct dv_search_history history;
    struct dv_slot slot;
    struct dv_candidate candidate; /* once there is one */
    struct dv_json *refused;       /* [{"by", "problems"}] */
    uint32_t asked;                /* proposals that were checked, whoever made them */
};

static void drop_proposal(struct dv_proposal *proposal)
{
    proposal->architecture = dv_json_unref(proposal->architecture);
    proposal->hyperparameters = dv_json_unref(proposal->hyperparameters);
}

static void note_refusal(
    struct asking *asking, const struct dv_proposer *proposer, const struct dv_problems *problems)
{
    struct dv_json *entry = dv_json_object();

    dv_json_set_string(entry, "by", proposer->name);
    dv_json_set(entry, "problems", dv_problems_to_json(problems));
    dv_json_append(asking->refused, entry);
    dv_search_log(asking->search, DV_LOG_INFO, "candidate %u, proposer %s: refused: %s",
        asking->slot.iteration, proposer->name,
        problems->count > 0 ? problems->items[0].message : "");
}

/* DV_INVALID: with the reasons in `problems`. */
static enum dv_status check(struct asking *asking, const struct dv_proposal *proposal,
    struct dv_problems *problems, struct dv_error *reterr)
{
    struct dv_search *search = asking->search;

    enum dv_status status = dv_gate_check(&search->gate, proposal, &search->limits, search->arena,
        problems, &asking->candidate, NULL, reterr);
    if (status == DV_OK && dv_gate_has_seen(&asking->history, &asking->candidate, problems)) {
        return dv_fail(reterr, DV_INVALID, "it was tried before");
    }
    return status;
}

/*
 * One proposer with its repairs. DV_NOT_FOUND: it has none that passes, and the next one is to be
 * asked.
 */
static enum dv_status ask(
    struct asking *asking, const struct dv_proposer *proposer, struct dv_error *reterr)
{
    struct dv_arena *arena = asking->search->arena;
    struct dv_proposal proposal = {0};

    enum dv_status status = proposer->propose(
        proposer->self, &asking->history, &asking->slot, arena, &proposal, reterr);
    for (uint32_t repairs = 0; status == DV_OK; repairs++) {
        struct dv_problems problems;
        struct dv_proposal next = {0};
        asking->asked++;
        dv_problems_init(&problems, arena, DV_ARCH_PROBLEMS_MAX);
        status = check(asking, &proposal, &problems, reterr);
        if (status == DV_OK) {
            asking->candidate.operation = proposal.operation;
            memcpy(asking->candidate.parents, proposal.parents, sizeof(proposal.parents));
            asking->candidate.repair_count = repairs;
            drop_proposal(&proposal);
            return DV_OK;
        }
        if (status != DV_INVALID) {
            break;
        }
        note_refusal(asking, proposer, &problems);
        if (!proposer->repair || repairs == REPAIRS_MAX) {
            status = dv_fail(reterr, DV_NOT_FOUND, "what it proposed does not pass");
            break;
        }
        status = proposer->repair(proposer->self, &asking->history, &asking->slot, &proposal,
            &problems, arena, &next, reterr);
        drop_proposal(&proposal);
        proposal = next;
    }
    drop_proposal(&proposal);
    return status;
}

/* Tuning is what a model of numbers does best: most of it goes to the offline proposer. */
static size_t first_proposer(const struct dv_search *search, const struct dv_slot *slot)
{
    struct dv_random random = dv_random_make(
        (uint64_t)search->task->job->seed, DV_RANDOM_SEARCH, slot->iteration, UINT32_MAX);
    bool is_passed = slot->operation == DV_OPERATOR_TUNE &&
                     dv_random_unit(&random) >= search->options->tune_share;

    /* A replay has said already who was to propose what. */
    return is_passed && !search->replay.entries ? search->proposer_count - 1 : 0;
}

static enum dv_status write_proposal(
    struct asking *asking, bool is_replaced, struct dv_error *reterr)
{
    asking->candidate.iteration = asking->slot.iteration;
    struct dv_json *entry = dv_search_candidate_to_json(&asking->candidate);

    dv_json_set_integer(entry, "asked", asking->asked);
    dv_json_set_bool(entry, "replaced", is_replaced);
    if (dv_json_count(asking->refused) > 0) {
        dv_json_set(entry, "refused", dv_json_ref(asking->refused));
    }
    return dv_search_note(asking->search, "proposed", entry, reterr);
}

static enum dv_status end_screening(
    struct dv_search *search, const char *reason, struct dv_error *reterr)
{
    struct dv_json *entry = dv_json_object();

    dv_json_set_string(entry, "reason", reason);
    return dv_search_note(search, "screened", entry, reterr);
}

static enum dv_status propose(struct dv_search *search, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *refused = dv_json_array();
    struct asking asking = {.search = search, .history = make_history(search), .refused = refused};

    choose_slot(search, search->state.count + 1, search->arena, &asking.slot);
    size_t first = first_proposer(search, &asking.slot);
    for (size_t i = first; i < search->proposer_count; i++) {
        struct dv_error why = {0};
        enum dv_status status = ask(&asking, &search->proposers[i], &why);
        if (status == DV_OK) {
            return write_proposal(&asking, i > first, reterr);
        }
        if (status == DV_NOMEM || status == DV_CANCELLED) {
            return dv_fail(reterr, status, "%s", why.text);
        }
        dv_search_log(search, DV_LOG_WARNING, "candidate %u: proposer %s has none: %s",
            asking.slot.iteration, search->proposers[i].name, why.text);
    }
    return end_screening(search, "exhausted", reterr);
}

enum dv_status dv_search_expect(struct dv_search *search, struct dv_error *reterr)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    uint32_t next = search->state.count + 1;
    struct dv_search_history history = make_history(search);
    enum dv_status status = DV_OK;
    struct dv_slot slot;

    if (next > 1 + proposal_count(search) || search->state.screened) {
        return DV_OK;
    }
    choose_slot(search, next, arena, &slot);
    const struct dv_proposer *proposer = &search->proposers[first_proposer(search, &slot)];
    if (!proposer->expect) {
        return DV_OK;
    }
    if (search->state.expected.iteration != next) {
        const struct dv_search_expectation expected = {.iteration = next,
            .operation = slot.operation,
            .parents = {slot.parents[0], slot.parents[1]}};
        status =
            dv_search_note(search, "expected", dv_search_expectation_to_json(&expected), reterr);
    }
    if (status == DV_OK) {
        proposer->expect(proposer->self, &history, &slot);
    }
    return status;
}

/* The same for other epochs: averages over as large a part of them, where nobody said how long. */
static void set_epochs(
    const struct dv_search *search, struct dv_candidate *candidate, int64_t epochs)
{
    double before = (double)candidate->hyperparameters.epochs;

    candidate->hyperparameters.epochs = epochs;
    if (candidate->hyperparameters.ema > 0.0 && !dv_json_get(search->gate.fixed, "ema")) {
        double share = (1.0 - candidate->hyperparameters.ema) * before / (double)epochs;
        candidate->hyperparameters.ema = fmin(0.999, fmax(0.9, 1.0 - share));
    }
}

/* --- Training again --------------------------------------------------------------------- */

static uint32_t count_retrains(const struct dv_search_state *state)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < state->count; i++) {
        count += state->candidates[i].operation == DV_OPERATOR_RETRAIN;
    }
    return count;
}

/* What the budget has left, shared among those that are still to come; as asked for by hand. */
static int64_t retrain_epochs(const struct dv_search *search, const struct dv_candidate *parent)
{
    const struct dv_search_state *state = &search->state;
    int64_t epochs = state->plan.epochs;
    double left = dv_search_budget(search) - dv_search_cost(search);
    double each = left / (double)(state->plan.retrains - count_retrains(state));
    double seconds = dv_search_seconds_left(search);
    double most = (double)(epochs * RETRAIN_EPOCHS_MAX);

    if (!dv_json_get(search->gate.fixed, "epochs")) {
        double paid = each / parent->cost;
        epochs = (int64_t)fmax(1.0, floor(fmin(paid, most)));
    }
    double epoch_seconds = parent->seconds / (double)state->notes[parent->iteration - 1].epochs;
    if (isfinite(seconds) && epoch_seconds > 0.0) {
        double fit = floor(seconds * RETRAIN_TIME_SHARE / epoch_seconds);
        epochs = (double)epochs > fit ? (int64_t)fmax(0.0, fit) : epochs;
    }
    return epochs;
}

static enum dv_status end(struct dv_search *search, const char *reason, struct dv_error *reterr)
{
    struct dv_json *entry = dv_json_object();

    dv_json_set_string(entry, "reason", reason);
    return dv_search_note(search, "over", entry, reterr);
}

/* Had the search that is replayed come to its end here? */
static bool is_replay_over(const struct dv_search *search)
{
    return dv_proposer_replay_is_over(&search->replay, search->state.count + 1);
}

static enum dv_status retrain(struct dv_search *search, struct dv_error *reterr)
{
    struct dv_search_state *state = &search->state;
    const struct dv_candidate *parent = dv_search_state_to_retrain(state, search->val_count);
    const struct dv_json *replayed = dv_proposer_replay_find(&search->replay, state->count + 1);
    int64_t epochs = parent ? retrain_epochs(search, parent) : 0;

    if (replayed && parent) {
        epochs = dv_json_get_integer(dv_json_get(replayed, "hyperparameters"), "epochs", epochs);
    }
    if (!parent || epochs <= state->notes[parent->iteration - 1].epochs) {
        return end(search, state->screened ? state->screened : "done", reterr);
    }
    if (is_replay_over(search)) {
        return end(search, "replay", reterr);
    }
    struct dv_candidate again = *parent;
    again.iteration = state->count + 1;
    again.operation = DV_OPERATOR_RETRAIN;
    again.parents[0] = parent->iteration;
    again.parents[1] = 0;
    again.repair_count = 0;
    again.hypothesis = dv_arena_printf(search->arena, "#%u on its whole schedule: %lld epochs",
        parent->iteration, (long long)epochs);
    set_epochs(search, &again, epochs);
    return dv_search_note(search, "proposed", dv_search_candidate_to_json(&again), reterr);
}

/* --- What comes next -------------------------------------------------------------------- */

static enum dv_status propose_default(struct dv_search *search, struct dv_error *reterr)
{
    struct dv_candidate first = {.iteration = 1,
        .operation = DV_OPERATOR_DEFAULT,
        .source = DV_PROPOSAL_SOURCE_DEFAULT,
        .hypothesis = "the network that would be trained without a search",
        .arch = search->default_arch,
        .hyperparameters = *search->options->hyperparameters,
        .parameter_count = search->default_parameters,
        .macs = search->default_macs,
        .cost = 1.0};
    char arch_hash[DV_SHA256_TEXT_SIZE];

    set_epochs(search, &first, search->state.plan.screening_epochs);
    first.hyperparameters.dropout = dv_arch_dropout(first.arch); /* as the gate has it */
    dv_arch_hash(first.arch, arch_hash);
    dv_gate_hash(arch_hash, &first.hyperparameters, first.hash);
    return dv_search_note(search, "proposed", dv_search_candidate_to_json(&first), reterr);
}

static bool is_target_reached(const struct dv_search *search)
{
    const struct dv_candidate *best = dv_search_state_best(&search->state);
    double target = search->task->job->target_accuracy;

    return target > 0.0 && best && best->val_accuracy >= target;
}

/* In a replay it ends where it ended then, for which there may have been the clock's reasons. */
static const char *why_screened(const struct dv_search *search)
{
    const struct dv_search_state *state = &search->state;
    double limit = (double)search->task->job->timeout_seconds;
    const struct dv_json *replayed = dv_proposer_replay_find(&search->replay, state->count + 1);

    if (dv_text_equal(
            dv_json_get_string(replayed, "operator", ""), dv_operator_name(DV_OPERATOR_RETRAIN))) {
        return "replay";
    }
    bool is_late = limit > 0.0 && dv_search_elapsed(search) > SCREENING_SHARE * limit;
    return is_late && state->plan.retrains > 0 &&
                   dv_search_state_to_retrain(state, search->val_count)
               ? "time"
               : NULL;
}

enum dv_status dv_search_next(struct dv_search *search, struct dv_error *reterr)
{
    const struct dv_search_state *state = &search->state;

    if (state->count == 0) {
        return propose_default(search, reterr);
    }
    if (is_target_reached(search)) {
        return end(search, "target", reterr);
    }
    if (dv_search_seconds_left(search) <= 0.0) {
        return end(search, "time", reterr);
    }
    if (!state->screened && state->count < 1 + proposal_count(search)) {
        const char *reason = why_screened(search);
        if (is_replay_over(search)) {
            return end(search, "replay", reterr);
        }
        return reason ? end_screening(search, reason, reterr) : propose(search, reterr);
    }
    if (count_retrains(state) < state->plan.retrains) {
        return retrain(search, reterr);
    }
    return end(search, state->screened ? state->screened : "done", reterr);
}
