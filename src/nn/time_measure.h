/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_TIME_MEASURE_H
#define DV_NN_TIME_MEASURE_H

/*
 * The table of times (spec/time_table.h) of this machine: measured once, in some ten seconds, and
 * kept beside the plans that were measured. One for each processor, instruction set, backend,
 * version of its library and number of threads. Of one thread the processor's time is measured,
 * which others on the machine disturb less.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_arena;
struct dv_backend_impl; /* dv_backend_find() of nn/backend.h */
struct dv_time_table;

/* Told before each operation how many are done. False: stop. */
struct dv_time_watcher {
    bool (*go_on)(void *user, uint32_t done, uint32_t count);
    void *user;
};

/* Measure it. `watcher` may be NULL. DV_CANCELLED: it said so. */
DV_MUST_CHECK enum dv_status dv_time_measure(const struct dv_backend_impl *backend,
    uint32_t thread_count, const struct dv_time_watcher *watcher, struct dv_arena *arena,
    struct dv_time_table **ret_table, struct dv_error *reterr);

/*
 * The table kept in `cache_folder`, or a new one, which is then kept there. What cannot be read is
 * measured anew and written over.
 */
DV_MUST_CHECK enum dv_status dv_time_measure_cached(const char *cache_folder,
    const struct dv_backend_impl *backend, uint32_t thread_count,
    const struct dv_time_watcher *watcher, struct dv_arena *arena, struct dv_time_table **ret_table,
    struct dv_error *reterr);

#endif
