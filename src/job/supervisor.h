/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_SUPERVISOR_H
#define DV_JOB_SUPERVISOR_H

/*
 * Runs what the store says is to be done: data sets in `processing` are ingested, pending jobs
 * claimed, started, listened to, stopped, restarted, ended; folders in the trash removed. One
 * child a job; one loop, one thread.
 *
 * Life:    dv_supervisor_create() (recovers what a dead server left), dv_supervisor_run() until
 *          asked to stop, dv_supervisor_destroy().
 * Threads: create and run belong to the main thread (children follow it); wake from any.
 * Limits:  one job and one ingest at a time unless told otherwise; a child's lines are at most
 *          4 KiB and 100 a second on average, the rest is counted and said so.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_json;
struct dv_store;
struct dv_supervisor;

struct dv_supervisor_options {
    struct dv_store *store;     /* borrowed */
    const char *data_folder;    /* absolute; borrowed */
    const char *program;        /* what to start as children; NULL: this one */
    uint32_t running_jobs_max;  /* 0: 1 */
    const char *jobs_since;     /* leave alone what was queued before (RFC 3339); NULL: nothing */
    int64_t thread_count;       /* of one worker, where its job does not say; 0: all processors */
    int64_t memory_max;         /* bytes of private memory of one worker; 0: what the machine has */
    uint32_t silence_seconds;   /* after which a child is looked at more closely; 0: 600 */
    const struct dv_json *llm_settings; /* of the language model's endpoint, without its key; NULL: none */
    int llm_key_fd;             /* with settings: the key, a sealed file in memory; -1: it has none */
};

/*
 * Before anything else uses DATA: what is in its folders now was left by others. DV_UNAVAILABLE,
 * DV_CORRUPT: the store's.
 */

DV_MUST_CHECK enum dv_status dv_supervisor_create(const struct dv_supervisor_options *options,
    struct dv_supervisor **ret_supervisor, struct dv_error *reterr);

/*
 * Until `stop_fd` becomes readable: running jobs are then stopped with a checkpoint and put back
 * into the queue, uncharged, within 10 s. DV_OK: it was asked to stop.
 */
DV_MUST_CHECK enum dv_status dv_supervisor_run(
    struct dv_supervisor *supervisor, int stop_fd, struct dv_error *reterr);

/* Something changed in the store: look. Any thread; quick; safe in a signal handler. */
void dv_supervisor_wake(struct dv_supervisor *supervisor);

/* What each child uses now, from any thread: [{"job_id", "pid", "role", "cpu_seconds", "rss_bytes"}]; the caller's. */
struct dv_json *dv_supervisor_usage(struct dv_supervisor *supervisor);

struct dv_supervisor *dv_supervisor_destroy(struct dv_supervisor *supervisor);

#endif
