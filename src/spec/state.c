/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/state.h"

#include "base/text.h"

#include <assert.h>
#include <stddef.h>

struct move {
    const char *from, *to;
};

struct dv_states {
    const char *const *names;
    const struct move *moves; /* {NULL, NULL} at the end */
};

const struct dv_states dv_dataset_states = {
    .names = (const char *const[]){"draft", "processing", "ready", "error", NULL},
    .moves =
        (const struct move[]){
            {"draft", "processing"}, /* all bytes have arrived */
            {"processing", "ready"},
            {"processing", "error"},
            {NULL, NULL},
        },
};

/* A model follows its job; one that was uploaded (draft) is read by a worker. */
const struct dv_states dv_model_states = {
    .names = (const char *const[]){"draft", "queued", "training", "ready", "active", "failed", NULL},
    .moves =
        (const struct move[]){
            {"queued", "training"}, /* the job is claimed */
            {"queued", "draft"},    /* the job is cancelled while it waits: nothing is there yet, */
            {"queued", "ready"},    /* or what an earlier attempt left is */
            {"training", "queued"}, /* worker or server have died */
            {"training", "ready"},
            {"training", "draft"},
            {"training", "failed"},
            {"draft", "queued"}, /* the job is resumed */
            {"failed", "queued"},
            {"ready", "queued"},
            {"draft", "ready"}, /* the upload is read */
            {"draft", "failed"},
            {"ready", "active"}, /* deployed, and back */
            {"active", "ready"},
            {NULL, NULL},
        },
};

const struct dv_states dv_job_states = {
    .names =
        (const char *const[]){"pending", "running", "completed", "failed", "cancelled", NULL},
    .moves =
        (const struct move[]){
            {"pending", "running"}, /* claimed */
            {"pending", "cancelled"},
            {"running", "completed"},
            {"running", "failed"},
            {"running", "cancelled"},
            {"running", "pending"}, /* worker or server have died */
            {"failed", "pending"},  /* resumed */
            {"cancelled", "pending"},
            {NULL, NULL},
        },
};

const char *const *dv_states_names(const struct dv_states *states)
{
    assert(states);
    return states->names;
}

bool dv_states_have(const struct dv_states *states, const char *name)
{
    assert(states);
    for (const char *const *known = states->names; *known; known++) {
        if (dv_text_equal(*known, name)) {
            return true;
        }
    }
    return false;
}

bool dv_states_can_move(const struct dv_states *states, const char *from, const char *to)
{
    assert(states);
    for (const struct move *move = states->moves; move->from; move++) {
        if (dv_text_equal(move->from, from) && dv_text_equal(move->to, to)) {
            return true;
        }
    }
    return false;
}
