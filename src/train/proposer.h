/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_PROPOSER_H
#define DV_TRAIN_PROPOSER_H

/*
 * Who says what a search tries next. A proposer keeps nothing that the journal does not: what it
 * proposes follows from the history, the slot and the seed alone (an LLM's answers from the
 * numbers of its questions), so that a resumed search proposes what the interrupted one would have.
 */

#include "base/status.h"
#include "train/candidate.h"

#include <stddef.h>
#include <stdint.h>

struct dv_arena;
struct dv_dataset_summary;
struct dv_json;
struct dv_problems;

/* What a proposal may cost; the gate holds to it, and a proposer is told. */
struct dv_search_limits {
    uint64_t parameters_max;
    uint64_t macs_max;   /* multiply-adds a picture */
    uint64_t memory_max; /* bytes, planned, of training with the proposal's batch */
    double cost_max;     /* of an epoch, in epochs of the default network; 0: not limited */
    int64_t epochs;      /* of its screening: what a proposal says of epochs is not looked at */
};

/* All that a proposer is shown. */
struct dv_search_history {
    const struct dv_candidate *candidates; /* in their order; judged ones, and those that failed */
    size_t count;
    const struct dv_candidate *running; /* under way, not judged yet; NULL: none */
    uint32_t best;                      /* iteration; 0: none yet */
    const struct dv_dataset_summary *dataset;
    const struct dv_hyperparameters *defaults; /* of `native` for this data set */
    const struct dv_arch *default_arch;
    double target_accuracy; /* 0: none */
    double deviation;       /* of a validation accuracy, from the number of pictures */
    int64_t seed;
};

/* NULL: none has this number. */
const struct dv_candidate *dv_search_history_find(
    const struct dv_search_history *history, uint32_t iteration);

/* What is wanted. */
struct dv_slot {
    uint32_t iteration; /* from 1: whom it will become */
    uint32_t slot_count;
    enum dv_operator operation;
    uint32_t parents[2]; /* 0: none */
    const struct dv_search_limits *limits;
};

/* Architecture and hyperparameters as in a job: members left out are the defaults'. */
struct dv_proposal {
    enum dv_operator operation; /* may be another than was wanted: a draft instead of a crossover */
    enum dv_proposal_source source;
    uint32_t parents[2];
    const char *hypothesis;          /* NULL: none; in the arena */
    struct dv_json *architecture;    /* an object or a preset's name; whoever asked unrefs it */
    struct dv_json *hyperparameters; /* an object, or NULL; likewise */
};

struct dv_proposer {
    const char *name;
    void *self;

    /* Optional: the slot after the running one, so that an answer may be had in time. */
    void (*expect)(void *self, const struct dv_search_history *history, const struct dv_slot *slot);

    /*
     * Required. Other statuses than DV_OK, DV_NOMEM and DV_CANCELLED leave the slot to the next
     * proposer, with `reterr` in the log.
     */
    enum dv_status (*propose)(void *self, const struct dv_search_history *history,
        const struct dv_slot *slot, struct dv_arena *arena, struct dv_proposal *ret_proposal,
        struct dv_error *reterr);

    /* Optional: the gate refused the last one for these; NULL: the slot goes to the next proposer.
     */
    enum dv_status (*repair)(void *self, const struct dv_search_history *history,
        const struct dv_slot *slot, const struct dv_proposal *refused,
        const struct dv_problems *problems, struct dv_arena *arena,
        struct dv_proposal *ret_proposal, struct dv_error *reterr);
};

#endif
