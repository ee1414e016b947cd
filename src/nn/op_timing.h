/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_OP_TIMING_H
#define DV_NN_OP_TIMING_H

/*
 * How long one op takes, forward and (training) backward, on made-up numbers: what the choice of
 * layouts and the table of times are made of.
 */

#include "nn/backend_impl.h"

/* What an op that is not possible, or only on a fallback kernel, is said to take. */
#define DV_OP_TIMING_FALLBACK 1e6

/* {0} to begin with. */
struct dv_op_timing {
    bool is_processor_time; /* of one thread: what others on the machine take does not count */
    void *memory;           /* that ops are measured in, as large as the largest needed */
    size_t size;
};
void dv_op_timing_finish(struct dv_op_timing *timing);

/*
 * Best of some runs, on as many threads as OpenMP is set to. DV_NOMEM and what op_create()
 * says; DV_UNSUPPORTED is DV_OK and DV_OP_TIMING_FALLBACK.
 */
DV_MUST_CHECK enum dv_status dv_op_timing_measure(struct dv_op_timing *timing,
    const struct dv_backend_impl *backend, const struct dv_op_desc *desc, double *ret_seconds,
    struct dv_error *reterr);

/* Seconds on either clock; only differences mean something. */
double dv_op_timing_now(bool is_processor_time);

#endif
