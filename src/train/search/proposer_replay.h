/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_PROPOSER_REPLAY_H
#define DV_TRAIN_PROPOSER_REPLAY_H

/*
 * Proposes what another search has tried, from its journal: the same candidates, and so the same
 * weights, without asking anybody. A slot that the journal does not have is for the next proposer,
 * unless the journal says that its search was over.
 *
 * Life: dv_proposer_replay_init(), use, dv_proposer_replay_finish().
 */

#include "train/proposer.h"

struct dv_json;

struct dv_proposer_replay {
    struct dv_json *entries;
};

/* `path`: a search.jsonl. The proposer's self is `replay`, the caller's. */
DV_MUST_CHECK enum dv_status dv_proposer_replay_init(struct dv_proposer_replay *replay,
    const char *path, struct dv_proposer *ret_proposer, struct dv_error *reterr);

/* The entry that proposed this candidate, whoever decided it; NULL: none. Borrowed. */
const struct dv_json *dv_proposer_replay_find(
    const struct dv_proposer_replay *replay, uint32_t iteration);

/* Had the other search ended before it came to this candidate? */
bool dv_proposer_replay_is_over(const struct dv_proposer_replay *replay, uint32_t iteration);
void dv_proposer_replay_finish(struct dv_proposer_replay *replay);

#endif
