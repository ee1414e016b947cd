/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_DATA_FOLDER_H
#define DV_APP_DATA_FOLDER_H

/*
 * DATA, where everything is kept:
 *     datasets/{id}/                 dataset.json, manifest.bin, packs/
 *     models/{id}/record.json        name, job, data set, accuracy
 *     models/{id}/versions/1/        model.json, weights.safetensors, ...
 *     jobs/{id}/job.json, result.json, work/ (the worker's, gone once it is done)
 *     cache/                         what can be made again
 *     dv.db, uploads/, owner-token   the server's
 *     lock                           held by the command that changes something, or the server
 * What is being made has a name that begins with a dot and is renamed when it is whole.
 *
 * Life: dv_data_folder_open(), dv_data_folder_lock() before changing anything,
 *       dv_data_folder_close().
 */

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"

struct dv_json;

#define DV_RECORD_SIZE_MAX (64u << 20) /* of any JSON file in DATA */

struct dv_data_folder {
    char path[DV_PATH_SIZE]; /* absolute, without links */
    int lock_fd;             /* -1: not locked */
};

/* Open, and make what is missing of it. */
DV_MUST_CHECK enum dv_status dv_data_folder_open(
    const char *path, struct dv_data_folder *ret_folder, struct dv_error *reterr);
void dv_data_folder_close(struct dv_data_folder *folder);

/*
 * Become the one that changes DATA, and sweep away what a killed one left half-made.
 * DV_CONFLICT: another command does, named in the message.
 */
DV_MUST_CHECK enum dv_status dv_data_folder_lock(
    struct dv_data_folder *folder, struct dv_error *reterr);

/* Write into the lock, which is ours, where the server is to be found. */
DV_MUST_CHECK enum dv_status dv_data_folder_name_server(
    struct dv_data_folder *folder, const char *url, struct dv_error *reterr);

/*
 * The file `name` of every folder of `kind` ("datasets", "models", "jobs") whose name is a UUID,
 * as an array (the caller's) in order of "created_at". Folders without it are left out.
 */
DV_MUST_CHECK enum dv_status dv_data_folder_records(const struct dv_data_folder *folder,
    const char *kind, const char *name, struct dv_json **ret_records, struct dv_error *reterr);

/* The same for one id. DV_NOT_FOUND: no such thing, with `kind` in the message. */
DV_MUST_CHECK enum dv_status dv_data_folder_record(const struct dv_data_folder *folder,
    const char *kind, const char *id, const char *name, struct dv_json **ret_record,
    struct dv_error *reterr);

/* Write a JSON value so that it is there or not, never half. */
DV_MUST_CHECK enum dv_status dv_record_write(
    const char *path, const struct dv_json *record, struct dv_error *reterr);

/* Delete {kind}/{id} with its files: renamed first, so that it is gone at once. */
DV_MUST_CHECK enum dv_status dv_data_folder_delete(
    const struct dv_data_folder *folder, const char *kind, const char *id, struct dv_error *reterr);

#endif
