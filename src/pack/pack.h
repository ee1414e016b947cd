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

#include <stddef.h>
#include <stdint.h>

struct dv_pack;

#define DV_PACK_PREVIEW_COUNT 2

/* The sides for which previews are made, in pixels: 96 and 256. */
extern const uint32_t dv_pack_preview_sides[DV_PACK_PREVIEW_COUNT];

struct dv_pack_sample {
    const char *name; /* path inside the archive; borrowed until the pack is closed */
    uint32_t class_index;
    enum dv_split split;
    uint32_t rows, columns;             /* as shown: after EXIF orientation */
    uint32_t channels;                  /* 1 or 3, of the decoded picture */
    uint64_t size;                      /* of the original bytes */
    uint32_t group;                     /* samples of one group are duplicates or near duplicates */
    unsigned char hash[DV_SHA256_SIZE]; /* of the original bytes */
};

/* What is to be said about one file of the upload. Strings are borrowed. */
struct dv_pack_finding {
    const char *path;
    enum dv_finding_code code;
    const char *message;
};

/* DV_CORRUPT: the manifest does not match its hash, or something in it or a file does not fit. */
DV_MUST_CHECK enum dv_status dv_pack_open(
    const char *folder, struct dv_pack **ret_pack, struct dv_error *reterr);
struct dv_pack *dv_pack_close(struct dv_pack *pack);
void dv_pack_closep(struct dv_pack **pack);

/* How many files packs/ has, numbered from 0. */
uint32_t dv_pack_file_count(const struct dv_pack *pack);

uint32_t dv_pack_class_count(const struct dv_pack *pack);
const char *dv_pack_class_name(const struct dv_pack *pack, uint32_t class_index);

/* Samples are numbered 0.. in manifest order; those of a split are one range. */
uint64_t dv_pack_sample_count(const struct dv_pack *pack);
void dv_pack_split_range(
    const struct dv_pack *pack, enum dv_split split, uint64_t *ret_first, uint64_t *ret_count);
void dv_pack_sample(const struct dv_pack *pack, uint64_t index, struct dv_pack_sample *ret_sample);

/* The samples of one class in one split, which are one range too. */
void dv_pack_class_range(const struct dv_pack *pack, enum dv_split split, uint32_t class_index,
    uint64_t *ret_first, uint64_t *ret_count);

/* Original bytes of a sample into `data` (of the sample's size). DV_CORRUPT: damage on disk. */
DV_MUST_CHECK enum dv_status dv_pack_read(
    const struct dv_pack *pack, uint64_t index, void *data, struct dv_error *reterr);

/*
 * The JPEG preview of a sample, no side longer than `side` nor than the picture's; dv_free() the
 * bytes. DV_NOT_FOUND: none was stored. DV_INVALID: no previews of this side are made.
 */
DV_MUST_CHECK enum dv_status dv_pack_read_preview(const struct dv_pack *pack, uint64_t index,
    uint32_t side, unsigned char **ret_data, size_t *ret_size, struct dv_error *reterr);

/* Findings kept with their text (at most DV_FINDINGS_MAX), and how many a code had in all. */
uint64_t dv_pack_finding_count(const struct dv_pack *pack);
void dv_pack_finding(
    const struct dv_pack *pack, uint64_t index, struct dv_pack_finding *ret_finding);
uint64_t dv_pack_finding_total(const struct dv_pack *pack, enum dv_finding_code code);

#endif
