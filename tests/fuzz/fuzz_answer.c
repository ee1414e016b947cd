/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a model, or the endpoint before it, may send. An extracted answer is an object within its
 * limits that extracts to itself; everything else of a body is read without harm.
 */

#include "base/alloc.h"
#include "base/json.h"
#include "llm/answer.h"
#include "llm/mask.h"
#include "llm/rate.h"
#include "llm/schema.h"
#include "llm/verdict.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema_text[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"model\"],\"properties\":{"
    "\"thought\":{\"type\":\"string\"},\"model\":{\"type\":\"object\",\"properties\":{\"layers\":{"
    "\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"op\":{\"type\":\"string\","
    "\"enum\":[\"conv\",\"linear\"]},\"out\":{\"type\":\"integer\"}}}}}}}}";

static unsigned measure_depth(const struct dv_json *json)
{
    unsigned deepest = 0;

    for (size_t i = 0; dv_json_is_array(json) && i < dv_json_count(json); i++) {
        unsigned depth = measure_depth(dv_json_at(json, i));
        deepest = depth > deepest ? depth : deepest;
    }
    for (void *i = dv_json_is_object(json) ? dv_json_first(json) : NULL; i;
         i = dv_json_next(json, i)) {
        unsigned depth = measure_depth(dv_json_value(i));
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + (dv_json_is_array(json) || dv_json_is_object(json));
}

static void check_answer(const char *text, size_t size)
{
    struct dv_json *answer, *again;
    struct dv_json *schema = NULL;

    if (dv_llm_answer_extract(text, size, &answer, NULL) != DV_OK) {
        return;
    }
    assert(dv_json_is_object(answer));
    assert(measure_depth(answer) <= DV_LLM_ANSWER_DEPTH_MAX);
    enum dv_status status = dv_json_parse(schema_text, strlen(schema_text), &schema, NULL);
    assert(status == DV_OK);
    status = dv_llm_schema_check(schema, answer, &(struct dv_error){0});
    assert(status == DV_OK || status == DV_INVALID);
    char *printed = dv_json_print(answer);
    if (strlen(printed) <= DV_LLM_ANSWER_SIZE_MAX) { /* a number may get longer */
        status = dv_llm_answer_parse(printed, strlen(printed), &again, NULL);
        assert(status == DV_OK);
        char *printed_again = dv_json_print(again);
        assert(strcmp(printed, printed_again) == 0);
        dv_free(printed_again);
        dv_json_unref(again);
    }
    dv_free(printed);
    dv_json_unref(schema);
    dv_json_unref(answer);
}

static void check_body(const char *text, size_t size)
{
    static const int statuses[] = {200, 204, 302, 400, 404, 413, 429, 503, 999};
    struct dv_llm_rate rate = dv_llm_rate_none();
    struct dv_json *document = NULL;
    struct dv_llm_reading reading;

    if (dv_json_parse(text, size, &document, NULL) != DV_OK) {
        document = NULL;
    }
    for (size_t i = 0; i < DV_ARRAY_SIZE(statuses); i++) {
        dv_llm_verdict_read(statuses[i], text, size, document, &rate, &reading);
        assert(reading.wait_ms >= DV_LLM_UNKNOWN);
        (void)dv_llm_verdict_name(reading.verdict);
    }
    (void)dv_llm_rate_header(&rate, text, size, 1790000000);
    assert(rate.retry_after_ms >= DV_LLM_UNKNOWN);
    dv_json_unref(document);
}

/* The key is put where the input says, whole: it is never there afterwards. */
static void check_mask(char *text, size_t size)
{
    static const char key[] = "gsk_fuzzfuzzABABABAB";
    size_t at = size > sizeof(key) ? (size_t)(unsigned char)text[0] % (size - sizeof(key)) : 0;

    if (size > sizeof(key)) {
        memcpy(text + at, key, sizeof(key) - 1);
    }
    dv_llm_mask(text, size, key);
    assert(!memmem(text, size, key, sizeof(key) - 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dv_alloc(size + 1);

    memcpy(text, data, size);
    check_answer(text, size);
    check_body(text, size);
    check_mask(text, size);
    dv_free(text);
    return 0;
}
