/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_CONTEXT_H
#define DV_JOB_CONTEXT_H

/*
 * What everything that one supervisor does has in common. Only src/job includes this.
 */

#include "job/gate.h"

#include <stdint.h>

struct dv_json;
struct dv_store;
struct dv_sweeper;

struct dv_job_context {
    struct dv_store *store;
    struct dv_gate gate;
    struct dv_sweeper *sweeper;
    const char *data_folder;
    const char *program;      /* NULL: this one */
    int64_t thread_count;     /* of a worker, where its job does not say; never 0 */
    int64_t memory_max;       /* bytes of a worker; 0: what the machine has */
    uint32_t silence_seconds; /* after which a child is looked at more closely */
    const struct dv_json *llm_settings; /* what `dv llm` takes; NULL: there is no endpoint */
    int llm_key_fd;                     /* a sealed file in memory; -1: there is no key */
    struct dv_json *llm_memory;         /* what was learned of it; NULL: nothing yet */
};

#endif
