/* SPDX-License-Identifier: Apache-2.0 */

/* To be read: words, each status of the error table, a 200, the whole. */

#include "llm/verdict.h"

#include "base/json.h"
#include "base/macro.h"
#include "base/text.h"

#include <assert.h>
#include <ctype.h>

/* What the endpoint says went wrong. */
struct complaint {
    const char *message;   /* never NULL */
    const char *parameter; /* never NULL */
    const char *code;      /* never NULL */
    bool is_json;
};

/* --- Words ------------------------------------------------------------------------------ */

static bool names_any(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcasestr(text, *words)) {
            return true;
        }
    }
    return false;
}

/* A number in the words about a limit: the last of those that are one (names hold digits too). */
static int64_t find_limit(const char *text)
{
    int64_t found = DV_LLM_UNKNOWN;

    for (const char *at = text; *at; at++) {
        bool is_start = isdigit((unsigned char)*at) &&
                        (at == text || !(isalnum((unsigned char)at[-1]) || strchr("_-.", at[-1])));
        if (!is_start) {
            continue;
        }
        int64_t value = 0;
        for (; isdigit((unsigned char)*at) || (*at == ',' && isdigit((unsigned char)at[1])); at++) {
            value = *at == ',' || value > INT32_MAX ? value : value * 10 + (*at - '0');
        }
        found = value > 0 && (found < 0 || value < found) ? value : found;
        if (*at == '\0') {
            break;
        }
    }
    return found;
}

static enum dv_llm_parameter find_parameter(const char *text)
{
    static const char *const output[] = {"max_completion_tokens", "max_tokens", NULL};
    static const char *const temperature[] = {"temperature", NULL};
    static const char *const reasoning[] = {"reasoning", "support thinking", "think value", NULL};
    static const char *const seed[] = {"seed", NULL};

    return names_any(text, output)        ? DV_LLM_PARAMETER_OUTPUT_MAX
           : names_any(text, temperature) ? DV_LLM_PARAMETER_TEMPERATURE
           : names_any(text, reasoning)   ? DV_LLM_PARAMETER_REASONING
           : names_any(text, seed)        ? DV_LLM_PARAMETER_SEED
                                          : DV_LLM_PARAMETER_NONE;
}

/* --- Statuses --------------------------------------------------------------------------- */

/* By its code; the words of an ordinary rate limit point to a page on billing too (Groq's do). */
static bool is_money(const struct complaint *complaint)
{
    static const char *const codes[] = {"insufficient_quota", "credit_balance", "billing", NULL};
    static const char *const words[] = {
        "exceeded your current quota", "insufficient_quota", "credit balance", NULL};

    return names_any(complaint->code, codes) ||
           (!strcasestr(complaint->code, "rate_limit") && names_any(complaint->message, words));
}

static bool is_model_gone(const struct complaint *complaint)
{
    static const char *const codes[] = {"model_decommissioned", "model_not_found", NULL};

    bool names_model = strcasestr(complaint->message, "model") != NULL;
    return names_any(complaint->code, codes) ||
           (names_model && names_any(complaint->message, (const char *const[]){"does not exist",
                                                             "not found", "decommissioned", NULL}));
}

/* The order matters: a code says more than words, a field's name more than what is said of it. */
static enum dv_llm_verdict read_400(const struct complaint *complaint, struct dv_llm_reading *reading)
{
    static const char *const context[] = {"context_length", "context length", "maximum context",
        "exceeds the available context", "prompt is too long", NULL};
    static const char *const format[] = {
        "response_format", "json_schema", "structured", "schema", "grammar", NULL};

