/* SPDX-License-Identifier: Apache-2.0 */

/* What happens to data sets, models, jobs, logs and tokens, on both databases (fixture.h). */

#include "fixture.h"

#include "base/alloc.h"
#include "store/driver/sql.h"
#include "store/tokens.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- Data sets -------------------------------------------------------------------------------- */

static void a_data_set_goes_its_way_once(void **state)
{
    char id[DV_UUID_TEXT_SIZE];
    struct dv_json *row = NULL;
    struct dv_json *empty = dv_json_object();

    (void)state;
    make_dataset(id, "way", false);
    ok(dv_datasets_progress(store, id, 0.25, NULL, &error));
    ok(dv_datasets_fail(store, id, "it is no ZIP", NULL, &error));
    assert_int_equal(dv_datasets_finish(store, id, empty, NULL), DV_CONFLICT);
    assert_int_equal(dv_datasets_progress(store, id, 0.5, NULL, NULL), DV_CONFLICT);
    ok(dv_datasets_get(store, id, &row, &error));
    assert_string_equal(dv_json_get_string(row, "readiness", ""), "error");
    assert_string_equal(dv_json_get_string(row, "error", ""), "it is no ZIP");
    const char *time = dv_json_get_string(row, "created_at", "");
    assert_int_equal(strlen(time), 24);
    assert_int_equal(time[10], 'T');
    assert_int_equal(time[23], 'Z');
    dv_json_unref(row);
    ok(dv_datasets_delete(store, id, &error));
    assert_int_equal(dv_datasets_get(store, id, &row, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_datasets_delete(store, id, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_datasets_fail(store, id, "late", NULL, NULL), DV_NOT_FOUND);
    dv_json_unref(empty);
}

static void an_update_changes_what_is_given_and_nothing_else(void **state)
{
    char id[DV_UUID_TEXT_SIZE];
    struct dv_json *row = NULL;
    struct dv_json *metadata = dv_json_object();

    (void)state;
    make_dataset(id, "before", true);
    dv_json_set_integer(metadata, "owner", 7);
    const struct dv_dataset_fields fields = {.name = "l'été \"; DROP TABLE datasets; --", .metadata = metadata};
    ok(dv_datasets_update(store, id, &fields, &row, &error));
    assert_string_equal(dv_json_get_string(row, "name", ""), fields.name);
    assert_string_equal(dv_json_get_string(row, "description", ""), "ends in 100% of_cases");
    assert_int_equal(dv_json_get_integer(dv_json_get(row, "metadata"), "owner", 0), 7);
    assert_int_equal(dv_json_get_integer(row, "total_samples", 0), 12);
    assert_int_equal(dv_json_count(dv_json_get(row, "classes")), 1);
    dv_json_unref(row);
    dv_json_unref(metadata);
}

static size_t count_found(const char *search)
{
    const struct dv_dataset_filter filter = {.search = search};
    const struct dv_page page = {.limit = 500};
    struct dv_json *list = NULL;

    ok(dv_datasets_list(store, &filter, &page, &list, &error));
    size_t count = dv_json_count(dv_json_get(list, "items"));
    assert_int_equal(dv_json_get_integer(list, "total", -1), count);
    dv_json_unref(list);
    return count;
}

static void a_search_takes_its_text_literally_and_in_any_case(void **state)
{
    char id[DV_UUID_TEXT_SIZE];

    (void)state;
    make_dataset(id, "Quizzical Xylophones", false);
    assert_int_equal(count_found("xYLOPH"), 1);
    assert_int_equal(count_found("xyloph%s"), 0);
    assert_int_equal(count_found("_ylophones"), 0);
    assert_true(count_found("100% OF_") >= 1);
    assert_int_equal(count_found("\\"), 0);
}

static int64_t count_models(const char *text)
{
    const struct dv_model_filter filter = {.search = text};
    const struct dv_page page = {.limit = 1};
    struct dv_json *list = NULL;

    ok(dv_models_list(store, &filter, &page, &list, &error));
    int64_t count = dv_json_get_integer(list, "total", -1);
    dv_json_unref(list);
    return count;
}

static int64_t count_lines(const char *job_id, const char *text)
{
    const struct dv_log_filter filter = {.search = text};
    const struct dv_page page = {.limit = 1};
    struct dv_json *list = NULL;

    ok(dv_logs_list(store, job_id, &filter, &page, &list, &error));
    int64_t count = dv_json_get_integer(list, "total", -1);
    dv_json_unref(list);
    return count;
}

/* What is kept, what is searched for; words that no other test uses. */
static const struct {
    const char *text, *search;
    bool is_found;
} scripts[] = {
    {"Größenklassen", "GRÖSSENKLASSEN", true},
    {"GRÖSSENKLASSEN", "größenklassen", true},
    {"Größenklassen", "grossenklassen", false}, /* an accent is not a matter of case */
    {"Ärzte 7", "ärzte", true},
    {"ärzte 7", "ÄRZTE 7", true},
    {"ΟΔΟΣ ΠΟΥΛΙΑ", "οδός", false},
    {"ΟΔΟΣ ΠΟΥΛΙΑ", "οδος πουλιά", false},
    {"ΟΔΟΣ ΠΟΥΛΙΑ", "οδος πουλια", true},
    {"Птицы Севера", "ПТИЦЫ СЕВЕРА", true},
    {"ПТИЦЫ СЕВЕРА", "севера", true},
    {"Çizgi 100%", "çIZGI 100%", true},
    {"Çizgi 100%", "çizgi_100", false},
    {"plain ASCII", "Plain ascii", true},
};

static void case_is_no_matter_in_any_script(void **state)
{
    struct job job;

    (void)state;
    make_job(&job, 0);
    for (size_t i = 0; i < DV_ARRAY_SIZE(scripts); i++) {
        const struct dv_dataset_fields as_name = {.name = scripts[i].text};
        const struct dv_dataset_fields as_description = {
            .name = "another", .description = scripts[i].text};
        const struct dv_model_fields model = {.name = scripts[i].text};
        const struct dv_log_line line = {"info", "worker", scripts[i].text};
        const char *search = scripts[i].search;
        struct job with_log, named;
        struct dv_json *row = NULL;

        ok(dv_datasets_update(store, job.dataset, &as_name, &row, &error));
        assert_null(dv_json_get(row, "search"));
        dv_json_unref(row);
        assert_int_equal(count_found(search), scripts[i].is_found);
        ok(dv_datasets_update(store, job.dataset, &as_description, &row, &error));
        dv_json_unref(row);
        assert_int_equal(count_found(search), scripts[i].is_found);
        ok(dv_models_update(store, job.model, &model, &row, &error));
        assert_null(dv_json_get(row, "search"));
        assert_true(dv_json_is_array(dv_json_get(row, "versions")));
        dv_json_unref(row);
        assert_int_equal(count_models(search), scripts[i].is_found);
        make_job(&with_log, 0);
        ok(dv_logs_append(store, with_log.id, &line, 1, &error));
        assert_int_equal(count_lines(with_log.id, search), scripts[i].is_found);
        make_dataset(named.dataset, scripts[i].text, true); /* as it is made, without an update */
        assert_int_equal(count_found(search), scripts[i].is_found ? 2 : 0);
        ok(dv_datasets_delete(store, named.dataset, &error));
    }
}

static void a_search_that_is_too_long_is_refused(void **state)
{
    const struct dv_page page = {.limit = 1};
    struct dv_json *list = NULL;
    char text[4000];

    (void)state;
    memset(text, '%', sizeof(text) - 1);
    for (size_t size = 900; size < sizeof(text); size += 31) {
        const struct dv_dataset_filter filter = {.search = text};
        text[size] = '\0';
        enum dv_status status = dv_datasets_list(store, &filter, &page, &list, NULL);
        assert_true(status == DV_INVALID || (status == DV_OK && size <= 1024));
        assert_true(status == DV_OK || size > 1000);
        if (status == DV_OK) {
            dv_json_unref(list);
        }
        text[size] = '%';
    }
}

static void pages_show_each_row_once_whatever_comes_and_goes(void **state)
{
    static const char *const sorts[] = {"name", "-name", "created_at", "-created_at"};
    char ids[9][DV_UUID_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < 9; i++) {
        DV_CLEANUP(dv_freep) char *name = dv_strprintf("paged %zu", i / 2); /* equal names */
        make_dataset(ids[i], name, false);
    }
    for (size_t s = 0; s < 4; s++) {
        const struct dv_dataset_filter filter = {.search = "paged"};
        struct dv_page page = {.limit = 2, .sort = sorts[s]};
        struct dv_json *list = NULL;
        int seen[9] = {0};
        DV_CLEANUP(dv_freep) char *cursor = NULL;
        do {
            ok(dv_datasets_list(store, &filter, &page, &list, &error));
            for (size_t i = 0; i < dv_json_count(dv_json_get(list, "items")); i++) {
                const char *id = dv_json_get_string(dv_json_at(dv_json_get(list, "items"), i), "id", "");
                for (size_t k = 0; k < 9; k++) {
                    seen[k] += dv_text_equal(ids[k], id);
                }
            }
            const char *next = dv_json_get_string(list, "next_cursor", NULL);
            dv_free(cursor);
            cursor = next ? dv_strdup(next) : NULL;
            page.cursor = cursor;
            dv_json_unref(list);
        } while (cursor);
        for (size_t k = 0; k < 9; k++) {
            assert_int_equal(seen[k], 1);
        }
    }
}

static void a_cursor_that_is_none_is_refused(void **state)
{
    static const char *const cursors[] = {"", "x", "zz", "5b5d", "7b7d", "5b226e616d65222c312c325d", "5b",
        /* ["created_at", "x", id], [.., a time, 5], [.., a time, "y"], [.., a time without its end, id], [another sort, ...] */
        "5b22637265617465645f6174222c2278222c2231313131313131312d313131312d343131312d383131312d313131313131313131313131225d",
        "5b22637265617465645f6174222c22323032362d30312d30315430303a30303a30302e3030305a222c355d",
        "5b22637265617465645f6174222c22323032362d30312d30315430303a30303a30302e3030305a222c2279225d",
        "5b22637265617465645f6174222c22323032362d30312d30315430303a30303a30302e303030222c2231313131313131312d313131312d343131312d383131312d313131313131313131313131225d",
        "5b226e616d65222c22323032362d30312d30315430303a30303a30302e3030305a222c2231313131313131312d313131312d343131312d383131312d313131313131313131313131225d",
    };
    const struct dv_dataset_filter filter = {0};
    struct dv_json *list = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
        const struct dv_page page = {.limit = 2, .cursor = cursors[i]};
        assert_int_equal(dv_datasets_list(store, &filter, &page, &list, NULL), DV_INVALID);
    }
    const struct dv_page page = {.limit = 2, .sort = "name; DROP TABLE jobs"};
    assert_int_equal(dv_datasets_list(store, &filter, &page, &list, NULL), DV_INVALID);
}

/* --- Jobs ------------------------------------------------------------------------------------- */

static void a_job_that_completes_makes_its_model_ready(void **state)
{
    struct job job;
    struct dv_json *row = NULL;
    struct dv_json *result = make_result();
    const struct dv_page page = {.limit = 10};

    (void)state;
    make_job(&job, 900);
    assert_status(&job, "pending", "queued");
    assert_int_equal(dv_datasets_delete(store, job.dataset, NULL), DV_CONFLICT);
    claim(&job);
    assert_status(&job, "running", "training");
    ok(dv_jobs_complete(store, job.id, job.fence, result, "models/x/versions/1", &error));
    assert_status(&job, "completed", "ready");
    ok(dv_models_get(store, job.model, &row, &error));
    assert_true(fabs(dv_json_get_number(row, "accuracy", 0) - 0.75) < 1e-12);
    assert_int_equal(dv_json_get_integer(row, "parameters", 0), 1234);
    assert_int_equal(dv_json_get_integer(row, "current_version", 0), 1);
    assert_false(dv_json_get_bool(row, "is_partial", true));
    assert_int_equal(dv_json_count(dv_json_get(row, "versions")), 1);
    assert_int_equal(dv_json_count(dv_json_get(dv_json_get(row, "metrics"), "history")), 1);
    dv_json_unref(row);
    ok(dv_runs_list(store, job.id, &page, &row, &error));
    assert_int_equal(dv_json_get_integer(row, "total", 0), 1);
    dv_json_unref(row);

    /* It has ended: nobody can end it another way. */
    assert_int_equal(dv_jobs_fail(store, job.id, job.fence, "oom", "late", NULL), DV_CONFLICT);
    assert_int_equal(dv_jobs_requeue(store, job.id, job.fence, &(struct dv_job_setback){"signal", true, 0, 0}, NULL), DV_CONFLICT);
    ok(dv_jobs_request_cancel(store, job.id, &row, &error));
    assert_string_equal(dv_json_get_string(row, "status", ""), "completed");
    dv_json_unref(row);
    assert_int_equal(dv_jobs_resume(store, job.id, &row, NULL), DV_CONFLICT);
    ok(dv_models_delete(store, job.model, &error));
    assert_int_equal(dv_jobs_get(store, job.id, &row, NULL), DV_NOT_FOUND);
    dv_json_unref(result);
}

/* Rows that fill the queue, with ids that are told from all others. */
static void fill_queue(struct dv_sql *sql, const char *dataset_id)
{
    const char *id = fixture_is_postgres()
                         ? "CAST('00000000-0000-4000-8000-' || lpad(i::text, 12, '0') AS uuid)"
                         : "'00000000-0000-4000-8000-' || printf('%012d', i)";
    DV_CLEANUP(dv_freep)
    char *insert = dv_strprintf(
        "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < %d) "
        "INSERT INTO jobs (id, kind, status, dataset_id, device, spec, priority, seed, "
        "timeout_seconds, max_restarts, thread_count, cancel_requested, queued_at, created_at, "
        "updated_at) SELECT %s, 'train', 'pending', '%s', 'cpu', '{}', 0, 0, 0, 0, 0, %s, "
        "'2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z' "
        "FROM numbers",
        DV_JOBS_PENDING_MAX, id, dataset_id, fixture_is_postgres() ? "false" : "0");

    ok(dv_sql_run(sql, insert, NULL, 0, NULL, NULL, &error));
}

static void a_queue_that_is_full_is_said_to_be(void **state)
{
    const struct dv_sql_options options = {.url = fixture_url};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *spec = dv_json_object();
    struct dv_json *row = NULL;
    struct dv_sql *sql = NULL;
    struct job job;

    (void)state;
    make_dataset(job.dataset, "wanted by many", true);
    ok(dv_sql_open(&options, &sql, &error));
    fill_queue(sql, job.dataset);
    dv_uuid_make(job.id);
    dv_uuid_make(job.model);
    const struct dv_job_row values = {.id = job.id,
        .kind = "train",
        .dataset_id = job.dataset,
        .model_id = job.model,
        .model_name = "one too many",
        .task = "classification",
        .device = "cpu",
        .spec = spec};
    assert_int_equal(dv_jobs_create(store, &values, &row, NULL), DV_UNAVAILABLE);
    assert_int_equal(dv_models_get(store, job.model, &row, NULL), DV_NOT_FOUND);
    /* Other tests have left a few of their own. */
    ok(dv_sql_run(sql, "DELETE FROM jobs WHERE id <= '00000000-0000-4000-8000-000000000100'", NULL,
        0, NULL, NULL, &error));
    ok(dv_jobs_create(store, &values, &row, &error));
    dv_json_unref(row);
    ok(dv_sql_run(sql, "DELETE FROM jobs WHERE spec = '{}'", NULL, 0, NULL, NULL, &error));
    (void)dv_sql_close(sql);
}

static void an_older_fence_is_refused(void **state)
{
    struct job job;
    struct dv_json *result = make_result();
    const struct dv_job_progress progress = {.progress = 0.5, .iteration = 1, .epoch = 2, .epochs = -1,
        .accuracy = (double)NAN, .best_accuracy = (double)NAN, .eta_seconds = (double)NAN,
        .images_per_second = (double)NAN};

    (void)state;
    make_job(&job, 901);
    claim(&job);
    int64_t old = job.fence;
    ok(dv_jobs_requeue(store, job.id, old, &(struct dv_job_setback){"signal", true, 0, 0}, &error));
    assert_status(&job, "pending", "queued");
    claim(&job);
    assert_int_equal(job.fence, old + 1);
    assert_int_equal(dv_jobs_progress(store, job.id, old, &progress, NULL), DV_CONFLICT);
    assert_int_equal(dv_jobs_complete(store, job.id, old, result, "x", NULL), DV_CONFLICT);
    assert_int_equal(dv_jobs_fail(store, job.id, old, "signal", "x", NULL), DV_CONFLICT);
    ok(dv_jobs_progress(store, job.id, job.fence, &progress, &error));
    ok(dv_jobs_fail(store, job.id, job.fence, "signal", "it died", &error));
    assert_status(&job, "failed", "failed");
    dv_json_unref(result);
}

static void a_cancelled_job_is_gone_on_with(void **state)
{
    struct job job;
    struct dv_json *row = NULL;
    struct dv_json *result = make_result();

    (void)state;
    make_job(&job, 902);
    ok(dv_jobs_request_cancel(store, job.id, &row, &error));
    dv_json_unref(row);
    assert_status(&job, "cancelled", "draft");
    ok(dv_jobs_resume(store, job.id, &row, &error));
    dv_json_unref(row);
    assert_status(&job, "pending", "queued");
    claim(&job);
    ok(dv_jobs_request_cancel(store, job.id, &row, &error));
    assert_true(dv_json_get_bool(row, "cancel_requested", false));
    dv_json_unref(row);
    ok(dv_jobs_to_cancel(store, &row, &error));
    assert_true(dv_json_count(row) >= 1);
    dv_json_unref(row);
    ok(dv_jobs_cancel(store, job.id, job.fence, result, "models/y/versions/1", &error));
    assert_status(&job, "cancelled", "ready");
    ok(dv_models_get(store, job.model, &row, &error));
    assert_true(dv_json_get_bool(row, "is_partial", false));
    dv_json_unref(row);
    ok(dv_jobs_resume(store, job.id, &row, &error));
    dv_json_unref(row);
    claim(&job);
    ok(dv_jobs_complete(store, job.id, job.fence, result, "models/y/versions/2", &error));
    assert_status(&job, "completed", "ready");
    ok(dv_models_get(store, job.model, &row, &error));
    assert_false(dv_json_get_bool(row, "is_partial", true));
    assert_int_equal(dv_json_get_integer(row, "current_version", 0), 2);
    assert_string_equal(dv_json_get_string(row, "model_path", ""), "models/y/versions/2");
    assert_int_equal(dv_json_count(dv_json_get(row, "versions")), 2);
    dv_json_unref(row);
    dv_json_unref(result);
}

/* Its files are there still, and a person may call it. */
static void a_model_keeps_what_an_earlier_attempt_made(void **state)
{
    struct job job;
    struct dv_json *row = NULL;
    struct dv_json *result = make_result();

    (void)state;
    make_job(&job, 906);
    claim(&job);
    ok(dv_jobs_cancel(store, job.id, job.fence, result, "models/z/versions/1", &error));
    assert_status(&job, "cancelled", "ready");
    for (int round = 0; round < 2; round++) {
        ok(dv_jobs_resume(store, job.id, &row, &error));
        dv_json_unref(row);
        assert_status(&job, "pending", "queued");
        if (round == 0) { /* while it waits */
            ok(dv_jobs_request_cancel(store, job.id, &row, &error));
            dv_json_unref(row);
        } else { /* before its first checkpoint */
            claim(&job);
            ok(dv_jobs_cancel(store, job.id, job.fence, NULL, NULL, &error));
        }
        assert_status(&job, "cancelled", "ready");
    }
    dv_json_unref(result);
}

/* Whoever claims it makes a model of what its worker had come to. */
static void one_that_waits_after_a_death_is_cancelled_by_its_claimer(void **state)
{
    const struct dv_job_setback setback = {.reason = "signal", .is_charged = true};
    struct job job;
    struct dv_json *row = NULL;

    (void)state;
    make_job(&job, 908);
    claim(&job);
    ok(dv_jobs_requeue(store, job.id, job.fence, &setback, &error));
    for (int round = 0; round < 2; round++) {
        ok(dv_jobs_request_cancel(store, job.id, &row, &error));
        assert_true(dv_json_get_bool(row, "cancel_requested", false));
        dv_json_unref(row);
        assert_status(&job, "pending", "queued");
        if (round == 0) { /* and after all not */
            ok(dv_jobs_resume(store, job.id, &row, &error));
            assert_false(dv_json_get_bool(row, "cancel_requested", true));
            dv_json_unref(row);
            assert_int_equal(dv_jobs_claim(store, DV_JOBS_TO_END, &row, NULL), DV_NOT_FOUND);
        }
    }
    ok(dv_jobs_claim(store, DV_JOBS_TO_END, &row, &error));
    assert_string_equal(dv_json_get_string(row, "id", ""), job.id);
    ok(dv_jobs_cancel(store, job.id, dv_json_get_integer(row, "fence", 0), NULL, NULL, &error));
    dv_json_unref(row);
    assert_status(&job, "cancelled", "draft");
}

static void a_model_says_why_its_job_failed(void **state)
{
    struct job job;
    struct dv_json *row = NULL;

    (void)state;
    make_job(&job, 907);
    claim(&job);
    ok(dv_jobs_fail(store, job.id, job.fence, "diverged", "the loss is no number", &error));
    assert_status(&job, "failed", "failed");
    ok(dv_models_get(store, job.model, &row, &error));
    assert_string_equal(dv_json_get_string(row, "error", ""), "the loss is no number");
    dv_json_unref(row);
    ok(dv_jobs_resume(store, job.id, &row, &error));
    dv_json_unref(row);
    ok(dv_models_get(store, job.model, &row, &error));
    assert_true(dv_json_is_null(dv_json_get(row, "error")));
    dv_json_unref(row);
}

static void what_another_instance_ran_is_put_back(void **state)
{
    struct job job, doomed;
    struct dv_store *after = NULL;
    struct dv_json *row = NULL;
    int64_t count = 0;

    (void)state;
    make_job(&job, 903);
    claim(&job);
    make_job(&doomed, 903);
    claim(&doomed);
    ok(dv_jobs_request_cancel(store, doomed.id, &row, &error));
    dv_json_unref(row);
    ok(dv_jobs_recover(store, &count, &error)); /* our own are not touched */
    assert_int_equal(count, 0);
    ok(dv_store_open(fixture_url, OTHER_INSTANCE, &after, &error));
    ok(dv_jobs_recover(after, &count, &error));
    assert_true(count >= 2);
    after = dv_store_close(after);
    assert_status(&job, "pending", "queued");
    assert_status(&doomed, "pending", "queued");
    ok(dv_jobs_get(store, job.id, &row, &error));
    assert_int_equal(dv_json_get_integer(row, "restarts", -1), 0);
    dv_json_unref(row);
    /* The wish for its end is still there, and seen to before anything else. */
    ok(dv_jobs_claim(store, "2999-01-01T00:00:00.000Z", &row, &error));
    assert_string_equal(dv_json_get_string(row, "id", ""), doomed.id);
    assert_true(dv_json_get_bool(row, "cancel_requested", false));
    ok(dv_jobs_cancel(store, doomed.id, dv_json_get_integer(row, "fence", 0), NULL, NULL, &error));
    dv_json_unref(row);
    claim(&job);
    ok(dv_jobs_fail(store, job.id, job.fence, "error", "enough", &error));
}

struct claimer {
    pthread_t thread;
    size_t count;
    char ids[64][DV_UUID_TEXT_SIZE];
};

static void *claim_all(void *user)
{
    struct claimer *claimer = user;
    struct dv_json *row = NULL;

    while (claimer->count < 64 && dv_jobs_claim(store, NULL, &row, NULL) == DV_OK) {
        (void)dv_text_copy(claimer->ids[claimer->count++], DV_UUID_TEXT_SIZE,
            dv_json_get_string(row, "id", ""));
        dv_json_unref(row);
    }
    return NULL;
}

static void each_job_is_claimed_once(void **state)
{
    static struct claimer claimers[8];
    struct job jobs[24];

    (void)state;
    for (size_t i = 0; i < 24; i++) {
        make_job(&jobs[i], 0);
    }
    for (size_t i = 0; i < 8; i++) {
        claimers[i] = (struct claimer){0};
        assert_int_equal(pthread_create(&claimers[i].thread, NULL, claim_all, &claimers[i]), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(claimers[i].thread, NULL), 0);
    }
    for (size_t j = 0; j < 24; j++) {
        int count = 0;
        for (size_t i = 0; i < 8; i++) {
            for (size_t k = 0; k < claimers[i].count; k++) {
                count += dv_text_equal(claimers[i].ids[k], jobs[j].id);
            }
        }
        assert_int_equal(count, 1);
    }
}

/* --- Events ----------------------------------------------------------------------------------- */

struct writer {
    pthread_t thread;
    char job[DV_UUID_TEXT_SIZE];
};

#define LINES_EACH 40

static void *write_lines(void *user)
{
    struct writer *writer = user;

    for (int i = 0; i < LINES_EACH; i++) {
        const struct dv_log_line lines[] = {{"info", "worker", "one"}, {"debug", "worker", "two"}};
        if (dv_logs_append(store, writer->job, lines, 2, NULL) != DV_OK) {
            return writer;
        }
    }
    return NULL;
}

static void a_reader_of_what_came_after_misses_nothing(void **state)
{
    struct writer writers[4];
    struct job job;
    int64_t lowest, last;
    size_t count = 0;

    (void)state;
    make_job(&job, 0);
    ok(dv_events_range(store, &lowest, &last, &error));
    for (size_t i = 0; i < 4; i++) {
        (void)dv_text_copy(writers[i].job, sizeof(writers[i].job), job.id);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]), 0);
    }
    const struct dv_event_filter filter = {.subject_id = job.id, .type = "log"};
    for (int round = 0; round < 100000 && count < (size_t)4 * LINES_EACH * 2; round++) {
        struct dv_json *rows = NULL;
        int64_t before = last;
        ok(dv_events_after(store, &filter, last, 7, &rows, &last, &error));
        for (size_t i = 0; i < dv_json_count(rows); i++) {
            int64_t id = dv_json_get_integer(dv_json_at(rows, i), "id", 0);
            assert_true(id > before);
            before = id;
        }
        count += dv_json_count(rows);
        dv_json_unref(rows);
    }
    assert_int_equal(count, 4 * LINES_EACH * 2);
    for (size_t i = 0; i < 4; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(writers[i].thread, &failed), 0);
        assert_null(failed);
    }
}

