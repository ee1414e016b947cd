/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/file.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/dv-store-XXXXXX";
char fixture_url[DV_PATH_SIZE];
struct dv_store *store;

/* --- Rows to work with ------------------------------------------------------------------------ */

void make_dataset(char ret_id[static DV_UUID_TEXT_SIZE], const char *name, bool is_ready)
{
    const struct dv_dataset_fields fields = {
        .name = name, .description = "ends in 100% of_cases", .domain = "vision", .task = "classification"};
    struct dv_json *row = NULL;
    struct dv_json *summary = NULL;

    dv_uuid_make(ret_id);
    ok(dv_datasets_create(store, ret_id, &fields, "processing", &row, &error));
    assert_string_equal(dv_json_get_string(row, "readiness", ""), "processing");
    dv_json_unref(row);
    if (is_ready) {
        const char *text = "{\"total_samples\": 12, \"size_bytes\": 3400, \"classes\": [{\"name\": "
                           "\"a\", \"count\": 12}], \"findings\": [], \"content_hash\": \"ab\"}";
        ok(dv_json_parse(text, strlen(text), &summary, &error));
        ok(dv_datasets_finish(store, ret_id, summary, &error));
        dv_json_unref(summary);
    }
}

void make_job(struct job *job, int64_t priority)
{
    struct dv_json *spec = dv_json_object();
    struct dv_json *row = NULL;

    make_dataset(job->dataset, "for a job", true);
    dv_uuid_make(job->id);
    dv_uuid_make(job->model);
    dv_json_set_string(spec, "strategy", "native");
    const struct dv_job_row values = {.id = job->id,
        .kind = "train",
        .dataset_id = job->dataset,
        .model_id = job->model,
        .model_name = "a model",
        .strategy = "native",
        .task = "classification",
        .device = "cpu",
        .spec = spec,
        .priority = priority,
        .max_restarts = 3};
    ok(dv_jobs_create(store, &values, &row, &error));
    assert_string_equal(dv_json_get_string(row, "status", ""), "pending");
    assert_string_equal(dv_json_get_string(row, "model_name", ""), "a model");
    assert_true(dv_json_is_object(dv_json_get(row, "spec")));
    assert_true(dv_json_is_bool(dv_json_get(row, "cancel_requested")));
    dv_json_unref(row);
    dv_json_unref(spec);
}

/* Claim until it is this one: others may be left by other tests. */
void claim(struct job *job)
{
    for (int i = 0; i < 100; i++) {
        struct dv_json *row = NULL;
        ok(dv_jobs_claim(store, NULL, &row, &error));
        bool is_ours = dv_text_equal(dv_json_get_string(row, "id", ""), job->id);
        job->fence = dv_json_get_integer(row, "fence", -1);
        dv_json_unref(row);
        if (is_ours) {
            return;
        }
    }
    fail_msg("the job was never claimed");
}

void assert_status(const struct job *job, const char *job_status, const char *model_status)
{
    struct dv_json *row = NULL;

    ok(dv_jobs_get(store, job->id, &row, &error));
    assert_string_equal(dv_json_get_string(row, "status", ""), job_status);
    dv_json_unref(row);
    ok(dv_models_get(store, job->model, &row, &error));
    assert_string_equal(dv_json_get_string(row, "status", ""), model_status);
    dv_json_unref(row);
}

struct dv_json *make_result(void)
{
    const char *text =
        "{\"accuracy\": 0.75, \"loss\": 0.5, \"best_val_accuracy\": 0.8, \"strategy\": \"native\", "
        "\"parameters\": 1234, \"flops\": 99, \"classes\": [\"a\", \"b\"], \"hyperparameters\": "
        "{\"learning_rate\": 0.1}, \"architecture\": {\"name\": \"n\", \"layers\": []}, "
        "\"preprocessing\": {}, \"metrics\": {\"test\": null}, \"history\": [{\"epoch\": 1}]}";
    struct dv_json *result = NULL;

    ok(dv_json_parse(text, strlen(text), &result, &error));
    return result;
}

/* --- Running ---------------------------------------------------------------------------------- */

bool fixture_is_postgres(void)
{
    return getenv("DV_TEST_POSTGRES") != NULL;
}

const char *fixture_folder(void)
{
    return folder;
}

static int open_store(void **state)
{
    (void)state;
    struct dv_error error = {0};
    if (dv_store_open(fixture_url, INSTANCE, &store, &error) != DV_OK) {
        print_error("%s\n", error.text);
        return -1;
    }
    return 0;
}

static int close_store(void **state)
{
    (void)state;
    store = dv_store_close(store);
    return 0;
}

int fixture_run_tests(const char *name, const struct CMUnitTest *tests, size_t count)
{
    const char *postgres = getenv("DV_TEST_POSTGRES");

    if (!mkdtemp(folder)) {
        return 1;
    }
    (void)snprintf(fixture_url, sizeof(fixture_url), "sqlite:%s/dv.db", folder);
    if (postgres) {
        (void)dv_text_copy(fixture_url, sizeof(fixture_url), postgres);
    }
    print_message("%s on %s\n", name, postgres ? "PostgreSQL" : "SQLite");
    int failed = _cmocka_run_group_tests(name, tests, count, open_store, close_store);
    failed += dv_folder_remove(folder, NULL) != DV_OK;
    return failed > 0;
}
