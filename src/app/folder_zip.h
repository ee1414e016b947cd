/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_FOLDER_ZIP_H
#define DV_APP_FOLDER_ZIP_H

/*
 * A folder of pictures as an archive that can be uploaded: its files stored under their relative
 * paths, in order of their names, so that the same folder gives the same bytes.
 */

#include "base/status.h"

struct dv_session;

/*
 * Write the archive `path`. No link is followed; hidden files and folders are left out, and, said
 * through the session, what is neither file nor folder or has a name that is not UTF-8.
 */
DV_MUST_CHECK enum dv_status dv_folder_zip(struct dv_session *session, const char *folder,
    const char *path, struct dv_error *reterr);

#endif
