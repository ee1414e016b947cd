/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_TIME_PROBES_H
#define DV_SPEC_TIME_PROBES_H

/* Which operations a table of times holds. Only spec/time_table.c includes this. */

#include "spec/time_table.h"

#define DV_TIME_PROBES_MAX 640u

/* Fill in `ret_ops`, which has room for DV_TIME_PROBES_MAX. Gives how many there are. */
uint32_t dv_time_probes(struct dv_time_op *ret_ops);

#endif
