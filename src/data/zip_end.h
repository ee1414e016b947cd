/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_ZIP_END_H
#define DV_DATA_ZIP_END_H

/*
 * The end of a ZIP archive: which must be exactly the end of the file, name one directory that lies
 * directly before it, and say everything twice alike where ZIP64 says it twice.
 */

#include "base/status.h"

#include <stdint.h>

struct dv_zip_window;

struct dv_zip_end {
    uint64_t directory_offset;
    uint64_t directory_size;
    uint64_t entry_count;
};

/* DV_UNSUPPORTED: not a ZIP archive, or one of several disks. DV_CORRUPT: cut off, or it lies. */
DV_MUST_CHECK enum dv_status dv_zip_end_read(
    struct dv_zip_window *window, struct dv_zip_end *ret_end, struct dv_error *reterr);

#endif
