/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The error table: what each verdict leads to. Each step either changes what is asked next and
 * returns true, or ends the question. None can go on for ever: whatever is changed can be changed
 * only so often.
 */

#include "llm/llm_impl.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"
#include "llm/answer.h"
#include "llm/schema.h"

#include <assert.h>
#include <math.h>

#define BACK_OFF_MS 1000.0
#define BACK_OFF_MAX_MS 60000.0
#define JITTER 0.25
#define LOADING_MAX_MS 300000
#define LOADING_POLL_MS 2000
#define SHRUNK_OUTPUT 1500

static const char *said(const struct dv_llm_course *course)
{
    return course->reading.reason[0] ? course->reading.reason : "nothing";
}

/* --- Waiting ---------------------------------------------------------------------------- */

/* 1, 2, 4, ... seconds, or what was asked for if that is longer; a quarter more or less by chance. */
static int64_t choose_pause(const struct dv_llm_course *course)
{
    const struct dv_llm_world *world = &course->llm->world;
    double pause = fmin(BACK_OFF_MS * (double)(1u << (course->failures - 1)), BACK_OFF_MAX_MS);
    double asked = (double)course->reading.wait_ms;

    pause *= 1 - JITTER + 2 * JITTER * world->unit(world->user);
    if (asked > 0 && asked >= pause) {
        pause = asked + fmin(asked * JITTER, BACK_OFF_MS) * world->unit(world->user);
    }
    return (int64_t)ceil(pause);
}

/* Ask again after a pause, if that is still within attempts and patience. */
static bool try_later(struct dv_llm_course *course, enum dv_llm_outcome outcome)
{
    course->failures++;
    if (course->failures >= DV_LLM_ATTEMPTS) {
        return dv_llm_end(course, outcome, "the endpoint failed %u times, last with %d: %s",
            course->failures, course->response.status, said(course));
    }
    int64_t pause_ms = choose_pause(course);
    course->reply->wait_ms = pause_ms;
    if (pause_ms > DV_LLM_WAIT_MAX_MS || !dv_llm_wait(course, pause_ms)) {
        return dv_llm_end(course, outcome, "to be asked again in %lld s, which is not waited for: %s",
            (long long)(pause_ms + 999) / 1000, said(course));
    }
    course->reply->wait_ms = DV_LLM_UNKNOWN;
    return true;
}

static bool on_network(struct dv_llm_course *course)
{
    return try_later(course, DV_LLM_OUTCOME_NETWORK);
}

static bool on_server(struct dv_llm_course *course)
{
    return try_later(course, DV_LLM_OUTCOME_SERVER);
}

static bool on_rate(struct dv_llm_course *course)
{
    return try_later(course, DV_LLM_OUTCOME_RATE_LIMITED);
}

static bool on_capacity(struct dv_llm_course *course)
{
    dv_llm_capability(course->llm)->is_on_demand = true;
    return try_later(course, DV_LLM_OUTCOME_SERVER);
}

/* llama.cpp reads its model: its /health says when that is done. */
static bool on_loading(struct dv_llm_course *course)
{
    DV_CLEANUP(dv_freep) char *url = dv_strprintf("%s/health", course->llm->address.root);

    for (int64_t waited_ms = 0; waited_ms < LOADING_MAX_MS; waited_ms += LOADING_POLL_MS) {
        struct dv_llm_response response;
        if (!dv_llm_wait(course, LOADING_POLL_MS)) {
            break;
        }
        dv_llm_get(course, url, &response);
        dv_free(response.body);
        if (response.status != 503) {
            return try_later(course, DV_LLM_OUTCOME_SERVER);
        }
    }
    return dv_llm_end(course, DV_LLM_OUTCOME_SERVER, "the endpoint is still loading its model");
}

/* --- What is asked ---------------------------------------------------------------------- */

static bool step_down(struct dv_llm_course *course)
{
    struct dv_llm_capability *capability = dv_llm_capability(course->llm);

    if (capability->rung == DV_LLM_RUNG_TEXT) {
        return false;
    }
    /* Without a schema the first three are one and the same. */
    capability->rung = !course->question->schema && capability->rung < DV_LLM_RUNG_OBJECT
                           ? DV_LLM_RUNG_TEXT
                           : capability->rung + 1;
    return true;
}

static bool on_capability(struct dv_llm_course *course)
{
    return step_down(course) || dv_llm_end(course, DV_LLM_OUTCOME_REQUEST,
                                    "the endpoint refuses the request: %s", said(course));
}