    if (dv_text_equal(complaint->code, "json_validate_failed")) {
        return DV_LLM_VERDICT_BAD_JSON;
    }
    if (is_money(complaint)) {
        return DV_LLM_VERDICT_MONEY;
    }
    if (names_any(complaint->code, (const char *const[]){"model_decommissioned", "model_not_found", NULL})) {
        return DV_LLM_VERDICT_MODEL_GONE;
    }
    if (names_any(complaint->code, context) || names_any(complaint->message, context)) {
        return DV_LLM_VERDICT_CONTEXT;
    }
    enum dv_llm_parameter parameter = find_parameter(complaint->parameter);
    bool is_format = names_any(complaint->parameter, format) ||
                     (parameter == DV_LLM_PARAMETER_NONE && names_any(complaint->message, format));
    if (is_format) {
        return DV_LLM_VERDICT_CAPABILITY;
    }
    if (parameter == DV_LLM_PARAMETER_NONE) {
        parameter = find_parameter(complaint->message);
    }
    if (parameter != DV_LLM_PARAMETER_NONE) {
        reading->parameter = parameter;
        reading->limit = find_limit(complaint->message);
        return DV_LLM_VERDICT_PARAMETER;
    }
    if (is_model_gone(complaint)) {
        return DV_LLM_VERDICT_MODEL_GONE;
    }
    return strcasestr(complaint->message, "is not supported") ? DV_LLM_VERDICT_CAPABILITY
                                                              : DV_LLM_VERDICT_REFUSED;
}

static enum dv_llm_verdict read_error(
    int status, const struct complaint *complaint, struct dv_llm_reading *reading)
{
    switch (status) {
    case 400:
        return read_400(complaint, reading);
    case 401:
        return DV_LLM_VERDICT_KEY;
    case 402:
        return DV_LLM_VERDICT_MONEY;
    case 403:
        return complaint->is_json ? DV_LLM_VERDICT_KEY : DV_LLM_VERDICT_BLOCKED;
    case 404:
        return is_model_gone(complaint) ? DV_LLM_VERDICT_MODEL_GONE : DV_LLM_VERDICT_NO_ROUTE;
    case 408:
    case 409:
    case 425:
    case 499:
        return DV_LLM_VERDICT_TRANSIENT;
    case 413:
        return DV_LLM_VERDICT_TOO_LARGE;
    case 422:
        return DV_LLM_VERDICT_SEMANTIC;
    case 429:
        return is_money(complaint) ? DV_LLM_VERDICT_MONEY : DV_LLM_VERDICT_RATE;
    case 498:
        return DV_LLM_VERDICT_CAPACITY;
    case 503:
        return strcasestr(complaint->message, "loading model") ? DV_LLM_VERDICT_LOADING
                                                               : DV_LLM_VERDICT_SERVER;
    default:
        return status >= 500 ? DV_LLM_VERDICT_SERVER : DV_LLM_VERDICT_REFUSED;
    }
}

/* --- A 200 ------------------------------------------------------------------------------ */

/* A count of tokens; one that cannot be is none. */
static int64_t read_count(const struct dv_json *usage, const char *key)
{
    int64_t count = dv_json_get_integer(usage, key, DV_LLM_UNKNOWN);

    return count >= 0 && count <= INT32_MAX ? count : DV_LLM_UNKNOWN;
}

static enum dv_llm_verdict read_choice(
    const struct dv_json *document, struct dv_llm_reading *reading)
{
    const struct dv_json *choice = dv_json_at(dv_json_get(document, "choices"), 0);
    const struct dv_json *message = dv_json_get(choice, "message");
    const struct dv_json *usage = dv_json_get(document, "usage");
    const char *end = dv_json_get_string(choice, "finish_reason", "stop");
    const char *refusal = dv_json_get_string(message, "refusal", "");

    if (!dv_json_is_object(message)) {
        return document ? DV_LLM_VERDICT_ALIEN : DV_LLM_VERDICT_TRANSIENT;
    }
    reading->content = dv_json_get_string(message, "content", NULL);
    reading->reasoning = dv_json_get_string(message, "reasoning_content", NULL);
    if (!reading->reasoning) {
        reading->reasoning = dv_json_get_string(message, "reasoning", NULL);
    }
    reading->model = dv_json_get_string(document, "model", NULL);
    reading->prompt_tokens = read_count(usage, "prompt_tokens");
    reading->completion_tokens = read_count(usage, "completion_tokens");
    if (dv_text_equal(end, "length")) {
        (void)dv_text_copy(reading->reason, sizeof(reading->reason),
            "the model's output budget ran out before its answer was whole");
        return DV_LLM_VERDICT_TRUNCATED;
    }
    bool has_text = (reading->content && reading->content[strspn(reading->content, " \t\r\n")]) ||
                    reading->reasoning;
    if (refusal[0] || dv_text_equal(end, "content_filter") || !has_text) {
        (void)dv_text_copy(reading->reason, sizeof(reading->reason),
            refusal[0] ? refusal
            : has_text ? "a content filter held the answer back"
                       : "the model answered nothing");
        return DV_LLM_VERDICT_REFUSAL;
    }
    return DV_LLM_VERDICT_ANSWER;
}

