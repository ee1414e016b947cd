/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_ADMISSION_H
#define DV_JOB_ADMISSION_H

/*
 * May a job start now? Its planned memory and disk against what the machine has and what the jobs
 * beside it have planned. The figures for disk are lower bounds, so that nothing is refused that
 * could have worked; what turns out larger ends as `oom` or `disk_full` in its worker.
 */

#include "base/status.h"

#include <stdint.h>

struct dv_json;
struct dv_problems;

/*
 * Does the architecture of `spec` (a complete job spec) fit the pictures and classes of the data set in
 * `dataset_folder`? One that the strategy is to choose does. DV_INVALID: `problems` says what does not,
 * with pointers into the spec.
 */
DV_MUST_CHECK enum dv_status dv_admission_check_network(const struct dv_json *spec,
    const char *dataset_folder, struct dv_problems *problems, struct dv_error *reterr);

struct dv_job_plan {
    uint64_t memory_bytes;       /* with the batch that was asked for */
    uint64_t memory_least_bytes; /* with one picture a step: the worker may go down to that */
    uint64_t disk_bytes;         /* decoded pictures and checkpoints */
};

/*
 * What the training of `spec` (a complete job spec) on the data set in `dataset_folder` will take.
 * Where the job leaves the network to the strategy, only what every worker takes is planned.
 */
DV_MUST_CHECK enum dv_status dv_admission_plan(const struct dv_json *spec,
    const char *dataset_folder, struct dv_job_plan *ret_plan, struct dv_error *reterr);

struct dv_admission_room {
    uint64_t memory_bytes;                 /* for all workers */
    uint64_t disk_bytes;                   /* free */
    uint64_t memory_planned, disk_planned; /* by the jobs that run already */
};

/*
 * DV_OK: start it. DV_UNAVAILABLE: not before another has ended. DV_NOMEM, DV_NO_SPACE: it does not
 * fit at all. The message says what it needs and what there is.
 */
DV_MUST_CHECK enum dv_status dv_admission_check(
    const struct dv_job_plan *plan, const struct dv_admission_room *room, struct dv_error *reterr);

#endif
