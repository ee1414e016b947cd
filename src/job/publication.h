/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_PUBLICATION_H
#define DV_JOB_PUBLICATION_H

/*
 * How a finished model gets into the registry, so that whoever is killed in between neither loses
 * nor repeats it: the result with the place where the model is going to be is written durably into
 * the job's folder (result.json), the model's folder is renamed into that place, and then the row
 * is written. One that finds result.json goes on from there.
 */

#include "base/file.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_json;

struct dv_publication {
    struct dv_json *result; /* the worker's, with the model's place in DATA as "model_path" */
    int64_t version;
    bool is_partial;          /* of a job that was cancelled */
    char place[DV_PATH_SIZE]; /* DATA/models/{id}/versions/{n} */
};

/*
 * Write down that the model will be version `version` in `model_folder` (DATA/models/{id}). Takes
 * the result.
 */
DV_MUST_CHECK enum dv_status dv_publication_prepare(const char *job_folder,
    const char *model_folder, struct dv_json *result, int64_t version, bool is_partial,
    struct dv_publication *ret_publication, struct dv_error *reterr);

/* What an earlier server wrote down. DV_NOT_FOUND: nothing. DV_CORRUPT: it is not ours. */
DV_MUST_CHECK enum dv_status dv_publication_find(const char *job_folder, const char *model_folder,
    struct dv_publication *ret_publication, struct dv_error *reterr);

/* Rename `made_folder` into its place, unless that was done. DV_NOT_FOUND: it is in neither. */
DV_MUST_CHECK enum dv_status dv_publication_move(
    const struct dv_publication *publication, const char *made_folder, struct dv_error *reterr);

/* Forget what was written down: the row is there, or it will never be. */
DV_MUST_CHECK enum dv_status dv_publication_forget(const char *job_folder, struct dv_error *reterr);

void dv_publication_finish(struct dv_publication *publication);

#endif
