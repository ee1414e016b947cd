/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include "base/fault.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t alignment_bytes = 64; /* a cache line, and an AVX-512 register */

static void *or_die(void *memory)
{
    if (!memory) {
        (void)fputs("dv: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *dv_alloc(size_t size)
{
    return or_die(calloc(1, size ? size : 1));
}

void *dv_realloc(void *memory, size_t size)
{
    return or_die(realloc(memory, size ? size : 1));
}

char *dv_strdup(const char *text)
{
    assert(text);
    return or_die(strdup(text));
}

char *dv_strprintf(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return or_die(length < 0 ? NULL : text);
}

enum dv_status dv_try_alloc(size_t count, size_t size, void **ret_memory, struct dv_error *reterr)
{
    size_t total;

    assert(ret_memory);
    if (!dv_size_mul(count, size, &total)) {
        return dv_fail(reterr, DV_NOMEM, "%zu items of %zu bytes do not fit in memory", count, size);
    }

    void *memory = dv_fault_hits("alloc") ? NULL : calloc(1, total ? total : 1);
    if (!memory) {
        return dv_fail(reterr, DV_NOMEM, "no memory for %zu bytes", total);
    }
    *ret_memory = memory;
    return DV_OK;
}

enum dv_status dv_try_alloc_aligned(size_t size, void **ret_memory, struct dv_error *reterr)
{
    void *memory = NULL;

    assert(ret_memory);
    if (dv_fault_hits("alloc") || posix_memalign(&memory, alignment_bytes, size ? size : 1) != 0) {
        return dv_fail(reterr, DV_NOMEM, "no memory for %zu bytes", size);
    }
    memset(memory, 0, size);
    *ret_memory = memory;
    return DV_OK;
}

void *dv_free(void *memory)
{
    free(memory);
    return NULL;
}

void dv_freep(void *pointer_to_pointer)
{
    void **pointer = pointer_to_pointer;

    free(*pointer);
    *pointer = NULL;
}

bool dv_size_mul(size_t a, size_t b, size_t *ret_result)
{
    return !__builtin_mul_overflow(a, b, ret_result);
}

bool dv_size_add(size_t a, size_t b, size_t *ret_result)
{
    return !__builtin_add_overflow(a, b, ret_result);
}
