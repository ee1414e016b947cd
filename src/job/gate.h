/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_GATE_H
#define DV_JOB_GATE_H

/*
 * Between the supervisor and a store that may be away: after a call that failed for that reason the
 * gate is closed for a while, longer each time, so that a database that is down costs one attempt
 * now and then and not one for every line and figure. What matters is kept by its owner and comes
 * again when the gate is open.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_gate {
    uint64_t open_ns;  /* when to try again; 0: it is open */
    uint32_t delay_ms; /* the last one; 0: the last call went through */
};

bool dv_gate_is_open(const struct dv_gate *gate);

/* How long until it opens; 0 when it is open. */
int dv_gate_patience_ms(const struct dv_gate *gate);

/*
 * Note how a call ended that was made with the gate open. True: the store is away or its disk is
 * full, the call must be made again; `reterr` (may be NULL) says why. What else a status means is
 * the caller's affair.
 */
bool dv_gate_must_wait(struct dv_gate *gate, enum dv_status status, const struct dv_error *reterr);

#endif
