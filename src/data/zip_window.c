/* SPDX-License-Identifier: Apache-2.0 */
#include "data/zip_window.h"

#include "base/alloc.h"
#include "base/file.h"

#include <assert.h>
#include <stdbool.h>

static const uint64_t near_bytes = 64 << 10; /* a smaller jump counts as reading on */
static const size_t jump_read_size = 4 << 10;

enum dv_status dv_zip_window_init(
    struct dv_zip_window *window, const char *path, struct dv_error *reterr)
{
    assert(window);
    *window = (struct dv_zip_window){.fd = -1};

    enum dv_status status = dv_file_open_read(path, &window->fd, reterr);
    if (status == DV_OK) {
        status = dv_file_size(window->fd, &window->file_size, reterr);
    }
    if (status == DV_OK) {
        window->bytes = dv_alloc(DV_ZIP_WINDOW_SIZE);
    }
    return status;
}

void dv_zip_window_finish(struct dv_zip_window *window)
{
    dv_file_closep(&window->fd);
    window->bytes = dv_free(window->bytes);
}

enum dv_status dv_zip_window_get(struct dv_zip_window *window, uint64_t offset, size_t size,
    const unsigned char **ret_bytes, struct dv_error *reterr)
{
    assert(size <= DV_ZIP_WINDOW_SIZE);
    assert(ret_bytes);

    if (offset > window->file_size || size > window->file_size - offset) {
        return dv_fail(reterr, DV_CORRUPT, "the archive ends too early");
    }
    uint64_t end = window->offset + window->size;
    if (offset < window->offset || offset + size > end) {
        bool is_near = offset >= window->offset && offset <= end + near_bytes;
        size_t want = is_near ? DV_ZIP_WINDOW_SIZE : jump_read_size;
        want = want < size ? size : want;
        if (want > window->file_size - offset) {
            want = (size_t)(window->file_size - offset);
        }
        window->size = 0; /* nothing valid in it should the read fail */
        enum dv_status status = dv_file_pread(window->fd, window->bytes, want, offset, reterr);
        if (status != DV_OK) {
            return status;
        }
        window->offset = offset;
        window->size = want;
    }
    *ret_bytes = window->bytes + (offset - window->offset);
    return DV_OK;
}
