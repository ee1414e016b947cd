/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes are refused or hold tensors whose values lie within them. */

#include "base/alloc.h"
#include "base/file.h"
#include "format/safetensors.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const struct dv_safetensors *file, size_t size)
{
    for (size_t i = 0; i < dv_safetensors_count(file); i++) {
        const struct dv_safetensor *tensor = dv_safetensors_at(file, i);
        uint64_t count = dv_safetensor_value_count(tensor);
        float *values = dv_alloc((size / sizeof(float) + 1) * sizeof(float));
        assert(dv_safetensors_find(file, tensor->name) == tensor);
        if (count <= size / sizeof(float)) {
            enum dv_status status = dv_safetensors_read(file, tensor, values, NULL);
            assert(status == DV_OK || status == DV_UNSUPPORTED);
        }
        dv_free(values);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    DV_CLEANUP(dv_file_closep) int fd = memfd_create("safetensors", MFD_CLOEXEC);
    struct dv_safetensors *file;

    if (fd < 0 || dv_file_write_all(fd, data, size, NULL) != DV_OK) {
        abort();
    }
    if (dv_safetensors_open(fd, 0, size, &file, NULL) == DV_OK) {
        read_all(file, size);
        dv_safetensors_close(file);
    }
    return 0;
}
