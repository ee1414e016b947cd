/* SPDX-License-Identifier: Apache-2.0 */
#include "train/search/proposer_replay.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "train/search/search_journal.h"

#include <assert.h>

const struct dv_json *dv_proposer_replay_find(
    const struct dv_proposer_replay *replay, uint32_t iteration)
{
    for (size_t i = 0; i < dv_json_count(replay->entries); i++) {
        const struct dv_json *entry = dv_json_at(replay->entries, i);
        if (dv_text_equal(dv_json_get_string(entry, "event", ""), "proposed") &&
            dv_json_get_integer(entry, "iteration", 0) == iteration) {
            return entry;
        }
    }
    return NULL;
}

bool dv_proposer_replay_is_over(const struct dv_proposer_replay *replay, uint32_t iteration)
{
    bool is_over = false;

    for (size_t i = 0; i < dv_json_count(replay->entries); i++) {
        const char *event = dv_json_get_string(dv_json_at(replay->entries, i), "event", "");
        is_over = is_over || dv_text_equal(event, "over");
    }
    return is_over && !dv_proposer_replay_find(replay, iteration);
}

/* What it was then; the source is no longer that. */
static enum dv_operator operator_of(const struct dv_json *entry, enum dv_operator wanted)
{
    const char *name = dv_json_get_string(entry, "operator", "");

    for (int i = 0; i < DV_OPERATOR_COUNT; i++) {
        if (dv_text_equal(dv_operator_name((enum dv_operator)i), name)) {
            return (enum dv_operator)i;
        }
    }
    return wanted;
}

static enum dv_status propose(void *self, const struct dv_search_history *history,
    const struct dv_slot *slot, struct dv_arena *arena, struct dv_proposal *ret_proposal,
    struct dv_error *reterr)
{
    const struct dv_json *entry = dv_proposer_replay_find(self, slot->iteration);
    struct dv_proposal proposal = {.source = DV_PROPOSAL_SOURCE_REPLAY};

    (void)history;
    if (!entry) {
        return dv_fail(reterr, DV_NOT_FOUND, "the journal has no candidate %u", slot->iteration);
    }
    const struct dv_json *parents = dv_json_get(entry, "parents");
    for (size_t i = 0; i < 2; i++) {
        int64_t parent = dv_json_to_integer(dv_json_at(parents, i), 0);
        proposal.parents[i] = parent > 0 && parent < slot->iteration ? (uint32_t)parent : 0;
    }
    const char *hypothesis = dv_json_get_string(entry, "hypothesis", NULL);
    proposal.operation = operator_of(entry, slot->operation);
    proposal.hypothesis = hypothesis ? dv_arena_strdup(arena, hypothesis) : NULL;
    proposal.architecture = dv_json_ref(dv_json_get(entry, "architecture"));
    proposal.hyperparameters = dv_json_copy(dv_json_get(entry, "hyperparameters"));
    *ret_proposal = proposal;
    return DV_OK;
}

enum dv_status dv_proposer_replay_init(struct dv_proposer_replay *replay, const char *path,
    struct dv_proposer *ret_proposer, struct dv_error *reterr)
{
    assert(replay);
    assert(ret_proposer);
    enum dv_status status = dv_search_journal_read(path, &replay->entries, reterr);
    if (status == DV_OK) {
        *ret_proposer = (struct dv_proposer){.name = "replay", .self = replay, .propose = propose};
    }
    return status;
}

void dv_proposer_replay_finish(struct dv_proposer_replay *replay)
{
    replay->entries = dv_json_unref(replay->entries);
}
