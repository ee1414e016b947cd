/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/time_measure.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "nn/kernels.h"
#include "nn/op_timing.h"
#include "nn/optimizer.h"
#include "spec/time_table.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#define TABLE_SIZE_MAX (1u << 20)
#define KEY_TEXT_SIZE 33 /* 16 bytes of the hash are enough to tell machines apart */
#define PARAMETERS (4u << 20)
#define OPTIMIZER_RUNS 4

/* --- Measuring ---------------------------------------------------------------------------- */

static struct dv_op_desc desc_of(const struct dv_time_op *op, enum dv_layout layout)
{
    struct dv_op_desc desc = {.op = op->op,
        .batch = op->batch,
        .input_count = op->input_count,
        .output = op->output,
        .kernel = op->kernel,
        .stride = op->stride,
        .padding = op->op == DV_NODE_CONV || op->kernel == 3 ? op->kernel / 2 : 0,
        .groups = op->groups,
        .pooling = op->pooling,
        .drop = 0.2,
        .act = op->act,
        .layout = layout,
        .layout_out = layout,
        .is_training = true,
        .needs_input_gradient = !op->is_first};

    for (uint32_t k = 0; k < op->input_count; k++) {
        desc.inputs[k] = op->input;
    }
    if (op->op == DV_NODE_SCALE) {
        desc.inputs[desc.input_count++] = (struct dv_shape){op->input.channels, 1, 1};
    }
    return desc;
}

/* Of both layouts the better, as a network would choose. */
static enum dv_status measure_op(struct dv_op_timing *timing, const struct dv_backend_impl *backend,
    const struct dv_time_op *op, double *ret_seconds, struct dv_error *reterr)
{
    bool is_blocked = backend->has_blocked_layout && op->op != DV_NODE_LINEAR &&
                      op->op != DV_NODE_FLATTEN && op->op != DV_NODE_DROPOUT &&
                      op->input.channels % DV_LAYOUT_BLOCK == 0 &&
                      op->output.channels % DV_LAYOUT_BLOCK == 0;
    struct dv_op_desc desc = desc_of(op, DV_LAYOUT_NHWC);
    double blocked = DV_OP_TIMING_FALLBACK;

    enum dv_status status = dv_op_timing_measure(timing, backend, &desc, ret_seconds, reterr);
    if (status == DV_OK && is_blocked) {
        desc = desc_of(op, DV_LAYOUT_BLOCKED);
        status = dv_op_timing_measure(timing, backend, &desc, &blocked, reterr);
    }
    *ret_seconds = status == DV_OK ? fmin(*ret_seconds, blocked) : 0.0;
    return status;
}

static enum dv_status measure_optimizer(
    bool is_processor_time, double *ret_parameter_seconds, struct dv_error *reterr)
{
    struct dv_optimizer_options options = {
        .kind = DV_OPTIMIZER_ADAMW, .count = PARAMETERS, .momentum = 0.9, .weight_decay = 0.01};
    DV_CLEANUP(dv_freep) void *memory = NULL;
    struct dv_optimizer *optimizer = NULL;
    double best = DV_OP_TIMING_FALLBACK;

    enum dv_status status =
        dv_try_alloc_aligned(3 * (size_t)PARAMETERS * sizeof(float), &memory, reterr);
    float *parameters = memory;
    options.decay_mask = status == DV_OK ? parameters + 2 * (size_t)PARAMETERS : NULL;
    if (status == DV_OK) {
        status = dv_optimizer_create(&options, &optimizer, reterr);
    }
    for (int run = 0; run < OPTIMIZER_RUNS && status == DV_OK; run++) {
        double start = dv_op_timing_now(is_processor_time);
        dv_optimizer_step(optimizer, 1e-3, parameters, parameters + PARAMETERS);
        best = fmin(best, dv_op_timing_now(is_processor_time) - start);
    }
    dv_optimizer_destroy(optimizer);
    *ret_parameter_seconds = best / PARAMETERS;
    return status;
}