/* The number in the message, if it is less than what was asked for; else the field's other name. */
static bool change_output_max(struct dv_llm_course *course)
{
    struct dv_llm_capability *capability = dv_llm_capability(course->llm);
    int64_t limit = course->reading.limit;

    if (limit >= DV_LLM_OUTPUT_MIN && limit < course->output_max) {
        capability->output_max = limit;
        course->output_max = limit;
        return true;
    }
    if (course->is_renamed) {
        return false;
    }
    course->is_renamed = true; /* once a question: there are two names */
    capability->is_old_output_field = !capability->is_old_output_field;
    return true;
}

static bool drop(bool *flag)
{
    bool is_new = !*flag;

    *flag = true;
    return is_new;
}

static bool on_parameter(struct dv_llm_course *course)
{
    struct dv_llm_capability *capability = dv_llm_capability(course->llm);
    bool is_changed = false;

    switch (course->reading.parameter) {
    case DV_LLM_PARAMETER_OUTPUT_MAX:
        is_changed = change_output_max(course);
        break;
    case DV_LLM_PARAMETER_TEMPERATURE:
        is_changed = drop(&capability->has_no_temperature);
        break;
    case DV_LLM_PARAMETER_REASONING:
        is_changed = drop(&capability->has_no_reasoning);
        break;
    case DV_LLM_PARAMETER_SEED:
        is_changed = drop(&capability->has_no_seed);
        break;
    case DV_LLM_PARAMETER_NONE:
        break;
    }
    return is_changed || dv_llm_end(course, DV_LLM_OUTCOME_REQUEST,
                             "the endpoint refuses the request: %s", said(course));
}

static bool shorten(struct dv_llm_course *course)
{
    if (course->is_shortened || !course->question->short_messages) {
        return false;
    }
    course->is_shortened = true;
    course->messages = course->question->short_messages;
    return true;
}

static bool on_context(struct dv_llm_course *course)
{
    return shorten(course) || dv_llm_end(course, DV_LLM_OUTCOME_TOO_LARGE,
                                  "the prompt is too long for the model: %s", said(course));
}

/* Prompt and output budget together are over the plan's limit: less of both, once. */
static bool on_too_large(struct dv_llm_course *course)
{
    bool is_less = course->output_max > SHRUNK_OUTPUT;

    if (course->is_shrunk) {
        return dv_llm_end(course, DV_LLM_OUTCOME_TOO_LARGE,
            "the request is over the plan's limit: %s", said(course));
    }
    course->is_shrunk = true;
    course->output_max = is_less ? SHRUNK_OUTPUT : course->output_max;
    return shorten(course) || is_less ||
           dv_llm_end(course, DV_LLM_OUTCOME_TOO_LARGE, "the request is over the plan's limit: %s",
               said(course));
}

/* --- Answers ---------------------------------------------------------------------------- */

static bool accept(struct dv_llm_course *course, struct dv_json *answer)
{
    struct dv_llm_reply *reply = course->reply;
    struct dv_error error = {0};

    if (course->question->schema &&
        dv_llm_schema_check(course->question->schema, answer, &error) != DV_OK) {
        dv_llm_mask(error.text, strlen(error.text), course->llm->key);
        (void)dv_text_copy(reply->mismatch, sizeof(reply->mismatch), error.text);
    }
    reply->answer = answer;
    return dv_llm_end(course, DV_LLM_OUTCOME_ANSWERED, "%s", "");
}

/*
 * However it was escaped, a key in the answer is plain when that is printed: no character of a key
 * is ever escaped there. Takes the answer.
 */
static struct dv_json *mask_answer(
    const struct dv_llm_course *course, struct dv_json *answer, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *text = dv_json_print(answer);
    struct dv_json *masked = NULL;

    dv_json_unref(answer);
    dv_llm_mask_key(text, strlen(text), course->llm->key);
    enum dv_status status = dv_json_parse(text, strlen(text), &masked, reterr);
    return status == DV_OK ? masked : NULL;
}

/* The object in what the model wrote; NULL, and why not. */
static struct dv_json *extract(
    const struct dv_llm_course *course, const char *text, bool is_whole, struct dv_error *reterr)
{
    struct dv_json *answer = NULL;

    if (!text) {
        (void)dv_fail(reterr, DV_INVALID, "there is no text in the answer");
        return NULL;
    }
    enum dv_status status = is_whole ? dv_llm_answer_parse(text, strlen(text), &answer, reterr)
                                     : dv_llm_answer_extract(text, strlen(text), &answer, reterr);
    return status == DV_OK ? mask_answer(course, answer, reterr) : NULL;
}

