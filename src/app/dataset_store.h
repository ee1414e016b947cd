/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_DATASET_STORE_H
#define DV_APP_DATASET_STORE_H

/*
 * Data sets in DATA: made from an archive or a folder by `dv ingest` in a staging folder that is
 * renamed when it is whole; found again by id, or by the hash of the archive they came from.
 */

#include "base/status.h"

#include <stdbool.h>

struct dv_session;
struct dv_stored;

/*
 * Make a data set of the file or folder at `path` (DATA must be locked), or with `may_reuse` find
 * the one that was made of the same bytes before. `name` NULL: the file's name.
 */
DV_MUST_CHECK enum dv_status dv_dataset_create(struct dv_session *session, const char *path,
    const char *name, bool may_reuse, struct dv_stored *ret_dataset, struct dv_error *reterr);

/* The data set with this id. */
DV_MUST_CHECK enum dv_status dv_dataset_find(struct dv_session *session, const char *id,
    struct dv_stored *ret_dataset, struct dv_error *reterr);

/* An id, an archive or a folder, as commands take it; locks DATA where it has to make one. */
DV_MUST_CHECK enum dv_status dv_dataset_resolve(struct dv_session *session, const char *argument,
    struct dv_stored *ret_dataset, struct dv_error *reterr);

/* One line for people: name, classes, pictures. */
void dv_dataset_print(const struct dv_stored *dataset);

#endif
