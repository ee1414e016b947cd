/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/llm.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"
#include "llm/llm_impl.h"
#include "llm/schema.h"

#include <assert.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>

#define NS_PER_MS 1000000u
#define CONNECT_TIMEOUT_MS 10000
#define TOTAL_TIMEOUT_MS 120000
#define LOCAL_TIMEOUT_MS 600000 /* a model on the machine itself may take its time */
#define BODY_TIMEOUT_MS 30000
#define PATIENCE_MS 900000
#define TOKENS_PER_BYTE (1.0 / 3) /* of text with much JSON in it; rather too many */
#define PROMPT_SIZE_MAX (1u << 20)
#define SLEEP_SLICE_MS 100

/* --- The ordinary world ----------------------------------------------------------------- */

static uint64_t real_now_ns(void *user)
{
    (void)user;
    return dv_clock_monotonic_ns();
}

static void real_sleep_ms(void *user, int64_t time_ms)
{
    (void)user;
    (void)poll(NULL, 0, (int)time_ms);
}

/* Jitter must differ between machines, not be repeatable. */
static double real_unit(void *user)
{
    uint32_t bits;

    (void)user;
    dv_secret_bytes(&bits, sizeof(bits));
    return (double)bits / 4294967296.0;
}

static bool never(void *user)
{
    (void)user;
    return false;
}

static struct dv_llm_world make_world(const struct dv_llm_world *given)
{
    struct dv_llm_world world = given ? *given : (struct dv_llm_world){0};

    world.now_ns = world.now_ns ? world.now_ns : real_now_ns;
    world.sleep_ms = world.sleep_ms ? world.sleep_ms : real_sleep_ms;
    world.unit = world.unit ? world.unit : real_unit;
    world.is_cancelled = world.is_cancelled ? world.is_cancelled : never;
    return world;
}

/* --- Life ------------------------------------------------------------------------------- */

static void set_default(int64_t *value, int64_t ordinary)
{
    *value = *value > 0 ? *value : ordinary;
}

static bool is_cancelled(void *user)
{
    const struct dv_llm *llm = user;

    return llm->world.is_cancelled(llm->world.user);
}

static enum dv_status open_transport(struct dv_llm *llm, struct dv_error *reterr)
{
    const struct dv_llm_transport_options options = {.address = &llm->address,
        .key = llm->key,
        .ca_file = llm->settings.ca_file[0] ? llm->settings.ca_file : NULL,
        .is_cancelled = is_cancelled,
        .user = llm};

    return dv_llm_transport_create(&options, &llm->transport, reterr);
}

enum dv_status dv_llm_create(const struct dv_llm_settings *settings, const char *key,
    const struct dv_llm_world *world, struct dv_llm **ret_llm, struct dv_error *reterr)
{
    struct dv_llm_address address;

    assert(settings->model_count > 0);
    assert(ret_llm);
    enum dv_status status =
        dv_llm_address_parse(settings->url, settings->allowed, &address, reterr);
    if (status != DV_OK) {
        return status;
    }
    struct dv_llm *llm = dv_alloc(sizeof(*llm));
    llm->settings = *settings;
    llm->address = address;
    llm->key = key && key[0] ? dv_strdup(key) : NULL;
    llm->world = make_world(world);
    llm->rate = dv_llm_rate_none();
    llm->tokens_per_byte = TOKENS_PER_BYTE;
    set_default(&llm->settings.connect_timeout_ms, CONNECT_TIMEOUT_MS);
    set_default(&llm->settings.total_timeout_ms, address.is_local ? LOCAL_TIMEOUT_MS : TOTAL_TIMEOUT_MS);
    set_default(&llm->settings.body_timeout_ms, BODY_TIMEOUT_MS);
    set_default(&llm->settings.patience_ms, PATIENCE_MS);
    for (size_t i = 0; i < settings->model_count; i++) {
        llm->capabilities[i] =
            dv_llm_preset_capability(address.host, settings->models[i], address.is_local);
    }
    status = open_transport(llm, reterr);
    if (status != DV_OK) {
        (void)dv_llm_destroy(llm);
        return status;
    }
    *ret_llm = llm;
    return DV_OK;
}

struct dv_llm *dv_llm_destroy(struct dv_llm *llm)
{
    if (llm) {
        (void)dv_llm_transport_destroy(llm->transport);
        dv_secret_freep(&llm->key);
        dv_free(llm);
    }
    return NULL;
}

