/* SPDX-License-Identifier: Apache-2.0 */
#include "train/search/proposer_offline.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/random.h"
#include "spec/arch.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/search/gate.h"
#include "train/search/mutation.h"
#include "train/search/tpe.h"

#include <assert.h>
#include <math.h>

#define STARTUP_COUNT                                                                              \
    5 /* designs before the model is asked; see llm-search, 3.3: 3 or 8 do as well */
#define PICK_COUNT 4
#define DEFAULT_ITERATION 1
#define WIDTH_STEP 8 /* channels, as the engine likes them */
#define TRIES_MAX 200
#define RANDOM_DRAWS 1 /* the second position of the stream: the loop itself draws at 0 */

struct offer {
    struct dv_proposer_offline *offline;
    const struct dv_search_history *history;
    const struct dv_slot *slot;
    struct dv_arena *arena;
    struct dv_tpe_observation *observations;
    size_t observation_count;
    struct dv_random random;
};

/* Of a design that was trained more than once, each time. */
static void observe(struct offer *offer)
{
    const struct dv_search_history *history = offer->history;

    offer->observations = dv_alloc((history->count + 1) * sizeof(*offer->observations));
    for (size_t i = 0; i < history->count; i++) {
        const struct dv_candidate *candidate = &history->candidates[i];
        struct dv_tpe_observation *observation = &offer->observations[i];
        bool is_good = candidate->status == DV_CANDIDATE_COMPLETED;
        dv_space_read(&offer->offline->space, candidate->arch, &candidate->hyperparameters,
            &observation->point);
        observation->value = is_good ? candidate->val_accuracy : NAN;
    }
    offer->observation_count = history->count;
}

static void draw_point(struct offer *offer, struct dv_point *ret_point)
{
    const struct dv_space *space = &offer->offline->space;

    if (offer->observation_count < STARTUP_COUNT) {
        dv_tpe_draw_prior(space, &offer->random, ret_point);
    } else {
        dv_tpe_draw(
            space, offer->observations, offer->observation_count, &offer->random, ret_point);
    }
}

/* --- Operators: false when nothing came of this draw --------------------------------------- */

static bool draft(struct offer *offer, struct dv_proposal *proposal)
{
    const struct dv_space *space = &offer->offline->space;
    struct dv_point point;

    draw_point(offer, &point);
    proposal->operation = DV_OPERATOR_DRAFT;
    proposal->source = DV_PROPOSAL_SOURCE_TPE;
    proposal->architecture = dv_space_architecture(space, &point);
    proposal->hyperparameters = dv_space_hyperparameters(space, &point);
    proposal->hypothesis = offer->observation_count < STARTUP_COUNT
                               ? "a first look at another part of the space"
                               : "the levels that the good ones have and the others have not";
    return true;
}

/* The parent's point with the levels that it does not know drawn. */
static void complete(struct dv_point *point, const struct dv_point *drawn)
{
    for (size_t d = 0; d < DV_SPACE_POINT_SIZE; d++) {
        if (point->levels[d] == DV_SPACE_UNKNOWN) {
            point->levels[d] = drawn->levels[d];
        }
    }
}

/* A third of the hyperparameters anew: enough to matter, few enough to keep what is good. */
static bool tune(
    struct offer *offer, const struct dv_candidate *parent, struct dv_proposal *proposal)
{
    const struct dv_space *space = &offer->offline->space;
    struct dv_point before;
    struct dv_point drawn;

    dv_space_read(space, parent->arch, &parent->hyperparameters, &before);
    struct dv_point point = before;
    draw_point(offer, &drawn);
    for (size_t d = 0; d < dv_space_dimension_count(space); d++) {
        if (!dv_space_is_structural(space, d) && dv_random_below(&offer->random, 3) == 0) {
            point.levels[d] = drawn.levels[d];
        }
    }
    complete(&point, &drawn);
    proposal->operation = DV_OPERATOR_TUNE;
    proposal->source = DV_PROPOSAL_SOURCE_TPE;
    proposal->parents[0] = parent->iteration;
    proposal->architecture = dv_arch_to_json(parent->arch);
    proposal->hyperparameters = dv_candidate_recipe(parent);
    dv_space_lay_over(space, &before, &point, proposal->hyperparameters);
    proposal->hypothesis =
        dv_arena_printf(offer->arena, "the network of #%u, trained otherwise", parent->iteration);
    return true;
}

static bool improve(
    struct offer *offer, const struct dv_candidate *parent, struct dv_proposal *proposal)
{
    proposal->operation = DV_OPERATOR_IMPROVE;
    proposal->source = DV_PROPOSAL_SOURCE_MUTATION;
    proposal->parents[0] = parent->iteration;
    proposal->architecture = dv_mutation_make(
        &offer->offline->space, parent->arch, &offer->random, offer->arena, &proposal->hypothesis);
    proposal->hyperparameters = dv_candidate_recipe(parent);
    return proposal->architecture != NULL;
}

