/* SPDX-License-Identifier: Apache-2.0 */

/* The runs of a search and what was asked of a language model, on either database. */

#include "fixture.h"

#include "base/alloc.h"

static const struct dv_page page = {.limit = 100};

static struct dv_json *parse(const char *text)
{
    struct dv_json *json = NULL;

    ok(dv_json_parse(text, strlen(text), &json, &error));
    return json;
}

static void put(const struct job *job, const char *text)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *run = parse(text);

    ok(dv_runs_put(store, job->id, job->fence, run, &error));
}

/* The run of this iteration; the caller's. */
static struct dv_json *get_run(const struct job *job, int64_t iteration)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *list = NULL;

    ok(dv_runs_list(store, job->id, &page, &list, &error));
    const struct dv_json *items = dv_json_get(list, "items");
    for (size_t i = 0; i < dv_json_count(items); i++) {
        struct dv_json *row = dv_json_at(items, i);
        if (dv_json_get_integer(row, "iteration", 0) == iteration) {
            return dv_json_ref(row);
        }
    }
    fail_msg("there is no run %lld", (long long)iteration);
    return NULL;
}

static int64_t count_events(const struct job *job, const char *type)
{
    const struct dv_event_filter filter = {.subject_id = job->id, .type = type};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *events = NULL;
    int64_t last;

    ok(dv_events_after(store, &filter, 0, 1000, &events, &last, &error));
    return (int64_t)dv_json_count(events);
}

#define FIRST                                                                                      \
    "{\"iteration\": 1, \"status\": \"completed\", \"source\": \"default\", \"operator\": \"default\", "   \
    "\"parents\": [], \"repairs\": 0, \"accuracy\": 0.5, \"verdict\": \"first\"}"
#define BEGUN                                                                                      \
    "{\"iteration\": 2, \"status\": \"running\", \"source\": \"llm\", \"operator\": \"improve\", "     \
    "\"parents\": [1], \"hypothesis\": \"wider \\u00e4\", \"repairs\": 2, \"parameters\": 77, "       \
    "\"architecture\": {\"name\": \"n\"}, \"hyperparameters\": {\"dropout\": 0.5}}"
#define ENDED                                                                                      \
    "{\"iteration\": 2, \"status\": \"completed\", \"source\": \"llm\", \"operator\": \"improve\", "   \
    "\"parents\": [1], \"hypothesis\": \"wider \\u00e4\", \"repairs\": 2, \"parameters\": 77, "       \
    "\"architecture\": {\"name\": \"n\"}, \"hyperparameters\": {\"dropout\": 0.5}, "               \
    "\"accuracy\": 0.75, \"loss\": 0.5, \"verdict\": \"better\", \"metrics\": {\"val\": 1}, "      \
    "\"history\": [{\"epoch\": 1}]}"
#define FAILED                                                                                     \
    "{\"iteration\": 3, \"status\": \"failed\", \"source\": \"llm\", \"repairs\": 0, "               \
    "\"failure\": \"it diverged\"}"

static void a_run_is_what_was_said_of_it_last(void **state)
{
    struct job job;

    (void)state;
    make_job(&job, 910);
    claim(&job);
    put(&job, FIRST);
    put(&job, BEGUN);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *begun = get_run(&job, 2);
    assert_string_equal(dv_json_get_string(begun, "status", ""), "running");
    assert_string_equal(dv_json_get_string(begun, "hypothesis", ""), "wider \xc3\xa4");
    assert_int_equal(dv_json_to_integer(dv_json_at(dv_json_get(begun, "parents"), 0), 0), 1);
    assert_int_equal(dv_json_get_integer(begun, "repairs", 0), 2);
    assert_true(dv_json_is_null(dv_json_get(begun, "finished_at")));
    put(&job, ENDED);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *ended = get_run(&job, 2);
    assert_string_equal(dv_json_get_string(ended, "status", ""), "completed");
    assert_string_equal(dv_json_get_string(ended, "verdict", ""), "better");
    assert_string_equal(dv_json_get_string(ended, "id", "a"), dv_json_get_string(begun, "id", "b"));
    assert_int_equal(dv_json_count(dv_json_get(ended, "history")), 1);
    assert_true(dv_json_is_string(dv_json_get(ended, "finished_at")));
}

