/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer entry of the ZIP reader; not part of the normal build. From the source root, after
 * `meson setup build-fuzz -Db_sanitize=address,undefined -Db_lundef=false` with CC=clang:
 *     clang -g -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Isrc -Itests/data \
 *         tests/fuzz/fuzz_zip.c tests/data/zip_builder.c build-fuzz/src/data/libdv-data.a \
 *         build-fuzz/src/base/libdv-base.a -lz -lspng -lsodium -ljansson -lm -o fuzz_zip
 *     ./fuzz_zip -max_len=4096 CORPUS
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
