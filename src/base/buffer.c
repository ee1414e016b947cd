/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool reserve(struct dv_buffer *buffer, size_t size)
{
    assert(buffer->size_max > 0);

    if (size > buffer->size_max - buffer->size) {
        buffer->is_over = true;
        return false;
    }
    if (buffer->size + size + 1 > buffer->capacity) {
        size_t capacity = buffer->capacity ? 2 * buffer->capacity : 256;
        while (capacity < buffer->size + size + 1) {
            capacity *= 2;
        }
        buffer->data = dv_realloc(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    return true;
}

void dv_buffer_append(struct dv_buffer *buffer, const void *data, size_t size)
{
    assert(buffer);

    if (!reserve(buffer, size)) {
        return;
    }
    if (size > 0) {
        memcpy(buffer->data + buffer->size, data, size);
    }
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void dv_buffer_append_text(struct dv_buffer *buffer, const char *text)
{
    dv_buffer_append(buffer, text, strlen(text));
}

void dv_buffer_printf(struct dv_buffer *buffer, const char *format, ...)
{
    va_list arguments;
    char nothing[1]; /* measured first, with no room to write into */

    va_start(arguments, format);
    int length = vsnprintf(nothing, sizeof(nothing), format, arguments);
    va_end(arguments);
    assert(length >= 0);
    if (!reserve(buffer, (size_t)length)) {
        return;
    }

    va_start(arguments, format);
    (void)vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)length;
}

void dv_buffer_consume(struct dv_buffer *buffer, size_t size)
{
    assert(size <= buffer->size);

    if (size > 0) {
        memmove(buffer->data, buffer->data + size, buffer->size - size + 1);
        buffer->size -= size;
    }
}

const char *dv_buffer_text(const struct dv_buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}

char *dv_buffer_take(struct dv_buffer *buffer)
{
    char *data = buffer->data ? buffer->data : dv_strdup("");

    buffer->data = NULL;
    buffer->size = 0;
    buffer->capacity = 0;
    return data;
}

void dv_buffer_finish(struct dv_buffer *buffer)
{
    buffer->data = dv_free(buffer->data);
    buffer->size = 0;
    buffer->capacity = 0;
}
