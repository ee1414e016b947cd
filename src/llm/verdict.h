/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_VERDICT_H
#define DV_LLM_VERDICT_H

/*
 * What one HTTP exchange with an endpoint means: the error table as a pure function of status and
 * body. What is then done is in llm/llm.c.
 */

#include "llm/rate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;

/* clang-format off */
#define DV_LLM_VERDICT_MAP(X)                                                            \
    X(ANSWER,      "answer")            /* there is content; not looked into yet */      \
    X(TRUNCATED,   "truncated")         /* the output budget ran out */                  \
    X(REFUSAL,     "refusal")           /* it answers nothing, or will not */            \
    X(BAD_JSON,    "bad_json")          /* 400: the model wrote no JSON */               \
    X(CAPABILITY,  "capability")        /* 400: no such response format here */          \
    X(PARAMETER,   "parameter")         /* 400: a field of ours; see `parameter` */      \
    X(MODEL_GONE,  "model_gone")                                                         \
    X(CONTEXT,     "context")           /* 400: the prompt is too long */                \
    X(KEY,         "key")               /* 401, 403 */                                   \
    X(BLOCKED,     "blocked")           /* 403 of something in front of the endpoint */  \
    X(NO_ROUTE,    "no_route")          /* 404: the base URL is wrong */                 \
    X(REDIRECT,    "redirect")                                                           \
    X(TRANSIENT,   "transient")         /* 408, 409, 425, 499; half an answer */         \
    X(TOO_LARGE,   "too_large")         /* 413 */                                        \
    X(SEMANTIC,    "semantic")          /* 422 */                                        \
    X(REFUSED,     "refused")           /* any other 4xx: ours to mend */                \
    X(RATE,        "rate")              /* 429; see `wait_ms` */                         \
    X(MONEY,       "money")                                                              \
    X(CAPACITY,    "capacity")          /* 498 */                                        \
    X(LOADING,     "loading")           /* 503 while the model is read */                \
    X(SERVER,      "server")            /* 5xx */                                        \
    X(ALIEN,       "alien")             /* 200, and nothing of this protocol */          \
    X(NETWORK,     "network")           /* no answer at all */                           \
    X(ENDLESS,     "endless")           /* more than we take */                          \
    X(DESTINATION, "destination")       /* an address that may not be used */            \
    X(CANCELLED,   "cancelled")
/* clang-format on */

enum dv_llm_verdict {
#define X(code, name) DV_LLM_VERDICT_##code,
    DV_LLM_VERDICT_MAP(X)
#undef X
};

/* Fields of a request that an endpoint may not know, or not with this value. */
enum dv_llm_parameter {
    DV_LLM_PARAMETER_NONE,
    DV_LLM_PARAMETER_OUTPUT_MAX,
    DV_LLM_PARAMETER_TEMPERATURE,
    DV_LLM_PARAMETER_REASONING,
    DV_LLM_PARAMETER_SEED,
};

#define DV_LLM_REASON_SIZE 500u

struct dv_llm_reading {
    enum dv_llm_verdict verdict;
    enum dv_llm_parameter parameter;
    int64_t limit;   /* a number that the message of PARAMETER names; or DV_LLM_UNKNOWN */
    int64_t wait_ms; /* that was asked for; or DV_LLM_UNKNOWN */
    char code[64];   /* the endpoint's own; "" */
    char reason[DV_LLM_REASON_SIZE]; /* its words, not masked yet */

    /* Within `document`, or NULL. */
    const char *content;
    const char *reasoning;         /* where a few put the answer */
    const struct dv_json *failed;  /* failed_generation: a string or an object */
    const char *model;
    int64_t prompt_tokens;         /* or DV_LLM_UNKNOWN */
    int64_t completion_tokens;
};

/*
 * Read an answer. `document` is its body as JSON, or NULL when it is none; borrowed, and so are the
 * pointers in the result.
 */
void dv_llm_verdict_read(int status, const char *body, size_t size, const struct dv_json *document,
    const struct dv_llm_rate *rate, struct dv_llm_reading *ret_reading);

/* "model_gone"; never NULL. */
const char *dv_llm_verdict_name(enum dv_llm_verdict verdict);

#endif
