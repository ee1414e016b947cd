/* SPDX-License-Identifier: Apache-2.0 */
#include "train/search/proposer_llm.h"

#include "base/json.h"
#include "base/text.h"
#include "train/search/prompt.h"
#include "train/search/proposal_wire.h"
#include "train/worker.h"

#include <assert.h>

#define ATTEMPTS_MAX 8 /* a slot's numbers; the search repairs less often */

static int64_t number_of(const struct dv_proposer_llm *llm, const struct dv_slot *slot)
{
    return (int64_t)slot->iteration * ATTEMPTS_MAX + llm->attempt;
}

/* Takes the question. */
static enum dv_status ask(struct dv_proposer_llm *llm, const struct dv_slot *slot,
    const char *purpose, struct dv_json *question, struct dv_error *reterr)
{
    int64_t number = number_of(llm, slot);

    enum dv_status status =
        llm->callbacks->ask(llm->callbacks->user, number, purpose, question, reterr);
    dv_json_unref(question);
    if (status == DV_OK) {
        llm->asked = number;
    }
    return status;
}

static enum dv_status hear(struct dv_proposer_llm *llm, const struct dv_search_history *history,
    const struct dv_slot *slot, struct dv_arena *arena, struct dv_proposal *ret_proposal,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *reply = NULL;

    enum dv_status status =
        llm->callbacks->hear(llm->callbacks->user, number_of(llm, slot), -1, &reply, reterr);
    if (status != DV_OK) {
        return status;
    }
    const char *outcome = dv_json_get_string(reply, "outcome", "");
    const struct dv_json *answer = dv_json_get(reply, "answer");
    if (!dv_text_equal(outcome, "answered") || !dv_json_is_object(answer)) {
        return dv_fail(reterr, DV_UNAVAILABLE, "the language model gave no answer (%s): %s",
            outcome, dv_json_get_string(reply, "reason", ""));
    }
    dv_proposal_wire_read(answer, history, slot, arena, ret_proposal);
    return DV_OK;
}

static void expect(void *self, const struct dv_search_history *history, const struct dv_slot *slot)
{
    struct dv_proposer_llm *llm = self;

    llm->attempt = 0;
    /* What fails here fails again when the answer is wanted, and is told then. */
    (void)ask(
        llm, slot, dv_operator_name(slot->operation), dv_prompt_question(history, slot), NULL);
}

static enum dv_status propose(void *self, const struct dv_search_history *history,
    const struct dv_slot *slot, struct dv_arena *arena, struct dv_proposal *ret_proposal,
    struct dv_error *reterr)
{
    struct dv_proposer_llm *llm = self;
    enum dv_status status = DV_OK;

    llm->attempt = 0;
    if (llm->asked != number_of(llm, slot)) {
        status = ask(llm, slot, dv_operator_name(slot->operation),
            dv_prompt_question(history, slot), reterr);
    }
    return status == DV_OK ? hear(llm, history, slot, arena, ret_proposal, reterr) : status;
}

static enum dv_status repair(void *self, const struct dv_search_history *history,
    const struct dv_slot *slot, const struct dv_proposal *refused,
    const struct dv_problems *problems, struct dv_arena *arena, struct dv_proposal *ret_proposal,
    struct dv_error *reterr)
{
    struct dv_proposer_llm *llm = self;

    llm->attempt++;
    assert(llm->attempt < ATTEMPTS_MAX);
    enum dv_status status =
        ask(llm, slot, "repair", dv_prompt_repair(history, slot, refused, problems), reterr);
    return status == DV_OK ? hear(llm, history, slot, arena, ret_proposal, reterr) : status;
}

struct dv_proposer dv_proposer_llm_init(
    struct dv_proposer_llm *llm, const struct dv_train_callbacks *callbacks)
{
    assert(llm);
    assert(callbacks && callbacks->ask && callbacks->hear);
    *llm = (struct dv_proposer_llm){.callbacks = callbacks, .asked = -1};
    return (struct dv_proposer){
        .name = "llm", .self = llm, .expect = expect, .propose = propose, .repair = repair};
}
