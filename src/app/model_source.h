/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_MODEL_SOURCE_H
#define DV_APP_MODEL_SOURCE_H

/*
 * Where a model's files are on this machine: of one in the registry of DATA (its current version),
 * or a folder, or a file in such a folder.
 */

#include "base/file.h"
#include "base/status.h"

struct dv_session;

/*
 * DV_NOT_FOUND: no such model. DV_UNSUPPORTED: a file of a kind, or on a server, that cannot be used
 * yet.
 */
DV_MUST_CHECK enum dv_status dv_model_resolve(struct dv_session *session, const char *argument,
    char ret_folder[static DV_PATH_SIZE], struct dv_error *reterr);

#endif
