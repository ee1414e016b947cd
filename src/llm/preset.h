/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_PRESET_H
#define DV_LLM_PRESET_H

/*
 * What is known of providers and models before the first call: where to begin on the ladder, how
 * fields are called, what tokens cost. All of it is a start; what an endpoint says itself wins.
 */

#include <stdbool.h>
#include <stdint.h>

#define DV_LLM_GROQ_URL "https://api.groq.com/openai/v1"
#define DV_LLM_GROQ_HOST "api.groq.com"
#define DV_LLM_GROQ_MODEL "openai/gpt-oss-120b"

/* How an answer is bound to be JSON, from the strongest on. */
/* clang-format off */
#define DV_LLM_RUNG_MAP(X)                                                  \
    X(STRICT, "strict")           /* json_schema, decoding is constrained */ \
    X(SCHEMA, "schema")           /* json_schema, best effort */             \
    X(OBJECT, "object")           /* json_object */                          \
    X(TEXT,   "text")             /* nothing: the JSON is extracted */
/* clang-format on */

enum dv_llm_rung {
#define X(code, name) DV_LLM_RUNG_##code,
    DV_LLM_RUNG_MAP(X)
#undef X
        DV_LLM_RUNG_COUNT,
};

/* What one model at one endpoint takes. */
struct dv_llm_capability {
    enum dv_llm_rung rung;
    bool is_old_output_field; /* max_tokens rather than max_completion_tokens */
    bool has_no_temperature;
    bool has_no_reasoning;
    bool has_no_seed;
    bool is_on_demand;  /* service_tier, after the other tier was full */
    int64_t output_max; /* the most the model may be asked for; 0: not known */
};

/* Dollars for a million tokens; both 0: not known, or free. */
struct dv_llm_price {
    double input;
    double output;
};

/* `is_local`: the endpoint is on this machine or a private network. */
struct dv_llm_capability dv_llm_preset_capability(const char *host, const char *model, bool is_local);
struct dv_llm_price dv_llm_preset_price(const char *host, const char *model);

/* "strict"; never NULL. Back: false if there is no such rung. */
const char *dv_llm_rung_name(enum dv_llm_rung rung);
bool dv_llm_rung_find(const char *name, enum dv_llm_rung *ret_rung);

#endif
