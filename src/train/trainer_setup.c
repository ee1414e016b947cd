/* SPDX-License-Identifier: Apache-2.0 */
#include "train/trainer_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "data/loader.h"
#include "nn/network.h"
#include "nn/optimizer.h"
#include "spec/graph.h"
#include "spec/preprocessing.h"
#include "train/plan_cache.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>

void dv_trainer_log(
    const struct dv_trainer *trainer, enum dv_log_level level, const char *format, ...)
{
    const struct dv_train_callbacks *callbacks = trainer->options->callbacks;
    char text[512];
    va_list arguments;

    if (!callbacks->log) {
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    callbacks->log(callbacks->user, level, text);
}

static enum dv_status make_loaders(struct dv_trainer *trainer, struct dv_error *reterr)
{
    const struct dv_trainer_options *options = trainer->options;
    struct dv_loader_options loader = {.pack = options->pack,
        .preprocessing = options->preprocessing,
        .cache_path = options->cache_path,
        .split = DV_SPLIT_TRAIN,
        .batch_size = (uint32_t)options->hyperparameters->batch_size,
        .thread_count = options->thread_count,
        .is_shuffled = true,
        .augmentation = options->hyperparameters->augmentation,
        .seed = (uint64_t)options->hyperparameters->seed};

    enum dv_status status = dv_loader_create(&loader, &trainer->train, reterr);
    if (status != DV_OK) {
        return status;
    }
    loader.split = DV_SPLIT_VAL;
    loader.is_shuffled = false;
    loader.augmentation = DV_AUGMENTATION_NONE;
    status = dv_loader_create(&loader, &trainer->val, reterr);
    if (status != DV_OK) {
        return status;
    }
    trainer->epoch_steps = dv_loader_step_count(trainer->train);
    if (trainer->epoch_steps == 0) {
        return dv_fail(reterr, DV_INVALID, "the data set has no training pictures");
    }
    return DV_OK;
}

static enum dv_status make_network(struct dv_trainer *trainer, struct dv_error *reterr)
{
    const struct dv_trainer_options *options = trainer->options;
    const struct dv_preprocessing *input = options->preprocessing;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *known = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *plan = NULL;
    struct dv_plan_key key = {.backend = options->backend,
        .is_training = true,
        .channels = input->channels,
        .rows = input->rows,
        .columns = input->columns,
        .class_count = input->class_count,
        .batch_size = (uint32_t)options->hyperparameters->batch_size,
        .thread_count = options->thread_count};

    memcpy(key.arch_hash, options->arch_hash, sizeof(key.arch_hash));
    known = dv_plan_cache_find(options->folder, options->plan_cache_folder, &key);
    struct dv_network_options network = {.backend = options->backend,
        .batch_size = key.batch_size,
        .thread_count = options->thread_count,
        .is_training = true,
        .plan = known,
        .seed = (uint64_t)options->hyperparameters->seed};
    enum dv_status status = dv_network_create(options->graph, &network, &trainer->network, reterr);
    if (status != DV_OK) {
        return status;
    }

    /* Before the first step, so that a resume finds the choices that the first step used. */
    plan = dv_network_plan(trainer->network);
    if (known && !dv_plan_cache_is_same(known, plan)) {
        dv_trainer_log(trainer, DV_LOG_WARNING,
            "this machine cannot compute by the stored plan: bits may differ from other runs");
    }
    return dv_plan_cache_store(options->folder, options->plan_cache_folder, &key, plan, reterr);
}

static enum dv_status make_optimizer(struct dv_trainer *trainer, struct dv_error *reterr)
{
    const struct dv_hyperparameters *h = trainer->options->hyperparameters;
    struct dv_optimizer_options options = {.kind = h->optimizer,
        .count = dv_network_flat_count(trainer->network),
        .decay_mask = dv_network_decay_mask(trainer->network),
        .momentum = h->momentum,
        .weight_decay = h->weight_decay};

    return dv_optimizer_create(&options, &trainer->optimizer, reterr);
}

static enum dv_status make_floats(size_t count, float **ret_floats, struct dv_error *reterr)
{
    void *memory;
    size_t size;

    if (!dv_size_mul(count, sizeof(float), &size)) {
        return dv_fail(reterr, DV_TOO_LARGE, "%zu numbers are too many", count);
    }
    enum dv_status status = dv_try_alloc_aligned(size, &memory, reterr);
    if (status == DV_OK) {
        *ret_floats = memory;
    }
    return status;
}

static enum dv_status make_blocks(struct dv_trainer *trainer, struct dv_error *reterr)
{
    const struct dv_trainer_options *options = trainer->options;
    size_t slots = dv_optimizer_slot_count(trainer->optimizer);
    size_t logits =
        (size_t)options->hyperparameters->batch_size * options->preprocessing->class_count;

    trainer->floats = dv_network_tensor_floats(trainer->network);
    enum dv_status status = make_floats(trainer->floats, &trainer->values, reterr);
    if (status == DV_OK && slots > 0) {
        status = make_floats(trainer->floats * slots, &trainer->scratch, reterr);
    }
    if (status == DV_OK && options->hyperparameters->ema > 0.0) {
        status = make_floats(trainer->floats, &trainer->average, reterr);
    }
    return status == DV_OK ? make_floats(logits, &trainer->logits, reterr) : status;
}

static enum dv_status set_up(struct dv_trainer *trainer, struct dv_error *reterr)
{
    const struct dv_trainer_options *options = trainer->options;
    enum dv_status status = make_loaders(trainer, reterr);

    if (status == DV_OK) {
        status = make_network(trainer, reterr);
    }
    if (status == DV_OK) {
        status = make_optimizer(trainer, reterr);
    }
    if (status == DV_OK) {
        status = make_blocks(trainer, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    trainer->schedule =
        dv_schedule_make(options->hyperparameters, trainer->epoch_steps, options->rate_scale);
    return DV_OK;
}

enum dv_status dv_trainer_create(const struct dv_trainer_options *options,
    struct dv_trainer **ret_trainer, struct dv_error *reterr)
{
    assert(options);
    assert(options->callbacks);
    assert(options->hyperparameters->epochs > 0);
    assert(options->hyperparameters->batch_size > 0);
    assert(options->rate_scale > 0.0);

    struct dv_trainer *trainer = dv_alloc(sizeof(*trainer));
    trainer->options = options;
    trainer->best_accuracy = NAN;
    trainer->best_loss = NAN;
    trainer->val_accuracy = NAN;
    trainer->val_loss = NAN;
    trainer->history = dv_json_array();
    trainer->run_start_ns = dv_clock_monotonic_ns();
    enum dv_status status = set_up(trainer, reterr);
    if (status != DV_OK) {
        dv_trainer_destroy(trainer);
        return status;
    }
    *ret_trainer = trainer;
    return DV_OK;
}

struct dv_trainer *dv_trainer_destroy(struct dv_trainer *trainer)
{
    if (!trainer) {
        return NULL;
    }
    dv_loader_destroy(trainer->train);
    dv_loader_destroy(trainer->val);
    dv_optimizer_destroy(trainer->optimizer);
    dv_network_destroy(trainer->network);
    dv_json_unref(trainer->history);
    dv_free(trainer->values);
    dv_free(trainer->average);
    dv_free(trainer->scratch);
    dv_free(trainer->logits);
    return dv_free(trainer);
}

void dv_trainer_destroyp(struct dv_trainer **trainer)
{
    *trainer = dv_trainer_destroy(*trainer);
}