/* --- What was learned ------------------------------------------------------------------- */

/* The flags of a capability, as its JSON names them. */
static const struct {
    const char *name;
    size_t offset;
} flags[] = {
    {"is_old_output_field", offsetof(struct dv_llm_capability, is_old_output_field)},
    {"has_no_temperature", offsetof(struct dv_llm_capability, has_no_temperature)},
    {"has_no_reasoning", offsetof(struct dv_llm_capability, has_no_reasoning)},
    {"has_no_seed", offsetof(struct dv_llm_capability, has_no_seed)},
    {"is_on_demand", offsetof(struct dv_llm_capability, is_on_demand)},
};

struct dv_json *dv_llm_memory(const struct dv_llm *llm)
{
    struct dv_json *memory = dv_json_object();

    for (size_t i = 0; i < llm->settings.model_count; i++) {
        const struct dv_llm_capability *capability = &llm->capabilities[i];
        struct dv_json *entry = dv_json_object();
        dv_json_set_string(entry, "rung", dv_llm_rung_name(capability->rung));
        dv_json_set_integer(entry, "output_max", capability->output_max);
        for (size_t k = 0; k < DV_ARRAY_SIZE(flags); k++) {
            const bool *flag = (const void *)((const char *)capability + flags[k].offset);
            dv_json_set_bool(entry, flags[k].name, *flag);
        }
        dv_json_set(memory, llm->settings.models[i], entry);
    }
    return memory;
}

void dv_llm_remember(struct dv_llm *llm, const struct dv_json *memory)
{
    for (size_t i = 0; i < llm->settings.model_count; i++) {
        struct dv_llm_capability *capability = &llm->capabilities[i];
        const struct dv_json *entry = dv_json_get(memory, llm->settings.models[i]);
        (void)dv_llm_rung_find(dv_json_get_string(entry, "rung", NULL), &capability->rung);
        int64_t output_max = dv_json_get_integer(entry, "output_max", 0);
        capability->output_max =
            output_max >= DV_LLM_OUTPUT_MIN ? output_max : capability->output_max;
        for (size_t k = 0; k < DV_ARRAY_SIZE(flags); k++) {
            bool *flag = (void *)((char *)capability + flags[k].offset);
            *flag = dv_json_get_bool(entry, flags[k].name, *flag);
        }
    }
}

/* --- For the steps ---------------------------------------------------------------------- */

uint64_t dv_llm_now_ns(const struct dv_llm *llm)
{
    return llm->world.now_ns(llm->world.user);
}

struct dv_llm_capability *dv_llm_capability(struct dv_llm *llm)
{
    return &llm->capabilities[llm->model_index];
}

const char *dv_llm_model(const struct dv_llm *llm)
{
    return llm->settings.models[llm->model_index];
}

int64_t dv_llm_patience_ms(const struct dv_llm_course *course)
{
    uint64_t now_ns = dv_llm_now_ns(course->llm);

    return now_ns < course->deadline_ns ? (int64_t)((course->deadline_ns - now_ns) / NS_PER_MS) : 0;
}

