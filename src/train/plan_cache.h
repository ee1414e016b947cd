/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_PLAN_CACHE_H
#define DV_TRAIN_PLAN_CACHE_H

/*
 * The engine's measured choices (kernels, layouts): with the job, so that a resumed run computes
 * the same bits, and per machine, so that the same seed gives the same bits again. Measuring
 * anew could choose otherwise.
 */

#include "base/hash.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_arch;
struct dv_json;
struct dv_shape;

struct dv_plan_key {
    const char *backend;
    bool is_training; /* plans for answering only are stored apart */
    char arch_hash[DV_SHA256_TEXT_SIZE];
    uint32_t channels, rows, columns;
    uint32_t class_count;
    uint32_t batch_size;
    uint32_t thread_count;
};

/*
 * The plan of this job (JOB/plan-{batch}.json, or plan-infer-{batch}.json) or else of this machine; NULL when there
 * is none. A file that cannot be read as JSON is as none: choices can be measured again.
 */
struct dv_json *dv_plan_cache_find(
    const char *job_folder, const char *cache_folder, const struct dv_plan_key *key);

/* Store with the job, and with the machine when `cache_folder` is given. */
DV_MUST_CHECK enum dv_status dv_plan_cache_store(const char *job_folder, const char *cache_folder,
    const struct dv_plan_key *key, const struct dv_json *plan, struct dv_error *reterr);

/* Do both plans compute the same bits? */
bool dv_plan_cache_is_same(const struct dv_json *a, const struct dv_json *b);

#endif