static bool ask_better(struct dv_llm_course *course, const char *why)
{
    const struct dv_llm_capability *capability = dv_llm_capability(course->llm);
    int64_t most = capability->output_max > 0 ? capability->output_max : INT32_MAX;
    int64_t more = course->output_max + course->output_max / 2;

    course->bad_answers++;
    if (course->bad_answers >= DV_LLM_ATTEMPTS) {
        return dv_llm_end(course, DV_LLM_OUTCOME_INVALID_ANSWER,
            "the model answered %u times without a JSON object: %s", course->bad_answers, why);
    }
    course->output_max = more < most ? more : most;
    course->effort = "low";
    if (course->bad_answers + 1 == DV_LLM_ATTEMPTS) {
        (void)step_down(course);
    }
    return true;
}

static bool on_answer(struct dv_llm_course *course)
{
    const struct dv_llm_reading *reading = &course->reading;
    bool has_content = reading->content && reading->content[0];
    struct dv_error error = {0};

    struct dv_json *answer = has_content ? extract(course, reading->content, false, &error)
                                         : extract(course, reading->reasoning, true, &error);
    return answer ? accept(course, answer) : ask_better(course, error.text);
}

/* The budget ran out: what is there may be whole all the same. */
static bool on_truncated(struct dv_llm_course *course)
{
    struct dv_json *answer = extract(course, course->reading.content, false, NULL);

    return answer ? accept(course, answer) : ask_better(course, said(course));
}

static bool on_bad_json(struct dv_llm_course *course)
{
    const struct dv_json *failed = course->reading.failed;
    DV_CLEANUP(dv_freep) char *text = failed && !dv_json_is_string(failed)
                                          ? dv_json_print(failed)
                                          : dv_strdup(dv_json_to_string(failed, ""));

    struct dv_json *answer = extract(course, text, false, NULL);
    return answer ? accept(course, answer) : ask_better(course, said(course));
}

static bool on_refusal(struct dv_llm_course *course)
{
    if (course->refusals++ > 0) {
        return dv_llm_end(course, DV_LLM_OUTCOME_REFUSED, "the model does not answer: %s", said(course));
    }
    course->temperature = fmin(course->temperature + 0.2, 2);
    return true;
}

static bool on_semantic(struct dv_llm_course *course)
{
    course->semantic_errors++;
    if (course->semantic_errors == 1 || (course->semantic_errors == 2 && step_down(course))) {
        return true;
    }
    return dv_llm_end(course, DV_LLM_OUTCOME_INVALID_ANSWER,
        "the endpoint does not take what the model wrote: %s", said(course));
}

/* --- Ends ------------------------------------------------------------------------------- */

/* What there would be, for the message. */
static void list_models(const struct dv_llm_course *course, struct dv_buffer *names)
{
    DV_CLEANUP(dv_freep) char *url = dv_strprintf("%s/models", course->llm->address.url);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *document = NULL;
    struct dv_llm_response response;

    dv_llm_get(course, url, &response);
    if (response.status == 200 &&
        dv_json_parse(response.body, response.size, &document, NULL) == DV_OK) {
        const struct dv_json *models = dv_json_get(document, "data");
        for (size_t i = 0; i < dv_json_count(models); i++) {
            const char *id = dv_json_get_string(dv_json_at(models, i), "id", "?");
            dv_buffer_printf(names, "%s%.60s", names->size > 0 ? ", " : "", id);
        }
    }
    dv_free(response.body);
}

static bool on_model_gone(struct dv_llm_course *course)
{
    struct dv_llm *llm = course->llm;
    struct dv_buffer names = DV_BUFFER_INIT(300);

    if (llm->model_index + 1 < llm->settings.model_count) {
        llm->model_index++;
        return true;
    }
    list_models(course, &names);
    (void)dv_llm_end(course, DV_LLM_OUTCOME_MODEL_GONE,
        "the endpoint has no model '%s' (DV_LLM_MODEL); it has: %s", dv_llm_model(llm),
        names.size > 0 ? dv_buffer_text(&names) : "it does not say");
    dv_buffer_finish(&names);
    return false;
}

/* For good: asking again would only be refused again. */
static bool die(struct dv_llm_course *course, enum dv_llm_outcome outcome, const char *what)
{
    struct dv_llm *llm = course->llm;

    (void)dv_llm_end(course, outcome, "%s (%d): %s", what, course->response.status, said(course));
    llm->dead = outcome;
    (void)dv_text_copy(llm->dead_reason, sizeof(llm->dead_reason), course->reply->reason);
    return false;
}

