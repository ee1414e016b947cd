/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_ZIP_WINDOW_H
#define DV_DATA_ZIP_WINDOW_H

/*
 * A window on a file: asks for a few bytes here and there become few, large reads where they follow
 * each other and short reads where they jump, so that neither 70,000 small entries nor 70,000
 * headers far apart cost more than they must.
 */

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { DV_ZIP_WINDOW_SIZE = 1 << 20 }; /* holds any header with its longest name and extra field */

struct dv_zip_window {
    int fd; /* owned */
    uint64_t file_size;
    uint64_t offset; /* of bytes[0] */
    size_t size;
    unsigned char *bytes;
};

/* Open `path`. Cleared memory is fit for dv_zip_window_finish() once `fd` is -1. */
DV_MUST_CHECK enum dv_status dv_zip_window_init(
    struct dv_zip_window *window, const char *path, struct dv_error *reterr);
void dv_zip_window_finish(struct dv_zip_window *window);

/*
 * `size` bytes (at most DV_ZIP_WINDOW_SIZE) at `offset`, borrowed until the next call. DV_CORRUPT:
 * the file ends before.
 */
DV_MUST_CHECK enum dv_status dv_zip_window_get(struct dv_zip_window *window, uint64_t offset,
    size_t size, const unsigned char **ret_bytes, struct dv_error *reterr);

#endif
