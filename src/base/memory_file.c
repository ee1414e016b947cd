/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory_file.h"

#include "base/alloc.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

enum dv_status dv_memory_file_create(
    const char *name, const void *data, size_t size, int *ret_fd, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert(ret_fd);
    if (fd < 0) {
        return dv_fail_errno(reterr, errno, "cannot make a file in memory");
    }
    enum dv_status status = dv_file_write_all(fd, data, size, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) != 0) {
        return dv_fail_errno(reterr, errno, "cannot seal a file in memory");
    }
    *ret_fd = fd;
    fd = -1;
    return DV_OK;
}

enum dv_status dv_memory_file_read(
    int fd, size_t size_max, char **ret_data, size_t *ret_size, struct dv_error *reterr)
{
    void *data;
    uint64_t size;

    assert(ret_data);
    assert(ret_size);
    int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS) {
        return dv_fail(reterr, DV_INVALID, "what was passed is no sealed file in memory");
    }
    enum dv_status status = dv_file_size(fd, &size, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (size > size_max) {
        return dv_fail(reterr, DV_TOO_LARGE, "what was passed has %llu bytes, the limit is %zu",
            (unsigned long long)size, size_max);
    }
    status = dv_try_alloc(1, (size_t)size + 1, &data, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_file_pread(fd, data, (size_t)size, 0, reterr);
    if (status != DV_OK) {
        dv_free(data);
        return status;
    }
    *ret_data = data;
    *ret_size = (size_t)size;
    return DV_OK;
}
