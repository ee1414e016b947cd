/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_LLM_H
#define DV_LLM_LLM_H

/*
 * Ask a language model for a JSON object. Whatever the endpoint does, a question ends: with the
 * object, or with one of the outcomes below, within its patience and the budgets. What was learned
 * of the endpoint on the way (its capabilities, its limits) holds for the next question.
 *
 * Life:    dv_llm_create(), questions, dv_llm_destroy().
 * Threads: one at a time.
 * Limits:  an answer of 1 MiB (llm/transport.h), an object of 64 KiB (llm/answer.h), 16 exchanges
 *          a question.
 *
 * To be read in llm.c: exchanges, what each verdict leads to, the question. What an answer means
 * is in llm/verdict.h.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_llm;
struct dv_llm_settings;

/* clang-format off */
#define DV_LLM_OUTCOME_MAP(X)                                                               \
    X(ANSWERED,       "answered")                                                           \
    X(INVALID_ANSWER, "invalid_answer") /* no JSON object, in spite of repeated asking */   \
    X(REFUSED,        "refused")        /* the model will not, or answers nothing */        \
    X(KEY,            "key")            /* wrong or not permitted: nothing is asked again */\
    X(MONEY,          "money")          /* none left: nothing is asked again */             \
    X(BLOCKED,        "blocked")        /* by something in front of the endpoint */         \
    X(MODEL_GONE,     "model_gone")                                                         \
    X(ENDPOINT,       "endpoint")       /* what is there does not speak this protocol */    \
    X(REQUEST,        "request")        /* it refuses what we send */                       \
    X(TOO_LARGE,      "too_large")      /* the prompt, for the model or the plan */         \
    X(RATE_LIMITED,   "rate_limited")   /* for longer than we wait; see `wait_ms` */        \
    X(SERVER,         "server")                                                             \
    X(NETWORK,        "network")                                                            \
    X(DESTINATION,    "destination")    /* an address that may not be used */               \
    X(BUDGET,         "budget")         /* tokens, dollars or time are used up */           \
    X(OFFLINE,        "offline")        /* not asked: it failed three times in a row */     \
    X(CANCELLED,      "cancelled")
/* clang-format on */

enum dv_llm_outcome {
#define X(code, name) DV_LLM_OUTCOME_##code,
    DV_LLM_OUTCOME_MAP(X)
#undef X
        DV_LLM_OUTCOME_COUNT,
};

/* Time, chance and patience; NULL: the ordinary. A test brings its own. */
struct dv_llm_world {
    void *user;
    uint64_t (*now_ns)(void *user); /* monotonic */
    void (*sleep_ms)(void *user, int64_t time_ms); /* may return early when cancelled */
    double (*unit)(void *user);                    /* chance, in [0, 1) */
    bool (*is_cancelled)(void *user);
};

/* What to ask. Everything is borrowed for the call. */
struct dv_llm_question {
    const struct dv_json *messages;       /* [{"role", "content"}, ...]; at most one system, first */
    const struct dv_json *short_messages; /* NULL, or the same, shorter: when those are too long */
    const struct dv_json *schema;         /* NULL: any object; keywords as in llm/schema.h */
    const char *schema_name;              /* NULL: "answer" */
    double temperature;
    int64_t output_max; /* tokens; 0: 3000 */
    int64_t seed;       /* below 0: none */
};

struct dv_llm_reply {
    enum dv_llm_outcome outcome;
    struct dv_json *answer; /* of ANSWERED: an object */
    char mismatch[512];     /* of ANSWERED: where it breaks the schema; "" */
    char reason[512];       /* of all others: a sentence; no key is in it */
    char model[128];        /* that was asked last */
    const char *rung;       /* as llm/preset.h names it */
    int64_t wait_ms;        /* until it may be asked again; -1: not known */
    int64_t prompt_tokens, completion_tokens; /* of all exchanges */
    double dollars;
    int64_t latency_ms; /* with all waiting */
    bool is_prompt_cut; /* the endpoint seems to have read only a part of it (Ollama does) */
    struct dv_json *exchanges; /* an array of what was said, masked: the transcript */
};

/* `key` (NULL: none) is copied; `world` is borrowed until it is destroyed. */
DV_MUST_CHECK enum dv_status dv_llm_create(const struct dv_llm_settings *settings, const char *key,
    const struct dv_llm_world *world, struct dv_llm **ret_llm, struct dv_error *reterr);
struct dv_llm *dv_llm_destroy(struct dv_llm *llm);

/*
 * Ask. DV_OK: see the outcome; dv_llm_reply_finish() afterwards. DV_INVALID: the question is not
 * one, which is the caller's mistake.
 */
DV_MUST_CHECK enum dv_status dv_llm_ask(struct dv_llm *llm, const struct dv_llm_question *question,
    struct dv_llm_reply *ret_reply, struct dv_error *reterr);
void dv_llm_reply_finish(struct dv_llm_reply *reply);

/* What was learned, {model: {"rung", ...}}, for another one at the same endpoint; and back. */
struct dv_json *dv_llm_memory(const struct dv_llm *llm);
void dv_llm_remember(struct dv_llm *llm, const struct dv_json *memory);

/* "rate_limited"; never NULL. */
const char *dv_llm_outcome_name(enum dv_llm_outcome outcome);

#endif