static bool cross(struct offer *offer, const struct dv_candidate *one,
    const struct dv_candidate *two, struct dv_proposal *proposal)
{
    const struct dv_space *space = &offer->offline->space;
    struct dv_point points[2];
    struct dv_point drawn;

    dv_space_read(space, one->arch, &one->hyperparameters, &points[0]);
    dv_space_read(space, two->arch, &two->hyperparameters, &points[1]);
    draw_point(offer, &drawn);
    for (size_t d = 0; d < dv_space_dimension_count(space); d++) {
        if (dv_random_below(&offer->random, 2) == 1 && points[1].levels[d] != DV_SPACE_UNKNOWN) {
            points[0].levels[d] = points[1].levels[d];
        }
    }
    complete(&points[0], &drawn);
    proposal->operation = DV_OPERATOR_CROSSOVER;
    proposal->source = DV_PROPOSAL_SOURCE_MUTATION;
    proposal->parents[0] = one->iteration;
    proposal->parents[1] = two->iteration;
    proposal->architecture = dv_space_architecture(space, &points[0]);
    proposal->hyperparameters = dv_space_hyperparameters(space, &points[0]);
    proposal->hypothesis = dv_arena_printf(
        offer->arena, "what #%u and #%u each do well, in one", one->iteration, two->iteration);
    return true;
}

static bool try_operator(struct offer *offer, struct dv_proposal *ret_proposal)
{
    const struct dv_candidate *one =
        dv_search_history_find(offer->history, offer->slot->parents[0]);
    const struct dv_candidate *two =
        dv_search_history_find(offer->history, offer->slot->parents[1]);

    *ret_proposal = (struct dv_proposal){0};
    if (one && offer->slot->operation == DV_OPERATOR_TUNE) {
        return tune(offer, one, ret_proposal);
    }
    if (one && two && offer->slot->operation == DV_OPERATOR_CROSSOVER) {
        return cross(offer, one, two, ret_proposal);
    }
    if (one && offer->slot->operation != DV_OPERATOR_DRAFT) {
        return improve(offer, one, ret_proposal);
    }
    return draft(offer, ret_proposal);
}

/* --- The default network, larger ----------------------------------------------------------- */

/*
 * It was made for one training, and a search has the time of several. Of each way to make it larger
 * the steps, the largest first; false: there are no more.
 */
typedef bool (*enlarge_fn)(
    struct offer *offer, struct dv_json *layers, size_t step, const char **ret_hypothesis);

/* One block more in its stages, or in the first of them: there the pictures are largest. */
static bool deepen(
    struct offer *offer, struct dv_json *layers, size_t step, const char **ret_hypothesis)
{
    const struct dv_space *space = &offer->offline->space;

    if (step >= space->stage_count) {
        return false;
    }
    uint32_t count = space->stage_count - (uint32_t)step;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = space->stages[i];
        dv_json_set_integer(
            dv_json_at(layers, row), "repeat", (int64_t)space->base->rows[row].repeat + 1);
    }
    *ret_hypothesis =
        dv_arena_printf(offer->arena, "the default network, %u of its %u stages a block deeper",
            (unsigned)count, (unsigned)space->stage_count);
    return true;
}

static bool widen(
    struct offer *offer, struct dv_json *layers, size_t step, const char **ret_hypothesis)
{
    static const double factors[] = {2.0, 1.75, 1.5, 1.375, 1.25};
    const struct dv_space *space = &offer->offline->space;

    if (step >= DV_ARRAY_SIZE(factors) || space->stage_count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < space->stage_count; i++) {
        double out = factors[step] * (double)space->base->rows[space->stages[i]].out;
        if (out > 0.0) {
            dv_json_set_integer(dv_json_at(layers, space->stages[i]), "out",
                (int64_t)(round(out / WIDTH_STEP) * WIDTH_STEP));
        }
    }
    *ret_hypothesis = dv_arena_printf(
        offer->arena, "the default network, its stages %g times as wide", factors[step]);
    return true;
}

static const enlarge_fn enlargements[] = {deepen, widen}; /* for the first candidates in order */

static bool enlarge(struct offer *offer, size_t which, size_t step, struct dv_proposal *proposal)
{
    struct dv_json *architecture = dv_arch_to_json(offer->offline->space.base);

    dv_json_remove(architecture, "name");
    *proposal = (struct dv_proposal){.operation = DV_OPERATOR_IMPROVE,
        .source = DV_PROPOSAL_SOURCE_MUTATION,
        .parents = {DEFAULT_ITERATION, 0},
        .architecture = architecture};
    return enlargements[which](
        offer, dv_json_get(architecture, "layers"), step, &proposal->hypothesis);
}

