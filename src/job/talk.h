/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_TALK_H
#define DV_JOB_TALK_H

/*
 * A talk is everything that is said with one role: hello, the job, ack, what it reports, and a
 * verdict on its end. It never waits: its owner polls what dv_talk_watch() gives, for as long as
 * dv_talk_patience_ms() says, and calls dv_talk_step().
 *
 * Life:    dv_talk_start(), dv_talk_step() until dv_talk_verdict() has one, dv_talk_destroy().
 * Threads: as of job/child.h.
 */

#include "base/status.h"
#include "job/child.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_json;
struct dv_talk;

#define DV_TALK_POLL_COUNT DV_CHILD_POLL_COUNT

struct dv_talk_options {
    const char *role;
    const char *program; /* NULL: this one */
    void *user;
    /* It acknowledged, or reports: ack, progress, log, findings, run, ask, reply, result. Borrowed. */
    void (*on_message)(void *user, const struct dv_message *message);
    void (*on_line)(void *user, const char *line); /* of its output */
};

/* What became of it. */
struct dv_talk_verdict {
    enum dv_status status;         /* DV_OK: it said result and ended with exit status 0 */
    enum dv_failure_reason reason; /* of every other end */
    bool has_died;  /* by a signal, for want of memory, or stuck: starting it again may help */
    char text[512]; /* a sentence; "" when it went well */
};

/* The job is taken down here; nothing of it is borrowed afterwards. */
DV_MUST_CHECK enum dv_status dv_talk_start(const struct dv_talk_options *options,
    const struct dv_message_job *job, struct dv_talk **ret_talk, struct dv_error *reterr);

/* Kills it if it still runs. NULL is fine; returns NULL. */
struct dv_talk *dv_talk_destroy(struct dv_talk *talk);

void dv_talk_watch(const struct dv_talk *talk, struct pollfd ret_fds[static DV_TALK_POLL_COUNT]);
int dv_talk_patience_ms(const struct dv_talk *talk);

/* Take what is there, a bounded part of it. */
void dv_talk_step(struct dv_talk *talk);

/* Has it acknowledged its job, and not said its last? Then it can be spoken to. */
bool dv_talk_is_open(const struct dv_talk *talk);

/*
 * Say something to it, with `passed_fd` (-1: none), which stays the caller's. DV_NOT_FOUND: it has
 * gone, its end tells why. DV_TIMEOUT: it does not read.
 */
DV_MUST_CHECK enum dv_status dv_talk_send(struct dv_talk *talk, const struct dv_message *message,
    int passed_fd, struct dv_error *reterr);

/*
 * Within on_message: all of the document that came along with run, ask or reply, parsed; the
 * caller's. DV_INVALID: there is none, or it is none. DV_TOO_LARGE: more than `size_max` bytes.
 */
DV_MUST_CHECK enum dv_status dv_talk_take_document(struct dv_talk *talk, size_t size_max,
    struct dv_json **ret_document, struct dv_error *reterr);

/*
 * Have it stopped within `grace_ms`, for the reason that `why` stands for and with that text as
 * its verdict, unless it comes to its result before. The first reason holds.
 */
void dv_talk_stop(struct dv_talk *talk, enum dv_status why, const char *text, int grace_ms);

/* NULL while it is going on; borrowed. */
const struct dv_talk_verdict *dv_talk_verdict(const struct dv_talk *talk);

/* When it last said or printed something, monotonic; and which process it is. */
uint64_t dv_talk_last_heard_ns(const struct dv_talk *talk);
pid_t dv_talk_pid(const struct dv_talk *talk);

#endif
