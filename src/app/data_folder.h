/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_DATA_FOLDER_H
#define DV_APP_DATA_FOLDER_H

/*
 * DATA, where everything is kept:
 *     datasets/{id}/                 dataset.json, manifest.bin, packs/
 *     models/{id}/record.json        name, job, data set, accuracy
 *     models/{id}/versions/1/        model.json, weights.safetensors, ...
 *     jobs/{id}/job.json, result.json, work/ (the worker's, gone once it is done)
 *     cache/                         what can be made again, and scratch folders
 *     dv.db, uploads/, owner-token   the server's
 *     lock                           held by the command that changes something, or the server
 * What is being made has a name that begins with a dot and is renamed when it is whole. Only who
 * changes something makes DATA: to look at one that is not there finds nothing in it.
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
    char path[DV_PATH_SIZE]; /* absolute and without links, once it is there */
    int lock_fd;             /* -1: not locked */
};

/* A data set, a model or a job: its record, which names it, and where its files are. */
struct dv_stored {
    struct dv_json *record;
    const char *id; /* in the record */
    char folder[DV_PATH_SIZE];
};

/* A folder for the time of one command, gone with it: `fd` is locked while someone uses it. */
struct dv_scratch {
    char path[DV_PATH_SIZE];
    int fd;
};

/* DV_INVALID: the path is not UTF-8, as what roles are told has to be. DV_CONFLICT: no folder. */
DV_MUST_CHECK enum dv_status dv_data_folder_open(
    const char *path, struct dv_data_folder *ret_folder, struct dv_error *reterr);
void dv_data_folder_close(struct dv_data_folder *folder);

/*
 * Become the one that changes DATA, make what is missing of it, and sweep away what a killed one
 * left half-made. DV_CONFLICT: another command does, named in the message.
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

/*
 * The same for one id. DV_NOT_FOUND: no such thing, with `kind` in the message. DV_CORRUPT: its
 * record is none, or that of another id.
 */
DV_MUST_CHECK enum dv_status dv_data_folder_record(const struct dv_data_folder *folder,
    const char *kind, const char *id, const char *name, struct dv_json **ret_record,
    struct dv_error *reterr);

/* A record and its folder, as one; takes the record. */
DV_MUST_CHECK enum dv_status dv_data_folder_adopt(const struct dv_data_folder *folder,
    const char *kind, struct dv_json *record, struct dv_stored *ret_stored,
    struct dv_error *reterr);
void dv_stored_finish(struct dv_stored *stored);

DV_MUST_CHECK enum dv_status dv_scratch_open(
    const struct dv_data_folder *folder, struct dv_scratch *ret_scratch, struct dv_error *reterr);
void dv_scratch_close(struct dv_scratch *scratch);

/* Write a JSON value so that it is there or not, never half. */
DV_MUST_CHECK enum dv_status dv_record_write(
    const char *path, const struct dv_json *record, struct dv_error *reterr);

/* Delete {kind}/{id} with its files: renamed first, so that it is gone at once. */
DV_MUST_CHECK enum dv_status dv_data_folder_delete(
    const struct dv_data_folder *folder, const char *kind, const char *id, struct dv_error *reterr);

/* Remove a folder in DATA that nobody needs any more; what a kill leaves of it is swept. */
void dv_data_folder_discard(const struct dv_data_folder *folder, const char *path);

#endif
