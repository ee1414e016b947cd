/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes are refused as an archive or give entries with names that can be shown and read.
 */
#include "data/source.h"
#include "zip_builder.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dv_source *source;

    if (zip_open(data, size, &source, NULL) != DV_OK) {
        return 0;
    }
    for (uint64_t i = 0; i < dv_source_count(source); i++) {
        struct dv_source_entry entry;
        dv_source_entry(source, i, &entry);
        if (!entry.name || strlen(entry.name) > 2048 || (entry.is_refused && !entry.reason)) {
            abort();
        }
    }
    (void)zip_read_all(source);
    (void)dv_source_close(source);
    return 0;
}
