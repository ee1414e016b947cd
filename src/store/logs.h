/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_LOGS_H
#define DV_STORE_LOGS_H

/*
 * `training_logs` (id, job_id, at, level, source, text) and `events` (id, at, topic, subject_id,
 * type, data). A log line is also an event of type "log", whose id is the line's.
 */

#include "base/status.h"
#include "store/store.h"

#include <stddef.h>

struct dv_log_line {
    const char *level;  /* "error", "warning", "info", "debug" */
    const char *source; /* "worker", "output" (what it printed), "llm", "server" */
    const char *text;
};

/* Append lines of one job in one transaction. */
DV_MUST_CHECK enum dv_status dv_logs_append(struct dv_store *store, const char *job_id,
    const struct dv_log_line *lines, size_t count, struct dv_error *reterr);

struct dv_log_filter {
    const char *level;  /* this one and graver ones; NULL: all */
    const char *search; /* substring, without regard to case */
    int64_t after;      /* ids above this */
};

/* A list of lines of a job, oldest first; `total` counts what the filter lets through. */
DV_MUST_CHECK enum dv_status dv_logs_list(struct dv_store *store, const char *job_id,
    const struct dv_log_filter *filter, const struct dv_page *page, struct dv_json **ret_list,
    struct dv_error *reterr);

struct dv_event_filter {
    const char *subject_id;        /* of one job or data set */
    const char *const *topics;     /* "jobs", "datasets", "models"; NULL at the end; NULL: all */
    const char *type;              /* "log" */
};

/*
 * Events with ids above `after`, in order, at most `count_max`, as an array of rows. `*ret_last` is
 * where to go on: the id of the last row, or, when nothing was left to look at, the highest there is.
 */
DV_MUST_CHECK enum dv_status dv_events_after(struct dv_store *store,
    const struct dv_event_filter *filter, int64_t after, int64_t count_max,
    struct dv_json **ret_rows, int64_t *ret_last, struct dv_error *reterr);

/* The highest and the lowest event id there is; 0 when there is none. */
DV_MUST_CHECK enum dv_status dv_events_range(
    struct dv_store *store, int64_t *ret_lowest, int64_t *ret_highest, struct dv_error *reterr);

#endif
