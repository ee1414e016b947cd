/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_JOURNAL_H
#define DV_TRAIN_JOURNAL_H

/*
 * What a job decided on its way (that a run diverged and is tried again with a lower rate), in
 * JOB/journal.jsonl, durable before it is acted on: a resumed job reads it and takes the same
 * decisions.
 *
 * Limits: 1 MiB; an entry more is refused.
 */

#include "base/status.h"

struct dv_json;

/* All entries, an array (the caller's); empty when there is no journal. */
DV_MUST_CHECK enum dv_status dv_journal_read(
    const char *job_folder, struct dv_json **ret_entries, struct dv_error *reterr);

/* Append one object; borrowed. */
DV_MUST_CHECK enum dv_status dv_journal_append(
    const char *job_folder, const struct dv_json *entry, struct dv_error *reterr);

#endif