static void what_is_said_again_is_neither_an_event_nor_a_change(void **state)
{
    struct job job;

    (void)state;
    make_job(&job, 911);
    claim(&job);
    for (int i = 0; i < 3; i++) {
        put(&job, FIRST);
    }
    assert_int_equal(count_events(&job, "run"), 1);
    put(&job, BEGUN);
    put(&job, ENDED);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *before = get_run(&job, 2);
    put(&job, ENDED);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *after = get_run(&job, 2);
    DV_CLEANUP(dv_freep) char *text_before = dv_json_print_canonical(before);
    DV_CLEANUP(dv_freep) char *text_after = dv_json_print_canonical(after);
    assert_string_equal(text_before, text_after);
    assert_int_equal(count_events(&job, "run"), 3);
}

static void one_who_has_lost_the_job_writes_nothing(void **state)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *run = parse(FIRST);
    DV_CLEANUP(dv_json_unrefp) struct dv_json *list = NULL;
    const struct dv_exchange exchange = {.number = 8,
        .purpose = "draft",
        .outcome = "answered",
        .request = "{}",
        .response = "{}"};
    struct job job;

    (void)state;
    make_job(&job, 912);
    claim(&job);
    assert_int_equal(dv_runs_put(store, job.id, job.fence - 1, run, NULL), DV_CONFLICT);
    assert_int_equal(
        dv_exchanges_put(store, job.id, job.fence - 1, &exchange, NULL), DV_CONFLICT);
    ok(dv_runs_list(store, job.id, &page, &list, &error));
    assert_int_equal(dv_json_get_integer(list, "total", -1), 0);
    dv_json_set_integer(run, "iteration", 0);
    assert_int_equal(dv_runs_put(store, job.id, job.fence, run, NULL), DV_INVALID);
}

static void a_death_is_charged_to_the_run(void **state)
{
    const struct dv_job_setback setback = {.reason = "signal", .run = 2, .run_restarts = 1};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    struct job job;

    (void)state;
    make_job(&job, 913);
    claim(&job);
    put(&job, FIRST);
    put(&job, BEGUN);
    ok(dv_jobs_requeue(store, job.id, job.fence, &setback, &error));
    ok(dv_jobs_get(store, job.id, &row, &error));
    assert_int_equal(dv_json_get_integer(row, "restarts", -1), 0);
    assert_string_equal(dv_json_get_string(row, "failure_reason", ""), "signal");
    claim(&job);
    ok(dv_runs_restarts(store, job.id, &rows, &error));
    assert_int_equal(dv_json_count(rows), 1);
    assert_int_equal(dv_json_get_integer(dv_json_at(rows, 0), "iteration", 0), 2);
    assert_int_equal(dv_json_get_integer(dv_json_at(rows, 0), "restarts", 0), 1);
    put(&job, BEGUN); /* who goes on says it again */
    DV_CLEANUP(dv_json_unrefp) struct dv_json *run = get_run(&job, 2);
    assert_int_equal(dv_json_get_integer(run, "restarts", 0), 1);
}

static void the_result_is_the_best_run(void **state)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *result = make_result();
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *model = NULL;
    struct job job;

    (void)state;
    make_job(&job, 914);
    claim(&job);
    put(&job, FIRST);
    put(&job, ENDED);
    put(&job, FAILED);
    dv_json_set_integer(dv_json_get(result, "metrics"), "best_iteration", 2);
    ok(dv_jobs_complete(store, job.id, job.fence, result, "models/x/versions/1", &error));
    DV_CLEANUP(dv_json_unrefp) struct dv_json *best = get_run(&job, 2);
    assert_string_equal(dv_json_get_string(best, "verdict", ""), "best");
    assert_string_equal(dv_json_get_string(best, "source", ""), "llm");
    assert_int_equal(dv_json_get_integer(best, "parameters", 0), 77); /* its own, not the result's */
    DV_CLEANUP(dv_json_unrefp) struct dv_json *first = get_run(&job, 1);
    assert_string_equal(dv_json_get_string(first, "verdict", ""), "first");
    ok(dv_models_get(store, job.model, &model, &error));
    assert_string_equal(
        dv_json_get_string(dv_json_at(dv_json_get(model, "versions"), 0), "run_id", ""),
        dv_json_get_string(best, "id", "-"));
    ok(dv_jobs_get(store, job.id, &row, &error));
    assert_null(dv_json_get(dv_json_get(row, "result"), "llm")); /* nobody was asked */
}

static void a_run_that_has_not_ended_ends_with_its_job(void **state)
{
    struct job job;

    (void)state;
    make_job(&job, 915);
    claim(&job);
    put(&job, BEGUN);
    ok(dv_jobs_fail(store, job.id, job.fence, "oom", "no memory", &error));
    DV_CLEANUP(dv_json_unrefp) struct dv_json *run = get_run(&job, 2);
    assert_string_equal(dv_json_get_string(run, "status", ""), "failed");
    assert_true(dv_json_is_string(dv_json_get(run, "finished_at")));
}

