/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_BUFFER_H
#define DV_BASE_BUFFER_H

/*
 * A growing byte buffer with a maximum that is given when it is made. Appending past the maximum
 * sets `is_over`, drops the bytes and goes on, so that a caller checks once at the end.
 *
 * Life: struct dv_buffer b = DV_BUFFER_INIT(max); append; dv_buffer_finish(&b).
 */

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>

struct dv_buffer {
    char *data; /* `size` bytes and a NUL after them; NULL while nothing was appended */
    size_t size;
    size_t capacity;
    size_t size_max;
    bool is_over;
};

#define DV_BUFFER_INIT(max) {.size_max = (max)}

void dv_buffer_append(struct dv_buffer *buffer, const void *data, size_t size);
void dv_buffer_append_text(struct dv_buffer *buffer, const char *text);
void dv_buffer_printf(struct dv_buffer *buffer, const char *format, ...) DV_PRINTF(2, 3);

/* Drop the first `size` bytes. */
void dv_buffer_consume(struct dv_buffer *buffer, size_t size);

/* The text so far, "" when empty; borrowed until the next call. */
const char *dv_buffer_text(const struct dv_buffer *buffer);

/* Hand the bytes over to the caller (dv_free), leave the buffer empty. Never NULL. */
char *dv_buffer_take(struct dv_buffer *buffer);

void dv_buffer_finish(struct dv_buffer *buffer);

#endif