static void log_lines_are_filtered_and_paged(void **state)
{
    const struct dv_log_line lines[] = {{"error", "worker", "it BROKE"}, {"info", "worker", "fine"},
        {"warning", "output", "nearly broke"}, {"debug", "worker", "detail"}};
    const struct dv_page page = {.limit = 10};
    const struct dv_page small = {.limit = 1};
    struct dv_json *list = NULL;
    struct job job;

    (void)state;
    make_job(&job, 0);
    ok(dv_logs_append(store, job.id, lines, 4, &error));
    const struct dv_log_filter warnings = {.level = "warning"};
    ok(dv_logs_list(store, job.id, &warnings, &page, &list, &error));
    assert_int_equal(dv_json_get_integer(list, "total", 0), 2);
    dv_json_unref(list);
    const struct dv_log_filter broke = {.search = "broke"};
    ok(dv_logs_list(store, job.id, &broke, &small, &list, &error));
    assert_int_equal(dv_json_get_integer(list, "total", 0), 2);
    const struct dv_json *first = dv_json_at(dv_json_get(list, "items"), 0);
    assert_string_equal(dv_json_get_string(first, "text", ""), "it BROKE");
    const struct dv_log_filter after = {.search = "broke", .after = dv_json_get_integer(first, "id", 0)};
    dv_json_unref(list);
    ok(dv_logs_list(store, job.id, &after, &page, &list, &error));
    assert_int_equal(dv_json_get_integer(list, "total", 0), 1);
    dv_json_unref(list);
}

