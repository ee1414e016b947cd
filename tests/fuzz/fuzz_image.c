/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes are refused, with a finding, or decode to a picture that a preview can be made of. */

#include "base/alloc.h"
#include "data/image.h"
#include "spec/limits.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum dv_finding_code finding = DV_FINDING_CODE_COUNT;
    struct dv_image image;
    unsigned char *preview;
    size_t preview_size;

    if (dv_image_decode(data, size, &image, &finding, NULL) != DV_OK) {
        assert(finding < DV_FINDING_CODE_COUNT);
        return 0;
    }
    assert(image.channels == 1 || image.channels == 3);
    assert((uint64_t)image.rows * image.columns <= DV_IMAGE_PIXELS_MAX);
    if (dv_image_preview(&image, 96, &preview, &preview_size, NULL) == DV_OK) {
        dv_free(preview);
    }
    dv_image_finish(&image);
    return 0;
}
