/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_JOB_LOG_H
#define DV_JOB_JOB_LOG_H

/*
 * The log of one job on its way into the store: lines are collected and appended a batch at a
 * time. Whatever a child says or prints, memory and rows stay bounded: 100 lines a second after
 * the first thousand, 4 KiB a line, 2000 lines kept while the store is away. Lines left out are
 * counted and the count is a line itself.
 */

#include "base/macro.h"

#include <stdbool.h>

struct dv_job_context;
struct dv_job_log;

struct dv_job_log *dv_job_log_create(struct dv_job_context *context, const char *job_id);

/* What was not flushed is lost. NULL is fine; returns NULL. */
struct dv_job_log *dv_job_log_destroy(struct dv_job_log *log);

/*
 * A line of a child: `source` is "worker", "output" (what that printed) or "llm". Text that is no
 * UTF-8 is made so.
 */
void dv_job_log_add(
    struct dv_job_log *log, const char *level, const char *source, const char *text);

/* A line of ours, which is never left out for its rate. */
void dv_job_log_say(struct dv_job_log *log, const char *level, const char *format, ...)
    DV_PRINTF(3, 4);

/* How long until there is something to write; -1: nothing is waiting. */
int dv_job_log_patience_ms(const struct dv_job_log *log);

/* Write what is due, or with `is_last` everything. True: nothing is waiting any more. */
bool dv_job_log_flush(struct dv_job_log *log, bool is_last);

#endif
