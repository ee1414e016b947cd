/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_INGEST_POOL_H
#define DV_DATA_INGEST_POOL_H

/*
 * The threads that decode. Tasks go round in a ring and come back in the order in which they went
 * in, whatever thread was faster, so that what ingest writes does not depend on timing.
 *
 * Life:    create; then claim, fill, submit while there is room, and take, release; destroy.
 * Threads: all calls from one thread.
 */

#include "base/hash.h"
#include "base/status.h"
#include "data/duplicates.h"
#include "pack/pack_writer.h"
#include "spec/dataset.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_ingest_pool;

/* One entry on its way through: the first fields go in, the others come out. */
struct dv_ingest_task {
    const char *name; /* borrowed */
    uint32_t class_index;
    enum dv_split split;
    unsigned char *data; /* dv_try_alloc()ed by the caller, the pool's after submit */
    size_t size;

    enum dv_status status; /* not DV_OK: refused, with `finding` and `error` */
    enum dv_finding_code finding;
    struct dv_error error;
    unsigned char hash[DV_SHA256_SIZE];
    uint32_t rows, columns, channels;
    struct dv_fingerprint fingerprint;
    struct dv_pack_bytes previews[DV_PACK_PREVIEW_COUNT];
};

DV_MUST_CHECK enum dv_status dv_ingest_pool_create(
    uint32_t thread_count, struct dv_ingest_pool **ret_pool, struct dv_error *reterr);

/* Tasks still in flight are finished and dropped. */
struct dv_ingest_pool *dv_ingest_pool_destroy(struct dv_ingest_pool *pool);
void dv_ingest_pool_destroyp(struct dv_ingest_pool **pool);

/* Is there a free task, and room in the budget for `size` more bytes? Always when it is empty. */
bool dv_ingest_pool_has_room(const struct dv_ingest_pool *pool, size_t size);

/* A free, zeroed task to fill; it counts only once it is submitted. */
struct dv_ingest_task *dv_ingest_pool_claim(struct dv_ingest_pool *pool);
void dv_ingest_pool_submit(struct dv_ingest_pool *pool);

/* Wait for the oldest task, the same until it is released; NULL when none is in flight. */
const struct dv_ingest_task *dv_ingest_pool_take(struct dv_ingest_pool *pool);
void dv_ingest_pool_release(struct dv_ingest_pool *pool);

#endif