/* --- Tokens ----------------------------------------------------------------------------------- */

static void a_token_has_so_many_sessions_and_no_more(void **state)
{
    struct dv_json *row = NULL;
    char hash[32];
    int count = 0;

    (void)state;
    ok(dv_tokens_create(store, "busy", "viewer", "dd44", &error));
    ok(dv_tokens_find(store, "dd44", &row, &error));
    DV_CLEANUP(dv_freep) char *id = dv_strdup(dv_json_get_string(row, "id", ""));
    row = dv_json_unref(row);
    for (int i = 0; i < DV_SESSIONS_MAX + 20; i++) {
        (void)snprintf(hash, sizeof(hash), "session-%d", i);
        ok(dv_sessions_create(store, id, hash, 60, &error));
        ok(dv_sessions_find(store, hash, &row, &error)); /* the newest is there in any case */
        row = dv_json_unref(row);
    }
    for (int i = 0; i < DV_SESSIONS_MAX + 20; i++) {
        (void)snprintf(hash, sizeof(hash), "session-%d", i);
        if (dv_sessions_find(store, hash, &row, NULL) == DV_OK) {
            count++;
            row = dv_json_unref(row);
        }
    }
    assert_int_equal(count, DV_SESSIONS_MAX);
}

static void tokens_and_sessions_are_found_by_their_hash(void **state)
{
    struct dv_json *row = NULL;

    (void)state;
    ok(dv_tokens_create(store, "owner", "owner", "aa11", &error));
    ok(dv_tokens_create(store, "again", "viewer", "aa11", &error)); /* does nothing */
    ok(dv_tokens_find(store, "aa11", &row, &error));
    assert_string_equal(dv_json_get_string(row, "role", ""), "owner");
    ok(dv_sessions_create(store, dv_json_get_string(row, "id", ""), "bb22", 60, &error));
    ok(dv_sessions_create(store, dv_json_get_string(row, "id", ""), "cc33", -60, &error));
    dv_json_unref(row);
    ok(dv_sessions_find(store, "bb22", &row, &error));
    dv_json_unref(row);
    assert_int_equal(dv_sessions_find(store, "cc33", &row, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_tokens_find(store, "bb22", &row, NULL), DV_NOT_FOUND);
    ok(dv_sessions_delete(store, "bb22", &error));
    assert_int_equal(dv_sessions_find(store, "bb22", &row, NULL), DV_NOT_FOUND);
}

/* --- Kills ------------------------------------------------------------------------------------ */

/* A child writes log lines and says each number once it is acknowledged, until it is killed. */
static void write_until_killed(const char *job_id, int fd)
{
    struct dv_store *own = NULL;

    if (dv_store_open(fixture_url, OTHER_INSTANCE, &own, NULL) != DV_OK) {
        _exit(1);
    }
    for (int i = 0;; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "line %d", i);
        const struct dv_log_line line = {"info", "worker", text};
        if (dv_logs_append(own, job_id, &line, 1, NULL) != DV_OK ||
            write(fd, &i, sizeof(i)) != sizeof(i)) {
            _exit(1);
        }
    }
}