/* --- Exchanges -------------------------------------------------------------------------------- */

static void an_exchange_is_kept_as_it_was_said_first(void **state)
{
    struct dv_exchange exchange = {.number = 17,
        .purpose = "draft",
        .outcome = "answered",
        .model = "m",
        .request = "{\"b\":1.50,\"a\":\"\\u0000 \\u00e4\"}",
        .response = "{\"answer\":{\"x\":1}}",
        .prompt_tokens = 120,
        .completion_tokens = 60,
        .dollars = 0.25,
        .latency_ms = 1234};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *list = NULL;
    struct job job;

    (void)state;
    make_job(&job, 916);
    claim(&job);
    assert_int_equal(dv_exchanges_get(store, job.id, 17, &row, NULL), DV_NOT_FOUND);
    ok(dv_exchanges_put(store, job.id, job.fence, &exchange, &error));
    exchange.response = "{\"answer\":{\"x\":2}}";
    ok(dv_exchanges_put(store, job.id, job.fence, &exchange, &error));
    assert_int_equal(count_events(&job, "llm"), 1);
    ok(dv_exchanges_get(store, job.id, 17, &row, &error));
    assert_int_equal(
        dv_json_get_integer(dv_json_get(dv_json_get(row, "response"), "answer"), "x", 0), 1);
    /* printf %s '{"b":1.50,"a":"\u0000 \u00e4"}' | sha256sum */
    assert_string_equal(dv_json_get_string(row, "request_hash", ""), 
        "50e355d743fc8ec22d83f970f8e03e99eee55c78d407787465365c549b556c4f");
    assert_int_equal(dv_json_get_integer(row, "latency_ms", 0), 1234);
    exchange.number = 16;
    exchange.request = "{}";
    exchange.outcome = "network";
    ok(dv_exchanges_put(store, job.id, job.fence, &exchange, &error));
    ok(dv_exchanges_list(store, job.id, &(struct dv_page){.limit = 1}, &list, &error));
    assert_int_equal(dv_json_get_integer(list, "total", 0), 2);
    assert_int_equal(
        dv_json_get_integer(dv_json_at(dv_json_get(list, "items"), 0), "number", 0), 16);
    assert_true(dv_json_is_object(dv_json_get(dv_json_at(dv_json_get(list, "items"), 0), "request")));
}

static void the_result_says_what_was_asked(void **state)
{
    const struct dv_exchange exchanges[] = {
        {.number = 8, .purpose = "draft", .outcome = "answered", .request = "{}", .response = "{}",
            .prompt_tokens = 100, .completion_tokens = 20, .dollars = 0.25},
        {.number = 9, .purpose = "repair", .outcome = "network", .request = "{}", .response = "{}",
            .prompt_tokens = 10, .completion_tokens = 2, .dollars = 0.5}};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *result = make_result();
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    struct job job;

    (void)state;
    make_job(&job, 917);
    claim(&job);
    for (size_t i = 0; i < DV_ARRAY_SIZE(exchanges); i++) {
        ok(dv_exchanges_put(store, job.id, job.fence, &exchanges[i], &error));
    }
    ok(dv_jobs_complete(store, job.id, job.fence, result, "models/x/versions/1", &error));
    ok(dv_jobs_get(store, job.id, &row, &error));
    const struct dv_json *bill = dv_json_get(dv_json_get(row, "result"), "llm");
    assert_int_equal(dv_json_get_integer(bill, "questions", 0), 2);
    assert_int_equal(dv_json_get_integer(bill, "answered", 0), 1);
    assert_int_equal(dv_json_get_integer(bill, "prompt_tokens", 0), 110);
    assert_true(dv_json_get_number(bill, "dollars", 0.0) == 0.75);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_what_was_said_of_it_last),
        cmocka_unit_test(what_is_said_again_is_neither_an_event_nor_a_change),
        cmocka_unit_test(one_who_has_lost_the_job_writes_nothing),
        cmocka_unit_test(a_death_is_charged_to_the_run),
        cmocka_unit_test(the_result_is_the_best_run),
        cmocka_unit_test(a_run_that_has_not_ended_ends_with_its_job),
        cmocka_unit_test(an_exchange_is_kept_as_it_was_said_first),
        cmocka_unit_test(the_result_says_what_was_asked),
    };

    return fixture_run("runs", tests);
}
