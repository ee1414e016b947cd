/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_ROLE_CALL_H
#define DV_APP_ROLE_CALL_H

/* The one way in which a command has a role do something for it, on this machine. */

#include "base/status.h"
#include "job/child.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_session;

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

#endif
