/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/op_timing.h"

#include "base/alloc.h"

#include <assert.h>
#include <string.h>
#include <time.h>

/* The first warms up; the best of the rest counts. Short ones are tried more often. */
enum { RUNS = 4, RUNS_MAX = 20 };
static const double short_seconds = 2e-3;

double dv_op_timing_now(bool is_processor_time)
{
    struct timespec now;

    (void)clock_gettime(is_processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* One block that holds everything an op touches, cut into parts. */
struct bench {
    char *memory;
    size_t size;
    size_t used;
};

static void *part(struct bench *bench, size_t size)
{
    void *start = bench->memory + bench->used;

    bench->used += (size + 63) / 64 * 64;
    assert(bench->used <= bench->size);
    return start;
}

/* Between -1 and 1, in no order: zeros are what a processor guesses right. */
static const float *made_up(struct bench *bench, size_t floats)
{
    float *values = part(bench, floats * sizeof(float));

    for (size_t i = 0; i < floats; i++) {
        int32_t mixed = (int32_t)((uint32_t)i * 2654435769u); /* Knuth's multiplicative hash */
        values[i] = (float)mixed * 0x1p-31f;
    }
    return values;
}

static size_t bytes_for(const struct dv_op *op)
{
    size_t size =
        op->saved_size + op->scratch_size + 2 * dv_op_output_floats(&op->desc) * sizeof(float);

    for (uint32_t k = 0; k < op->desc.input_count; k++) {
        size += 2 * dv_op_input_floats(&op->desc, k) * sizeof(float);
    }
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        size += 2 * op->tensor_floats[role] * sizeof(float);
    }
    return size + 64 * 32; /* rounding up of each part */
}

static struct dv_op_args cut_arguments(const struct dv_op *op, struct bench *bench)
{
    struct dv_op_args a = {.is_inference = !op->desc.is_training};

    for (uint32_t k = 0; k < op->desc.input_count; k++) {
        size_t floats = dv_op_input_floats(&op->desc, k);
        a.inputs[k] = made_up(bench, floats);
        a.input_gradients[k] =
            op->desc.needs_input_gradient ? part(bench, floats * sizeof(float)) : NULL;
    }
    a.output = part(bench, dv_op_output_floats(&op->desc) * sizeof(float));
    a.output_gradient = made_up(bench, dv_op_output_floats(&op->desc));
    for (int role = 0; role < DV_TENSOR_ROLE_COUNT; role++) {
        a.tensors[role] = part(bench, op->tensor_floats[role] * sizeof(float));
        memset(a.tensors[role], 0, op->tensor_floats[role] * sizeof(float));
        a.tensor_gradients[role] = part(bench, op->tensor_floats[role] * sizeof(float));
    }
    a.saved = part(bench, op->saved_size);
    a.scratch = part(bench, op->scratch_size);
    return a;
}

static double best_run(const struct dv_op_timing *timing, const struct dv_backend_impl *backend,
    struct dv_op *op, const struct dv_op_args *arguments)
{
    double best = DV_OP_TIMING_FALLBACK;
    double begin = dv_op_timing_now(timing->is_processor_time);
    double start = begin;

    for (int run = 0; run < RUNS || (run < RUNS_MAX && start - begin < short_seconds); run++) {
        backend->op_forward(op, arguments);
        if (op->desc.is_training) {
            backend->op_backward(op, arguments);
        }
        double end = dv_op_timing_now(timing->is_processor_time);
        best = run > 0 && end - start < best ? end - start : best;
        start = end;
    }
    return best;
}

void dv_op_timing_finish(struct dv_op_timing *timing)
{
    timing->memory = dv_free(timing->memory);
    timing->size = 0;
}

static enum dv_status make_room(struct dv_op_timing *timing, size_t size, struct dv_error *reterr)
{
    if (size <= timing->size) {
        return DV_OK;
    }
    dv_op_timing_finish(timing);
    enum dv_status status = dv_try_alloc_aligned(size, &timing->memory, reterr);
    timing->size = status == DV_OK ? size : 0;
    return status;
}

enum dv_status dv_op_timing_measure(struct dv_op_timing *timing,
    const struct dv_backend_impl *backend, const struct dv_op_desc *desc, double *ret_seconds,
    struct dv_error *reterr)
{
    struct dv_op *op = NULL;
    struct bench bench = {0};

    enum dv_status status = backend->op_create(desc, &op, reterr);
    if (status == DV_UNSUPPORTED || (status == DV_OK && op->is_fallback)) {
        backend->op_destroy(op);
        *ret_seconds = DV_OP_TIMING_FALLBACK;
        return DV_OK;
    }
    if (status != DV_OK) {
        return status;
    }
    bench.size = bytes_for(op);
    status = make_room(timing, bench.size, reterr);
    bench.memory = timing->memory;
    if (status == DV_OK) {
        struct dv_op_args arguments = cut_arguments(op, &bench);
        *ret_seconds = best_run(timing, backend, op, &arguments);
    }
    backend->op_destroy(op);
    return status;
}
