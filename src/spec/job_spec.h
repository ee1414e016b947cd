/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_JOB_SPEC_H
#define DV_SPEC_JOB_SPEC_H

/*
 * A training job as a person asks for it: the body of POST /api/jobs and what `dv train` collects
 * from its options, checked. Choosing the strategy and checking are pure functions of the request
 * and of what this machine can do, so that a bad request is refused at once.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_arena;
struct dv_json;
struct dv_problems;

#define DV_MAX_RESTARTS_DEFAULT 3

struct dv_job_spec {
    const char *dataset_id;
    const char *name;                      /* of the model; NULL: made from the data set's */
    const char *strategy;                  /* as asked for: "auto", "native", ... */
    const struct dv_json *hyperparameters; /* overrides as asked for, or NULL */
    const struct dv_json *architecture;    /* an object, a preset's name, or NULL */
    const char *base_model_id;             /* or NULL */
    const char *replay_of;                 /* a job whose candidates are tried again; or NULL */
    const char *device;                    /* "auto", "cpu" */
    int64_t max_iterations;                /* 0: the strategy's default */
    double target_accuracy;                /* 0: none */
    int64_t timeout_seconds;               /* 0: none */
    int64_t seed;
    int64_t priority;
    int64_t max_restarts;
};

/* What the program knows about itself when it judges a request. */
struct dv_capabilities {
    const char *const *strategies; /* names that this build has, NULL at the end */
    bool has_cuda;
    bool has_llm;
};

/*
 * Read and check a request. Unknown members, wrong types, values out of range, a strategy or a
 * device that is not here, hyperparameters and architectures that are wrong in themselves: all
 * are in `problems`. The result lives in `arena`; its hyperparameters and architecture are
 * borrowed from `json`, which must live as long.
 */
DV_MUST_CHECK enum dv_status dv_job_spec_parse(const struct dv_json *json,
    const struct dv_capabilities *capabilities, struct dv_arena *arena,
    struct dv_problems *problems, struct dv_job_spec **ret_spec, struct dv_error *reterr);

/* The request again, complete: what is stored and sent to the worker. The caller's. */
struct dv_json *dv_job_spec_to_json(const struct dv_job_spec *spec);

/*
 * The strategy that `auto` stands for, or the one named: `search` for a replay, `transfer` when a
 * base model is given, `llm` when an endpoint is configured, `search` when max_iterations is above 1, `native`; the
 * first of them that this build has.
 */
const char *dv_job_spec_strategy(
    const struct dv_job_spec *spec, const struct dv_capabilities *capabilities);

#endif
