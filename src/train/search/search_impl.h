/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_SEARCH_IMPL_H
#define DV_TRAIN_SEARCH_IMPL_H

/*
 * A search while it runs. search.c has the loop, search_slot.c decides what comes next and asks for
 * it, search_trial.c trains, judges and measures one candidate and sees to its folder.
 */

#include "base/file.h"
#include "train/search/gate.h"
#include "train/search/proposer_offline.h"
#include "train/search/proposer_replay.h"
#include "train/search/search.h"
#include "train/search/search_state.h"

#include "train/worker.h"

#define DV_SEARCH_PROPOSERS_MAX 3

struct dv_search_journal;
struct dv_task_network;
struct dv_time_table;

struct dv_search {
    const struct dv_search_options *options;
    const struct dv_train_task *task;
    struct dv_arena *arena; /* of the state and of what proposers are shown */
    struct dv_search_state state;
    struct dv_search_journal *journal;
    double elapsed_before; /* seconds, of earlier workers */
    uint64_t start_ns;

    const struct dv_arch *default_arch;
    uint64_t default_macs, default_parameters;
    struct dv_time_table *times; /* NULL: there is none */
    struct dv_gate gate;
    struct dv_search_limits limits;
    struct dv_proposer
        proposers[DV_SEARCH_PROPOSERS_MAX]; /* in the order in which they are asked */
    size_t proposer_count;
    struct dv_proposer_offline offline;
    struct dv_proposer_replay replay;
    uint64_t val_count; /* pictures */

    struct dv_train_callbacks callbacks;   /* what candidates are trained with */
    double fraction_before, fraction_each; /* of the job: before this candidate, and its own part */
};

/* search.c */

/* Make the entry durable, then apply it; takes it. */
DV_MUST_CHECK enum dv_status dv_search_note(
    struct dv_search *search, const char *event, struct dv_json *entry, struct dv_error *reterr);
void dv_search_log(const struct dv_search *search, enum dv_log_level level, const char *format, ...)
    DV_PRINTF(3, 4);
double dv_search_elapsed(const struct dv_search *search);

/* Seconds that are left for training; infinite without a limit. */
double dv_search_seconds_left(const struct dv_search *search);

/* Tell the caller of a candidate. */
void dv_search_report(const struct dv_search *search, uint32_t index);

/* search_slot.c */

/*
 * Write down what to train next, or that screening or the search is over. Adds at most one
 * candidate.
 */
DV_MUST_CHECK enum dv_status dv_search_next(struct dv_search *search, struct dv_error *reterr);

/* Let a proposer that wants to know it know what will be wanted after the last candidate. */
DV_MUST_CHECK enum dv_status dv_search_expect(struct dv_search *search, struct dv_error *reterr);

/* Epochs of the default network that all candidates cost, and that the search may cost. */
double dv_search_cost(const struct dv_search *search);
double dv_search_budget(const struct dv_search *search);

/* search_trial.c */

/*
 * A search is gone on with, and the caller says why the worker before ended: a mark against the
 * candidate that it was training.
 */
DV_MUST_CHECK enum dv_status dv_search_blame(struct dv_search *search, struct dv_error *reterr);

/* Do what is left to be done about the last candidate: train, judge, measure, tidy up. */
DV_MUST_CHECK enum dv_status dv_search_try(struct dv_search *search, struct dv_error *reterr);

DV_MUST_CHECK enum dv_status dv_search_folder(const char *job_folder, uint32_t iteration,
    char ret_path[static DV_PATH_SIZE], struct dv_error *reterr);

/* The trained network of a candidate, from its folder; the caller finishes it. */
DV_MUST_CHECK enum dv_status dv_search_read_trained(const struct dv_train_task *task,
    uint32_t iteration, struct dv_arena *arena, struct dv_trained *ret_trained,
    struct dv_error *reterr);

#endif
