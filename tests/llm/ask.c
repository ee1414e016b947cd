/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The client, asked from a script: {"settings", "key", "questions", "memory"?, "cancel_at"?} on standard
 * input, {"replies", "memory", "pauses"} on standard output. Waiting takes no time: each pause is
 * added to the clock and noted. After `cancel_at` pauses it counts as cancelled.
 */

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "llm/llm.h"
#include "llm/settings.h"

#include <stdio.h>
#include <unistd.h>

#define INPUT_SIZE_MAX (4u << 20)

struct world {
    uint64_t ahead_ns;
    int64_t cancel_at; /* below 0: never */
    struct dv_json *pauses;
};

static uint64_t now_ns(void *user)
{
    const struct world *world = user;

    return dv_clock_monotonic_ns() + world->ahead_ns;
}

static void sleep_ms(void *user, int64_t time_ms)
{
    struct world *world = user;

    world->ahead_ns += (uint64_t)time_ms * 1000000u;
    dv_json_append(world->pauses, dv_json_integer(time_ms));
}

static double unit(void *user)
{
    (void)user;
    return 0.5;
}

static bool is_cancelled(void *user)
{
    const struct world *world = user;

    return world->cancel_at >= 0 && (int64_t)dv_json_count(world->pauses) >= world->cancel_at;
}

static struct dv_json *describe(const struct dv_llm_reply *reply)
{
    struct dv_json *json = dv_json_object();

    dv_json_set_string(json, "outcome", dv_llm_outcome_name(reply->outcome));
    dv_json_set(json, "answer", reply->answer ? dv_json_ref(reply->answer) : dv_json_null());
    dv_json_set_text(json, "mismatch", reply->mismatch);
    dv_json_set_text(json, "reason", reply->reason);
    dv_json_set_text(json, "model", reply->model);
    dv_json_set_string(json, "rung", reply->rung);
    dv_json_set_integer(json, "wait_ms", reply->wait_ms);
    dv_json_set_integer(json, "prompt_tokens", reply->prompt_tokens);
    dv_json_set_integer(json, "completion_tokens", reply->completion_tokens);
    dv_json_set_number(json, "dollars", reply->dollars);
    dv_json_set_bool(json, "is_prompt_cut", reply->is_prompt_cut);
    dv_json_set(json, "exchanges", dv_json_ref(reply->exchanges));
    return json;
}

static int fail(const char *what)
{
    (void)fprintf(stderr, "ask: %s\n", what);
    return 1;
}

static const struct dv_json *get_object(const struct dv_json *json, const char *key)
{
    const struct dv_json *value = dv_json_get(json, key);

    return dv_json_is_object(value) ? value : NULL;
}

static int ask_all(struct dv_llm *llm, const struct dv_json *questions, struct dv_json *replies)
{
    for (size_t i = 0; i < dv_json_count(questions); i++) {
        const struct dv_json *given = dv_json_at(questions, i);
        const struct dv_llm_question question = {.messages = dv_json_get(given, "messages"),
            .short_messages = dv_json_get(given, "short_messages"),
            .schema = get_object(given, "schema"),
            .temperature = dv_json_get_number(given, "temperature", 0.4),
            .output_max = dv_json_get_integer(given, "output_max", 0),
            .seed = dv_json_get_integer(given, "seed", -1)};
        struct dv_llm_reply reply;
        struct dv_error error;
        if (dv_llm_ask(llm, &question, &reply, &error) != DV_OK) {
            return fail(error.text);
        }
        dv_json_append(replies, describe(&reply));
        dv_llm_reply_finish(&reply);
    }
    return 0;
}

int main(void)
{
    DV_CLEANUP(dv_freep) char *text = dv_alloc(INPUT_SIZE_MAX);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *input = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *output = dv_json_object();
    struct dv_json *replies = dv_json_array();
    struct world world = {.pauses = dv_json_array()};
    const struct dv_llm_world hooks = {&world, now_ns, sleep_ms, unit, is_cancelled};
    struct dv_llm_settings settings;
    struct dv_error error = {0};
    struct dv_llm *llm;

    size_t size = fread(text, 1, INPUT_SIZE_MAX, stdin);
    dv_json_set(output, "replies", replies);
    dv_json_set(output, "pauses", world.pauses);
    if (dv_json_parse(text, size, &input, &error) != DV_OK ||
        dv_llm_settings_from_json(dv_json_get(input, "settings"), &settings, &error) != DV_OK ||
        dv_llm_create(&settings, dv_json_get_string(input, "key", NULL), &hooks, &llm, &error) !=
            DV_OK) {
        return fail(error.text);
    }
    world.cancel_at = dv_json_get_integer(input, "cancel_at", -1);
    dv_llm_remember(llm, dv_json_get(input, "memory"));
    int result = ask_all(llm, dv_json_get(input, "questions"), replies);
    dv_json_set(output, "memory", dv_llm_memory(llm));
    llm = dv_llm_destroy(llm);
    DV_CLEANUP(dv_freep) char *line = dv_json_print(output);
    (void)puts(line);
    return result;
}
