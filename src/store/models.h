/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_MODELS_H
#define DV_STORE_MODELS_H

/*
 * Rows of `models`: id, name, description, task, status, strategy, dataset_id, job_id, accuracy,
 * loss, hyperparameters, metrics, architecture, preprocessing, classes, parameters, flops,
 * model_path, current_version, is_partial, error, metadata, created_at, updated_at. Their versions
 * (`model_versions`: version, run_id, accuracy, loss, hyperparameters, metrics, path, content_hash,
 * created_at) are written by dv_jobs_complete() and dv_jobs_cancel().
 */

#include "base/status.h"
#include "store/store.h"

struct dv_model_filter {
    const char *task;
    const char *status;
    const char *search;
    const char *dataset_id;
    const char *strategy;
};

/* NULL leaves as it is. */
struct dv_model_fields {
    const char *name;
    const char *description;
    const struct dv_json *metadata;
};

/* With "versions": [...], newest first. */
DV_MUST_CHECK enum dv_status dv_models_get(struct dv_store *store, const char *id,
    struct dv_json **ret_row, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_models_list(struct dv_store *store,
    const struct dv_model_filter *filter, const struct dv_page *page, struct dv_json **ret_list,
    struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_models_update(struct dv_store *store, const char *id,
    const struct dv_model_fields *fields, struct dv_json **ret_row, struct dv_error *reterr);

/* Row, versions, finished jobs with their runs, logs and events go. DV_CONFLICT: a job is not over. */
DV_MUST_CHECK enum dv_status dv_models_delete(
    struct dv_store *store, const char *id, struct dv_error *reterr);

#endif
