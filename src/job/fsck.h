/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_FSCK_H
#define DV_JOB_FSCK_H

/*
 * Proves that every row has its bytes and every byte in DATA a row, and changes nothing: `dv
 * doctor --fsck`. All bytes are read and their hashes made again.
 *
 * It takes no lock and needs no peace: a server may be at work. What is under way says so in the
 * rows (a data set in `processing`, a job that runs, a note in `trash`), and what looks wrong counts
 * only when its row, read again afterwards, has stayed as it was.
 *
 * What is found is of two kinds. A finding is wrong and stays so until somebody sees to it. A
 * left-over is what the server removes by itself, at the latest when it starts next; beside a server
 * at work it may as well be what is being made this moment.
 */

#include "base/status.h"

struct dv_json;
struct dv_store;

/*
 * *ret_report, the caller's:
 *   {"checked": {"datasets", "models", "versions", "jobs", "bytes"},
 *    "findings": [{"code", "path" or null, "id" or null, "message", "advice"}],
 *    "left_overs": [{"path", "message"}], "more_findings": n, "more_left_overs": n}
 * Paths are relative to DATA. A failure means that it could not be checked.
 */
DV_MUST_CHECK enum dv_status dv_fsck_run(struct dv_store *store, const char *data_folder,
    struct dv_json **ret_report, struct dv_error *reterr);

#endif