static bool on_key(struct dv_llm_course *course)
{
    return die(course, DV_LLM_OUTCOME_KEY, "the endpoint does not take the key");
}

static bool on_money(struct dv_llm_course *course)
{
    return die(course, DV_LLM_OUTCOME_MONEY, "the account at the endpoint is used up");
}

static bool on_blocked(struct dv_llm_course *course)
{
    return dv_llm_end(course, DV_LLM_OUTCOME_BLOCKED,
        "something in front of the endpoint blocks this client or network (403): %s", said(course));
}

static bool on_no_route(struct dv_llm_course *course)
{
    return dv_llm_end(course, DV_LLM_OUTCOME_ENDPOINT,
        "there is no chat API at %s (404): the base URL often ends in /v1 or /openai/v1",
        course->llm->address.url);
}

static bool on_redirect(struct dv_llm_course *course)
{
    return dv_llm_end(course, DV_LLM_OUTCOME_ENDPOINT,
        "%s answers with a redirect (%d), which is not followed: DV_LLM_BASE_URL must be the "
        "address itself",
        course->llm->address.url, course->response.status);
}

static bool on_alien(struct dv_llm_course *course)
{
    return dv_llm_end(course, DV_LLM_OUTCOME_ENDPOINT,
        "%s answers, but not as a chat API does (%d): %.200s", course->llm->address.url,
        course->response.status, said(course));
}

static bool on_endless(struct dv_llm_course *course)
{
    return dv_llm_end(
        course, DV_LLM_OUTCOME_ENDPOINT, "%s: %s", course->llm->address.url, said(course));
}

static bool on_refused(struct dv_llm_course *course)
{
    return dv_llm_end(course, DV_LLM_OUTCOME_REQUEST, "the endpoint refuses the request (%d): %s",
        course->response.status, said(course));
}

static bool on_destination(struct dv_llm_course *course)
{
    return dv_llm_end(course, DV_LLM_OUTCOME_DESTINATION, "%s", said(course));
}

static bool on_cancelled(struct dv_llm_course *course)
{
    return dv_llm_end(course, DV_LLM_OUTCOME_CANCELLED, "stopped on request");
}

/* --- The table -------------------------------------------------------------------------- */

bool dv_llm_step(struct dv_llm_course *course)
{
    static bool (*const steps[])(struct dv_llm_course *) = {
        [DV_LLM_VERDICT_ANSWER] = on_answer,
        [DV_LLM_VERDICT_TRUNCATED] = on_truncated,
        [DV_LLM_VERDICT_REFUSAL] = on_refusal,
        [DV_LLM_VERDICT_BAD_JSON] = on_bad_json,
        [DV_LLM_VERDICT_CAPABILITY] = on_capability,
        [DV_LLM_VERDICT_PARAMETER] = on_parameter,
        [DV_LLM_VERDICT_MODEL_GONE] = on_model_gone,
        [DV_LLM_VERDICT_CONTEXT] = on_context,
        [DV_LLM_VERDICT_KEY] = on_key,
        [DV_LLM_VERDICT_BLOCKED] = on_blocked,
        [DV_LLM_VERDICT_NO_ROUTE] = on_no_route,
        [DV_LLM_VERDICT_REDIRECT] = on_redirect,
        [DV_LLM_VERDICT_TRANSIENT] = on_server,
        [DV_LLM_VERDICT_TOO_LARGE] = on_too_large,
        [DV_LLM_VERDICT_SEMANTIC] = on_semantic,
        [DV_LLM_VERDICT_REFUSED] = on_refused,
        [DV_LLM_VERDICT_RATE] = on_rate,
        [DV_LLM_VERDICT_MONEY] = on_money,
        [DV_LLM_VERDICT_CAPACITY] = on_capacity,
        [DV_LLM_VERDICT_LOADING] = on_loading,
        [DV_LLM_VERDICT_SERVER] = on_server,
        [DV_LLM_VERDICT_ALIEN] = on_alien,
        [DV_LLM_VERDICT_NETWORK] = on_network,
        [DV_LLM_VERDICT_ENDLESS] = on_endless,
        [DV_LLM_VERDICT_DESTINATION] = on_destination,
        [DV_LLM_VERDICT_CANCELLED] = on_cancelled,
    };

    assert((unsigned)course->reading.verdict < DV_ARRAY_SIZE(steps));
    return steps[course->reading.verdict](course);
}
