/* SPDX-License-Identifier: Apache-2.0 */
/* In reading order: what an operation is like, predicting one, the table as JSON. */
#include "spec/time_table.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/macro.h"
#include "spec/time_probes.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#define NAME_SIZE 128
#define SECONDS_MAX 1e6 /* what an operation is said to take that is not possible */

/* --- What an operation is like ------------------------------------------------------------ */

/* Operations of different kinds say nothing of each other. */
enum kind_of_conv { CONV_BLOCKED, CONV_OTHER, CONV_FIRST, CONV_GROUPED, CONV_DEPTHWISE };

static uint32_t conv_kind(const struct dv_time_op *op)
{
    uint32_t in = op->input.channels, out = op->output.channels;

    if (op->is_first && op->groups == 1) {
        return CONV_FIRST;
    }
    if (op->groups > 1) {
        return op->groups == in && in == out ? CONV_DEPTHWISE : CONV_GROUPED;
    }
    return in % 16 == 0 && out % 16 == 0 ? CONV_BLOCKED : CONV_OTHER;
}

/* Activations that cost the same. */
static uint32_t act_kind(enum dv_activation act)
{
    switch (act) {
    case DV_ACT_SILU:
    case DV_ACT_SIGMOID:
        return 1;
    case DV_ACT_GELU:
        return 2;
    case DV_ACT_HARDSWISH:
    case DV_ACT_HARDSIGMOID:
        return 3;
    default:
        return 0;
    }
}

static uint32_t kind_of(const struct dv_time_op *op)
{
    switch (op->op) {
    case DV_NODE_CONV:
        return conv_kind(op);
    case DV_NODE_BATCH_NORM:
    case DV_NODE_GROUP_NORM:
    case DV_NODE_ACTIVATION:
        return act_kind(op->act);
    case DV_NODE_POOL:
    case DV_NODE_GLOBAL_POOL:
        return op->pooling;
    default:
        return 0;
    }
}

static double numbers(struct dv_shape shape)
{
    return (double)shape.channels * shape.rows * shape.columns;
}

/* Numbers that go in and come out. */
static double size_of(const struct dv_time_op *op)
{
    return op->batch * (numbers(op->input) * op->input_count + numbers(op->output));
}

static bool has_weights(const struct dv_time_op *op)
{
    return op->op == DV_NODE_CONV || op->op == DV_NODE_LINEAR;
}

static double work_of(const struct dv_time_op *op)
{
    double taps = op->kernel > 0 ? (double)op->kernel * op->kernel : 1.0;

    return has_weights(op)
               ? op->batch * numbers(op->output) * op->input.channels / op->groups * taps
               : size_of(op);
}

/*
 * Where an operation stands among those of its kind. Times of a unit of work depend on channels
 * most; on the size only where it leaves a cache; twice the kernel or stride is another algorithm.
 */
enum { FEATURES = 6 };

static void features_of(const struct dv_time_op *op, double ret[static FEATURES])
{
    bool is_conv = op->op == DV_NODE_CONV;
    double groups = is_conv ? op->groups : 1;
    double weight = has_weights(op) ? 1.0 : 0.25;

    ret[0] = 0.25 * log2(size_of(op));
    ret[1] = weight * log2(op->input.channels / groups);
    ret[2] = weight * log2(op->output.channels / groups);
    ret[3] = 2.0 * log2(op->kernel > 0 ? op->kernel : 1);
    ret[4] = is_conv ? 2.0 * log2(op->stride) + 0.25 * log2(groups) : 0.0;
    ret[5] = op->output.channels % 16 == 0 ? 0.0 : 2.0; /* whole vectors, or parts of one */
}

/* --- Predicting --------------------------------------------------------------------------- */

double dv_time_table_predict(const struct dv_time_table *table, const struct dv_time_op *op)
{
    double here[FEATURES], there[FEATURES];
    double weights = 0.0, sum = 0.0;

    assert(table);
    assert(op);
    features_of(op, here);
    for (uint32_t i = 0; i < table->point_count; i++) {
        const struct dv_time_point *point = &table->points[i];
        double distance = 1e-9;
        if (point->op.op != op->op || kind_of(&point->op) != kind_of(op)) {
            continue;
        }
        features_of(&point->op, there);
        for (int f = 0; f < FEATURES; f++) {
            distance += (here[f] - there[f]) * (here[f] - there[f]);
        }
        weights += 1.0 / distance;
        sum += log(point->seconds / work_of(&point->op)) / distance;
    }
    return weights > 0.0 ? exp(sum / weights) * work_of(op) : 0.0;
}

/* --- The table as JSON -------------------------------------------------------------------- */

struct dv_time_table *dv_time_table_create(struct dv_arena *arena)
{
    struct dv_time_table *table = dv_arena_alloc(arena, sizeof(*table));
    struct dv_time_op *ops = dv_arena_array(arena, DV_TIME_PROBES_MAX, sizeof(*ops));

    table->point_count = dv_time_probes(ops);
    table->points = dv_arena_array(arena, table->point_count, sizeof(*table->points));
    for (uint32_t i = 0; i < table->point_count; i++) {
        table->points[i].op = ops[i];
    }
    return table;
}

/* "conv 3x3/2 16 of 64,32,32 to 64,16,16 in 4 groups": no two operations of a table share one. */
static void name_op(const struct dv_time_op *op, char ret_name[static NAME_SIZE])
{
    (void)snprintf(ret_name, NAME_SIZE,
        "%s %ux%u/%u %u of %u x %u,%u,%u to %u,%u,%u groups %u act %d pool %d",
        dv_node_op_name(op->op), op->kernel, op->kernel, op->stride, op->batch, op->input_count,
        op->input.channels, op->input.rows, op->input.columns, op->output.channels, op->output.rows,
        op->output.columns, op->groups, (int)op->act, (int)op->pooling);
}

struct dv_json *dv_time_table_to_json(const struct dv_time_table *table)
{
    struct dv_json *json = dv_json_object();
    struct dv_json *seconds = dv_json_object();
    char name[NAME_SIZE];

    for (uint32_t i = 0; i < table->point_count; i++) {
        name_op(&table->points[i].op, name);
        dv_json_set_number(seconds, name, table->points[i].seconds);
    }
    dv_json_set_number(json, "parameter_seconds", table->parameter_seconds);
    dv_json_set(json, "seconds", seconds);
    return json;
}

static bool is_time(double seconds)
{
    return seconds > 0.0 && seconds <= SECONDS_MAX;
}

enum dv_status dv_time_table_read(
    struct dv_time_table *table, const struct dv_json *json, struct dv_error *reterr)
{
    const struct dv_json *seconds = dv_json_get(json, "seconds");
    double parameter_seconds = dv_json_get_number(json, "parameter_seconds", 0.0);
    char name[NAME_SIZE];

    if (!is_time(parameter_seconds)) {
        return dv_fail(reterr, DV_INVALID, "a table of times without \"parameter_seconds\"");
    }
    for (uint32_t i = 0; i < table->point_count; i++) {
        name_op(&table->points[i].op, name);
        if (!is_time(dv_json_get_number(seconds, name, 0.0))) {
            return dv_fail(reterr, DV_INVALID, "a table of times without \"%s\"", name);
        }
    }
    table->parameter_seconds = parameter_seconds;
    for (uint32_t i = 0; i < table->point_count; i++) {
        name_op(&table->points[i].op, name);
        table->points[i].seconds = dv_json_get_number(seconds, name, 0.0);
    }
    return DV_OK;
}
