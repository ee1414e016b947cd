/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_FOLDER_HASH_H
#define DV_BASE_FOLDER_HASH_H

/*
 * One hash for all that lies in a folder: who made it writes the hash down, who doubts it makes
 * the hash again.
 */

#include "base/hash.h"
#include "base/status.h"

/*
 * SHA-256 over name, size and bytes of each file, in order of their names. The folder holds files
 * only: DV_CORRUPT when there is something else in it. DV_NOT_FOUND: there is no such folder.
 */
DV_MUST_CHECK enum dv_status dv_folder_hash(const char *folder,
    char ret_text[static DV_SHA256_TEXT_SIZE], uint64_t *ret_size_bytes, struct dv_error *reterr);

#endif
