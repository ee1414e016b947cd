/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/settings.h"

#include "base/file.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"
#include "llm/address.h"
#include "llm/mask.h"

#include <assert.h>

/* --- Models, price ---------------------------------------------------------------------- */

static enum dv_status parse_models(
    const char *text, struct dv_llm_settings *settings, struct dv_error *reterr)
{
    static const char between[] = ", \t";

    for (text += strspn(text, between); *text; text += strspn(text, between)) {
        size_t size = strcspn(text, between);
        if (settings->model_count == DV_LLM_MODELS_MAX || size >= DV_LLM_MODEL_SIZE ||
            !dv_text_is_utf8(text, size)) {
            return dv_fail(reterr, DV_INVALID,
                "DV_LLM_MODEL: at most %u names, each of fewer than %u characters",
                DV_LLM_MODELS_MAX, DV_LLM_MODEL_SIZE);
        }
        memcpy(settings->models[settings->model_count++], text, size);
        text += size;
    }
    return DV_OK;
}

static enum dv_status parse_price(
    const char *text, struct dv_llm_price *ret_price, struct dv_error *reterr)
{
    char first[32];
    const char *comma = strchr(text, ',');
    struct dv_llm_price price;

    size_t size = comma ? (size_t)(comma - text) : sizeof(first);
    if (size < sizeof(first)) {
        memcpy(first, text, size);
        first[size] = '\0';
        if (dv_text_to_double(first, &price.input) && dv_text_to_double(comma + 1, &price.output) &&
            price.input >= 0 && price.output >= 0) {
            *ret_price = price;
            return DV_OK;
        }
    }
    return dv_fail(reterr, DV_INVALID,
        "DV_LLM_PRICE is '%.40s': it is dollars for a million tokens in and out, like 0.15,0.60",
        text);
}

/* --- The environment -------------------------------------------------------------------- */

static const char *get(const char *variable)
{
    const char *value = getenv(variable);

    return value && value[0] ? value : NULL;
}

static enum dv_status copy(const char *variable, char field[static DV_LLM_TEXT_SIZE], struct dv_error *reterr)
{
    const char *value = get(variable);

    return !value || dv_text_copy(field, DV_LLM_TEXT_SIZE, value)
               ? DV_OK
               : dv_fail(reterr, DV_INVALID, "%s is too long", variable);
}

/* Which endpoint, and which variable holds its key: Groq's is for Groq alone. */
static enum dv_status choose_endpoint(
    struct dv_llm_settings *settings, const char **ret_key, struct dv_error *reterr)
{
    bool is_groq = false;

    *ret_key = "DV_LLM_API_KEY";
    if (get("DV_LLM_BASE_URL")) {
        enum dv_status status = copy("DV_LLM_BASE_URL", settings->url, reterr);
        struct dv_llm_address address;
        if (status == DV_OK) {
            status = dv_llm_address_parse(settings->url, settings->allowed, &address, reterr);
        }
        if (status != DV_OK) {
            return status;
        }
        is_groq = address.is_https && dv_text_equal_nocase(address.host, DV_LLM_GROQ_HOST);
    } else if (get("GROQ_API_KEY")) {
        is_groq = true;
        (void)dv_text_copy(settings->url, sizeof(settings->url), DV_LLM_GROQ_URL);
    } else if (get("DV_LLM_API_KEY") || get("DV_LLM_MODEL")) {
        return dv_fail(reterr, DV_INVALID,
            "DV_LLM_BASE_URL is not set: a key or a model alone does not say where to ask");
    } else {
        return dv_fail(reterr, DV_NOT_FOUND, "no LLM endpoint is configured");
    }
    if (is_groq && !get("DV_LLM_API_KEY")) {
        *ret_key = "GROQ_API_KEY";
    }
    if (settings->model_count == 0 && !is_groq) {
        return dv_fail(reterr, DV_INVALID, "DV_LLM_MODEL is not set: which model of %s?", settings->url);
    }
    if (settings->model_count == 0) {
        (void)dv_text_copy(settings->models[settings->model_count++], DV_LLM_MODEL_SIZE, DV_LLM_GROQ_MODEL);
    }
    return DV_OK;
}

static enum dv_status take_key(
    const char *variable, struct dv_llm_settings *settings, struct dv_error *reterr)
{
    enum dv_status status =
        dv_secret_take(variable, DV_LLM_KEY_SIZE_MAX, &settings->key_fd, reterr);

    return status == DV_NOT_FOUND ? DV_OK : status;
}

enum dv_status dv_llm_settings_take(struct dv_llm_settings *ret_settings, struct dv_error *reterr)
{
    struct dv_llm_settings settings = {.key_fd = -1};
    const char *key = NULL;

