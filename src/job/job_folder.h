/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_JOB_FOLDER_H
#define DV_JOB_JOB_FOLDER_H

/*
 * Where the files of a training job lie, and job.json among them: the spec as the worker reads it,
 * and what has to be the same when the job goes on after a restart.
 *
 * Life: dv_job_folder_create(), dv_job_folder_prepare() before a worker starts,
 *       dv_job_folder_destroy().
 */

#include "base/file.h"
#include "base/status.h"

#include <stdint.h>

struct dv_json;

struct dv_job_folder {
    char path[DV_PATH_SIZE];     /* DATA/jobs/{id} */
    char job_file[DV_PATH_SIZE]; /* job.json in it */
    char work[DV_PATH_SIZE];     /* the worker's folder; all below lie in it */
    char result[DV_PATH_SIZE], model[DV_PATH_SIZE];
    char partial_result[DV_PATH_SIZE], partial_model[DV_PATH_SIZE];
    char best[DV_PATH_SIZE];
    char pictures[DV_PATH_SIZE];
    char dataset[DV_PATH_SIZE];      /* DATA/datasets/{id} */
    char model_folder[DV_PATH_SIZE]; /* DATA/models/{id} */
    char plans[DV_PATH_SIZE];        /* DATA/cache/plans */

    struct dv_json *record; /* what job.json says, once prepared */
};

/* The ids are those of a row. */
DV_MUST_CHECK enum dv_status dv_job_folder_create(const char *data_folder,
    const struct dv_json *row, struct dv_job_folder **ret_folder, struct dv_error *reterr);
struct dv_job_folder *dv_job_folder_destroy(struct dv_job_folder *folder);

/*
 * Make the folders and job.json. A thread count is settled at the first time, as the row says or
 * else `thread_count`, and stays.
 */
DV_MUST_CHECK enum dv_status dv_job_folder_prepare(struct dv_job_folder *folder,
    const struct dv_json *row, int64_t thread_count, struct dv_error *reterr);
int64_t dv_job_folder_thread_count(const struct dv_job_folder *folder);

/* How long its workers have run, of the time that the job is allowed. */
double dv_job_folder_seconds(const struct dv_job_folder *folder);
DV_MUST_CHECK enum dv_status dv_job_folder_set_seconds(
    struct dv_job_folder *folder, double seconds, struct dv_error *reterr);

/* Remove what can be made again: decoded pictures, and the model of a cancelled job. */
void dv_job_folder_trim(const struct dv_job_folder *folder);

#endif
