/* SPDX-License-Identifier: Apache-2.0 */
#include "train/worker.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/json.h"
#include "format/model_file.h"
#include "pack/pack.h"
#include "train/inference.h"
#include "train/metrics.h"

#include <assert.h>
#include <math.h>
#include <unistd.h>

#define EVALUATE_BATCH 64u

/* The data set's class numbers as the model's, by name. */
static enum dv_status map_classes(const struct dv_pack *pack,
    const struct dv_preprocessing *preprocessing, struct dv_arena *arena, uint32_t **ret_map,
    struct dv_error *reterr)
{
    uint32_t count = dv_pack_class_count(pack);
    uint32_t *map = dv_arena_array(arena, count, sizeof(*map));

    for (uint32_t c = 0; c < count; c++) {
        const char *name = dv_pack_class_name(pack, c);
        uint32_t k = 0;
        while (k < preprocessing->class_count && strcmp(preprocessing->classes[k], name) != 0) {
            k++;
        }
        if (k == preprocessing->class_count) {
            return dv_fail(reterr, DV_INVALID,
                "the data set has a class '%s' that the model does not know", name);
        }
        map[c] = k;
    }
    *ret_map = map;
    return DV_OK;
}

static bool is_asked_for(const struct dv_evaluate_options *options, enum dv_split split)
{
    return options->is_all_splits || split == options->split;
}

static uint64_t count_steps(const struct dv_pack *pack, enum dv_split split)
{
    uint64_t first, count;

    dv_pack_split_range(pack, split, &first, &count);
    return (count + EVALUATE_BATCH - 1) / EVALUATE_BATCH;
}

static enum dv_status measure(const struct dv_evaluate_options *options,
    struct dv_inference *inference, const struct dv_pack *pack, const uint32_t *map,
    struct dv_metrics *metrics, double *ret_seconds, struct dv_error *reterr)
{
    struct dv_inference_split what = {
        .pack = pack, .cache_path = options->cache_path, .label_map = map};
    double seconds = 0.0;

    for (int split = 0; split < DV_SPLIT_COUNT; split++) {
        bool is_counted = is_asked_for(options, (enum dv_split)split);
        what.step_total += is_counted ? count_steps(pack, (enum dv_split)split) : 0;
    }
    for (int split = 0; split < DV_SPLIT_COUNT; split++) {
        double part = 0.0;
        what.split = (enum dv_split)split;
        if (!is_asked_for(options, what.split)) {
            continue;
        }
        enum dv_status status =
            dv_inference_measure(inference, &what, &options->callbacks, metrics, &part, reterr);
        if (status != DV_OK) {
            return status;
        }
        what.step_before += count_steps(pack, what.split);
        seconds += part;
    }
    *ret_seconds = seconds;
    return DV_OK;
}

static struct dv_json *make_result(const struct dv_evaluate_options *options,
    const struct dv_model *model, const struct dv_metrics *metrics, double seconds)
{
    const struct dv_preprocessing *preprocessing = &model->preprocessing;
    struct dv_json *classes = dv_json_array();
    struct dv_json *json = dv_metrics_to_json(metrics, (const char *const *)preprocessing->classes);
    double total = (double)dv_metrics_total(metrics);

    for (uint32_t c = 0; c < preprocessing->class_count; c++) {
        dv_json_append(classes, dv_json_string(preprocessing->classes[c]));
    }
    dv_json_set(json, "classes", classes);
    dv_json_set_string(
        json, "split", options->is_all_splits ? "all" : dv_split_name(options->split));
    dv_json_set_number(json, "seconds", seconds);
    dv_json_set_number(json, "images_per_second", total > 0.0 ? total / seconds : NAN);
    return json;
}

static enum dv_status evaluate(const struct dv_evaluate_options *options, struct dv_arena *arena,
    const struct dv_pack *pack, struct dv_json **ret_result, struct dv_error *reterr)
{
    DV_CLEANUP(dv_inference_destroyp) struct dv_inference *inference = NULL;
    DV_CLEANUP(dv_metrics_destroyp) struct dv_metrics *metrics = NULL;
    struct dv_model *model = NULL;
    uint32_t *map = NULL;
    double seconds = 0.0;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    enum dv_status status = dv_model_read(options->model_folder, arena, &model, reterr);
    if (status == DV_OK) {
        status = map_classes(pack, &model->preprocessing, arena, &map, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    struct dv_inference_options inference_options = {.graph = model->graph,
        .preprocessing = &model->preprocessing,
        .weights = model->values,
        .batch_size = EVALUATE_BATCH,
        .thread_count = options->thread_count > 0 ? options->thread_count
                        : processors > 0          ? (uint32_t)processors
                                                  : 1};
    status = dv_inference_create(&inference_options, &inference, reterr);
    if (status == DV_OK) {
        status = dv_metrics_create(model->preprocessing.class_count, &metrics, reterr);
    }
    if (status == DV_OK) {
        status = measure(options, inference, pack, map, metrics, &seconds, reterr);
    }
    if (status == DV_OK) {
        *ret_result = make_result(options, model, metrics, seconds);
    }
    return status;
}

enum dv_status dv_evaluate_run(
    const struct dv_evaluate_options *options, struct dv_json **ret_result, struct dv_error *reterr)
{
    struct dv_pack *pack = NULL;

    assert(options);
    assert(options->model_folder);
    assert(options->dataset_folder);
    assert(ret_result);

    struct dv_arena *arena = dv_arena_create(0);
    enum dv_status status = dv_pack_open(options->dataset_folder, &pack, reterr);
    if (status == DV_OK) {
        status = evaluate(options, arena, pack, ret_result, reterr);
    }
    dv_pack_close(pack);
    dv_arena_destroy(arena);
    return status;
}
