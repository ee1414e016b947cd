/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_SEARCH_STATE_H
#define DV_TRAIN_SEARCH_STATE_H

/* clang-format off: it would reflow the table */
/*
 * Where a search stands: what its journal adds up to, and nothing else. A running search writes an
 * entry and then applies it, a resumed one applies what was written: both are in the same state.
 *
 * Entries are objects with "event":
 *     planned   {"version", "strategy", "identity", "slots", "retrains", "epochs",
 *               "screening_epochs"}: once, first
 *     expected  {"iteration", "operator", "parents"}: what somebody is asked for while the
 *               candidate before it trains, and is wanted then whatever that became
 *     proposed  {"iteration", "operator", "source", "parents", "hypothesis", "architecture",
 *               "hyperparameters", "hash", "parameters", "macs", "cost", "repairs", "asked",
 *               "replaced", "refused": [{"by", "problems"}]}
 *     killed    {"iteration", "worker", "reason", "mark"}: a worker died while it trained or
 *               measured this
 *     judged    {"iteration", "status", "failure", "status_code", "train_accuracy", "val_accuracy",
 *               "val_loss", "best_epoch", "epochs", "seconds", "verdict", "hyperparameters" (as
 *               used), "training", "usage", "history"}
 *     measured  {"iteration", "metrics"}: with the test split's, which nothing is decided by; or
 *               {"iteration", "failure", "status_code"}: it cannot be, and so is not to be had
 *     screened  {"reason"}: no more proposals; the best are trained again
 *     over      {"reason"}: "done", "target", "time", "replay", "exhausted" (no proposal passed)
 * and each has "at" and "elapsed", the seconds of the search until then.
 */
/* clang-format on */

#include "base/status.h"
#include "train/candidate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_arena;
struct dv_json;

/* What is known of a candidate beside what proposers see. */
struct dv_search_note {
    struct dv_json *metrics; /* "training" and "usage" once judged, the rest once measured */
    struct dv_json *history; /* NULL: not trained */
    int64_t epochs;          /* that were trained */
    double proposed_at;      /* seconds of the search until it was proposed */
    bool is_judged;
    bool is_measured;
    enum dv_status failure; /* of FAILED */
    uint32_t kill_count;    /* workers that died on it without a checkpoint or verdict between */
    int64_t kill_mark;      /* the checkpoint that the last of them left; -1: none */
    int64_t kill_worker;    /* its number; -1: none */
};

/* What a search does in all; fixed when it begins. */
struct dv_search_plan {
    uint32_t slots;           /* candidates at most, those that are trained again among them */
    uint32_t retrains;        /* at most so many of them */
    int64_t epochs;           /* that the default network would have without a search */
    int64_t screening_epochs; /* of each candidate, the first time */
};

/* The next slot, when somebody was asked for it early. */
struct dv_search_expectation {
    uint32_t iteration; /* 0: nobody was */
    enum dv_operator operation;
    uint32_t parents[2];
};

struct dv_search_state {
    struct dv_arena *arena; /* of architectures and texts; borrowed */
    bool is_planned;
    struct dv_search_plan plan;
    const char *strategy;
    const char *identity;
    struct dv_candidate *candidates; /* [plan.slots] */
    struct dv_search_note *notes;    /* likewise */
    uint32_t count;
    struct dv_search_expectation expected;
    const char *screened; /* why nothing more is proposed; NULL: it is, or all has been */
    const char *over;     /* why; NULL: it goes on */
    double elapsed;
    /* Of all proposals but the default's and those to train again. */
    uint32_t asked, valid_first, repaired, replaced;
};

void dv_search_state_init(struct dv_search_state *state, struct dv_arena *arena);
void dv_search_state_finish(struct dv_search_state *state);

/* DV_CORRUPT: an entry that cannot follow what was before, or lacks something. */
DV_MUST_CHECK enum dv_status dv_search_state_apply(
    struct dv_search_state *state, const struct dv_json *entry, struct dv_error *reterr);

/* The best that was judged, by validation accuracy, then fewer multiply-adds, then age; or NULL. */
const struct dv_candidate *dv_search_state_best(const struct dv_search_state *state);

/* The same of those on a whole schedule: what was trained again, or all where nothing is. */
const struct dv_candidate *dv_search_state_best_whole(const struct dv_search_state *state);

/*
 * Whom a candidate is compared with: its first parent, or else the best. Only one on a schedule of
 * the same kind will do: a short one shows less of what a network is worth than a whole one. NULL:
 * there is none yet.
 */
const struct dv_candidate *dv_search_state_rival(
    const struct dv_search_state *state, const struct dv_candidate *candidate);

/*
 * What the search would end with now. Once something was trained again it is one of the whole ones:
 * the highest of many screened figures owes more to luck. A search that ends because a candidate
 * reached the target ends with that.
 */
const struct dv_candidate *dv_search_state_final(const struct dv_search_state *state);

/*
 * What to train again next: the best that was only screened, but the default network while that is
 * within one standard error of it (the one-standard-error rule: Breiman et al. 1984, 3.4.3). The
 * default is known to suit the data; of many others the highest figure owes more to luck. NULL: all
 * were.
 */
const struct dv_candidate *dv_search_state_to_retrain(
    const struct dv_search_state *state, uint64_t val_count);

/* Is `a` rather to be taken than `b`? Both completed. A total order: who lost once has lost. */
bool dv_candidate_is_better(const struct dv_candidate *a, const struct dv_candidate *b);

/* As its entry says it, without "event". The caller's. */
struct dv_json *dv_search_expectation_to_json(const struct dv_search_expectation *expected);

/* A candidate as an entry says it, without "event". The caller's. */
struct dv_json *dv_search_candidate_to_json(const struct dv_candidate *candidate);

/* The object that train/worker.h has for `run`; the caller's. */
struct dv_json *dv_search_state_run(const struct dv_search_state *state, uint32_t index);

/*
 * What a search adds to a job's result: {"iterations": [run without its history, ...],
 * "best_iteration", "proposals": {"asked", "valid_first", "repaired", "replaced"}, "ended"}; the
 * caller's.
 */
struct dv_json *dv_search_state_result(const struct dv_search_state *state, uint32_t best);

#endif
