/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_REPORTER_H
#define DV_JOB_REPORTER_H

/*
 * The figures of a running job on their way into the store. The end of an epoch is written in any
 * case, later if the store is away; what comes in between at most once a second, and only the
 * newest.
 */

#include "base/status.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_job_context;
struct dv_json;
struct dv_reporter;

struct dv_reporter *dv_reporter_create(
    struct dv_job_context *context, const char *job_id, int64_t fence);
struct dv_reporter *dv_reporter_destroy(struct dv_reporter *reporter);

void dv_reporter_take(struct dv_reporter *reporter, const struct dv_message_progress *progress);

/*
 * Where a candidate of a search stands (store/runs.h), in its place among the ends of epochs; what
 * was said of the same one and is not written yet is overtaken. DV_TOO_LARGE: while the store is
 * away more came than is kept.
 */
DV_MUST_CHECK enum dv_status dv_reporter_take_run(
    struct dv_reporter *reporter, const struct dv_json *run, struct dv_error *reterr);

/* How long until there is something to write; -1: nothing is waiting. */
int dv_reporter_patience_ms(const struct dv_reporter *reporter);

/*
 * Write what is due, or with `is_last` every end of an epoch. DV_OK: none of these is waiting any
 * more. DV_UNAVAILABLE: some are. DV_CONFLICT: the job is no longer ours.
 */
DV_MUST_CHECK enum dv_status dv_reporter_flush(struct dv_reporter *reporter, bool is_last);

/* All figures under the API's names; the caller's. */
struct dv_json *dv_reporter_figures(const struct dv_message_progress *progress);

#endif