    assert(ret_settings);
    enum dv_status status = copy("DV_LLM_ALLOW_ADDRESSES", settings.allowed, reterr);
    if (status == DV_OK) {
        status = copy("DV_LLM_CA_FILE", settings.ca_file, reterr);
    }
    if (status == DV_OK && get("DV_LLM_MODEL")) {
        status = parse_models(get("DV_LLM_MODEL"), &settings, reterr);
    }
    if (status == DV_OK && get("DV_LLM_PRICE")) {
        status = parse_price(get("DV_LLM_PRICE"), &settings.price, reterr);
    }
    if (status == DV_OK) {
        status = choose_endpoint(&settings, &key, reterr);
    }
    if (status == DV_OK) {
        status = take_key(key, &settings, reterr);
    }
    dv_secret_forget("DV_LLM_API_KEY");
    dv_secret_forget("GROQ_API_KEY");
    if (status != DV_OK) {
        dv_file_closep(&settings.key_fd);
        return status;
    }
    *ret_settings = settings;
    return DV_OK;
}

/* --- JSON ------------------------------------------------------------------------------- */

/* The fields that are whole numbers. */
static const struct {
    const char *name;
    size_t offset;
} integers[] = {
    {"connect_timeout_ms", offsetof(struct dv_llm_settings, connect_timeout_ms)},
    {"total_timeout_ms", offsetof(struct dv_llm_settings, total_timeout_ms)},
    {"body_timeout_ms", offsetof(struct dv_llm_settings, body_timeout_ms)},
    {"patience_ms", offsetof(struct dv_llm_settings, patience_ms)},
    {"tokens_max", offsetof(struct dv_llm_settings, tokens_max)},
    {"time_max_ms", offsetof(struct dv_llm_settings, time_max_ms)},
};

struct dv_json *dv_llm_settings_to_json(const struct dv_llm_settings *settings)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *models = dv_json_array();

    dv_json_set_text(json, "url", settings->url);
    for (size_t i = 0; i < settings->model_count; i++) {
        dv_json_append(models, dv_json_text(settings->models[i]));
    }
    dv_json_set(json, "models", models);
    dv_json_set_text(json, "allowed", settings->allowed);
    dv_json_set_text(json, "ca_file", settings->ca_file);
    dv_json_set_number(json, "price_input", settings->price.input);
    dv_json_set_number(json, "price_output", settings->price.output);
    dv_json_set_number(json, "dollars_max", settings->dollars_max);
    for (size_t i = 0; i < DV_ARRAY_SIZE(integers); i++) {
        const int64_t *value = (const void *)((const char *)settings + integers[i].offset);
        dv_json_set_integer(json, integers[i].name, *value);
    }
    return json;
}

static bool read_text(const struct dv_json *json, const char *key, char *field, size_t size)
{
    const char *text = dv_json_get_string(json, key, NULL);

    return text && dv_text_copy(field, size, text);
}

static bool read_amount(const struct dv_json *json, const char *key, double *ret_value)
{
    *ret_value = dv_json_get_number(json, key, -1);
    return *ret_value >= 0;
}

static bool read_models(const struct dv_json *models, struct dv_llm_settings *settings)
{
    bool is_good = dv_json_count(models) > 0 && dv_json_count(models) <= DV_LLM_MODELS_MAX;

    for (size_t i = 0; is_good && i < dv_json_count(models); i++) {
        const char *name = dv_json_to_string(dv_json_at(models, i), NULL);
        is_good = name && name[0] && dv_text_copy(settings->models[i], DV_LLM_MODEL_SIZE, name);
        settings->model_count++;
    }
    return is_good;
}

enum dv_status dv_llm_settings_from_json(
    const struct dv_json *json, struct dv_llm_settings *ret_settings, struct dv_error *reterr)
{
    struct dv_llm_settings settings = {.key_fd = -1};

    bool is_good = read_text(json, "url", settings.url, sizeof(settings.url)) &&
                   read_text(json, "allowed", settings.allowed, sizeof(settings.allowed)) &&
                   read_text(json, "ca_file", settings.ca_file, sizeof(settings.ca_file)) &&
                   read_amount(json, "price_input", &settings.price.input) &&
                   read_amount(json, "price_output", &settings.price.output) &&
                   read_amount(json, "dollars_max", &settings.dollars_max) &&
                   read_models(dv_json_get(json, "models"), &settings);
    for (size_t i = 0; i < DV_ARRAY_SIZE(integers); i++) {
        int64_t *value = (void *)((char *)&settings + integers[i].offset);
        *value = dv_json_get_integer(json, integers[i].name, -1);
        is_good = is_good && *value >= 0;
    }
    if (!is_good || dv_json_count(json) != 7 + DV_ARRAY_SIZE(integers)) {
        return dv_fail(reterr, DV_INVALID, "what is said of the LLM endpoint is not well formed");
    }
    *ret_settings = settings;
    return DV_OK;
}
