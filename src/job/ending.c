/* SPDX-License-Identifier: Apache-2.0 */
#include "job/ending.h"

#include "base/json.h"
#include "base/text.h"
#include "job/context.h"
#include "store/jobs.h"

#include <assert.h>

void dv_ending_finish(struct dv_ending *ending)
{
    ending->result = dv_json_unref(ending->result);
}

static enum dv_status write_once(const struct dv_ending *ending, struct dv_store *store,
    const char *job_id, int64_t fence, struct dv_error *reterr)
{
    const char *reason = dv_failure_reason_name(ending->reason);
    const struct dv_job_setback setback = {.reason = reason,
        .is_charged = ending->is_charged,
        .run = ending->run,
        .run_restarts = ending->run_restarts};

    switch (ending->kind) {
    case DV_ENDING_COMPLETED:
        return dv_jobs_complete(store, job_id, fence, ending->result, ending->model_path, reterr);
    case DV_ENDING_CANCELLED:
        return dv_jobs_cancel(store, job_id, fence, ending->result,
            ending->result ? ending->model_path : NULL, reterr);
    case DV_ENDING_REQUEUED:
        return dv_jobs_requeue(store, job_id, fence, &setback, reterr);
    default:
        assert(ending->kind == DV_ENDING_FAILED);
        return dv_jobs_fail(store, job_id, fence, reason, ending->text, reterr);
    }
}

/*
 * Is the row as this ending leaves it? Then an earlier attempt went through and its answer did not.
 * Is it ours as before? Then it was a constraint that refused: `reterr` holds what it says.
 */
static enum dv_status find_out(const struct dv_ending *ending, struct dv_store *store,
    const char *job_id, int64_t fence, struct dv_error *reterr)
{
    static const char *const statuses[] = {[DV_ENDING_COMPLETED] = "completed",
        [DV_ENDING_FAILED] = "failed",
        [DV_ENDING_CANCELLED] = "cancelled",
        [DV_ENDING_REQUEUED] = "pending"};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *row = NULL;

    enum dv_status status = dv_jobs_get(store, job_id, &row, reterr);
    if (status != DV_OK) {
        return status == DV_NOT_FOUND ? DV_CONFLICT : status;
    }
    const char *now = dv_json_get_string(row, "status", "");
    bool has_our_fence = dv_json_get_integer(row, "fence", -1) == fence;
    if (has_our_fence && dv_text_equal(now, statuses[ending->kind])) {
        return DV_OK;
    }
    if (has_our_fence && dv_text_equal(now, "running")) {
        return DV_INVALID;
    }
    return dv_fail(reterr, DV_CONFLICT, "job %s is '%s' by now, and not ours", job_id, now);
}

enum dv_status dv_ending_write(const struct dv_ending *ending, struct dv_job_context *context,
    const char *job_id, int64_t fence, struct dv_error *reterr)
{
    struct dv_error error = {0};

    assert(ending->kind != DV_ENDING_NONE);
    if (!dv_gate_is_open(&context->gate)) {
        return dv_fail(reterr, DV_UNAVAILABLE, "the database is away");
    }
    enum dv_status status = write_once(ending, context->store, job_id, fence, &error);
    if (status == DV_CONFLICT || status == DV_NOT_FOUND) {
        status = find_out(ending, context->store, job_id, fence, &error);
    }
    if (dv_gate_must_wait(&context->gate, status, &error)) {
        return dv_fail(reterr, DV_UNAVAILABLE, "%s", error.text);
    }
    if (status == DV_OK || status == DV_CONFLICT) {
        return status == DV_OK ? DV_OK : dv_fail(reterr, DV_CONFLICT, "%s", error.text);
    }
    return dv_fail(reterr, DV_INVALID, "%s", error.text);
}
