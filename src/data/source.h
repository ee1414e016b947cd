/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_SOURCE_H
#define DV_DATA_SOURCE_H

/*
 * Where pictures come from: a ZIP archive or a folder. Opening audits the whole of it (for a ZIP:
 * end record, whole central directory, every local header, overlaps, names, budgets) before one
 * byte is inflated; then entries are read in storage order. Implementations: source_impl.h.
 */

#include "base/status.h"
#include "spec/dataset.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_source;

struct dv_source_entry {
    const char *name; /* UTF-8, relative, '/' between segments; borrowed from the source */
    uint64_t size;    /* declared size in bytes */
    bool is_refused;  /* the entry alone is bad: `finding` and `reason` say why; not readable */
    enum dv_finding_code finding;
    const char *reason;
};

/* DV_CORRUPT / DV_INVALID / DV_TOO_LARGE / DV_UNSUPPORTED: refused whole, with the reason. */
DV_MUST_CHECK enum dv_status dv_source_open(
    const char *path, struct dv_source **ret_source, struct dv_error *reterr);
struct dv_source *dv_source_close(struct dv_source *source);

uint64_t dv_source_count(const struct dv_source *source); /* files; directory entries left out */
void dv_source_entry(
    const struct dv_source *source, uint64_t index, struct dv_source_entry *ret_entry);

/* All bytes of an entry into `data` (entry.size bytes), CRC checked. DV_CORRUPT: damaged entry. */
DV_MUST_CHECK enum dv_status dv_source_read(
    struct dv_source *source, uint64_t index, void *data, struct dv_error *reterr);

#endif
