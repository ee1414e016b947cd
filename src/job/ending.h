/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_ENDING_H
#define DV_JOB_ENDING_H

/*
 * How a job ended, on its way into the store: one transition, tried until the store has it, at most
 * once in effect. An answer that was lost on the way is found out by reading the row.
 */

#include "base/file.h"
#include "base/status.h"
#include "wire/failure.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdint.h>

struct dv_job_context;
struct dv_json;

enum dv_ending_kind {
    DV_ENDING_NONE,
    DV_ENDING_COMPLETED,
    DV_ENDING_FAILED,
    DV_ENDING_CANCELLED,
    DV_ENDING_REQUEUED,
};

struct dv_ending {
    enum dv_ending_kind kind;
    enum dv_failure_reason reason; /* failed, requeued */
    char text[512];                /* failed */
    bool is_charged;               /* requeued: it counts as a restart of the job */
    int64_t run, run_restarts;     /* requeued: by this candidate, so often in a row; 0: by none */
    struct dv_json *result;        /* completed; cancelled with a model; owned */
    char model_path[DV_PATH_SIZE]; /* with a result */
};

/*
 * DV_OK: the row says so. DV_UNAVAILABLE: the store is away, try again when the gate opens.
 * DV_CONFLICT: the job is no longer ours, or its row is gone; nothing was written. DV_INVALID: the
 * store does not take it.
 */
DV_MUST_CHECK enum dv_status dv_ending_write(const struct dv_ending *ending,
    struct dv_job_context *context, const char *job_id, int64_t fence, struct dv_error *reterr);

void dv_ending_finish(struct dv_ending *ending);

#endif
