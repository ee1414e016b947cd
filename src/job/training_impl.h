/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_TRAINING_IMPL_H
#define DV_JOB_TRAINING_IMPL_H

/*
 * What a training errand is made of. training.c makes it and calls the function of its phase,
 * training_run.c has the phases up to the worker's end, training_end.c those after it.
 */

#include "job/ending.h"
#include "job/errand.h"
#include "job/publication.h"
#include "job/training.h"
#include "job/watchdog.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_asker;
struct dv_job_folder;
struct dv_job_log;
struct dv_reporter;

enum dv_training_phase {
    DV_TRAINING_WAIT,
    DV_TRAINING_TRAIN,
    DV_TRAINING_SALVAGE,
    DV_TRAINING_PUBLISH,
    DV_TRAINING_END,
    DV_TRAINING_COUNT,
};

#define DV_TRAINING_STOP_GRACE_MS 3500 /* cancelled within 5 s, a partial model included */
#define DV_TRAINING_LOST_GRACE_MS 500
#define DV_TRAINING_NOTE_SECONDS 15.0 /* how often the time used is noted */

/*
 * How often in a row a candidate of a search may end its worker: these deaths are not the job's.
 * The worker gives one up after two, so that a third says that it does not come to do so.
 */
#define DV_TRAINING_RUN_RESTARTS_MAX 3

struct dv_training {
    struct dv_errand errand;
    struct dv_json *row; /* as it was when it was claimed */
    int64_t fence, restarts, restarts_max, timeout_seconds;
    dv_training_room_fn find_room;
    void *user;
    struct dv_job_folder *folder; /* NULL: the row is damaged */
    struct dv_job_log *log;
    struct dv_reporter *reporter;
    struct dv_asker *asker;
    struct dv_watchdog watchdog;

    enum dv_training_phase phase;
    uint64_t phase_ns; /* when it was entered */
    uint64_t noted_ns; /* when the time used was noted last */
    uint64_t retry_ns; /* while it waits: not before */
    uint32_t retry_ms;
    bool has_looked;         /* for what an earlier server left */
    int64_t highest_version; /* of the model */
    struct dv_json *run_restarts; /* of candidates, by earlier workers: {iteration, restarts}s */
    int64_t run;                  /* the candidate that this worker is at; 0: none */
    bool has_epoch;               /* and it has come to the end of an epoch with it */
    bool has_waited;         /* and that was said */
    bool is_partial;         /* what is being published */
    bool is_cancelled, is_shutdown;
    bool is_lost; /* the job is another's by now: nothing more is written */
    struct dv_publication publication;
    struct dv_ending ending;
};

void dv_training_enter(struct dv_training *training, enum dv_training_phase phase);

/* --- training_run.c ----------------------------------------------------------------------- */

void dv_training_wait(struct dv_training *training);
void dv_training_train(struct dv_training *training);

/* For its worker's questions. */
struct dv_asker *dv_training_create_asker(struct dv_training *training);

DV_MUST_CHECK enum dv_status dv_training_start_worker(
    struct dv_training *training, const char *kind, struct dv_error *reterr);

/* The child's verdict, if it has one; it is let go then. */
bool dv_training_take_verdict(struct dv_training *training, struct dv_talk_verdict *ret_verdict);

/* How long its workers have run. */
double dv_training_seconds(const struct dv_training *training);

/* --- training_end.c ----------------------------------------------------------------------- */

void dv_training_salvage(struct dv_training *training);
void dv_training_publish(struct dv_training *training);
void dv_training_end(struct dv_training *training);

/* What has an earlier server come to? False: the store is away, ask again. */
bool dv_training_look_around(struct dv_training *training);

/* Ways into the last phase. */
void dv_training_fail(
    struct dv_training *training, enum dv_failure_reason reason, const char *text);
void dv_training_requeue(
    struct dv_training *training, enum dv_failure_reason reason, bool is_charged);

/* The job is another's: stop, write nothing more. */
void dv_training_lose(struct dv_training *training);

#endif
