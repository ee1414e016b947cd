/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_INGEST_FINDINGS_H
#define DV_DATA_INGEST_FINDINGS_H

/*
 * What ingest has to say about single files, in the order in which it was said. The first
 * DV_FINDINGS_MAX keep their text, all are counted.
 */

#include "base/macro.h"
#include "pack/pack.h"
#include "spec/dataset.h"

#include <stdint.h>

struct dv_ingest_findings;
struct dv_ingest_options;
struct dv_json;

/* `options` is borrowed, for its callback. */
struct dv_ingest_findings *dv_ingest_findings_create(const struct dv_ingest_options *options);
struct dv_ingest_findings *dv_ingest_findings_destroy(struct dv_ingest_findings *findings);

/* Bytes of `path` and of the message that are not UTF-8 become '?'. */
void dv_ingest_findings_add(struct dv_ingest_findings *findings, const char *path,
    enum dv_finding_code code, const char *format, ...) DV_PRINTF(4, 5);

uint64_t dv_ingest_findings_count(const struct dv_ingest_findings *findings); /* with text */
const struct dv_pack_finding *dv_ingest_findings_items(const struct dv_ingest_findings *findings);
uint64_t dv_ingest_findings_total(
    const struct dv_ingest_findings *findings, enum dv_finding_code code);

/* The refusing code that occurs most often; DV_FINDING_CODE_COUNT: nothing was refused. */
enum dv_finding_code dv_ingest_findings_main_code(const struct dv_ingest_findings *findings);

/* {"corrupt_image": 3, ...} without zeros, and the first `count_max` in full; the caller's. */
struct dv_json *dv_ingest_findings_totals_to_json(const struct dv_ingest_findings *findings);
struct dv_json *dv_ingest_findings_to_json(
    const struct dv_ingest_findings *findings, uint64_t count_max);

#endif
