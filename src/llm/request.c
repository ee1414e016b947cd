/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/request.h"

#include "base/alloc.h"
#include "base/json.h"

#include <assert.h>

static struct dv_json *make_message(const char *role, const char *content)
{
    struct dv_json *message = dv_json_object();

    dv_json_set_text(message, "role", role);
    dv_json_set_text(message, "content", content);
    return message;
}

/* Only role and content: some endpoints refuse any other field. */
static struct dv_json *copy_messages(const struct dv_llm_request *request, bool has_schema)
{
    struct dv_json *messages = dv_json_array();
    size_t count = dv_json_count(request->messages);

    for (size_t i = 0; i < count; i++) {
        const struct dv_json *message = dv_json_at(request->messages, i);
        const char *role = dv_json_get_string(message, "role", "user");
        const char *content = dv_json_get_string(message, "content", "");
        if (i + 1 < count || has_schema) {
            dv_json_append(messages, make_message(role, content));
            continue;
        }
        DV_CLEANUP(dv_freep)
        char *schema = request->schema ? dv_json_print(request->schema) : NULL;
        DV_CLEANUP(dv_freep)
        char *longer = dv_strprintf("%s\n\nAnswer with one JSON object and nothing else.%s%s",
            content, schema ? " It matches this JSON schema: " : "", schema ? schema : "");
        dv_json_append(messages, make_message(role, longer));
    }
    return messages;
}

static struct dv_json *make_format(const struct dv_llm_request *request, enum dv_llm_rung rung)
{
    struct dv_json *format = dv_json_object();
    struct dv_json *schema = dv_json_object();

    if (rung == DV_LLM_RUNG_OBJECT) {
        dv_json_set_string(format, "type", "json_object");
        dv_json_unref(schema);
        return format;
    }
    dv_json_set_string(format, "type", "json_schema");
    dv_json_set_text(schema, "name", request->schema_name ? request->schema_name : "answer");
    dv_json_set_bool(schema, "strict", rung == DV_LLM_RUNG_STRICT);
    dv_json_set(schema, "schema", dv_json_copy(request->schema));
    dv_json_set(format, "json_schema", schema);
    return format;
}

char *dv_llm_request_print(
    const struct dv_llm_request *request, const struct dv_llm_capability *capability)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *body = dv_json_object();
    enum dv_llm_rung rung = capability->rung;

    assert(request->model);
    if (!request->schema && rung < DV_LLM_RUNG_OBJECT) {
        rung = DV_LLM_RUNG_OBJECT;
    }
    dv_json_set_text(body, "model", request->model);
    dv_json_set(body, "messages", copy_messages(request, rung < DV_LLM_RUNG_OBJECT));
    if (!capability->has_no_temperature) {
        dv_json_set_number(body, "temperature", request->temperature);
    }
    dv_json_set_integer(body,
        capability->is_old_output_field ? "max_tokens" : "max_completion_tokens",
        request->output_max);
    if (!capability->has_no_reasoning && request->effort) {
        dv_json_set_string(body, "reasoning_effort", request->effort);
    }
    if (!capability->has_no_seed && request->seed >= 0) {
        dv_json_set_integer(body, "seed", request->seed);
    }
    if (capability->is_on_demand) {
        dv_json_set_string(body, "service_tier", "on_demand");
    }
    if (rung != DV_LLM_RUNG_TEXT) {
        dv_json_set(body, "response_format", make_format(request, rung));
    }
    return dv_json_print(body);
}