static void what_was_acknowledged_survives_a_kill(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        const struct dv_log_filter filter = {0};
        const struct dv_page page = {.limit = 1};
        struct dv_json *list = NULL;
        struct job job;
        int pipes[2], number, last = -1;

        make_job(&job, 0);
        assert_int_equal(pipe(pipes), 0);
        pid_t pid = fork();
        if (pid == 0) {
            (void)close(pipes[0]);
            write_until_killed(job.id, pipes[1]);
        }
        (void)close(pipes[1]);
        for (int i = 0; i <= round && read(pipes[0], &number, sizeof(number)) == sizeof(number); i++) {
            last = number;
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        while (read(pipes[0], &number, sizeof(number)) == sizeof(number)) {
            last = number;
        }
        (void)close(pipes[0]);
        assert_true(last >= 0);
        ok(dv_logs_list(store, job.id, &filter, &page, &list, &error));
        int64_t total = dv_json_get_integer(list, "total", 0);
        assert_true(total == last + 1 || total == last + 2); /* one may not have been said yet */
        dv_json_unref(list);
    }
}

static void run(const char *command)
{
    int result = -1;

    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_int_equal(result, 0);
}

static void a_database_that_was_away_is_found_again(void **state)
{
    const char *control = getenv("DV_TEST_PG_CTL");
    DV_CLEANUP(dv_freep) char *stop = NULL;
    DV_CLEANUP(dv_freep) char *start = NULL;
    struct job job;
    struct dv_json *row = NULL;
    const struct dv_log_line line = {"info", "worker", "still here"};

    (void)state;
    if (!control || !dv_text_equal(dv_store_kind(store), "postgresql")) {
        skip();
    }
    make_job(&job, 0);
    stop = dv_strprintf("cd / && %s -m fast stop >/dev/null", control);
    start = dv_strprintf("cd / && %s start >/dev/null", control);
    run(stop);
    assert_int_equal(dv_jobs_get(store, job.id, &row, NULL), DV_UNAVAILABLE);
    assert_int_equal(dv_logs_append(store, job.id, &line, 1, NULL), DV_UNAVAILABLE);
    assert_int_equal(dv_store_check(store, NULL), DV_UNAVAILABLE);
    run(start);
    ok(dv_logs_append(store, job.id, &line, 1, &error));
    ok(dv_jobs_get(store, job.id, &row, &error));
    dv_json_unref(row);
    ok(dv_store_check(store, &error));
}

