/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/preset.h"

#include "base/macro.h"
#include "base/text.h"

#include <assert.h>
#include <stddef.h>

/*
 * The first row whose host and beginning of the model's name fit; NULL fits all. Providers and
 * prices as of October 2026; a row that is out of date costs a refused call, no more.
 */
static const struct {
    const char *host;
    const char *model;
    struct dv_llm_capability capability;
    struct dv_llm_price price;
} presets[] = {
    {DV_LLM_GROQ_HOST, "openai/gpt-oss-120b", {.rung = DV_LLM_RUNG_STRICT, .output_max = 65536},
        {0.15, 0.60}},
    {DV_LLM_GROQ_HOST, "openai/gpt-oss-20b", {.rung = DV_LLM_RUNG_STRICT, .output_max = 65536},
        {0.075, 0.30}},
    {DV_LLM_GROQ_HOST, NULL, {.rung = DV_LLM_RUNG_OBJECT, .has_no_reasoning = true}, {0, 0}},
    {"api.openai.com", "o", {.rung = DV_LLM_RUNG_STRICT, .has_no_temperature = true}, {0, 0}},
    {"api.openai.com", "gpt-5", {.rung = DV_LLM_RUNG_STRICT, .has_no_temperature = true}, {0, 0}},
    {"api.openai.com", NULL, {.rung = DV_LLM_RUNG_STRICT, .has_no_reasoning = true}, {0, 0}},
};

/*
 * vLLM, Ollama, llama.cpp: all three take max_tokens, and Ollama nothing else; none refuses a
 * schema that it does not enforce.
 */
static const struct dv_llm_capability local = {
    .rung = DV_LLM_RUNG_SCHEMA, .is_old_output_field = true, .has_no_reasoning = true};

static bool fits(size_t row, const char *host, const char *model)
{
    return dv_text_equal_nocase(presets[row].host, host) &&
           (!presets[row].model || dv_text_has_prefix(model, presets[row].model));
}

struct dv_llm_capability dv_llm_preset_capability(const char *host, const char *model, bool is_local)
{
    assert(host);
    assert(model);
    for (size_t i = 0; i < DV_ARRAY_SIZE(presets); i++) {
        if (fits(i, host, model)) {
            return presets[i].capability;
        }
    }
    return is_local ? local
                    : (struct dv_llm_capability){
                          .rung = DV_LLM_RUNG_STRICT, .has_no_reasoning = true};
}

struct dv_llm_price dv_llm_preset_price(const char *host, const char *model)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(presets); i++) {
        if (fits(i, host, model)) {
            return presets[i].price;
        }
    }
    return (struct dv_llm_price){0};
}

static const char *const rung_names[] = {
#define X(code, name) [DV_LLM_RUNG_##code] = (name),
    DV_LLM_RUNG_MAP(X)
#undef X
};

const char *dv_llm_rung_name(enum dv_llm_rung rung)
{
    assert(rung < DV_LLM_RUNG_COUNT);
    return rung_names[rung];
}

bool dv_llm_rung_find(const char *name, enum dv_llm_rung *ret_rung)
{
    for (unsigned i = 0; i < DV_LLM_RUNG_COUNT; i++) {
        if (dv_text_equal(name, rung_names[i])) {
            *ret_rung = (enum dv_llm_rung)i;
            return true;
        }
    }
    return false;
}
