/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_LLM_IMPL_H
#define DV_LLM_LLM_IMPL_H

/*
 * The client from inside: llm.c asks, llm_step.c decides what each verdict leads to, llm_record.c
 * writes the transcript. Only these include this.
 */

#include "base/macro.h"
#include "llm/address.h"
#include "llm/breaker.h"
#include "llm/llm.h"
#include "llm/mask.h"
#include "llm/request.h"
#include "llm/settings.h"
#include "llm/transport.h"
#include "llm/verdict.h"

#define DV_LLM_ATTEMPTS 3u    /* of what may pass by itself */
#define DV_LLM_EXCHANGES 16u  /* of one question, whatever happens */
#define DV_LLM_OUTPUT 3000    /* tokens: within Groq's free plan with a prompt as long */
#define DV_LLM_OUTPUT_MIN 500 /* fewer are no answer */
#define DV_LLM_WAIT_MAX_MS 600000

struct dv_llm {
    struct dv_llm_settings settings;
    struct dv_llm_address address;
    struct dv_llm_transport *transport;
    char *key; /* NULL: none */
    struct dv_llm_world world;
    struct dv_llm_breaker breaker;
    struct dv_llm_capability capabilities[DV_LLM_MODELS_MAX];
    size_t model_index; /* the first that is not gone */

    struct dv_llm_rate rate; /* as last said */
    uint64_t rate_ns;        /* when that was */
    double tokens_per_byte;
    bool has_ratio; /* ... was seen rather than supposed */

    int64_t tokens_used;
    double dollars_used;
    int64_t time_used_ms;

    enum dv_llm_outcome dead; /* KEY or MONEY: nothing is asked again; else ANSWERED */
    char dead_reason[DV_LLM_REASON_SIZE];
};

/* One question on its way. */
struct dv_llm_course {
    struct dv_llm *llm;
    const struct dv_llm_question *question;
    struct dv_llm_reply *reply;
    uint64_t begin_ns, deadline_ns;

    /* What is asked next. */
    const struct dv_json *messages;
    double temperature;
    int64_t output_max;
    const char *effort;

    /* What was tried. */
    unsigned exchange_count;
    unsigned failures; /* that may pass by themselves */
    unsigned bad_answers;
    unsigned refusals;
    unsigned semantic_errors;
    bool is_shortened;
    bool is_shrunk;
    bool is_renamed;

    /* The exchange that was last. */
    int64_t prompt_estimate;
    size_t prompt_size;
    struct dv_llm_response response;
    struct dv_json *document;
    struct dv_llm_reading reading;
};

/* --- llm.c ------------------------------------------------------------------------------ */

uint64_t dv_llm_now_ns(const struct dv_llm *llm);
struct dv_llm_capability *dv_llm_capability(struct dv_llm *llm);
const char *dv_llm_model(const struct dv_llm *llm);

/* What is left of the question's patience. */
int64_t dv_llm_patience_ms(const struct dv_llm_course *course);

/* False: it would be over by then, or was cancelled; nobody waits in vain. */
bool dv_llm_wait(const struct dv_llm_course *course, int64_t time_ms);

/* End with this outcome; always false. */
bool dv_llm_end(struct dv_llm_course *course, enum dv_llm_outcome outcome, const char *format, ...)
    DV_PRINTF(3, 4);

/* GET, for what is no question; the caller frees the body. */
void dv_llm_get(
    const struct dv_llm_course *course, const char *url, struct dv_llm_response *ret_response);

/* --- llm_step.c ------------------------------------------------------------------------- */

/* Act on what was read: true to ask again, false when the question has ended. */
bool dv_llm_step(struct dv_llm_course *course);

/* --- llm_record.c ----------------------------------------------------------------------- */

/* Add the exchange to the reply's transcript, and its tokens and price to what was used. */
void dv_llm_record(struct dv_llm_course *course, char *request, uint64_t begin_ns);

#endif
