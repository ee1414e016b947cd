/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_GATE_H
#define DV_TRAIN_GATE_H

/*
 * What a proposal has to pass before it is trained: hyperparameters in their ranges, an
 * architecture that the checker and the graph accept, within the budgets, not seen before. The
 * search holds to it, and the offline proposer looks through it before it says anything.
 */

#include "spec/hyperparameters.h"
#include "train/proposer.h"

struct dv_arena;
struct dv_dataset_summary;
struct dv_graph;
struct dv_json;
struct dv_problems;
struct dv_time_table;

/* The same for all proposals of a search; everything is borrowed. */
struct dv_gate {
    const struct dv_dataset_summary *dataset;
    const struct dv_hyperparameters *defaults; /* with the user's over the strategy's */
    const struct dv_json *fixed; /* what the user has set, which no proposal changes; or NULL */
    const struct dv_time_table *times; /* of this machine; NULL: there is none */
    double default_cost; /* dv_gate_picture_cost() of the default network; 0: it is not known */
};

/*
 * What training takes for one picture: seconds, as the table predicts them, or multiply-adds where
 * there is no table.
 */
double dv_gate_picture_cost(
    const struct dv_gate *gate, const struct dv_graph *graph, int64_t batch_size);

/*
 * Make a candidate of what was proposed: number, operator, parents, status and figures are not
 * filled in. `ret_graph` may be NULL. The results live in `arena`. DV_INVALID: `problems` says
 * why, at most as many as it holds; pointers are into {"architecture", "hyperparameters"}.
 */
DV_MUST_CHECK enum dv_status dv_gate_check(const struct dv_gate *gate,
    const struct dv_proposal *proposal, const struct dv_search_limits *limits,
    struct dv_arena *arena, struct dv_problems *problems, struct dv_candidate *ret_candidate,
    const struct dv_graph **ret_graph, struct dv_error *reterr);

/*
 * The rate of dropout is a row of the network: what the user has set goes into the last such row,
 * and the hyperparameter says what is there.
 */
void dv_gate_settle_dropout(
    const struct dv_gate *gate, struct dv_arch *arch, struct dv_hyperparameters *hyperparameters);

/*
 * Was the same network trained with the same hyperparameters before? Then a problem says by whom.
 */
bool dv_gate_has_seen(const struct dv_search_history *history, const struct dv_candidate *candidate,
    struct dv_problems *problems);

/*
 * Of network and hyperparameters, without what does not make it another design: seed and epochs.
 * `ret_text` holds DV_SHA256_TEXT_SIZE.
 */
void dv_gate_hash(
    const char *arch_hash, const struct dv_hyperparameters *hyperparameters, char *ret_text);

#endif
