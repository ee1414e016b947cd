/* SPDX-License-Identifier: Apache-2.0 */
#include "train/worker.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "pack/pack.h"
#include "spec/hyperparameters.h"
#include "spec/job_spec.h"
#include "spec/limits.h"
#include "spec/problem.h"
#include "train/orchestrator.h"
#include "train/report.h"
#include "train/salvage.h"
#include "train/search/search.h"
#include "train/strategy.h"
#include "train/task.h"

#include <assert.h>
#include <unistd.h>

#define DATASET_JSON_SIZE_MAX (64u << 20)

const char *const *dv_train_strategy_names(void)
{
    return dv_strategy_names();
}

struct dv_json *dv_train_describe(void)
{
    struct dv_json *list = dv_json_array();
    struct dv_hyperparameters defaults = dv_hyperparameters_default();
    const struct dv_strategy *strategy;

    for (size_t i = 0; (strategy = dv_strategy_at(i)) != NULL; i++) {
        struct dv_json *item = dv_json_object();
        dv_json_set_string(item, "name", dv_strategy_name(strategy));
        dv_json_set_string(item, "title", dv_strategy_title(strategy));
        dv_json_set_bool(item, "can_run", true);
        dv_json_set(item, "reason", dv_json_null());
        dv_json_set(item, "hyperparameters", dv_hyperparameters_catalogue(&defaults));
        dv_json_append(list, item);
    }
    return list;
}

static enum dv_status read_job(
    const struct dv_json *json, struct dv_train_task *task, struct dv_error *reterr)
{
    /* Whether there is a language model the server has judged. */
    struct dv_capabilities capabilities = {
        .strategies = dv_train_strategy_names(), .has_llm = true};
    struct dv_job_spec *job = NULL;
    struct dv_problems problems;

    dv_problems_init(&problems, task->arena, DV_ARCH_PROBLEMS_MAX);
    enum dv_status status =
        dv_job_spec_parse(json, &capabilities, task->arena, &problems, &job, reterr);
    if (status == DV_INVALID && problems.count > 0) {
        return dv_task_fail_problem(&problems, reterr);
    }
    if (status == DV_OK) {
        task->job = job;
    }
    return status;
}

static enum dv_status read_dataset(
    const char *folder, struct dv_train_task *task, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_dataset_summary *summary = dv_arena_alloc(task->arena, sizeof(*summary));
    char path[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(path, reterr, "%s/dataset.json", folder);
    if (status == DV_OK) {
        status = dv_json_read_file(path, DATASET_JSON_SIZE_MAX, &json, reterr);
    }
    if (status == DV_OK) {
        status = dv_dataset_summary_parse(json, task->arena, summary, reterr);
    }
    if (status == DV_OK) {
        task->dataset = summary;
    }
    return status;
}

/* The summary and the pack must tell of the same classes: labels are numbers into both. */
static enum dv_status check_classes(const struct dv_train_task *task, struct dv_error *reterr)
{
    uint32_t count = dv_pack_class_count(task->pack);

    if (count != task->dataset->class_count) {
        return dv_fail(reterr, DV_CORRUPT, "the data set's summary has %u classes, its pack %u",
            task->dataset->class_count, count);
    }
    for (uint32_t c = 0; c < count; c++) {
        const char *name = dv_pack_class_name(task->pack, c);
        if (strcmp(name, task->dataset->classes[c].name) != 0) {
            return dv_fail(reterr, DV_CORRUPT,
                "class %u is '%s' in the data set's summary and '%s' in its pack", c,
                task->dataset->classes[c].name, name);
        }
    }
    return DV_OK;
}

static uint32_t count_processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (uint32_t)count : 1;
}

static enum dv_status run(
    struct dv_train_task *task, struct dv_json **ret_result, struct dv_error *reterr)
{
    const struct dv_strategy *strategy = NULL;
    struct dv_trained trained = {0};

    enum dv_status status = dv_orchestrator_run(task, &strategy, &trained, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_report_make(task, dv_strategy_name(strategy), &trained, ret_result, reterr);
    dv_trained_finish(&trained);
    return status;
}

/* The job and its data set's description: what every kind of work begins with. */
static enum dv_status open_task(
    const struct dv_train_options *options, struct dv_train_task *ret_task, struct dv_error *reterr)
{
    struct dv_train_task task = {
        .options = options, .backend = "onednn", .iteration = 1, .rate_scale = 1.0};

    assert(options);
    assert(options->job);
    assert(options->job_folder);
    assert(options->model_folder);

    task.thread_count = options->thread_count > 0 ? options->thread_count : count_processors();
    task.arena = dv_arena_create(0);
    enum dv_status status = dv_folder_make(options->job_folder, reterr);
    if (status == DV_OK) {
        status = read_job(options->job, &task, reterr);
    }
    if (status == DV_OK) {
        status = read_dataset(options->dataset_folder, &task, reterr);
    }
    if (status != DV_OK) {
        dv_arena_destroy(task.arena);
        return status;
    }
    *ret_task = task;
    return DV_OK;
}

enum dv_status dv_train_run(
    const struct dv_train_options *options, struct dv_json **ret_result, struct dv_error *reterr)
{
    struct dv_pack *pack = NULL;
    struct dv_train_task task;

    assert(ret_result);
    enum dv_status status = open_task(options, &task, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_pack_open(options->dataset_folder, &pack, reterr);
    task.pack = pack;
    if (status == DV_OK) {
        status = check_classes(&task, reterr);
    }
    if (status == DV_OK) {
        status = run(&task, ret_result, reterr);
    }
    dv_pack_close(pack);
    dv_arena_destroy(task.arena);
    return status;
}

enum dv_status dv_train_salvage(
    const struct dv_train_options *options, struct dv_json **ret_result, struct dv_error *reterr)
{
    const char *strategy_name = NULL;
    struct dv_trained trained = {0};
    struct dv_train_task task;

    assert(ret_result);
    enum dv_status status = open_task(options, &task, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_search_is_there(options->job_folder)
                 ? dv_search_salvage(&task, &strategy_name, &trained, reterr)
                 : dv_salvage_read(&task, &strategy_name, &trained, reterr);
    if (status == DV_OK) {
        status = dv_report_make_partial(&task, strategy_name, &trained, ret_result, reterr);
        dv_trained_finish(&trained);
    }
    dv_arena_destroy(task.arena);
    return status;
}
