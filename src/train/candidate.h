/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_CANDIDATE_H
#define DV_TRAIN_CANDIDATE_H

/*
 * What a search tries: a network with hyperparameters, where it comes from and what became of it.
 * No figure of the test split is in it, so that no proposer can see one.
 */

#include "base/hash.h"
#include "spec/hyperparameters.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_arch;
struct dv_json;

/* clang-format off */
#define DV_OPERATOR_MAP(X)                                                       \
    X(DEFAULT,   "default")   /* what `native` would train */                    \
    X(DRAFT,     "draft")     /* a new design */                                 \
    X(IMPROVE,   "improve")   /* the parent with one structural change */        \
    X(CROSSOVER, "crossover") /* of two parents */                               \
    X(TUNE,      "tune")      /* the parent's network, other hyperparameters */  \
    X(RETRAIN,   "retrain")   /* the parent again, on its whole schedule */

#define DV_PROPOSAL_SOURCE_MAP(X)                                                \
    X(DEFAULT,  "default")                                                       \
    X(LLM,      "llm")                                                           \
    X(TPE,      "tpe")                                                           \
    X(MUTATION, "mutation")                                                      \
    X(REPLAY,   "replay")

#define DV_CANDIDATE_STATUS_MAP(X)                                               \
    X(PROPOSED,  "proposed")                                                     \
    X(RUNNING,   "running")                                                      \
    X(COMPLETED, "completed")                                                    \
    X(FAILED,    "failed")    /* diverged, out of memory, killed its workers */

#define DV_VERDICT_MAP(X)                                                        \
    X(NONE,   "")             /* not judged */                                   \
    X(FIRST,  "first")        /* there was nothing to compare it with */         \
    X(BETTER, "better")       /* than its rival, by more than noise */           \
    X(WORSE,  "worse")                                                           \
    X(TIE,    "tie")          /* within noise */
/* clang-format on */

#define X(code, name) DV_OPERATOR_##code,
enum dv_operator { DV_OPERATOR_MAP(X) DV_OPERATOR_COUNT };
#undef X
#define X(code, name) DV_PROPOSAL_SOURCE_##code,
enum dv_proposal_source { DV_PROPOSAL_SOURCE_MAP(X) DV_PROPOSAL_SOURCE_COUNT };
#undef X
#define X(code, name) DV_CANDIDATE_##code,
enum dv_candidate_status { DV_CANDIDATE_STATUS_MAP(X) DV_CANDIDATE_STATUS_COUNT };
#undef X
#define X(code, name) DV_VERDICT_##code,
enum dv_verdict { DV_VERDICT_MAP(X) DV_VERDICT_COUNT };
#undef X

/* Pointers live in the search's arena. */
struct dv_candidate {
    uint32_t iteration;  /* from 1 */
    uint32_t parents[2]; /* their iterations; 0: none */
    enum dv_operator operation;
    enum dv_proposal_source source;
    const char *hypothesis; /* why it should be better, in a sentence; NULL: nobody said */
    const struct dv_arch *arch;
    struct dv_hyperparameters hyperparameters; /* with the epochs of its own schedule */
    char hash[DV_SHA256_TEXT_SIZE]; /* of network and hyperparameters but seed, epochs, averaging */
    uint64_t parameter_count;
    uint64_t macs;
    double cost; /* of an epoch, in epochs of the default network: see dv_gate_picture_cost() */
    uint32_t repair_count; /* how often the gate sent it back */

    enum dv_candidate_status status;
    const char *failure;   /* of FAILED: a sentence; else NULL */
    double train_accuracy; /* of the best epoch; NaN before the end */
    double val_accuracy;   /* of the best epoch; NaN before the end */
    double val_loss;
    double seconds;          /* of training */
    enum dv_verdict verdict; /* see dv_search_state_rival() */
};

/* A difference of two accuracies within so many deviations of one is a tie: 2 sqrt(2). */
#define DV_TIE_DEVIATIONS 2.8284271247461903

/* Standard error of an accuracy that was measured on so many pictures; not finite: of none. */
double dv_accuracy_deviation(double accuracy, uint64_t picture_count);

/* Of two accuracies that were measured on as many pictures each; by the deviation of their mean. */
enum dv_verdict dv_verdict_between(double accuracy, double other, uint64_t picture_count);

/*
 * How it was trained, for another candidate to be trained alike: without what the network (dropout)
 * or the search decides (epochs, averaging). The caller's.
 */
struct dv_json *dv_candidate_recipe(const struct dv_candidate *candidate);

const char *dv_operator_name(enum dv_operator operator_);
const char *dv_proposal_source_name(enum dv_proposal_source source);
const char *dv_candidate_status_name(enum dv_candidate_status status);
const char *dv_verdict_name(enum dv_verdict verdict);

#endif
