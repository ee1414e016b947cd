/* SPDX-License-Identifier: Apache-2.0 */
#include "store/runs.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/job_move.h"
#include "store/store_impl.h"

#include <assert.h>
#include <string.h>

static const struct dv_list_sort sorts[] = {{"iteration", DV_LIST_INTEGER}, {0}};

/* --- Reading ---------------------------------------------------------------------------------- */

enum dv_status dv_runs_list(struct dv_store *store, const char *job_id, const struct dv_page *page,
    struct dv_json **ret_list, struct dv_error *reterr)
{
    struct dv_list list = {.columns = "*",
        .from = "training_runs",
        .sorts = sorts,
        .id = "id",
        .default_sort = "iteration"};

    dv_list_add(&list, "job_id = $$", dv_sql_text(job_id));
    return dv_list_run(store, &list, page, ret_list, reterr);
}

enum dv_status dv_runs_all(struct dv_store *store, const char *job_id, struct dv_json **ret_rows,
    struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(job_id), dv_sql_integer(DV_RUNS_MAX)};

    return dv_store_read(store,
        "SELECT * FROM training_runs WHERE job_id = $1 ORDER BY iteration LIMIT $2", values,
        DV_ARRAY_SIZE(values), ret_rows, reterr);
}

enum dv_status dv_runs_restarts(struct dv_store *store, const char *job_id,
    struct dv_json **ret_rows, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(job_id)};

    return dv_store_read(store,
        "SELECT iteration, restarts FROM training_runs WHERE job_id = $1 AND restarts > 0 AND "
        "finished_at IS NULL ORDER BY iteration LIMIT 1000",
        values, 1, ret_rows, reterr);
}

/* --- What the worker says --------------------------------------------------------------------- */

static bool has_ended(const char *status)
{
    return dv_text_equal(status, "completed") || dv_text_equal(status, "failed");
}

/* Without what is long: who wants that reads the row. */
static struct dv_json *make_event(const struct dv_json *run)
{
    static const char *const members[] = {"iteration", "status", "source", "operator", "parents",
        "hypothesis", "hyperparameters", "parameters", "flops", "repairs", "failure", "accuracy",
        "loss", "best_accuracy", "verdict"};
    struct dv_json *event = dv_json_object();

    for (size_t i = 0; i < DV_ARRAY_SIZE(members); i++) {
        const struct dv_json *value = dv_json_get(run, members[i]);
        dv_json_set(event, members[i], value ? dv_json_ref(value) : dv_json_null());
    }
    return event;
}

/* Is its status another than the row's, or is there no row? */
static enum dv_status find_news(struct dv_store *store, const char *job_id,
    const struct dv_json *run, bool *ret_is_news, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {
        dv_sql_text(job_id), dv_sql_integer(dv_json_get_integer(run, "iteration", 0))};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_write(store,
        "SELECT status FROM training_runs WHERE job_id = $1 AND iteration = $2", values, 2, &rows,
        NULL, reterr);
    *ret_is_news = !dv_text_equal(dv_json_get_string(dv_json_at(rows, 0), "status", NULL),
        dv_json_get_string(run, "status", ""));
    return status;
}

static struct dv_sql_value text_of(const struct dv_json *run, const char *name)
{
    return dv_sql_text(dv_json_get_string(run, name, NULL));
}

