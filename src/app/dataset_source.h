/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_DATASET_SOURCE_H
#define DV_APP_DATASET_SOURCE_H

/*
 * Data sets as commands are given them: by id, or as an archive or a folder, which is uploaded
 * unless the server has one of the same bytes. A row is what GET /api/datasets/{id} answers.
 */

#include "base/status.h"

#include <stdbool.h>

struct dv_json;
struct dv_session;

/*
 * Upload what is at `path` and wait until it is read; with `may_reuse` a data set that was made of
 * the same bytes before will do. `name` NULL: the file's name. DV_INVALID: no data set could be
 * made of it; the server keeps the reasons. The row is the caller's.
 */
DV_MUST_CHECK enum dv_status dv_dataset_create(struct dv_session *session, const char *path,
    const char *name, bool may_reuse, struct dv_json **ret_row, struct dv_error *reterr);

/* An id, an archive or a folder. */
DV_MUST_CHECK enum dv_status dv_dataset_resolve(struct dv_session *session, const char *argument,
    struct dv_json **ret_row, struct dv_error *reterr);

/* One line for people: name, classes, pictures. */
void dv_dataset_print(const struct dv_json *row);

#endif
