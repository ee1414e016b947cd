/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_SESSION_H
#define DV_APP_SESSION_H

/*
 * The surroundings of one command that works on DATA: the folder, how to speak, when to stop; and
 * the one way to have a role do something.
 */

#include "app/command.h"
#include "app/data_folder.h"
#include "app/progress_view.h"
#include "job/child.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_session {
    struct dv_data_folder folder;
    struct dv_progress_view view;
    bool is_json;
    bool has_events; /* --json prints what happens, not the result alone */
    int interrupt_fd;
    int64_t thread_count; /* processors this process may use */
    int64_t memory_max;   /* bytes a worker may use, from DV_WORKER_MEMORY; 0: the machine's */
};

DV_MUST_CHECK enum dv_status dv_session_open(const struct dv_common_options *common,
    struct dv_session *ret_session, struct dv_error *reterr);
void dv_session_close(struct dv_session *session);

/* With --json print events from now on; at first only a command's result is printed. */
void dv_session_print_events(struct dv_session *session);

/* Has someone asked this command to stop? */
bool dv_session_is_interrupted(const struct dv_session *session);

/* What a role is asked to do, and who listens. */
struct dv_role_call {
    const char *role;
    struct dv_message_job job;
    uint64_t deadline_ns; /* monotonic; 0: none */
    void *user;
    /*
     * Optional: what we have to say once it has taken the job. DV_NOT_FOUND and DV_CORRUPT, when it
     * closes its channel meanwhile, leave it to its end to tell why.
     */
    enum dv_status (*converse)(void *user, struct dv_child *child, struct dv_error *reterr);
    void (*on_progress)(void *user, const struct dv_message_progress *progress); /* optional */
    void (*on_findings)(void *user, const struct dv_json *counts);               /* optional */
};

/* How it went when it went wrong. */
struct dv_role_outcome {
    enum dv_failure_reason reason;
    bool has_died; /* by a signal: starting it again may help */
    struct dv_child_exit end;
};

/*
 * Start the role, have it work, wait for its end. DV_OK: it said result and ended well.
 * DV_CANCELLED: we were interrupted. DV_TIMEOUT: the deadline passed. Both leave it stopped.
 * Its log lines and output go to standard error, or as objects of type `log` with --json.
 */
DV_MUST_CHECK enum dv_status dv_role_call(struct dv_session *session,
    const struct dv_role_call *call, struct dv_role_outcome *ret_outcome, struct dv_error *reterr);

/*
 * A line for people on standard error, or, where --json prints events, an object of type `log`.
 */
void dv_session_say(struct dv_session *session, const char *level, const char *text);

#endif
