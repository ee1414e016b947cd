/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_MACHINE_H
#define DV_APP_MACHINE_H

/* What this process may use of the machine it runs on. */

#include "base/status.h"

#include <stdint.h>

/* Processors that this process may run on; at least 1. */
int64_t dv_machine_processors(void);

/*
 * Bytes of private memory a worker may take, from DV_WORKER_MEMORY; 0: what the machine has.
 * DV_INVALID: it is no number of bytes.
 */
DV_MUST_CHECK enum dv_status dv_machine_worker_memory(int64_t *ret_size, struct dv_error *reterr);

#endif
