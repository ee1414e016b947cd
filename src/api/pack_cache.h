/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_API_PACK_CACHE_H
#define DV_API_PACK_CACHE_H

/*
 * Data sets whose pictures someone looks at: a few stay open, so that a page of previews does not
 * read and check the same manifest a hundred times.
 *
 * Life:    dv_pack_cache_create(), borrow and return, dv_pack_cache_destroy() when all are back.
 * Threads: any number; opening one data set does not hold up the others.
 * Limits:  DV_PACK_CACHE_MAX kept open while nobody uses them.
 */

#include "base/hash.h"
#include "base/status.h"

struct dv_pack;
struct dv_pack_cache;

#define DV_PACK_CACHE_MAX 4

struct dv_pack_cache *dv_pack_cache_create(const char *data_folder);
struct dv_pack_cache *dv_pack_cache_destroy(struct dv_pack_cache *cache);

/* The data set's pack, to be returned; `id` is a valid UUID. Statuses as of dv_pack_open(). */
DV_MUST_CHECK enum dv_status dv_pack_cache_borrow(struct dv_pack_cache *cache, const char *id,
    const struct dv_pack **ret_pack, struct dv_error *reterr);
void dv_pack_cache_return(struct dv_pack_cache *cache, const struct dv_pack *pack);

/* The data set was deleted: what is open of it holds its bytes on the disk. Closed with its return. */
void dv_pack_cache_forget(struct dv_pack_cache *cache, const char *id);

#endif