/* --- Choosing --------------------------------------------------------------------------- */

static void drop_proposal(struct dv_proposal *proposal)
{
    proposal->architecture = dv_json_unref(proposal->architecture);
    proposal->hyperparameters = dv_json_unref(proposal->hyperparameters);
}

/* *ret_macs: 0 when it would not pass, or was tried before. */
static enum dv_status weigh(const struct offer *offer, const struct dv_proposal *proposal,
    uint64_t *ret_macs, struct dv_error *reterr)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct dv_candidate candidate;
    struct dv_problems problems;

    *ret_macs = 0;
    dv_problems_init(&problems, arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status = dv_gate_check(offer->offline->gate, proposal, offer->slot->limits,
        arena, &problems, &candidate, NULL, reterr);
    if (status == DV_INVALID) {
        return DV_OK;
    }
    if (status == DV_OK && !dv_gate_has_seen(offer->history, &candidate, NULL)) {
        *ret_macs = candidate.macs > 0 ? candidate.macs : 1;
    }
    return status;
}

static enum dv_status choose(
    struct offer *offer, struct dv_proposal *ret_proposal, struct dv_error *reterr)
{
    struct dv_proposal chosen = {0};
    uint64_t most = 0;
    unsigned found = 0;

    for (unsigned i = 0; i < TRIES_MAX && found < PICK_COUNT; i++) {
        struct dv_proposal proposal;
        uint64_t macs = 0;
        bool is_made = try_operator(offer, &proposal);
        enum dv_status status = is_made ? weigh(offer, &proposal, &macs, reterr) : DV_OK;
        if (status != DV_OK) {
            drop_proposal(&proposal);
            drop_proposal(&chosen);
            return status;
        }
        found += macs > 0;
        if (macs > most) {
            drop_proposal(&chosen);
            chosen = proposal;
            most = macs;
        } else {
            drop_proposal(&proposal);
        }
    }
    if (most == 0) {
        return dv_fail(
            reterr, DV_NOT_FOUND, "of %d designs none is new and within the limits", TRIES_MAX);
    }
    *ret_proposal = chosen;
    return DV_OK;
}

/* The largest step that passes. DV_NOT_FOUND: none does. */
static enum dv_status choose_enlarged(
    struct offer *offer, size_t which, struct dv_proposal *ret_proposal, struct dv_error *reterr)
{
    struct dv_proposal proposal;

    for (size_t step = 0; enlarge(offer, which, step, &proposal); step++) {
        uint64_t macs = 0;
        enum dv_status status = weigh(offer, &proposal, &macs, reterr);
        if (status == DV_OK && macs > 0) {
            *ret_proposal = proposal;
            return DV_OK;
        }
        drop_proposal(&proposal);
        if (status != DV_OK) {
            return status;
        }
    }
    drop_proposal(&proposal);
    return DV_NOT_FOUND;
}

static enum dv_status propose(void *self, const struct dv_search_history *history,
    const struct dv_slot *slot, struct dv_arena *arena, struct dv_proposal *ret_proposal,
    struct dv_error *reterr)
{
    struct offer offer = {.offline = self,
        .history = history,
        .slot = slot,
        .arena = arena,
        .random = dv_random_make(
            (uint64_t)history->seed, DV_RANDOM_SEARCH, slot->iteration, RANDOM_DRAWS)};

    observe(&offer);
    size_t place = slot->iteration - DEFAULT_ITERATION - 1;
    enum dv_status status = place < DV_ARRAY_SIZE(enlargements)
                                ? choose_enlarged(&offer, place, ret_proposal, reterr)
                                : DV_NOT_FOUND;
    if (status == DV_NOT_FOUND) {
        status = choose(&offer, ret_proposal, reterr);
    }
    if (status == DV_NOT_FOUND && slot->operation != DV_OPERATOR_DRAFT) {
        /* A parent has only so many neighbours; the space has more. */
        struct dv_slot draft_slot = *slot;
        draft_slot.operation = DV_OPERATOR_DRAFT;
        offer.slot = &draft_slot;
        status = choose(&offer, ret_proposal, reterr);
    }
    dv_free(offer.observations);
    return status;
}

struct dv_proposer dv_proposer_offline_init(struct dv_proposer_offline *offline,
    const struct dv_gate *gate, const struct dv_arch *default_arch)
{
    assert(offline);
    assert(gate);
    assert(default_arch);
    offline->gate = gate;
    dv_space_init(&offline->space, default_arch, gate->defaults);
    return (struct dv_proposer){.name = "offline", .self = offline, .propose = propose};
}
