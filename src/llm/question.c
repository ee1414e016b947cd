/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/question.h"

#include "base/json.h"
#include "llm/llm.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

/* The value, or null; the container's afterwards. */
static struct dv_json *ref_or_null(const struct dv_json *json)
{
    return json ? dv_json_ref(json) : dv_json_null();
}

/* NULL where it is null. */
static const struct dv_json *get(const struct dv_json *json, const char *key)
{
    const struct dv_json *value = dv_json_get(json, key);

    return dv_json_is_null(value) ? NULL : value;
}

struct dv_json *dv_llm_question_to_json(const struct dv_llm_question *question)
{
    struct dv_json *json = dv_json_object();

    dv_json_set(json, "messages", ref_or_null(question->messages));
    dv_json_set(json, "short_messages", ref_or_null(question->short_messages));
    dv_json_set(json, "schema", ref_or_null(question->schema));
    dv_json_set_text(json, "schema_name", question->schema_name);
    dv_json_set_number(json, "temperature", question->temperature);
    dv_json_set_integer(json, "output_max", question->output_max);
    dv_json_set_integer(json, "seed", question->seed);
    return json;
}

enum dv_status dv_llm_question_from_json(
    const struct dv_json *json, struct dv_llm_question *ret_question, struct dv_error *reterr)
{
    const struct dv_json *name = get(json, "schema_name");
    const struct dv_llm_question question = {.messages = get(json, "messages"),
        .short_messages = get(json, "short_messages"),
        .schema = get(json, "schema"),
        .schema_name = dv_json_to_string(name, NULL),
        .temperature = dv_json_get_number(json, "temperature", (double)NAN),
        .output_max = dv_json_get_integer(json, "output_max", -1),
        .seed = dv_json_get_integer(json, "seed", -1)};

    assert(ret_question);
    bool is_good = dv_json_is_object(json) && dv_json_count(json) == 7 && question.messages &&
                   (!question.schema || dv_json_is_object(question.schema)) &&
                   (!name || question.schema_name) && !isnan(question.temperature) &&
                   question.output_max >= 0 && dv_json_is_integer(dv_json_get(json, "seed")) &&
                   dv_json_get(json, "short_messages") && dv_json_get(json, "schema") &&
                   dv_json_get(json, "schema_name");
    if (!is_good) {
        return dv_fail(reterr, DV_INVALID, "the question is not well formed");
    }
    *ret_question = question;
    return DV_OK;
}

struct dv_json *dv_llm_reply_to_json(const struct dv_llm_reply *reply, const struct dv_llm *llm)
{
    struct dv_json *json = dv_json_object();

    dv_json_set(json, "answer", ref_or_null(reply->answer));
    dv_json_set_text(json, "mismatch", reply->mismatch[0] ? reply->mismatch : NULL);
    dv_json_set_text(json, "rung", reply->rung);
    dv_json_set_bool(json, "is_prompt_cut", reply->is_prompt_cut);
    dv_json_set(json, "exchanges", dv_json_ref(reply->exchanges));
    dv_json_set(json, "memory", dv_llm_memory(llm));
    return json;
}

static bool is_text_or_null(const struct dv_json *json, const char *key)
{
    return dv_json_get(json, key) &&
           (dv_json_is_string(dv_json_get(json, key)) || dv_json_is_null(dv_json_get(json, key)));
}

enum dv_status dv_llm_reply_validate(const struct dv_json *json, struct dv_error *reterr)
{
    const struct dv_json *answer = dv_json_get(json, "answer");
    bool is_good = dv_json_is_object(json) && dv_json_count(json) == 6 && answer &&
                   (dv_json_is_object(answer) || dv_json_is_null(answer)) &&
                   is_text_or_null(json, "mismatch") && dv_json_is_string(dv_json_get(json, "rung")) &&
                   dv_json_is_bool(dv_json_get(json, "is_prompt_cut")) &&
                   dv_json_is_array(dv_json_get(json, "exchanges")) &&
                   dv_json_is_object(dv_json_get(json, "memory"));

    return is_good ? DV_OK : dv_fail(reterr, DV_INVALID, "the reply is not well formed");
}
