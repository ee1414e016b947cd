/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_INGEST_H
#define DV_DATA_INGEST_H

/*
 * From an upload (a ZIP archive or a folder) to a data set's folder: every entry read and decoded
 * once, judged, and kept with its original bytes in packs; splits, summary and findings after it.
 * `dataset.json` is written last, so that a folder without one is half-made. On failure the first
 * findings are in `findings.json`, and the caller removes the folder.
 *
 * Threads: `thread_count` decode, the caller's reads and writes, one hashes the upload. Callbacks
 *          come from the caller's thread.
 * Limits:  at most 64 MiB of undecoded pictures are in flight and one decoded picture a thread;
 *          beside them about 230 bytes a picture and the names.
 */

#include "base/status.h"
#include "spec/dataset.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct dv_arena;
struct dv_pack_finding;

struct dv_ingest_options {
    const char *source_path;
    const char *folder; /* exists and is empty */
    const char *id;
    const char *name;
    uint64_t seed;         /* of the split */
    uint32_t thread_count; /* 0: as many as processors */

    /* Optional, at most ten times a second and once at the end of a stage. */
    void (*progress)(void *data, const char *stage, uint64_t done, uint64_t total);
    /* Optional, each finding as it is made; those of a set that is refused in the end, too. */
    void (*finding)(void *data, const struct dv_pack_finding *finding);
    void *data;
    const atomic_bool *is_cancelled; /* optional */
};

/*
 * Strings of the summary live in `arena`. DV_INVALID: the upload holds no usable data set; the
 * message says what to do. DV_CORRUPT, DV_TOO_LARGE, DV_UNSUPPORTED: the archive was refused
 * whole. DV_CANCELLED: as asked.
 */
DV_MUST_CHECK enum dv_status dv_ingest_run(const struct dv_ingest_options *options,
    struct dv_arena *arena, struct dv_dataset_summary *ret_summary, struct dv_error *reterr);

#endif
