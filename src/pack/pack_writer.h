/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_PACK_PACK_WRITER_H
#define DV_PACK_PACK_WRITER_H

/*
 * Makes what pack.h reads. Pictures are appended in any order while they arrive; the manifest,
 * which gives them their order, is written last. A folder without a manifest is half-made.
 *
 * Life:    dv_pack_writer_create(), dv_pack_writer_append() per picture, dv_pack_writer_finish()
 *          once, dv_pack_writer_destroy() always.
 * Threads: one at a time.
 */

#include "base/status.h"
#include "pack/pack.h"

#include <stddef.h>
#include <stdint.h>

struct dv_pack_writer;

/* Where a picture's bytes went. */
struct dv_pack_place {
    uint64_t offset;
    uint32_t file;
    uint32_t preview_sizes[DV_PACK_PREVIEW_COUNT];
    uint32_t preview_crcs[DV_PACK_PREVIEW_COUNT];
};

struct dv_pack_bytes {
    const void *data;
    size_t size; /* 0: there is none */
};

struct dv_pack_record {
    struct dv_pack_sample sample;
    struct dv_pack_place place;
};

struct dv_pack_manifest {
    const char *const *classes;
    uint32_t class_count;
    const struct dv_pack_record *const *samples; /* sorted by split, class, name */
    uint64_t sample_count;
    const struct dv_pack_finding *findings;
    uint64_t finding_count;                         /* at most DV_FINDINGS_MAX */
    uint64_t finding_totals[DV_FINDING_CODE_COUNT]; /* with those not kept */
};

/* `folder` exists and is empty. Pack files end at `file_size_max` bytes; 0: 1 GiB. */
DV_MUST_CHECK enum dv_status dv_pack_writer_create(const char *folder, uint64_t file_size_max,
    struct dv_pack_writer **ret_writer, struct dv_error *reterr);
struct dv_pack_writer *dv_pack_writer_destroy(struct dv_pack_writer *writer);
void dv_pack_writer_destroyp(struct dv_pack_writer **writer);

/* Append a picture's original bytes and its previews, one for each side. */
DV_MUST_CHECK enum dv_status dv_pack_writer_append(struct dv_pack_writer *writer, const void *data,
    size_t size, const struct dv_pack_bytes previews[DV_PACK_PREVIEW_COUNT],
    struct dv_pack_place *ret_place, struct dv_error *reterr);

/* Make all of it durable, the manifest last. Nothing may be appended afterwards. */
DV_MUST_CHECK enum dv_status dv_pack_writer_finish(struct dv_pack_writer *writer,
    const struct dv_pack_manifest *manifest, struct dv_error *reterr);

#endif
