/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_FORMAT_ARCHIVE_H
#define DV_FORMAT_ARCHIVE_H

/*
 * The model archive: a model's folder as one ZIP with everything stored, so that the weights can
 * be read where they lie. The reader takes only such archives and extracts nothing: it says where
 * in the file the bytes of a name are.
 *
 * Limits: 64 entries; any size (ZIP64 where it is needed).
 */

#include "base/status.h"

#include <stdint.h>

/* Bytes of an open file. */
struct dv_archive_part {
    uint64_t offset;
    uint64_t size;
    uint32_t crc32; /* as the directory says; not yet checked */
};

/*
 * Make or replace the archive at `path` from the files of a model that are in `folder`. Appears
 * whole or not at all. The same files give the same bytes.
 */
DV_MUST_CHECK enum dv_status dv_archive_write(
    const char *folder, const char *path, struct dv_error *reterr);

/*
 * Where the entry `name` lies in the archive `fd`. DV_NOT_FOUND: it is not in there. DV_CORRUPT:
 * no ZIP, or one that contradicts itself. DV_UNSUPPORTED: compressed or encrypted.
 */
DV_MUST_CHECK enum dv_status dv_archive_find(
    int fd, const char *name, struct dv_archive_part *ret_part, struct dv_error *reterr);

#endif
