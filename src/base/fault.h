/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_FAULT_H
#define DV_BASE_FAULT_H

/*
 * Fault points: named places that a test can make fail. A test arms one point for its n-th call
 * from now, runs, and repeats with n + 1 until the run succeeds; whatever n was, nothing may leak
 * or be left half-made. Unarmed, a point costs one load.
 *
 * Threads: arm from one thread while no other runs; points may be hit from any.
 */

#include <stdbool.h>

/* Make the `nth` call (from 1) of the point `name` fail, once. */
void dv_fault_arm(const char *name, unsigned nth);

/* Forget what was armed; true if it had been hit. */
bool dv_fault_disarm(void);

/* At the point itself: true if this call must fail. */
bool dv_fault_hits(const char *name);

#endif
