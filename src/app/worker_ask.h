/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_WORKER_ASK_H
#define DV_APP_WORKER_ASK_H

/*
 * A worker's questions to a language model, over its channel: the server has them answered
 * (job/asker.h), and the replies come with whatever else it says, at any moment.
 *
 * Life:    dv_worker_ask_init() sets the role's on_message, dv_worker_ask_finish().
 * Threads: one.
 */

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_role;

#define DV_WORKER_QUESTIONS_MAX 8u

struct dv_worker_question {
    int64_t number;
    struct dv_json *reply; /* NULL: it has not come */
};

struct dv_worker_ask {
    struct dv_role *role;
    struct dv_worker_question questions[DV_WORKER_QUESTIONS_MAX]; /* asked and not heard of */
    size_t count;
};

void dv_worker_ask_init(struct dv_worker_ask *self, struct dv_role *role);
void dv_worker_ask_finish(struct dv_worker_ask *self);

/* `ask` and `hear` of struct dv_train_callbacks (train/worker.h). */
DV_MUST_CHECK enum dv_status dv_worker_ask(struct dv_worker_ask *self, int64_t number,
    const char *purpose, const struct dv_json *question, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_worker_hear(struct dv_worker_ask *self, int64_t number,
    int timeout_ms, struct dv_json **ret_reply, struct dv_error *reterr);

#endif