bool dv_llm_wait(const struct dv_llm_course *course, int64_t time_ms)
{
    const struct dv_llm *llm = course->llm;
    uint64_t end_ns = dv_llm_now_ns(llm) + (uint64_t)time_ms * NS_PER_MS;

    if (time_ms >= dv_llm_patience_ms(course)) {
        return false;
    }
    for (uint64_t now_ns; (now_ns = dv_llm_now_ns(llm)) < end_ns;) {
        int64_t left_ms = (int64_t)((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
        if (is_cancelled(course->llm)) {
            return true; /* the next exchange ends at once, and says so */
        }
        llm->world.sleep_ms(llm->world.user, left_ms < SLEEP_SLICE_MS ? left_ms : SLEEP_SLICE_MS);
    }
    return true;
}

bool dv_llm_end(
    struct dv_llm_course *course, enum dv_llm_outcome outcome, const char *format, ...)
{
    struct dv_llm_reply *reply = course->reply;
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reply->reason, sizeof(reply->reason), format, arguments);
    va_end(arguments);
    dv_text_make_printable(reply->reason);
    dv_llm_mask(reply->reason, strlen(reply->reason), course->llm->key);
    reply->outcome = outcome;
    return false;
}

/* --- Exchanges -------------------------------------------------------------------------- */

static void exchange(const struct dv_llm_course *course, const char *url, const char *body,
    struct dv_llm_response *ret_response)
{
    const struct dv_llm_settings *settings = &course->llm->settings;
    int64_t patience_ms = dv_llm_patience_ms(course);
    const struct dv_llm_exchange options = {.url = url,
        .body = body,
        .connect_timeout_ms = settings->connect_timeout_ms,
        .total_timeout_ms = (int64_t)fmin(
            (double)settings->total_timeout_ms, fmax(1.0, (double)patience_ms)),
        .body_timeout_ms = settings->body_timeout_ms};

    dv_llm_transport_exchange(course->llm->transport, &options, ret_response);
}

void dv_llm_get(
    const struct dv_llm_course *course, const char *url, struct dv_llm_response *ret_response)
{
    exchange(course, url, NULL, ret_response);
}

static void read_response(struct dv_llm_course *course)
{
    const struct dv_llm_response *response = &course->response;
    struct dv_llm_reading *reading = &course->reading;

    course->document = NULL;
    if (response->status == 0) {
        *reading = (struct dv_llm_reading){.verdict = response->failure,
            .limit = DV_LLM_UNKNOWN,
            .wait_ms = DV_LLM_UNKNOWN,
            .prompt_tokens = DV_LLM_UNKNOWN,
            .completion_tokens = DV_LLM_UNKNOWN};
        (void)dv_text_copy(reading->reason, sizeof(reading->reason), response->reason);
        return;
    }
    if (dv_json_parse(response->body, response->size, &course->document, NULL) != DV_OK) {
        course->document = NULL;
    }
    dv_llm_verdict_read(response->status, response->body, response->size, course->document,
        &response->rate, reading);
}

static void keep_rate(struct dv_llm *llm, const struct dv_llm_rate *rate)
{
    if (rate->tokens_limit >= 0) {
        llm->rate.tokens_limit = rate->tokens_limit;
    }
    if (rate->tokens_remaining >= 0 && rate->tokens_reset_ms >= 0) {
        llm->rate.tokens_remaining = rate->tokens_remaining;
        llm->rate.tokens_reset_ms = rate->tokens_reset_ms;
        llm->rate_ns = dv_llm_now_ns(llm);
    }
}

/* Ask once; the response and its document are the caller's to let go. */
static void ask_once(struct dv_llm_course *course)
{
    struct dv_llm *llm = course->llm;
    const struct dv_llm_request request = {.model = dv_llm_model(llm),
        .messages = course->messages,
        .schema = course->question->schema,
        .schema_name = course->question->schema_name,
        .temperature = course->temperature,
        .output_max = course->output_max,
        .seed = course->question->seed,
        .effort = course->effort};
    DV_CLEANUP(dv_freep) char *url = dv_strprintf("%s/chat/completions", llm->address.url);
    DV_CLEANUP(dv_freep) char *body = dv_llm_request_print(&request, dv_llm_capability(llm));
    uint64_t begin_ns = dv_llm_now_ns(llm);

    course->exchange_count++;
    exchange(course, url, body, &course->response);
    read_response(course);
    keep_rate(llm, &course->response.rate);
    dv_llm_record(course, body, begin_ns);
}

/* --- Budgets and limits ----------------------------------------------------------------- */

/* How many tokens of `dollars` are left for the answer. */
static double affordable_output(const struct dv_llm *llm, double prompt)
{
    struct dv_llm_price price = llm->settings.price;

    if (price.input <= 0 && price.output <= 0) {
        price = dv_llm_preset_price(llm->address.host, dv_llm_model(llm));
    }
    double left = (llm->settings.dollars_max - llm->dollars_used) * 1e6 - prompt * price.input;
    return price.output > 0 ? left / price.output : left > 0 ? INFINITY : 0;
}

/* Estimate the prompt, and bring the output down to what the model, the plan and the budgets allow. */
static bool fit_output(struct dv_llm_course *course)
{
    const struct dv_llm *llm = course->llm;
    const struct dv_llm_settings *settings = &llm->settings;
    double prompt = ceil((double)course->prompt_size * llm->tokens_per_byte);
    double output = (double)course->output_max;
    const int64_t model_max = llm->capabilities[llm->model_index].output_max;

    course->prompt_estimate = (int64_t)prompt;
    if (model_max > 0) {
        output = fmin(output, (double)model_max);
    }
    if (llm->rate.tokens_limit > 0) { /* what is over the plan's limit is refused whatever it is */
        output = fmin(output, fmax((double)llm->rate.tokens_limit - prompt, DV_LLM_OUTPUT_MIN));
    }
    if (settings->tokens_max > 0) {
        output = fmin(output, (double)(settings->tokens_max - llm->tokens_used) - prompt);
    }
    if (settings->dollars_max > 0) {
        output = fmin(output, affordable_output(llm, prompt));
    }
    if (output < DV_LLM_OUTPUT_MIN && output < (double)course->output_max) {
        return dv_llm_end(course, DV_LLM_OUTCOME_BUDGET,
            "the budget is used up: %lld tokens, %.4f dollars", (long long)llm->tokens_used,
            llm->dollars_used);
    }
    course->output_max = (int64_t)output;
    return true;
}

/* The endpoint said how many tokens are left: wait for more rather than be refused. */
static bool throttle(struct dv_llm_course *course)
{
    const struct dv_llm *llm = course->llm;
    int64_t needed = course->prompt_estimate + course->output_max;
    uint64_t passed_ms = (dv_llm_now_ns(llm) - llm->rate_ns) / NS_PER_MS;
    int64_t left_ms = llm->rate.tokens_reset_ms - (int64_t)passed_ms;

    if (llm->rate.tokens_remaining < 0 || needed <= llm->rate.tokens_remaining || left_ms <= 0) {
        return true;
    }
    if (left_ms > DV_LLM_WAIT_MAX_MS || !dv_llm_wait(course, left_ms)) {
        course->reply->wait_ms = left_ms;
        return dv_llm_end(course, DV_LLM_OUTCOME_RATE_LIMITED,
            "%lld tokens are left and %lld needed; there are more in %lld s",
            (long long)llm->rate.tokens_remaining, (long long)needed, (long long)left_ms / 1000);
    }
    return true;
}

static size_t measure_prompt(const struct dv_llm_course *course)
{
    DV_CLEANUP(dv_freep)
    char *schema = course->question->schema ? dv_json_print(course->question->schema) : NULL;
    size_t size = schema ? strlen(schema) : 0;

    for (size_t i = 0; i < dv_json_count(course->messages); i++) {
        size += strlen(dv_json_get_string(dv_json_at(course->messages, i), "content", ""));
    }
    return size;
}

/* --- The question ----------------------------------------------------------------------- */

static enum dv_status check_messages(const struct dv_json *messages, struct dv_error *reterr)
{
    size_t size = 0;

    for (size_t i = 0; i < dv_json_count(messages); i++) {
        const struct dv_json *message = dv_json_at(messages, i);
        const char *role = dv_json_get_string(message, "role", "");
        const char *content = dv_json_get_string(message, "content", NULL);
        bool is_role = dv_text_equal(role, "user") || dv_text_equal(role, "assistant") ||
                       (i == 0 && dv_text_equal(role, "system"));
        if (!is_role || !content || dv_json_count(message) != 2) {
            return dv_fail(reterr, DV_INVALID, "message %zu is none of role and content", i);
        }
        size += strlen(content);
    }
    if (!dv_json_is_array(messages) || dv_json_count(messages) == 0 || size > PROMPT_SIZE_MAX) {
        return dv_fail(reterr, DV_INVALID, "a question has at least one message, and at most %u bytes",
            PROMPT_SIZE_MAX);
    }
    return DV_OK;
}

static enum dv_status check_question(
    const struct dv_llm_question *question, struct dv_error *reterr)
{
    enum dv_status status = check_messages(question->messages, reterr);

    if (status == DV_OK && question->short_messages) {
        status = check_messages(question->short_messages, reterr);
    }
    if (status == DV_OK && question->schema) {
        status = dv_llm_schema_validate(question->schema, reterr);
    }
    if (status == DV_OK && !(question->temperature >= 0 && question->temperature <= 2)) {
        return dv_fail(reterr, DV_INVALID, "a temperature is between 0 and 2");
    }
    return status;
}

static bool may_ask(struct dv_llm_course *course)
{
    struct dv_llm *llm = course->llm;
    int64_t time_max_ms = llm->settings.time_max_ms;

    if (llm->dead != DV_LLM_OUTCOME_ANSWERED) {
        return dv_llm_end(course, llm->dead, "%s", llm->dead_reason);
    }
    if (time_max_ms > 0 && llm->time_used_ms >= time_max_ms) {
        return dv_llm_end(course, DV_LLM_OUTCOME_BUDGET, "the time for asking is used up: %lld s",
            (long long)llm->time_used_ms / 1000);
    }
    if (!dv_llm_breaker_admits(&llm->breaker)) {
        return dv_llm_end(course, DV_LLM_OUTCOME_OFFLINE,
            "not asked: the endpoint gave no answer to the last questions");
    }
    return true;
}

static void ask(struct dv_llm_course *course)
{
    bool goes_on = true;

    while (goes_on) {
        if (course->exchange_count == DV_LLM_EXCHANGES) {
            (void)dv_llm_end(course, DV_LLM_OUTCOME_REQUEST,
                "the endpoint refuses every form of the request: %s", course->reading.reason);
            return;
        }
        course->prompt_size = measure_prompt(course);
        if (!fit_output(course) || !throttle(course)) {
            return;
        }
        ask_once(course);
        goes_on = dv_llm_step(course);
        course->document = dv_json_unref(course->document);
        course->response.body = dv_free(course->response.body);
    }
}

/* Does it tell of the endpoint, so that the next question would fare no better? */
static bool is_failure(enum dv_llm_outcome outcome)
{
    return outcome != DV_LLM_OUTCOME_ANSWERED && outcome != DV_LLM_OUTCOME_BUDGET &&
           outcome != DV_LLM_OUTCOME_CANCELLED;
}

enum dv_status dv_llm_ask(struct dv_llm *llm, const struct dv_llm_question *question,
    struct dv_llm_reply *ret_reply, struct dv_error *reterr)
{
    struct dv_llm_reply reply = {.wait_ms = DV_LLM_UNKNOWN};
    const uint64_t now_ns = dv_llm_now_ns(llm);
    int64_t patience_ms = llm->settings.patience_ms;
    enum dv_status status = check_question(question, reterr);

    assert(ret_reply);
    if (status != DV_OK) {
        return status;
    }
    if (llm->settings.time_max_ms > 0) {
        patience_ms = (int64_t)fmin((double)patience_ms,
            (double)llm->settings.time_max_ms - (double)llm->time_used_ms);
    }
    struct dv_llm_course course = {.llm = llm,
        .question = question,
        .reply = &reply,
        .begin_ns = now_ns,
        .deadline_ns = now_ns + (uint64_t)(patience_ms > 0 ? patience_ms : 0) * NS_PER_MS,
        .messages = question->messages,
        .temperature = question->temperature,
        .output_max = question->output_max > 0 ? question->output_max : DV_LLM_OUTPUT,
        .effort = "low"};
    reply.exchanges = dv_json_array();
    if (may_ask(&course)) {
        ask(&course);
        if (reply.outcome != DV_LLM_OUTCOME_BUDGET && reply.outcome != DV_LLM_OUTCOME_CANCELLED) {
            dv_llm_breaker_note(&llm->breaker, !is_failure(reply.outcome));
        }
    }
    reply.latency_ms = (int64_t)((dv_llm_now_ns(llm) - now_ns) / NS_PER_MS);
    llm->time_used_ms += reply.latency_ms;
    reply.rung = dv_llm_rung_name(dv_llm_capability(llm)->rung);
    (void)dv_text_copy(reply.model, sizeof(reply.model), dv_llm_model(llm));
    *ret_reply = reply;
    return DV_OK;
}

void dv_llm_reply_finish(struct dv_llm_reply *reply)
{
    reply->answer = dv_json_unref(reply->answer);
    reply->exchanges = dv_json_unref(reply->exchanges);
}

const char *dv_llm_outcome_name(enum dv_llm_outcome outcome)
{
    static const char *const names[] = {
#define X(code, name) [DV_LLM_OUTCOME_##code] = (name),
        DV_LLM_OUTCOME_MAP(X)
#undef X
    };

    assert((unsigned)outcome < DV_LLM_OUTCOME_COUNT);
    return names[outcome];
}
