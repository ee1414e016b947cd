/* SPDX-License-Identifier: Apache-2.0 */
#include "store/job_move.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/state.h"
#include "store/store_impl.h"

#include <assert.h>

#define VALUES_OWN 5u
#define VALUES_MORE_MAX 8u

enum dv_status dv_job_get_within(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(id)};

    return dv_store_write_one(
        store, "job", "SELECT " DV_JOB_COLUMNS " FROM jobs WHERE id = $1", values, 1, ret_row, reterr);
}

enum dv_status dv_job_get_claimed(struct dv_store *store, const char *id, int64_t fence,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_job_get_within(store, id, &row, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (!dv_text_equal(dv_job_status_of(row), "running") ||
        dv_json_get_integer(row, "fence", -1) != fence) {
        return dv_fail(reterr, DV_CONFLICT, "the job is '%s' and no longer this worker's",
            dv_job_status_of(row));
    }
    *ret_row = row;
    row = NULL;
    return DV_OK;
}

const char *dv_job_status_of(const struct dv_json *row)
{
    return dv_json_get_string(row, "status", "");
}

const char *dv_job_model_of(const struct dv_json *row)
{
    return dv_json_get_string(row, "model_id", NULL);
}

/* --- Jobs ------------------------------------------------------------------------------------- */

enum dv_status dv_job_tell(
    struct dv_store *store, const struct dv_job_move *move, struct dv_error *reterr)
{
    struct dv_json *data = dv_json_object();

    dv_json_set_string(data, "status", move->to);
    dv_json_set_string(data, "failure_reason", move->reason);
    dv_json_set_string(data, "error", move->error);
    return dv_store_event(store, "jobs", move->id, "status", data, NULL, reterr);
}

enum dv_status dv_job_move(struct dv_store *store, const struct dv_job_move *move, const char *set,
    const struct dv_sql_value *values, size_t count, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    char *text = dv_strprintf("UPDATE jobs SET status = $4, updated_at = $5, %s "
                              "WHERE id = $1 AND status = $2 AND fence = $3",
        set);
    struct dv_sql_value all[VALUES_OWN + VALUES_MORE_MAX];
    char now[DV_TIME_TEXT_SIZE];
    int64_t changes = 0;

    assert(dv_states_can_move(&dv_job_states, move->from, move->to));
    assert(count <= VALUES_MORE_MAX);
    dv_clock_now_text(now);
    all[0] = dv_sql_text(move->id);
    all[1] = dv_sql_text(move->from);
    all[2] = dv_sql_integer(move->fence);
    all[3] = dv_sql_text(move->to);
    all[4] = dv_sql_text(now);
    for (size_t i = 0; i < count; i++) {
        all[VALUES_OWN + i] = values[i];
    }
    enum dv_status status =
        dv_store_write(store, text, all, VALUES_OWN + count, NULL, &changes, reterr);
    if (status == DV_OK && changes != 1) {
        return dv_fail(reterr, DV_CONFLICT, "the job is no longer '%s'", move->from);
    }
    return status == DV_OK ? dv_job_tell(store, move, reterr) : status;
}

/* --- Their models ----------------------------------------------------------------------------- */

enum dv_status dv_job_move_model(struct dv_store *store, const char *model_id, const char *from,
    const char *to, const char *error, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];
    int64_t changes = 0;

    assert(dv_states_can_move(&dv_model_states, from, to));
    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(model_id), dv_sql_text(from), dv_sql_text(to),
        dv_sql_text(error), dv_sql_text(now)};
    enum dv_status status = dv_store_write(store,
        "UPDATE models SET status = $3, error = $4, updated_at = $5 WHERE id = $1 AND status = $2",
        values, DV_ARRAY_SIZE(values), NULL, &changes, reterr);
    if (status == DV_OK && changes == 1) {
        struct dv_json *data = dv_json_object();
        dv_json_set_string(data, "status", to);
        dv_json_set_string(data, "error", error);
        status = dv_store_event(store, "models", model_id, "status", data, NULL, reterr);
    }
    return status;
}

enum dv_status dv_job_settle_model(
    struct dv_store *store, const char *model_id, const char *from, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(model_id)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_store_write_one(store, "model",
        "SELECT current_version FROM models WHERE id = $1", values, 1, &row, reterr);
    if (status != DV_OK) {
        return status;
    }
    bool is_there = !dv_json_is_null(dv_json_get(row, "current_version"));
    return dv_job_move_model(store, model_id, from, is_there ? "ready" : "draft", NULL, reterr);
}
