/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as the JSON body of a call, the way a request takes: parsed, checked by api/body.c,
 * and read as a job. Whatever is taken prints as JSON that reads as the same; whatever is refused
 * is refused once, with a problem document that is JSON itself.
 */

#include "api/api_impl.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"
#include "spec/problem.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define ARENA_SIZE_MAX (64u << 20) /* as POST /api/jobs has it */
#define PROBLEMS_MAX 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- What api/body.c asks of a request -------------------------------------------------------- */

struct dv_http_request {
    struct dv_json *body;
    unsigned reply_count;
};

const struct dv_json *dv_http_request_json(const struct dv_http_request *request)
{
    return request->body;
}

const char *dv_http_request_parameter(const struct dv_http_request *request, const char *name)
{
    (void)name;
    return dv_json_to_string(request->body, "");
}

const char *dv_http_request_query(const struct dv_http_request *request, const char *name)
{
    return dv_json_get_string(request->body, name, NULL);
}

static void check_pointer(const char *pointer)
{
    assert(pointer[0] == '\0' || pointer[0] == '/');
    for (const char *at = pointer; (at = strchr(at, '~')); at++) {
        assert(at[1] == '0' || at[1] == '1');
    }
}

void dv_http_reply_problem(
    struct dv_http_request *request, int code, const char *detail, struct dv_json *errors)
{
    assert(code >= 400 && code < 500);
    assert(dv_text_is_utf8(detail, strlen(detail)));
    assert(dv_json_count(errors) > 0);
    for (size_t i = 0; i < dv_json_count(errors); i++) {
        const struct dv_json *item = dv_json_at(errors, i);
        check_pointer(dv_json_get_string(item, "pointer", "?"));
        assert(dv_json_is_string(dv_json_get(item, "message")));
    }
    request->reply_count++;
    dv_json_unref(errors);
}

void dv_api_refuse(
    struct dv_http_request *request, int code, const char *pointer, const char *message)
{
    assert(code >= 400 && code < 500);
    check_pointer(pointer);
    assert(message[0] != '\0');
    request->reply_count++;
}

void dv_api_fail(struct dv_http_request *request, const struct dv_error *error)
{
    assert(error->text[0] != '\0');
    request->reply_count++;
}

/* --- The body's ways -------------------------------------------------------------------------- */

static void check_writing(const struct dv_json *json)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *again = NULL;
    DV_CLEANUP(dv_freep) char *text = dv_json_print_canonical(json);

    enum dv_status status = dv_json_parse(text, strlen(text), &again, NULL);
    assert(status == DV_OK);
    DV_CLEANUP(dv_freep) char *same = dv_json_print_canonical(again);
    assert(dv_text_equal(text, same));
}

/* A check lets through and says nothing, or refuses with one answer. */
static void check_answer(struct dv_http_request *request, bool is_taken)
{
    assert(request->reply_count == (is_taken ? 0u : 1u));
    request->reply_count = 0;
}

static void check_members(struct dv_json *json)
{
    static const char *const tasks[] = {"classification", "regression", NULL};
    static const struct dv_api_field fields[] = {
        {.name = "name", .type = DV_API_NAME, .size_max = 200},
        {.name = "description", .type = DV_API_TEXT, .size_max = 4000},
        {.name = "task", .type = DV_API_TEXT, .size_max = 100, .words = tasks},
        {.name = "hyperparameters", .type = DV_API_OBJECT},
    };
    struct dv_http_request request = {.body = json};
    struct dv_page page;
    int64_t number = 0;

    check_answer(&request, dv_api_check_body(&request, fields, DV_ARRAY_SIZE(fields)));
    check_answer(
        &request, dv_api_check_text(&request, &fields[0], dv_json_get_string(json, "name", NULL)));
    check_answer(&request, dv_api_id(&request, "data set") != NULL);
    if (dv_json_is_object(json)) {
        check_answer(&request, dv_api_page(&request, &page));
        check_answer(&request, dv_api_check_choice(&request, "task", tasks));
        check_answer(&request, dv_api_check_query_id(&request, "dataset_id"));
        check_answer(&request, dv_api_query_integer(&request, "after", 0, 100, &number));
        assert(number >= 0 && number <= 100);
    }
}

/* What was read as a job is written as one that reads as the same. */
static void check_job(const struct dv_json *json)
{
    static const char *const strategies[] = {"native", "search", NULL};
    static const struct dv_capabilities capabilities = {.strategies = strategies};
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(ARENA_SIZE_MAX);
    struct dv_problems problems;
    struct dv_job_spec *spec, *again;
    struct dv_error error;

    dv_problems_init(&problems, arena, PROBLEMS_MAX);
    if (dv_job_spec_parse(json, &capabilities, arena, &problems, &spec, &error) != DV_OK) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *list = dv_problems_to_json(&problems);
        assert(dv_json_count(list) > 0);
        for (size_t i = 0; i < problems.count; i++) {
            check_pointer(problems.items[i].pointer);
        }
        return;
    }
    DV_CLEANUP(dv_json_unrefp) struct dv_json *complete = dv_job_spec_to_json(spec);
    enum dv_status status =
        dv_job_spec_parse(complete, &capabilities, arena, &problems, &again, &error);
    assert(status == DV_OK);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *same = dv_job_spec_to_json(again);
    DV_CLEANUP(dv_freep) char *one = dv_json_print_canonical(complete);
    DV_CLEANUP(dv_freep) char *two = dv_json_print_canonical(same);
    assert(dv_text_equal(one, two));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_error error;

    if (dv_json_parse((const char *)data, size, &json, &error) != DV_OK) {
        assert(dv_text_is_utf8(error.text, strlen(error.text)));
        return 0;
    }
    check_writing(json);
    check_members(json);
    check_job(json);
    return 0;
}
