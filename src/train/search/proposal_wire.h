/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_PROPOSAL_WIRE_H
#define DV_TRAIN_PROPOSAL_WIRE_H

/*
 * A proposal as a language model writes it:
 *
 *     {"thought": "...", "change": "...", "model": {"name", "layers": [...]},
 *      "train": {"learning_rate": ..., ...}}
 *
 * thought comes first so that it is written before what it is about. A model that only tunes writes
 * no network: it is the parent's.
 */

#include "train/proposer.h"

struct dv_arena;
struct dv_json;

/* The schema of an answer, as llm/schema.h has it; the caller's. */
struct dv_json *dv_proposal_wire_schema(enum dv_operator operation);

/*
 * The hyperparameters that a language model sets, in the catalogue's order: those that neither the
 * search nor the network decides. The caller's.
 */
struct dv_json *dv_proposal_wire_catalogue(void);

/* A candidate in the same form, to be shown; the caller's. */
struct dv_json *dv_proposal_wire_write(const struct dv_candidate *candidate);

/*
 * Whatever was answered, as a proposal for the gate: strings in the arena, the two documents the
 * caller's (dv_json_unref). Hyperparameters that are left out are those of the slot's first parent,
 * or the defaults'. What is wrong is kept, for the gate to say; what is unknown or not the model's
 * to set is dropped.
 */
void dv_proposal_wire_read(const struct dv_json *answer, const struct dv_search_history *history,
    const struct dv_slot *slot, struct dv_arena *arena, struct dv_proposal *ret_proposal);

#endif