/* --- The whole -------------------------------------------------------------------------- */

/* The envelope {"error": {...}}, Ollama's {"error": "text"}, or the body's first words. */
static struct complaint read_complaint(const char *body, size_t size,
    const struct dv_json *document, struct dv_llm_reading *reading)
{
    const struct dv_json *error = dv_json_get(document, "error");
    const struct dv_json *code = dv_json_get(error, "code");
    const char *message = dv_json_get_string(error, "message", dv_json_to_string(error, NULL));
    int body_size = (int)(size < DV_LLM_REASON_SIZE ? size : DV_LLM_REASON_SIZE - 1);

    if (!message) {
        message = dv_json_get_string(document, "message", dv_json_get_string(document, "detail", NULL));
    }
    if (message) {
        (void)dv_text_copy(reading->reason, sizeof(reading->reason), message);
    } else {
        (void)snprintf(reading->reason, sizeof(reading->reason), "%.*s", body_size, body);
    }
    dv_text_make_printable(reading->reason);
    (void)dv_text_copy(reading->code, sizeof(reading->code),
        dv_json_to_string(code, dv_json_get_string(error, "type", "")));
    dv_text_make_printable(reading->code);
    reading->failed = dv_json_get(error, "failed_generation");
    return (struct complaint){.message = message ? message : reading->reason,
        .parameter = dv_json_get_string(error, "param", ""),
        .code = dv_json_to_string(code, ""),
        .is_json = document != NULL};
}

void dv_llm_verdict_read(int status, const char *body, size_t size, const struct dv_json *document,
    const struct dv_llm_rate *rate, struct dv_llm_reading *ret_reading)
{
    struct dv_llm_reading reading = {.limit = DV_LLM_UNKNOWN,
        .wait_ms = DV_LLM_UNKNOWN,
        .prompt_tokens = DV_LLM_UNKNOWN,
        .completion_tokens = DV_LLM_UNKNOWN};

    assert(body);
    assert(ret_reading);
    if (status == 200 && dv_json_is_null(dv_json_get(document, "error"))) {
        reading.verdict = read_choice(document, &reading);
        bool is_page = !document && size > 0 && body[strspn(body, " \t\r\n")] != '{';
        if (is_page) {
            reading.verdict = DV_LLM_VERDICT_ALIEN; /* else it is JSON that was cut off */
        }
        if (!reading.reason[0] && reading.verdict != DV_LLM_VERDICT_ANSWER) {
            (void)read_complaint(body, size, document, &reading);
        }
    } else {
        struct complaint complaint = read_complaint(body, size, document, &reading);
        bool is_error = status >= 400 && status < 600;
        reading.verdict = is_error                       ? read_error(status, &complaint, &reading)
                          : status >= 300 && status < 400 ? DV_LLM_VERDICT_REDIRECT
                          : status == 200                 ? DV_LLM_VERDICT_SERVER
                                                          : DV_LLM_VERDICT_ALIEN;
        reading.wait_ms = dv_llm_rate_wait_ms(rate, complaint.message);
    }
    *ret_reading = reading;
}

const char *dv_llm_verdict_name(enum dv_llm_verdict verdict)
{
    static const char *const names[] = {
#define X(code, name) [DV_LLM_VERDICT_##code] = (name),
        DV_LLM_VERDICT_MAP(X)
#undef X
    };

    assert((unsigned)verdict < DV_ARRAY_SIZE(names));
    return names[verdict];
}
