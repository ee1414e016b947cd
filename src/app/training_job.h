/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_TRAINING_JOB_H
#define DV_APP_TRAINING_JOB_H

/*
 * A training job in DATA/jobs/{id}: its record (job.json), its worker's folder (work/), its end.
 * A worker that dies by a signal is started again from its checkpoint, up to the spec's
 * max_restarts; the finished model is renamed into the registry; a job's end is written once.
 *
 * Life: dv_training_job_create() or dv_training_job_find(), dv_training_job_run(),
 *       dv_stored_finish(). DATA must be locked all the while.
 */

#include "base/status.h"
#include "wire/failure.h"

struct dv_job_spec;
struct dv_json;
struct dv_session;
struct dv_stored;

/* A new job for a checked spec. */
DV_MUST_CHECK enum dv_status dv_training_job_create(struct dv_session *session,
    const struct dv_job_spec *spec, const struct dv_stored *dataset, struct dv_stored *ret_job,
    struct dv_error *reterr);

/*
 * The newest job that has exactly this spec and whose model, if it is completed, is still there.
 * DV_NOT_FOUND: there is none.
 */
DV_MUST_CHECK enum dv_status dv_training_job_find(struct dv_session *session,
    const struct dv_job_spec *spec, struct dv_stored *ret_job, struct dv_error *reterr);

/*
 * Run it to its end; one that is completed only gives its result again. The result (the caller's)
 * is what the last line of `dv train --json` shows. On failure *ret_reason is the typed reason.
 * DV_CANCELLED: interrupted, to be gone on with.
 */
DV_MUST_CHECK enum dv_status dv_training_job_run(struct dv_session *session, struct dv_stored *job,
    const struct dv_stored *dataset, struct dv_json **ret_result,
    enum dv_failure_reason *ret_reason, struct dv_error *reterr);

#endif