enum dv_status dv_time_measure(const struct dv_backend_impl *backend, uint32_t thread_count,
    const struct dv_time_watcher *watcher, struct dv_arena *arena, struct dv_time_table **ret_table,
    struct dv_error *reterr)
{
    assert(backend);
    assert(thread_count > 0);
    assert(ret_table);
    omp_set_num_threads((int)thread_count);
    struct dv_time_table *table = dv_time_table_create(arena);
    struct dv_op_timing timing = {.is_processor_time = thread_count == 1};
    enum dv_status status =
        measure_optimizer(timing.is_processor_time, &table->parameter_seconds, reterr);
    for (uint32_t i = 0; i < table->point_count && status == DV_OK; i++) {
        struct dv_time_point *point = &table->points[i];
        status = watcher && !watcher->go_on(watcher->user, i, table->point_count)
                     ? dv_fail(reterr, DV_CANCELLED, "stopped while the machine was measured")
                     : measure_op(&timing, backend, &point->op, &point->seconds, reterr);
    }
    dv_op_timing_finish(&timing);
    if (status == DV_OK) {
        *ret_table = table;
    }
    return status;
}

/* --- Keeping ------------------------------------------------------------------------------ */

/* "model name : AMD EPYC ..." of the first processor, or "" where it cannot be read. */
static void read_processor_name(char *ret_name, size_t size)
{
    DV_CLEANUP(dv_freep) char *text = NULL;
    size_t text_size;

    ret_name[0] = '\0';
    if (dv_file_read("/proc/cpuinfo", TABLE_SIZE_MAX, &text, &text_size, NULL) != DV_OK) {
        return;
    }
    const char *line = strstr(text, "model name");
    if (line) {
        size_t length = strcspn(line, "\n");
        (void)snprintf(ret_name, size, "%.*s", (int)length, line);
    }
}

static enum dv_status make_path(const char *folder, const struct dv_backend_impl *backend,
    uint32_t thread_count, char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    unsigned char digest[DV_SHA256_SIZE];
    char processor[256], library[64] = "", name[KEY_TEXT_SIZE];

    read_processor_name(processor, sizeof(processor));
    if (backend->library) {
        backend->library(library, sizeof(library));
    }
    DV_CLEANUP(dv_freep)
    char *key = dv_strprintf("times/%s/%s/%s/%u/%s", backend->name, library, dv_kernels()->name,
        thread_count, processor);
    dv_sha256(key, strlen(key), digest);
    dv_text_hex(digest, (KEY_TEXT_SIZE - 1) / 2, name);
    return dv_path_format(ret_path, reterr, "%s/times-%s.json", folder, name);
}

static bool read_table(const char *path, struct dv_time_table *table)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;

    return dv_json_read_file(path, TABLE_SIZE_MAX, &json, NULL) == DV_OK &&
           dv_time_table_read(table, json, NULL) == DV_OK;
}

enum dv_status dv_time_measure_cached(const char *cache_folder,
    const struct dv_backend_impl *backend, uint32_t thread_count,
    const struct dv_time_watcher *watcher, struct dv_arena *arena, struct dv_time_table **ret_table,
    struct dv_error *reterr)
{
    struct dv_time_table *table = dv_time_table_create(arena);
    char path[DV_PATH_SIZE];

    assert(cache_folder);
    assert(ret_table);
    enum dv_status status = make_path(cache_folder, backend, thread_count, path, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (read_table(path, table)) {
        *ret_table = table;
        return DV_OK;
    }
    status = dv_time_measure(backend, thread_count, watcher, arena, &table, reterr);
    if (status == DV_OK) {
        status = dv_folder_make(cache_folder, reterr);
    }
    if (status == DV_OK) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *json = dv_time_table_to_json(table);
        DV_CLEANUP(dv_freep) char *text = dv_json_print_pretty(json);
        status = dv_file_write(path, text, strlen(text), reterr);
    }
    if (status == DV_OK) {
        *ret_table = table;
    }
    return status;
}
