/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_PACK_PACK_H
#define DV_PACK_PACK_H

/*
 * A data set's folder, read side: `manifest.bin` (header, class names, fixed-size sample records
 * sorted by split, then class, then name; findings) and `packs/NNN.pack` (original picture bytes
 * and JPEG previews, append-only). Read by bounds-checked pread, never mapped. Any number of
 * threads may read one open pack.
 */

#include "base/hash.h"
#include "base/status.h"
#include "spec/dataset.h"

#include <stdint.h>

struct dv_pack;

struct dv_pack_sample {
    const char *name; /* path inside the archive; borrowed until the pack is closed */
    uint32_t class_index;
    enum dv_split split;
    uint32_t rows, columns; /* as shown: after EXIF orientation */
    uint32_t channels;      /* 1 or 3, of the decoded picture */
    uint64_t size;          /* of the original bytes */
    uint32_t group;         /* samples of one group are duplicates or near duplicates */
    unsigned char hash[DV_SHA256_SIZE]; /* of the original bytes */
};

DV_MUST_CHECK enum dv_status dv_pack_open(
    const char *folder, struct dv_pack **ret_pack, struct dv_error *reterr);
struct dv_pack *dv_pack_close(struct dv_pack *pack);

uint32_t dv_pack_class_count(const struct dv_pack *pack);
const char *dv_pack_class_name(const struct dv_pack *pack, uint32_t class_index);

/* Samples are numbered 0.. in manifest order; those of a split are one range. */
uint64_t dv_pack_sample_count(const struct dv_pack *pack);
void dv_pack_split_range(const struct dv_pack *pack, enum dv_split split, uint64_t *ret_first,
    uint64_t *ret_count);
void dv_pack_sample(const struct dv_pack *pack, uint64_t index, struct dv_pack_sample *ret_sample);

/* Original bytes of a sample into `data` (of the sample's size). DV_CORRUPT: damage on disk. */
DV_MUST_CHECK enum dv_status dv_pack_read(
    const struct dv_pack *pack, uint64_t index, void *data, struct dv_error *reterr);

#endif
