/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/llm_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

#include <math.h>

#define MILLION 1e6
#define KEPT_ANSWER 262144u /* bytes of an answer; with its thoughts a usual one has a few thousand */
#define KEPT_REFUSAL 500u

/* Tokens where the endpoint counts none: a third of the bytes is more than it would be. */
static int64_t count_or_guess(int64_t count, size_t size)
{
    return count >= 0 ? count : (int64_t)(size / 3);
}

/*
 * What was billed: an answer, and a question that was sent and whose answer was lost. Refusals
 * cost nothing.
 */
static void charge(struct dv_llm_course *course, struct dv_json *entry)
{
    struct dv_llm *llm = course->llm;
    struct dv_llm_reply *reply = course->reply;
    const struct dv_llm_reading *reading = &course->reading;
    bool is_answer = course->response.status == 200;
    int64_t input = 0;
    int64_t output = 0;

    if (is_answer) {
        input = reading->prompt_tokens >= 0 ? reading->prompt_tokens : course->prompt_estimate;
        output = count_or_guess(reading->completion_tokens, course->response.size);
    } else if (course->response.status == 0 && reading->verdict == DV_LLM_VERDICT_NETWORK) {
        input = course->prompt_estimate;
    }
    struct dv_llm_price price = llm->settings.price;
    if (price.input <= 0 && price.output <= 0) {
        price = dv_llm_preset_price(llm->address.host, dv_llm_model(llm));
    }
    double dollars = ((double)input * price.input + (double)output * price.output) / MILLION;
    llm->tokens_used += input + output;
    llm->dollars_used += dollars;
    reply->prompt_tokens += input;
    reply->completion_tokens += output;
    reply->dollars += dollars;
    dv_json_set_integer(entry, "prompt_tokens", input);
    dv_json_set_integer(entry, "completion_tokens", output);
    dv_json_set_number(entry, "dollars", dollars);
}

/*
 * The endpoint's count against ours. One far below says that it read a part of the prompt alone:
 * half of what a third of the bytes makes, or 30 % off what was seen before.
 */
static void compare_estimate(struct dv_llm_course *course)
{
    struct dv_llm *llm = course->llm;
    int64_t tokens = course->reading.prompt_tokens;
    double least = (double)course->prompt_estimate * (llm->has_ratio ? 0.7 : 0.5);

    if (course->response.status != 200 || tokens <= 0 || course->prompt_size == 0) {
        return;
    }
    course->reply->is_prompt_cut = course->reply->is_prompt_cut || (double)tokens < least;
    if ((double)tokens >= least) {
        llm->tokens_per_byte = fmin((double)tokens / (double)course->prompt_size, 1.0);
        llm->has_ratio = true;
    }
}

static void set_masked(struct dv_json *entry, const char *name, char *text, const char *key)
{
    dv_llm_mask(text, strlen(text), key);
    dv_json_set_text(entry, name, text);
}

/* The body as it came; of a refusal its beginning, which may be a page of HTML. */
static void set_answer(const struct dv_llm_course *course, struct dv_json *entry)
{
    const struct dv_llm_response *response = &course->response;
    size_t kept = response->status == 200 ? KEPT_ANSWER : KEPT_REFUSAL;
    DV_CLEANUP(dv_freep)
    char *text = dv_strprintf("%.*s", (int)(response->size < kept ? response->size : kept), response->body);

    set_masked(entry, "answer", text, course->llm->key);
}

void dv_llm_record(struct dv_llm_course *course, char *request, uint64_t begin_ns)
{
    struct dv_llm *llm = course->llm;
    struct dv_llm_response *response = &course->response;
    struct dv_json *entry = dv_json_object();
    unsigned char digest[DV_SHA256_SIZE];
    char hash[DV_SHA256_TEXT_SIZE];
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    dv_llm_mask(request, strlen(request), llm->key);
    dv_sha256(request, strlen(request), digest);
    dv_text_hex(digest, sizeof(digest), hash);
    dv_json_set_string(entry, "ended_at", now);
    dv_json_set_text(entry, "url", llm->address.url);
    dv_json_set_text(entry, "model", dv_llm_model(llm));
    dv_json_set_text(entry, "rung", dv_llm_rung_name(dv_llm_capability(llm)->rung));
    dv_json_set_text(entry, "request", request);
    dv_json_set_string(entry, "request_sha256", hash);
    dv_json_set_integer(entry, "status", response->status);
    dv_json_set_text(entry, "verdict", dv_llm_verdict_name(course->reading.verdict));
    dv_json_set_text(entry, "code", course->reading.code);
    set_masked(entry, "reason", course->reading.reason, llm->key);
    set_answer(course, entry);
    set_masked(entry, "request_id", response->request_id, llm->key);
    dv_json_set_integer(
        entry, "latency_ms", (int64_t)((dv_llm_now_ns(llm) - begin_ns) / 1000000u));
    charge(course, entry);
    compare_estimate(course);
    dv_json_append(course->reply->exchanges, entry);
}
