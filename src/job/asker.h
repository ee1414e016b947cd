/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_ASKER_H
#define DV_JOB_ASKER_H

/*
 * The questions of one job on their way to a language model and back. `dv llm` is started at the
 * first one and lives as long as the asker; one that dies is started once more, and when it dies
 * again every question has the answer that nobody can be asked. What came of a question is in the
 * store before it goes to the worker, and a number that is in the store is not asked again.
 *
 * Life:    dv_asker_create(), dv_asker_take() as questions come, dv_asker_step(), dv_asker_destroy()
 *          (which kills a `dv llm` that is still at it: its question has no answer then).
 * Threads: as of job/child.h.
 * Limits:  16 questions at a time.
 */

#include "base/status.h"
#include "wire/message.h"

#include <stdint.h>

struct dv_asker;
struct dv_job_context;
struct dv_job_log;
struct dv_json;
struct dv_talk;

struct dv_asker_options {
    struct dv_job_context *context; /* with the settings and the key of the endpoint */
    const char *job_id;
    int64_t fence;
    struct dv_job_log *log;
    void *user;
    /* Here is an answer for the worker, with its document. */
    void (*on_reply)(void *user, const struct dv_message *reply, int document_fd);
};

struct dv_asker *dv_asker_create(const struct dv_asker_options *options);
struct dv_asker *dv_asker_destroy(struct dv_asker *asker);

/*
 * A question (a document of llm/question.h), which is copied. One that is under way already is fine.
 * DV_INVALID: it is none. DV_TOO_LARGE: there are too many.
 */
DV_MUST_CHECK enum dv_status dv_asker_take(struct dv_asker *asker,
    const struct dv_message_ask *ask, const struct dv_json *question, struct dv_error *reterr);

/* Go on with what there is. Never waits. */
void dv_asker_step(struct dv_asker *asker);

/* How long until it wants to be stepped without anything having come; -1: never. */
int dv_asker_patience_ms(const struct dv_asker *asker);

/* Does somebody wait for an answer? */
bool dv_asker_is_busy(const struct dv_asker *asker);

/* The talk with `dv llm`, to be polled; NULL: there is none now. */
struct dv_talk *dv_asker_talk(const struct dv_asker *asker);

#endif
