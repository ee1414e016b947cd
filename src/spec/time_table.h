/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_TIME_TABLE_H
#define DV_SPEC_TIME_TABLE_H

/*
 * How long training will take, before it is tried. A table holds what some 500 small operations
 * take on this machine, forward and backward, as nn/time_measure.h has measured them once. Another
 * operation takes its work (multiply-adds of convolutions and linear layers, else numbers that go
 * in and come out) times the seconds for a unit of work of those that are like it in the table:
 * their geometric mean, weighted by nearness in the logarithms of channels, kernel and size
 * (Shepard 1968). A step is the sum over its operations and the optimizer's pass.
 *
 * Within 30 % for most networks: bench/times.c says for how many. Not in it: reading and augmenting
 * pictures, which run beside the step, and copies between layouts.
 */

#include "base/status.h"
#include "spec/graph.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_arena;
struct dv_json;

/* One operation of a training step. */
struct dv_time_op {
    enum dv_node_op op;
    uint32_t batch; /* pictures */
    struct dv_shape input, output;
    uint32_t input_count;
    uint32_t kernel, stride, groups;
    enum dv_activation act; /* of an activation, or applied by a norm */
    enum dv_pooling pooling;
    bool is_first; /* nothing before it is trained: its input wants no gradient */
};

struct dv_time_point {
    struct dv_time_op op;
    double seconds; /* forward and backward of the whole batch */
};

struct dv_time_table {
    struct dv_time_point *points;
    uint32_t point_count;
    double parameter_seconds; /* of an optimizer's step, per parameter */
};

/* The operations to be measured, all of 0 seconds. Lives in `arena`. */
struct dv_time_table *dv_time_table_create(struct dv_arena *arena);

/* {"parameter_seconds": 1e-9, "seconds": {"conv 3x3 ...": 0.001, ...}}; the caller's. */
struct dv_json *dv_time_table_to_json(const struct dv_time_table *table);

/*
 * Fill in what was measured. DV_INVALID: an operation is missing or its time is no time, as in a
 * file of another version or one that was damaged; the table is as it was.
 */
DV_MUST_CHECK enum dv_status dv_time_table_read(
    struct dv_time_table *table, const struct dv_json *json, struct dv_error *reterr);

/* Seconds of one operation. */
double dv_time_table_predict(const struct dv_time_table *table, const struct dv_time_op *op);

/* Seconds of one training step: `batch_size` pictures forward, backward, optimizer. */
double dv_graph_step_seconds(
    const struct dv_graph *graph, uint32_t batch_size, const struct dv_time_table *table);

/* Seconds of all steps over `sample_count` pictures; what does not fill a batch is left out. */
double dv_graph_epoch_seconds(const struct dv_graph *graph, uint32_t batch_size,
    uint64_t sample_count, const struct dv_time_table *table);

#endif
