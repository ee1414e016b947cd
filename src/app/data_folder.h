/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_DATA_FOLDER_H
#define DV_APP_DATA_FOLDER_H

/*
 * DATA, where everything is kept, by the server that has locked it:
 *     dv.db                    the rows, where no other database is given
 *     datasets/{id}/           manifest.bin, packs/, dataset.json
 *     models/{id}/versions/1/  model.json, weights.safetensors, ...
 *     jobs/{id}/               the worker's, until its job has ended
 *     uploads/                 archives that arrive
 *     cache/                   what can be made again, and scratch folders
 *     owner-token              for whoever may read it
 *     lock                     held by the server; says its pid and where it serves
 * What is being made has a name that begins with a dot and is renamed when it is whole.
 *
 * Life: dv_data_folder_open(), dv_data_folder_lock() in a server, dv_data_folder_close().
 */

#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"

struct dv_data_folder {
    char path[DV_PATH_SIZE]; /* absolute and without links, once it is there */
    int lock_fd;             /* -1: not locked */
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
 * Become the one that changes DATA, make what is missing of it, and sweep away the scratch folders
 * of killed ones. DV_CONFLICT: another process is, named in the message.
 */
DV_MUST_CHECK enum dv_status dv_data_folder_lock(
    struct dv_data_folder *folder, struct dv_error *reterr);

/*
 * Who serves the folder says where in its lock; the URL is the caller's. DV_NOT_FOUND: nobody holds
 * the lock. DV_UNAVAILABLE: somebody does, and has not said (it starts, or is no server).
 */
DV_MUST_CHECK enum dv_status dv_data_folder_find_server(
    const struct dv_data_folder *folder, char **ret_url, struct dv_error *reterr);

/* Write into the lock, which is ours, where the server is to be found. */
DV_MUST_CHECK enum dv_status dv_data_folder_name_server(
    struct dv_data_folder *folder, const char *url, struct dv_error *reterr);

/* One in the folder `parent`, which is there: DATA/cache, where a killed one is swept away. */
DV_MUST_CHECK enum dv_status dv_scratch_open(
    const char *parent, struct dv_scratch *ret_scratch, struct dv_error *reterr);
void dv_scratch_close(struct dv_scratch *scratch);

#endif
