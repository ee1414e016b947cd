/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_JOB_FOLLOW_H
#define DV_APP_JOB_FOLLOW_H

/* A job seen to its end: its events as progress and lines, then its row. */

#include "base/status.h"

#include <stdbool.h>

struct dv_json;
struct dv_session;

/*
 * Show what happens to the job of this row from when it was last queued until it has ended; `*row`
 * is then as it is then. DV_CANCELLED: this command was interrupted, and has had the job cancelled.
 */
DV_MUST_CHECK enum dv_status dv_job_follow(
    struct dv_session *session, struct dv_json **row, struct dv_error *reterr);

/* Is this status one that a job does not leave by itself? */
bool dv_job_has_ended(const char *status);

/* Why a job failed or was cancelled, from its row, as the status of a command. */
enum dv_status dv_job_failure(const struct dv_json *row, struct dv_error *reterr);

#endif
