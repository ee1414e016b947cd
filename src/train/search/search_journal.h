/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_SEARCH_JOURNAL_H
#define DV_TRAIN_SEARCH_JOURNAL_H

/*
 * JOB/search.jsonl: an object a line for each step of a search, durable before the step is acted
 * on. Appended to, since a long search has megabytes of it. A last line that was being written
 * when the process was killed had not been acted on and is cut off.
 *
 * Life:    dv_search_journal_open(), append, dv_search_journal_close().
 * Limits:  64 MiB; an entry more is refused.
 */

#include "base/status.h"

struct dv_json;
struct dv_search_journal;

/*
 * All sound entries of a file, an array (the caller's); empty when there is no file. DV_CORRUPT: a
 * line that is not the last is no JSON. Writes nothing.
 */
DV_MUST_CHECK enum dv_status dv_search_journal_read(
    const char *path, struct dv_json **ret_entries, struct dv_error *reterr);

/* To append to, with what is in it already. A file that is not there is made. */
DV_MUST_CHECK enum dv_status dv_search_journal_open(const char *path,
    struct dv_search_journal **ret_journal, struct dv_json **ret_entries, struct dv_error *reterr);

/* DV_OK: it is on the disk. */
DV_MUST_CHECK enum dv_status dv_search_journal_append(
    struct dv_search_journal *journal, const struct dv_json *entry, struct dv_error *reterr);

struct dv_search_journal *dv_search_journal_close(struct dv_search_journal *journal);

#endif
