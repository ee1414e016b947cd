/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_SETTINGS_H
#define DV_LLM_SETTINGS_H

/*
 * Which endpoint, and within which bounds: from the operator's environment, once, at the start of
 * the program. The key goes into a sealed file in memory and out of the environment; the rest is
 * no secret and travels to `dv llm` as JSON.
 *
 *   DV_LLM_BASE_URL         https://host/v1; the operator's alone, no request can name another
 *   DV_LLM_API_KEY          its key; optional
 *   DV_LLM_MODEL            "name, next, ...": the next one is for when a model is gone
 *   GROQ_API_KEY            by itself: Groq, and openai/gpt-oss-120b unless DV_LLM_MODEL says another
 *   DV_LLM_ALLOW_ADDRESSES  private addresses and networks that a name may lead to (llm/address.h)
 *   DV_LLM_CA_FILE          certificates to trust rather than the system's
 *   DV_LLM_PRICE            "0.15,0.60": dollars for a million tokens in and out
 *
 * Threads: take them before there are any.
 */

#include "base/status.h"
#include "llm/preset.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;

#define DV_LLM_MODELS_MAX 4u
#define DV_LLM_MODEL_SIZE 128u
#define DV_LLM_TEXT_SIZE 512u

struct dv_llm_settings {
    char url[DV_LLM_TEXT_SIZE]; /* "": no endpoint is configured */
    char models[DV_LLM_MODELS_MAX][DV_LLM_MODEL_SIZE];
    size_t model_count;
    char allowed[DV_LLM_TEXT_SIZE]; /* "" : none */
    char ca_file[DV_LLM_TEXT_SIZE]; /* "" : the system's */
    struct dv_llm_price price;      /* both 0: as the preset says */

    /* Bounds; 0: the default of llm/llm.h, or no bound. */
    int64_t connect_timeout_ms;
    int64_t total_timeout_ms; /* of one exchange */
    int64_t body_timeout_ms;  /* from the first byte of an answer to its last */
    int64_t patience_ms;      /* of one question, with all waiting */
    int64_t tokens_max;       /* of all questions together, as the next three */
    double dollars_max;
    int64_t time_max_ms; /* spent in asking */

    int key_fd; /* a sealed file in memory, the caller's to close; -1: none */
};

/*
 * Take them out of the environment. DV_NOT_FOUND: none are set. DV_INVALID, DV_DENIED: they are
 * wrong. Whatever is returned, no key is left in the environment.
 */
DV_MUST_CHECK enum dv_status dv_llm_settings_take(
    struct dv_llm_settings *ret_settings, struct dv_error *reterr);

/* As JSON without the key, and back (key_fd: -1). DV_INVALID: to the letter, or not at all. */
struct dv_json *dv_llm_settings_to_json(const struct dv_llm_settings *settings);
DV_MUST_CHECK enum dv_status dv_llm_settings_from_json(
    const struct dv_json *json, struct dv_llm_settings *ret_settings, struct dv_error *reterr);

#endif
