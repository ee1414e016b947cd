/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_INGEST_STATE_H
#define DV_DATA_INGEST_STATE_H

/*
 * What one run of ingest knows, and its stages in their order. Only data/ingest*.c include this.
 */

#include "base/status.h"
#include "data/duplicates.h"
#include "data/ingest.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_dataset_summary;
struct dv_ingest_findings;
struct dv_layout;
struct dv_pack_writer;
struct dv_source;

/* Files of one class folder. */
struct dv_ingest_class {
    const char *name; /* borrowed from the layout */
    uint32_t good;
    uint32_t bad; /* refused, though they were meant as pictures */
};

struct dv_ingest {
    const struct dv_ingest_options *options;
    struct dv_source *source;
    struct dv_layout *layout;
    struct dv_ingest_findings *findings;
    struct dv_pack_writer *writer;

    struct dv_ingest_class *classes; /* of the layout, then those that have pictures */
    uint32_t class_count;

    struct dv_candidate *candidates; /* sorted by name once all are read */
    uint32_t count;
    int thumbnails; /* file of the candidates' fine thumbnails */

    const struct dv_pack_record **order; /* sorted by split, class, name */
    uint64_t report_ns;                  /* when progress was last reported */
};

/* DV_CANCELLED when the caller asked for it. Reports progress now and then. */
DV_MUST_CHECK enum dv_status dv_ingest_report(struct dv_ingest *ingest, const char *stage,
    uint64_t done, uint64_t total, struct dv_error *reterr);

/* 1. Read and decode every entry, append the good ones to the packs. */
DV_MUST_CHECK enum dv_status dv_ingest_read(struct dv_ingest *ingest, struct dv_error *reterr);

/* 2. Refuse duplicates, drop empty classes, group, split, put into the manifest's order. */
DV_MUST_CHECK enum dv_status dv_ingest_arrange(struct dv_ingest *ingest, struct dv_error *reterr);

/* 3. Describe: everything of the summary but id, name, time and the hash of the source. */
void dv_ingest_summarize(
    const struct dv_ingest *ingest, struct dv_arena *arena, struct dv_dataset_summary *summary);

#endif