static enum dv_status put(struct dv_store *store, const char *job_id, const struct dv_json *run,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *architecture = dv_store_json_text(dv_json_get(run, "architecture"));
    DV_CLEANUP(dv_freep)
    char *hyperparameters = dv_store_json_text(dv_json_get(run, "hyperparameters"));
    DV_CLEANUP(dv_freep) char *metrics = dv_store_json_text(dv_json_get(run, "metrics"));
    DV_CLEANUP(dv_freep) char *history = dv_store_json_text(dv_json_get(run, "history"));
    DV_CLEANUP(dv_freep) char *parents = dv_store_json_text(dv_json_get(run, "parents"));
    const char *status = dv_json_get_string(run, "status", "running");
    char id[DV_UUID_TEXT_SIZE], now[DV_TIME_TEXT_SIZE];

    dv_uuid_make(id);
    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(job_id),
        dv_sql_integer(dv_json_get_integer(run, "iteration", 0)), dv_sql_text(status),
        dv_sql_text(architecture), dv_sql_text(hyperparameters), dv_sql_text(metrics),
        dv_sql_text(history), dv_store_number(run, "accuracy"), dv_store_number(run, "loss"),
        dv_store_number(run, "best_accuracy"), dv_store_count(run, "parameters"),
        dv_store_count(run, "flops"), text_of(run, "verdict"), text_of(run, "source"),
        text_of(run, "operator"), dv_sql_text(parents), text_of(run, "hypothesis"),
        text_of(run, "failure"), dv_store_count(run, "repairs"), dv_sql_text(now),
        has_ended(status) ? dv_sql_text(now) : dv_sql_null()};

    return dv_store_write(store,
        "INSERT INTO training_runs (id, job_id, iteration, status, architecture, hyperparameters, "
        "metrics, history, accuracy, loss, best_accuracy, parameters, flops, verdict, source, "
        "operator, parents, hypothesis, failure, repairs, created_at, finished_at) VALUES "
        "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, "
        "$20, $21, $22) ON CONFLICT (job_id, iteration) DO UPDATE SET status = excluded.status, "
        "architecture = excluded.architecture, hyperparameters = excluded.hyperparameters, "
        "metrics = excluded.metrics, history = excluded.history, accuracy = excluded.accuracy, "
        "loss = excluded.loss, best_accuracy = excluded.best_accuracy, "
        "parameters = excluded.parameters, flops = excluded.flops, verdict = excluded.verdict, "
        "source = excluded.source, operator = excluded.operator, parents = excluded.parents, "
        "hypothesis = excluded.hypothesis, failure = excluded.failure, "
        "repairs = excluded.repairs, finished_at = CASE WHEN excluded.finished_at IS NULL THEN "
        "NULL ELSE coalesce(training_runs.finished_at, excluded.finished_at) END",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

static enum dv_status put_and_tell(struct dv_store *store, const char *job_id, int64_t fence,
    const struct dv_json *run, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *job = NULL;
    bool is_news = false;

    enum dv_status status = dv_job_get_claimed(store, job_id, fence, &job, reterr);
    if (status == DV_OK) {
        status = find_news(store, job_id, run, &is_news, reterr);
    }
    if (status == DV_OK) {
        status = put(store, job_id, run, reterr);
    }
    if (status == DV_OK && is_news) {
        status = dv_store_event(store, "jobs", job_id, "run", make_event(run), NULL, reterr);
    }
    return status;
}

enum dv_status dv_runs_put(struct dv_store *store, const char *job_id, int64_t fence,
    const struct dv_json *run, struct dv_error *reterr)
{
    if (dv_json_get_integer(run, "iteration", 0) < 1) {
        return dv_fail(reterr, DV_INVALID, "a run has no iteration");
    }
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    return dv_store_end(store, put_and_tell(store, job_id, fence, run, reterr), reterr);
}

/* --- With the job ----------------------------------------------------------------------------- */

enum dv_status dv_run_note_restart(struct dv_store *store, const char *job_id, int64_t iteration,
    int64_t restarts, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {
        dv_sql_text(job_id), dv_sql_integer(iteration), dv_sql_integer(restarts)};

    return dv_store_write(store,
        "UPDATE training_runs SET restarts = $3 WHERE job_id = $1 AND iteration = $2", values,
        DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

enum dv_status dv_run_end_all(
    struct dv_store *store, const char *job_id, const char *status, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {
        dv_sql_text(job_id), dv_sql_text(status), dv_sql_text(now)};
    return dv_store_write(store,
        "UPDATE training_runs SET status = $2, finished_at = $3 WHERE job_id = $1 AND "
        "finished_at IS NULL",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

/* Which run a result is: a search says so among its figures. */
static int64_t find_best(const struct dv_json *result)
{
    int64_t iteration = dv_json_get_integer(dv_json_get(result, "metrics"), "best_iteration", 1);

    return iteration > 0 ? iteration : 1;
}

/* A run that its search spoke of has its figures: it only becomes the best. */
static enum dv_status mark_best(struct dv_store *store, const struct dv_sql_value values[static 2],
    bool *ret_is_there, struct dv_error *reterr)
{
    int64_t changes = 0;

    enum dv_status status = dv_store_write(store,
        "UPDATE training_runs SET verdict = 'best' WHERE job_id = $1 AND iteration = $2 AND "
        "source IS NOT NULL",
        values, 2, NULL, &changes, reterr);
    *ret_is_there = changes > 0;
    return status;
}

static enum dv_status put_best(struct dv_store *store, const char *job_id, const char *job_status,
    const struct dv_json *result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    char *architecture = dv_store_json_text(dv_json_get(result, "architecture"));
    DV_CLEANUP(dv_freep)
    char *hyperparameters = dv_store_json_text(dv_json_get(result, "hyperparameters"));
    DV_CLEANUP(dv_freep) char *metrics = dv_store_json_text(dv_json_get(result, "metrics"));
    DV_CLEANUP(dv_freep) char *history = dv_store_json_text(dv_json_get(result, "history"));
    char id[DV_UUID_TEXT_SIZE], now[DV_TIME_TEXT_SIZE];

    dv_uuid_make(id);
    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(job_id),
        dv_sql_integer(find_best(result)), dv_sql_text(job_status), dv_sql_text(architecture),
        dv_sql_text(hyperparameters), dv_sql_text(metrics), dv_sql_text(history),
        dv_store_number(result, "accuracy"), dv_store_number(result, "loss"),
        dv_store_number(result, "best_val_accuracy"), dv_store_count(result, "parameters"),
        dv_store_count(result, "flops"), dv_sql_text(now)};
    return dv_store_write(store,
        "INSERT INTO training_runs (id, job_id, iteration, status, architecture, "
        "hyperparameters, metrics, history, accuracy, loss, best_accuracy, parameters, flops, "
        "verdict, created_at, finished_at) VALUES "
        "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'best', $14, $14) "
        "ON CONFLICT (job_id, iteration) DO UPDATE SET status = excluded.status, "
        "architecture = excluded.architecture, hyperparameters = excluded.hyperparameters, "
        "metrics = excluded.metrics, history = excluded.history, accuracy = excluded.accuracy, "
        "loss = excluded.loss, best_accuracy = excluded.best_accuracy, "
        "parameters = excluded.parameters, flops = excluded.flops, "
        "finished_at = excluded.finished_at",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

enum dv_status dv_run_keep_best(struct dv_store *store, const char *job_id, const char *job_status,
    const struct dv_json *result, char *ret_id, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(job_id), dv_sql_integer(find_best(result))};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;
    bool is_there = false;

    enum dv_status status = mark_best(store, values, &is_there, reterr);
    if (status == DV_OK && !is_there) {
        status = put_best(store, job_id, job_status, result, reterr);
    }
    if (status == DV_OK) {
        status = dv_store_write_one(store, "run",
            "SELECT id FROM training_runs WHERE job_id = $1 AND iteration = $2", values, 2, &row,
            reterr);
    }
    if (status == DV_OK) {
        (void)dv_text_copy(ret_id, DV_UUID_TEXT_SIZE, dv_json_get_string(row, "id", ""));
    }
    return status;
}
