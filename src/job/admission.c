/* SPDX-License-Identifier: Apache-2.0 */
#include "job/admission.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "spec/arch.h"
#include "spec/dataset.h"
#include "spec/graph.h"
#include "spec/hyperparameters.h"
#include "spec/limits.h"
#include "spec/problem.h"

#include <assert.h>

#define SUMMARY_SIZE_MAX (64u << 20)
#define WORKER_BYTES (32ull << 20) /* resident, of a worker with a small network: measured */
#define OPTIMIZER_SLOTS 2u
#define CHECKPOINTS 3u /* the last two and the best, each with parameters, state and average */

struct planning {
    struct dv_arena *arena;
    const struct dv_json *spec;
    struct dv_dataset_summary summary;
    struct dv_hyperparameters hyperparameters;
    uint32_t side;
};

static enum dv_status read_summary(
    struct planning *planning, const char *folder, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/dataset.json", folder);
    if (status == DV_OK) {
        status = dv_json_read_file(path, SUMMARY_SIZE_MAX, &json, reterr);
    }
    if (status == DV_OK) {
        status = dv_dataset_summary_parse(json, planning->arena, &planning->summary, reterr);
    }
    return status;
}

/* The platform's own values stand for those that the strategy will choose. */
static enum dv_status read_hyperparameters(struct planning *planning, struct dv_error *reterr)
{
    struct dv_problems problems;

    dv_problems_init(&problems, planning->arena, DV_ARCH_PROBLEMS_MAX);
    planning->hyperparameters = dv_hyperparameters_default();
    enum dv_status status = dv_hyperparameters_merge(&planning->hyperparameters,
        dv_json_get(planning->spec, "hyperparameters"), "/hyperparameters", &problems, reterr);
    if (status != DV_OK) {
        return status;
    }
    int64_t wanted = planning->hyperparameters.image_size;
    planning->side = wanted > 0 ? (uint32_t)wanted : dv_dataset_image_size(&planning->summary);
    return DV_OK;
}

static uint64_t picture_bytes(const struct planning *planning)
{
    return (uint64_t)planning->side * planning->side * planning->summary.channels;
}

/* The network of the job's own architecture; NULL where it leaves that to the strategy. */
static enum dv_status build_graph(const struct planning *planning, struct dv_problems *problems,
    const struct dv_graph **ret_graph, struct dv_error *reterr)
{
    const struct dv_json *json = dv_json_get(planning->spec, "architecture");
    struct dv_shape input = {
        .channels = planning->summary.channels, .rows = planning->side, .columns = planning->side};
    struct dv_arch *arch;
    struct dv_graph *graph = NULL;

    *ret_graph = NULL;
    if (dv_json_is_null(json)) {
        return DV_OK;
    }
    enum dv_status status = dv_arch_parse(json, planning->arena, problems, &arch, reterr);
    if (status == DV_OK) {
        status = dv_graph_build(arch, input, planning->summary.class_count, planning->arena,
            problems, &graph, reterr);
    }
    *ret_graph = graph;
    return status;
}

static enum dv_status read_planning(
    struct planning *planning, const char *dataset_folder, struct dv_error *reterr)
{
    enum dv_status status = read_summary(planning, dataset_folder, reterr);

    return status == DV_OK ? read_hyperparameters(planning, reterr) : status;
}

enum dv_status dv_admission_check_network(const struct dv_json *spec, const char *dataset_folder,
    struct dv_problems *problems, struct dv_error *reterr)
{
    struct planning planning = {.arena = problems->arena, .spec = spec};
    const struct dv_graph *graph;
    size_t count_before = problems->count;

    enum dv_status status = read_planning(&planning, dataset_folder, reterr);
    if (status == DV_OK) {
        status = build_graph(&planning, problems, &graph, reterr);
        dv_problems_prefix(problems, count_before, "/architecture");
    }
    return status;
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t training_bytes(
    const struct planning *planning, const struct dv_graph *graph, int64_t batch_size)
{
    const struct dv_graph_use use = {.batch_size = (uint32_t)batch_size,
        .optimizer_slots = OPTIMIZER_SLOTS,
        .has_ema = planning->hyperparameters.ema > 0.0};

    return saturating_add(WORKER_BYTES, graph ? dv_graph_training_memory(graph, use) : 0);
}

enum dv_status dv_admission_plan(const struct dv_json *spec, const char *dataset_folder,
    struct dv_job_plan *ret_plan, struct dv_error *reterr)
{
    DV_CLEANUP(dv_arena_destroyp) struct dv_arena *arena = dv_arena_create(0);
    struct planning planning = {.arena = arena, .spec = spec};
    const struct dv_graph *graph;
    struct dv_problems problems;

    assert(ret_plan);
    enum dv_status status = read_planning(&planning, dataset_folder, reterr);
    if (status != DV_OK) {
        return status;
    }
    dv_problems_init(&problems, arena, DV_ARCH_PROBLEMS_MAX);
    if (build_graph(&planning, &problems, &graph, NULL) != DV_OK) {
        graph = NULL; /* the worker says what is wrong with it */
    }
    uint64_t values = graph ? graph->parameter_count * (2 + OPTIMIZER_SLOTS) : 0;
    *ret_plan = (struct dv_job_plan){
        .memory_bytes = training_bytes(&planning, graph, planning.hyperparameters.batch_size),
        .memory_least_bytes = training_bytes(&planning, graph, 1),
        .disk_bytes = saturating_add(planning.summary.total_samples * picture_bytes(&planning),
            values * sizeof(float) * CHECKPOINTS)};
    return DV_OK;
}

static enum dv_status refuse(enum dv_status status, const char *what, uint64_t needed,
    uint64_t there, struct dv_error *reterr)
{
    char needed_text[16], there_text[16];

    dv_text_size(needed, needed_text);
    dv_text_size(there, there_text);
    return dv_fail(reterr, status, "training needs about %s of %s, and there are %s", needed_text,
        what, there_text);
}

enum dv_status dv_admission_check(
    const struct dv_job_plan *plan, const struct dv_admission_room *room, struct dv_error *reterr)
{
    assert(plan);
    assert(room);
    bool is_alone = room->memory_planned == 0 && room->disk_planned == 0;
    if (plan->memory_least_bytes > room->memory_bytes) {
        return refuse(DV_NOMEM, "memory", plan->memory_least_bytes, room->memory_bytes, reterr);
    }
    if (!is_alone &&
        saturating_add(plan->memory_bytes, room->memory_planned) > room->memory_bytes) {
        return refuse(DV_UNAVAILABLE, "memory beside the jobs that run", plan->memory_bytes,
            room->memory_bytes > room->memory_planned ? room->memory_bytes - room->memory_planned
                                                      : 0,
            reterr);
    }
    /* What the others have planned they may have written already: then there is more than it seems.
     */
    if (saturating_add(plan->disk_bytes, room->disk_planned) > room->disk_bytes) {
        return refuse(room->disk_planned > 0 ? DV_UNAVAILABLE : DV_NO_SPACE, "disk",
            plan->disk_bytes, room->disk_bytes, reterr);
    }
    return DV_OK;
}
