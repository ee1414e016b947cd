/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_INGEST_HASH_H
#define DV_DATA_INGEST_HASH_H

/*
 * The SHA-256 of the upload, made by a thread of its own while the entries are read: they come out
 * of the archive one by one and hardly in one piece, and what is read twice at the same time comes
 * from the disk once.
 *
 * Life: dv_ingest_hash_start(), dv_ingest_hash_wait(), dv_ingest_hash_stop() always.
 */

#include "base/hash.h"
#include "base/status.h"

struct dv_ingest_hash;

/* A folder has no hash: the text will be "". */
DV_MUST_CHECK enum dv_status dv_ingest_hash_start(
    const char *path, struct dv_ingest_hash **ret_hash, struct dv_error *reterr);

DV_MUST_CHECK enum dv_status dv_ingest_hash_wait(struct dv_ingest_hash *hash,
    char ret_text[static DV_SHA256_TEXT_SIZE], struct dv_error *reterr);

/* Give up if it is still running, and free. NULL is fine. */
struct dv_ingest_hash *dv_ingest_hash_stop(struct dv_ingest_hash *hash);
void dv_ingest_hash_stopp(struct dv_ingest_hash **hash);

#endif
