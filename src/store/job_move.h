/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_JOB_MOVE_H
#define DV_STORE_JOB_MOVE_H

/*
 * How the state of a job and of its model changes, for jobs.c and job_work.c: within a transaction
 * (store/store_impl.h), one compare-and-set each, with its event. Which moves there are says
 * spec/state.h.
 */

#include "base/status.h"
#include "store/driver/sql.h"

#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_store;

/* `from` and `fence` are what the row says; `reason` and `error` go with the event, or are NULL. */
struct dv_job_move {
    const char *id, *from, *to;
    int64_t fence;
    const char *reason, *error;
};

/*
 * Change the state, and what the SQL in `set` says beside it: its values are `$6` and up, `$5` is
 * the time. DV_CONFLICT: the row says something else by now.
 */
DV_MUST_CHECK enum dv_status dv_job_move(struct dv_store *store, const struct dv_job_move *move,
    const char *set, const struct dv_sql_value *values, size_t count, struct dv_error *reterr);

/* The event alone: a job is new. */
DV_MUST_CHECK enum dv_status dv_job_tell(
    struct dv_store *store, const struct dv_job_move *move, struct dv_error *reterr);

/* A model that is in another state is left alone. `error` NULL: there is none. */
DV_MUST_CHECK enum dv_status dv_job_move_model(struct dv_store *store, const char *model_id,
    const char *from, const char *to, const char *error, struct dv_error *reterr);

/* Its job made nothing of it: `ready` where an earlier attempt did, else `draft`. */
DV_MUST_CHECK enum dv_status dv_job_settle_model(
    struct dv_store *store, const char *model_id, const char *from, struct dv_error *reterr);

/* A row with the name of its model, so that a list of jobs says what each is about. */
#define DV_JOB_COLUMNS                                                                             \
    "jobs.*, (SELECT name FROM models WHERE models.id = jobs.model_id) AS model_name"

/* Within: one row. */
DV_MUST_CHECK enum dv_status dv_job_get_within(
    struct dv_store *store, const char *id, struct dv_json **ret_row, struct dv_error *reterr);

/* Within: the running job whose fence this is. DV_CONFLICT: it is another's by now. */
DV_MUST_CHECK enum dv_status dv_job_get_claimed(struct dv_store *store, const char *id,
    int64_t fence, struct dv_json **ret_row, struct dv_error *reterr);

/* Of a row: borrowed; "" and NULL where there is none. */
const char *dv_job_status_of(const struct dv_json *row);
const char *dv_job_model_of(const struct dv_json *row);

#endif
