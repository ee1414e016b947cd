/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_MEMORY_FAULT_H
#define DV_BASE_MEMORY_FAULT_H

/*
 * A library that does not look at what its allocation returned dies of a fault where a process of
 * ours would have said that there is no memory: oneDNN, for example, when there is none for the
 * code it generates. Whoever started the process must know the one death from the other.
 */

/*
 * From now on a fault or an abort() with next to no memory left says "dv: out of memory" on the
 * standard error before it takes its course. Once per process; the limit may be set later.
 */
void dv_memory_fault_watch(void);

#endif
