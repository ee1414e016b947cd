/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_ROLE_H
#define DV_APP_ROLE_H

/*
 * The frame of every role: say hello, take the job, lock in, acknowledge, work, say how it ended.
 * The role may read the job's `source`, `dataset_folder` and `model_folder`, and write its
 * `job_folder` and `cache_folder`; nothing else.
 *
 * Adding a role `foo`: app/role_foo.c with a struct dv_role_impl and dv_role_foo(), listed in
 * app/command.h and app/main.c.
 */

#include "base/log.h"
#include "base/sandbox.h"
#include "base/status.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_channel;
struct dv_json;

struct dv_role {
    struct dv_channel *channel;
    const struct dv_message_job *job;
    bool is_cancelled;         /* asked to stop, or the parent has gone */
    uint64_t last_progress_ns; /* when one was sent last */

    /* Optional: what the parent says beside cancel, whenever it is listened to. Borrowed. */
    void (*on_message)(struct dv_role *role, const struct dv_message *message);
    void *user;
};

struct dv_role_impl {
    const char *name;
    struct dv_sandbox_options sandbox; /* `readable`: what it reads whatever the job says */

    /* Required. The result is the caller's; it may be NULL for an empty one. */
    enum dv_status (*run)(
        struct dv_role *role, struct dv_json **ret_result, struct dv_error *reterr);
};

/* Play the role to its end; the process's exit status. */
int dv_role_play(const struct dv_role_impl *impl);

/* Send, at most ten a second unless `must_arrive`. Failures make the role cancelled. */
void dv_role_progress(
    struct dv_role *role, const struct dv_message_progress *progress, bool must_arrive);
void dv_role_log(struct dv_role *role, enum dv_log_level level, const char *text);
void dv_role_send(struct dv_role *role, const struct dv_message *message);

/* The same, for what may be DV_TOO_LARGE for a message: that was not sent, and all goes on. */
DV_MUST_CHECK enum dv_status dv_role_try_send(
    struct dv_role *role, const struct dv_message *message, struct dv_error *reterr);

/* The same with a document riding along, for what must arrive (base/memory_file.h). */
DV_MUST_CHECK enum dv_status dv_role_send_document(struct dv_role *role,
    const struct dv_message *message, const struct dv_json *document, struct dv_error *reterr);

/* Has the parent asked to stop, or gone? Quick enough for every step. */
bool dv_role_is_cancelled(struct dv_role *role);

/* Listen for up to `timeout_ms` (-1: until it says something). DV_TIMEOUT, DV_CANCELLED. */
DV_MUST_CHECK enum dv_status dv_role_listen(
    struct dv_role *role, int timeout_ms, struct dv_error *reterr);

#endif
