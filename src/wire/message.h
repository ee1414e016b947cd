/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_WIRE_MESSAGE_H
#define DV_WIRE_MESSAGE_H

/*
 * What a parent and the role it started say to each other: one JSON object a line, its `type` and
 * exactly the fields of that type. Encoding and decoding both follow one table of fields in
 * wire/message.c; a message with a field missing, over, or of another type is refused.
 *
 * The talk: child hello; parent job; child ack; then child progress, log, findings, and at the end
 * result or failure. The parent may send cancel at any time, and to `dv infer` predict, with the
 * picture as a passed descriptor, which is answered by result or failure each time. `dv llm` is first
 * sent secret, then ask as often as there is a question, which is answered by reply each time. A
 * worker that searches says run when a candidate begins and when it has ended, and asks in its turn:
 * it sends ask and the parent reply, in any order and whenever there is one. What is too long for
 * a line rides along as a sealed memory file (base/memory_file.h).
 *
 * Adding a message: a struct and a line in DV_MESSAGE_MAP here, a table of fields in message.c.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_channel;
struct dv_json;

/* clang-format off */
#define DV_MESSAGE_MAP(X)        \
    X(HELLO,    hello)           \
    X(JOB,      job)             \
    X(ACK,      ack)             \
    X(PROGRESS, progress)        \
    X(LOG,      log)             \
    X(FINDINGS, findings)        \
    X(RESULT,   result)          \
    X(FAILURE,  failure)         \
    X(CANCEL,   cancel)          \
    X(PREDICT,  predict)         \
    X(SECRET,   secret)          \
    X(ASK,      ask)             \
    X(REPLY,    reply)           \
    X(RUN,      run)
/* clang-format on */

enum dv_message_type {
#define X(code, name) DV_MESSAGE_##code,
    DV_MESSAGE_MAP(X)
#undef X
        DV_MESSAGE_TYPE_COUNT,
};

/* A text that may be missing is NULL then; a number that is not known is NAN. */

struct dv_message_hello {
    const char *role;
    const char *version;
    int64_t pid;
};

/* What to do and where. Which fields a role reads is said where it is written (app/role_*.c). */
struct dv_message_job {
    const char *kind;              /* "train", "salvage", "evaluate", "ingest" */
    const char *source;            /* optional: what to ingest, or the job's own file */
    const char *dataset_folder;    /* optional */
    const char *model_folder;      /* optional */
    const char *job_folder;        /* optional, writable: what the role makes */
    const char *cache_folder;      /* optional, writable: what it may keep for others */
    const char *previous_failure;  /* optional: why the attempt before this one ended */
    int64_t attempt;               /* higher than those before it: no other of the job has it */
    int64_t thread_count;          /* 0: all processors */
    int64_t memory_max;            /* bytes of private memory; 0: as much as the machine has */
    const struct dv_json *options; /* an object; small, the rest is in the job's folder */
};

/* The role has locked itself in and begins; `not_applied` lists what the machine refused. */
struct dv_message_ack {
    const struct dv_json *not_applied; /* an array of strings */
};

struct dv_message_progress {
    const char *stage;  /* "audit", "decode", "train", "evaluate", ... */
    const char *status; /* a sentence for people, optional */
    int64_t iteration;
    int64_t epoch, epochs;
    int64_t step, steps;
    double loss, accuracy;
    double val_loss, val_accuracy;
    double best_accuracy;
    double learning_rate;
    double images_per_second;
    double eta_seconds;
    double fraction; /* of the whole job, 0..1 */
    bool is_epoch_end;
};

struct dv_message_log {
    const char *level; /* "error", "warning", "info", "debug" */
    const char *text;
};

struct dv_message_findings {
    const struct dv_json *counts; /* {code: count} */
};

struct dv_message_result {
    const struct dv_json *value; /* an object */
};

struct dv_message_failure {
    const char *reason; /* wire/failure.h */
    const char *status; /* dv_status_name() */
    const char *text;
};

struct dv_message_cancel {
    const char *reason; /* optional */
};

/* Classify the picture whose descriptor came along. */
struct dv_message_predict {
    int64_t id; /* comes back in the result */
    int64_t top_k;
};

/* A key, in the sealed memory file that comes along; that is empty when there is none. */
struct dv_message_secret {
    const char *name; /* "llm" */
};

/* A question for a language model. The document that comes along is described in llm/question.h. */
#define DV_MESSAGE_ASK_SIZE_MAX (4u << 20)
struct dv_message_ask {
    int64_t id;          /* comes back in the reply */
    const char *purpose; /* "test", "draft", ...: for the log */
};

/*
 * What became of it. The document that comes along is described in llm/question.h: from `dv llm`
 * with the transcript and what was learned, to a worker the answer alone.
 */
#define DV_MESSAGE_REPLY_SIZE_MAX (16u << 20)
struct dv_message_reply {
    int64_t id;
    const char *outcome; /* dv_llm_outcome_name() */
    const char *reason;  /* optional: why there is no answer; no key is in it */
    const char *model;
    int64_t wait_ms; /* until it may be asked again; -1: not known */
    int64_t prompt_tokens;
    int64_t completion_tokens;
    double dollars;
    int64_t latency_ms;
};

/* Where a candidate of a search stands: the object that comes along (train/worker.h, `run`). */
#define DV_MESSAGE_RUN_SIZE_MAX (4u << 20) /* its history is ten thousand epochs long at most */
struct dv_message_run {
    int64_t iteration;  /* from 1 */
    const char *status; /* "running", "completed", "failed" */
};

struct dv_message {
    enum dv_message_type type;
    union {
#define X(code, name) struct dv_message_##name name;
        DV_MESSAGE_MAP(X)
#undef X
    };
    struct dv_json *document; /* of a decoded message: what its texts and objects live in */
};

/* One line without newline; the caller's (dv_free). The message's document is not used. */
char *dv_message_encode(const struct dv_message *message);

/* DV_INVALID: not a message, or not to the letter. The caller finishes the message. */
DV_MUST_CHECK enum dv_status dv_message_decode(
    const char *line, size_t size, struct dv_message *ret_message, struct dv_error *reterr);

/* Let go of what decoding took; fine on one that was built by hand or is all zero. */
void dv_message_finish(struct dv_message *message);

/* Encode and send, decode what was received: statuses as of the channel and of decoding. */
DV_MUST_CHECK enum dv_status dv_message_send(struct dv_channel *channel,
    const struct dv_message *message, int passed_fd, int timeout_ms, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_message_receive(struct dv_channel *channel, int timeout_ms,
    struct dv_message *ret_message, struct dv_error *reterr);

/* "progress"; never NULL. */
const char *dv_message_type_name(enum dv_message_type type);

#endif
