/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_CHILD_H
#define DV_JOB_CHILD_H

/*
 * A child is a role of this program (`dv ingest`, `dv worker`, `dv infer`) in a process of its own:
 * a channel on its descriptor 3, its output in a pipe that is drained here, nothing else open, an
 * almost empty environment, a session of its own. It dies with its parent. Its exit status is the
 * truth about its end, whatever it said before.
 *
 * One that watches several children polls what dv_child_watch() gives and calls dv_child_attend()
 * and dv_child_next(), which never wait; one that has a single child lets the calls below these
 * wait, which do the same in a loop.
 *
 * Life:    dv_child_start(), dv_child_handshake(), dv_child_receive() until DV_NOT_FOUND,
 *          dv_child_wait() or dv_child_stop(), dv_child_destroy() (which kills what still runs).
 * Threads: start children from the main thread (the parent-death signal follows the thread); a
 *          child belongs to that thread. Others may run: between fork and exec nothing of theirs
 *          is touched.
 */

#include "base/status.h"
#include "wire/failure.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

struct dv_child;
struct dv_message;

struct dv_child_options {
    const char *role;    /* "worker" */
    const char *program; /* NULL: this one */
    int interrupt_fd;    /* when readable, receiving ends with DV_CANCELLED; 0: none */
    void *user;
    void (*on_line)(void *user, const char *line); /* a line of its output; may be NULL */
};

/* How a child ended. */
struct dv_child_exit {
    bool is_signal;
    int code;                      /* exit status, or the signal's number */
    enum dv_failure_reason reason; /* of an end that was not exit status 0 */
};

DV_MUST_CHECK enum dv_status dv_child_start(
    const struct dv_child_options *options, struct dv_child **ret_child, struct dv_error *reterr);

/* --- Without waiting ---------------------------------------------------------------------- */

#define DV_CHILD_POLL_COUNT 3

/* What to poll for: its channel, its output, its end. */
void dv_child_watch(
    const struct dv_child *child, struct pollfd ret_fds[static DV_CHILD_POLL_COUNT]);

/* How long poll() may wait: 0 when a message is here already, -1 for ever. */
int dv_child_patience_ms(const struct dv_child *child);

/* Take its output, a bounded part of it; go on with stopping it; notice its end. */
void dv_child_attend(struct dv_child *child);

/* As dv_child_receive(), of what is here; DV_TIMEOUT: nothing now. */
DV_MUST_CHECK enum dv_status dv_child_next(
    struct dv_child *child, struct dv_message *ret_message, struct dv_error *reterr);

/*
 * Send an encoded message, with `passed_fd` (-1: none). DV_TIMEOUT: it does not read. DV_NOT_FOUND:
 * it has closed.
 */
DV_MUST_CHECK enum dv_status dv_child_send_line(
    struct dv_child *child, const char *line, int passed_fd, struct dv_error *reterr);

/*
 * Begin to stop it: a cancel message now, SIGKILL to its group after `grace_ms`, SIGTERM half a
 * second before that (or half-way); dv_child_attend() goes on with it. Asked again, the earlier
 * moments hold.
 */
void dv_child_begin_stop(struct dv_child *child, int grace_ms);

/* Its end, or NULL while it runs; borrowed. Messages may still be there. */
const struct dv_child_exit *dv_child_end(const struct dv_child *child);

/* --- Waiting ------------------------------------------------------------------------------ */

/*
 * Wait for its hello, send the job, wait for its ack, which is the caller's to finish. A failure
 * message instead of the ack is returned as its status and text.
 */
DV_MUST_CHECK enum dv_status dv_child_handshake(struct dv_child *child,
    const struct dv_message *job, struct dv_message *ret_ack, struct dv_error *reterr);

/*
 * The next message, the caller's to finish. DV_TIMEOUT: none came (-1 waits for ever).
 * DV_NOT_FOUND: it has closed its channel and is about to end. DV_CANCELLED: the interrupt
 * descriptor became readable. Anything else: it does not keep to the protocol; stop it.
 */
DV_MUST_CHECK enum dv_status dv_child_receive(struct dv_child *child, int timeout_ms,
    struct dv_message *ret_message, struct dv_error *reterr);

/* Send, waiting up to half a minute for one that does not read. */
DV_MUST_CHECK enum dv_status dv_child_send(struct dv_child *child, const struct dv_message *message,
    int passed_fd, struct dv_error *reterr);

/* The oldest descriptor that came with a message and was not taken, the caller's; or -1. */
int dv_child_take_fd(struct dv_child *child);

/* Wait for its end, dropping what it still says. DV_TIMEOUT: it still runs. */
DV_MUST_CHECK enum dv_status dv_child_wait(struct dv_child *child, int timeout_ms,
    struct dv_child_exit *ret_exit, struct dv_error *reterr);

/* dv_child_begin_stop() and wait for the end. Fine on one that has ended. */
void dv_child_stop(struct dv_child *child, int grace_ms, struct dv_child_exit *ret_exit);

/* Kill what still runs, reap it, let go. NULL is fine; returns NULL. */
struct dv_child *dv_child_destroy(struct dv_child *child);
void dv_child_destroyp(struct dv_child **child);

pid_t dv_child_pid(const struct dv_child *child);

/* "was killed by signal 9 (Killed)", "ended with exit status 3". */
void dv_child_exit_text(const struct dv_child_exit *end, char ret_text[static 80]);

#endif
