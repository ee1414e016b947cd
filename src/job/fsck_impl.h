/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_FSCK_IMPL_H
#define DV_JOB_FSCK_IMPL_H

/*
 * What a check of the data folder is made of. fsck.c goes over rows and over names and has the
 * report; fsck_rows.c knows what the row of each kind asks of its folder, fsck_files.c what has to
 * be in the folder of a data set and of a version.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_store;

enum dv_fsck_kind { DV_FSCK_DATASET, DV_FSCK_MODEL, DV_FSCK_JOB, DV_FSCK_KIND_COUNT };

struct dv_fsck {
    struct dv_store *store;
    const char *data_folder;
    struct dv_json *findings, *left_overs; /* of what is settled */
    struct dv_json *fresh, *fresh_left;    /* of the row that is being looked at: it may have moved */
    int64_t findings_over, left_overs_over; /* beyond what is kept */
    int64_t row_counts[DV_FSCK_KIND_COUNT], version_count;
    uint64_t byte_count;
};

/* What somebody has to see to. `path` (under DATA) and `id` may be NULL. */
struct dv_fsck_finding {
    const char *code;
    const char *path;
    const char *id;
    const char *advice;
};
void dv_fsck_find(struct dv_fsck *fsck, const struct dv_fsck_finding *finding, const char *format,
    ...) DV_PRINTF(3, 4);

/* What the server removes by itself. */
void dv_fsck_leave(struct dv_fsck *fsck, const char *path, const char *message);

/* --- fsck_rows.c: a failure is only one of the store ---------------------------------------- */

DV_MUST_CHECK enum dv_status dv_fsck_dataset_row(
    struct dv_fsck *fsck, const struct dv_json *row, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_fsck_model_row(
    struct dv_fsck *fsck, const struct dv_json *row, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_fsck_job_row(
    struct dv_fsck *fsck, const struct dv_json *row, struct dv_error *reterr);

/* --- fsck_files.c --------------------------------------------------------------------------- */

/* The folder of a data set whose row is `ready`. */
void dv_fsck_dataset_files(struct dv_fsck *fsck, const struct dv_json *row);

/* The folder of a version, whose row this is, of the model `id`. */
void dv_fsck_version_files(struct dv_fsck *fsck, const char *id, const struct dv_json *version);

/*
 * Call `is_known` for each name in a folder under DATA, and find what it does not know. A folder
 * that is not there holds nothing.
 */
void dv_fsck_names(struct dv_fsck *fsck, const char *path, const char *id,
    bool (*is_known)(struct dv_fsck *fsck, const char *name, const void *user), const void *user);

#endif
