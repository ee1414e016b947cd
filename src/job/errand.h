/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_ERRAND_H
#define DV_JOB_ERRAND_H

/*
 * An errand is one thing that the supervisor sees to with a child at a time: the training of a job
 * (job/training.h), the ingest of a data set (job/intake.h). The supervisor polls all of them, and
 * calls dv_errand_step() when something came or the errand's patience is at its end. No step waits.
 *
 * Adding an errand: a struct that begins with struct dv_errand, a constant struct
 * dv_errand_impl, and the place in job/supervisor.c where one is created.
 */

#include "base/hash.h"
#include "job/talk.h"

#include <stdbool.h>

struct dv_errand;
struct dv_job_context;

/* What an errand may be told by its supervisor. */
enum dv_errand_order {
    DV_ERRAND_CANCEL,   /* a person wants its end */
    DV_ERRAND_SHUTDOWN, /* the server ends: leave it so that the next one goes on with it */
    DV_ERRAND_FORGET,   /* its row is gone: stop, leave nothing */
};

struct dv_errand_impl {
    /* Required. Do what there is to do; sets `is_over` at the end. */
    void (*step)(struct dv_errand *errand);
    /* Required. How long until it wants to be stepped without anything having come; -1: never. */
    int (*patience_ms)(const struct dv_errand *errand);
    /* Required. Take an order, once of each kind; steps carry it out. */
    void (*order)(struct dv_errand *errand, enum dv_errand_order order);
    /* Required. Frees it, and kills what still runs. */
    void (*destroy)(struct dv_errand *errand);
};

struct dv_errand {
    const struct dv_errand_impl *impl;
    struct dv_job_context *context;
    char id[DV_UUID_TEXT_SIZE]; /* of the job or the data set */
    const char *role;           /* of its child */
    struct dv_talk *talk;       /* NULL: it has no child now */
    const char *helper_role;    /* of a second child, which the errand itself listens to */
    const struct dv_talk *helper; /* NULL: there is none now */
    uint64_t memory_bytes;      /* planned for its child; 0: not worth reckoning with */
    uint64_t disk_bytes;
    bool is_over;
};

void dv_errand_step(struct dv_errand *errand);
int dv_errand_patience_ms(const struct dv_errand *errand);
void dv_errand_order(struct dv_errand *errand, enum dv_errand_order order);

/* NULL is fine; returns NULL. */
struct dv_errand *dv_errand_destroy(struct dv_errand *errand);

/* The shorter of two waiting times, of which -1 is for ever. */
int dv_errand_least_ms(int a_ms, int b_ms);

#endif
