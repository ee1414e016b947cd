/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_DATASETS_H
#define DV_STORE_DATASETS_H

/*
 * Rows of `datasets`: id, name, description, domain, task, metadata, readiness, progress,
 * total_samples, size_bytes, file_path, classes, findings, finding_counts, content_hash,
 * source_hash, error, created_at, updated_at.
 * Threads, statuses: store/store.h.
 */

#include "base/status.h"
#include "store/store.h"

struct dv_dataset_filter {
    const char *domain;
    const char *readiness;
    const char *search;
};

/* What a person says about a data set; in an update a NULL leaves as it is. */
struct dv_dataset_fields {
    const char *name;
    const char *description;
    const char *domain;
    const char *task;
    const struct dv_json *metadata; /* an object */
};

/*
 * Insert one with this id, in readiness `draft` (bytes still arrive) or `processing` (its upload
 * is whole and durable at DATA/uploads/{id}, so that ingest may begin, now or after a restart).
 */
DV_MUST_CHECK enum dv_status dv_datasets_create(struct dv_store *store, const char *id,
    const struct dv_dataset_fields *fields, const char *readiness, struct dv_json **ret_row,
    struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_datasets_get(struct dv_store *store, const char *id,
    struct dv_json **ret_row, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_datasets_list(struct dv_store *store,
    const struct dv_dataset_filter *filter, const struct dv_page *page, struct dv_json **ret_list,
    struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_datasets_update(struct dv_store *store, const char *id,
    const struct dv_dataset_fields *fields, struct dv_json **ret_row, struct dv_error *reterr);

/* The row goes, its folder's name is noted in `trash`. DV_CONFLICT: an unfinished job uses it. */
DV_MUST_CHECK enum dv_status dv_datasets_delete(
    struct dv_store *store, const char *id, struct dv_error *reterr);

/* Ids in `processing`, oldest first, at most `count_max`: what is still to be ingested. */
DV_MUST_CHECK enum dv_status dv_datasets_to_ingest(struct dv_store *store, int64_t count_max,
    struct dv_json **ret_ids, struct dv_error *reterr);

/* Progress 0..1 and counts of findings so far, as an event and a column; only in `processing`. */
DV_MUST_CHECK enum dv_status dv_datasets_progress(struct dv_store *store, const char *id,
    double progress, const struct dv_json *finding_counts, struct dv_error *reterr);

/*
 * From `processing` to `ready` with what ingest found (members of `summary` are columns), or to
 * `error` with a sentence. DV_CONFLICT: it is not in `processing`; DV_NOT_FOUND: deleted meanwhile.
 */
DV_MUST_CHECK enum dv_status dv_datasets_finish(struct dv_store *store, const char *id,
    const struct dv_json *summary, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_datasets_fail(struct dv_store *store, const char *id,
    const char *error, const struct dv_json *summary, struct dv_error *reterr);

/* From `draft` to `processing`: its upload has become whole. */
DV_MUST_CHECK enum dv_status dv_datasets_start(
    struct dv_store *store, const char *id, struct dv_error *reterr);

#endif
