/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_ALLOC_H
#define DV_BASE_ALLOC_H

/*
 * The only door to malloc. Small bookkeeping goes through dv_alloc(), which ends the process when
 * there is no memory: a worker is expendable and a server is restarted with its jobs recovered.
 * What has a size that comes from outside (a tensor, an upload, a row) goes through
 * dv_try_alloc(), which reports DV_NOMEM. All memory is zeroed.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* `size` zeroed bytes, never NULL; ends the process when there is no memory. */
void *dv_alloc(size_t size);

/* Grow or shrink; what is new is not zeroed. Ends the process when there is no memory. */
void *dv_realloc(void *memory, size_t size);

char *dv_strdup(const char *text);

/* A new string as printf makes it. */
char *dv_strprintf(const char *format, ...) DV_PRINTF(1, 2);

/* `count` times `size` zeroed bytes. DV_NOMEM: there is not so much, or the product overflows. */
DV_MUST_CHECK enum dv_status dv_try_alloc(
    size_t count, size_t size, void **ret_memory, struct dv_error *reterr);

/* The same for numeric buffers: starts at a multiple of 64 bytes. Freed with dv_free(). */
DV_MUST_CHECK enum dv_status dv_try_alloc_aligned(
    size_t size, void **ret_memory, struct dv_error *reterr);

/* Free; NULL is fine. Returns NULL: p = dv_free(p). */
void *dv_free(void *memory);

/* For DV_CLEANUP on any pointer that dv_alloc() or its like made. */
void dv_freep(void *pointer_to_pointer);

/* Put the product or the sum into *ret_result; false when it does not fit. */
DV_MUST_CHECK bool dv_size_mul(size_t a, size_t b, size_t *ret_result);
DV_MUST_CHECK bool dv_size_add(size_t a, size_t b, size_t *ret_result);

#endif
