/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_TRAINING_H
#define DV_JOB_TRAINING_H

/*
 * The errand of one training job, from its claim to the row that says how it ended.
 *
 *   wait     until there is room; a result that an earlier server left is taken up instead
 *   train    `dv worker` at work, or being stopped
 *   salvage  after a cancel: `dv worker` makes a model of the best checkpoint
 *   publish  the model's files into the registry
 *   end      log, figures and the last transition, repeated until the store has them
 *
 * Files: DATA/jobs/{id} holds job.json (what the worker reads), result.json (while a model is being
 * published) and work/, which is the worker's.
 */

#include "base/status.h"

#include <stdint.h>

struct dv_admission_room;
struct dv_errand;
struct dv_job_context;
struct dv_json;

/* Asked before a worker is started: what room there is beside the other errands. */
typedef void (*dv_training_room_fn)(
    void *user, const struct dv_errand *asking, struct dv_admission_room *ret_room);

/* `row` is what dv_jobs_claim() gave, and is taken. */
struct dv_errand *dv_training_create(
    struct dv_job_context *context, struct dv_json *row, dv_training_room_fn find_room, void *user);

#endif