/* --- Opening ---------------------------------------------------------------------------------- */

static void opening_again_changes_nothing(void **state)
{
    struct dv_store *again = NULL;

    (void)state;
    ok(dv_store_open(fixture_url, OTHER_INSTANCE, &again, &error));
    ok(dv_store_check(again, &error));
    (void)dv_store_close(again);
    assert_int_equal(dv_store_open("mysql://x", INSTANCE, &again, NULL), DV_UNSUPPORTED);
    assert_int_equal(dv_store_open("sqlite:/nowhere/at/all.db", INSTANCE, &again, NULL), DV_IO);
    assert_int_equal(
        dv_store_open("postgresql://dv@/dv?host=/nowhere", INSTANCE, &again, NULL), DV_UNAVAILABLE);
}

static void one_that_was_opened_to_read_writes_nothing(void **state)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *damage = NULL;
    char id[DV_UUID_TEXT_SIZE], missing[DV_PATH_SIZE + 8];
    struct dv_store *reader = NULL;

    (void)state;
    make_dataset(id, "to be read", true);
    ok(dv_store_open_to_read(fixture_url, &reader, &error));
    ok(dv_datasets_get(reader, id, &row, &error));
    assert_int_equal(dv_datasets_delete(reader, id, NULL), DV_DENIED);
    assert_int_equal(dv_store_check(reader, NULL), DV_DENIED);
    ok(dv_store_find_damage(reader, &damage, &error));
    assert_int_equal(dv_json_count(damage), 0);
    (void)dv_store_close(reader);
    (void)snprintf(missing, sizeof(missing), "sqlite:%s/none.db", fixture_folder());
    assert_int_equal(dv_store_open_to_read(missing, &reader, NULL), DV_IO);
    assert_false(dv_path_exists(missing + strlen("sqlite:")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_data_set_goes_its_way_once),
        cmocka_unit_test(an_update_changes_what_is_given_and_nothing_else),
        cmocka_unit_test(a_search_takes_its_text_literally_and_in_any_case),
        cmocka_unit_test(case_is_no_matter_in_any_script),
        cmocka_unit_test(a_search_that_is_too_long_is_refused),
        cmocka_unit_test(pages_show_each_row_once_whatever_comes_and_goes),
        cmocka_unit_test(a_cursor_that_is_none_is_refused),
        cmocka_unit_test(a_job_that_completes_makes_its_model_ready),
        cmocka_unit_test(a_queue_that_is_full_is_said_to_be),
        cmocka_unit_test(an_older_fence_is_refused),
        cmocka_unit_test(a_cancelled_job_is_gone_on_with),
        cmocka_unit_test(a_model_keeps_what_an_earlier_attempt_made),
        cmocka_unit_test(one_that_waits_after_a_death_is_cancelled_by_its_claimer),
        cmocka_unit_test(a_model_says_why_its_job_failed),
        cmocka_unit_test(what_another_instance_ran_is_put_back),
        cmocka_unit_test(each_job_is_claimed_once),
        cmocka_unit_test(a_reader_of_what_came_after_misses_nothing),
        cmocka_unit_test(log_lines_are_filtered_and_paged),
        cmocka_unit_test(a_token_has_so_many_sessions_and_no_more),
        cmocka_unit_test(tokens_and_sessions_are_found_by_their_hash),
        cmocka_unit_test(what_was_acknowledged_survives_a_kill),
        cmocka_unit_test(a_database_that_was_away_is_found_again),
        cmocka_unit_test(opening_again_changes_nothing),
        cmocka_unit_test(one_that_was_opened_to_read_writes_nothing),
    };

    return fixture_run("store", tests);
}
