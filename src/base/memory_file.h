/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_MEMORY_FILE_H
#define DV_BASE_MEMORY_FILE_H

/*
 * A file that lies in memory alone and that nobody can change any more: how a key, or a text too
 * long for a message, goes from one process to another as a descriptor.
 */

#include "base/status.h"

#include <stddef.h>

/* `name` is for people who look into /proc. The descriptor is the caller's, close-on-exec. */
DV_MUST_CHECK enum dv_status dv_memory_file_create(
    const char *name, const void *data, size_t size, int *ret_fd, struct dv_error *reterr);

/*
 * All of it, with a NUL after it; dv_free(). DV_INVALID: no sealed memory file.
 * DV_TOO_LARGE: more than `size_max` bytes.
 */
DV_MUST_CHECK enum dv_status dv_memory_file_read(
    int fd, size_t size_max, char **ret_data, size_t *ret_size, struct dv_error *reterr);

#endif
