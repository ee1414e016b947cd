/* SPDX-License-Identifier: Apache-2.0 */
#include "train/trainer_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "nn/network.h"
#include "nn/optimizer.h"

#include <assert.h>
#include <math.h>

double dv_trainer_seconds(const struct dv_trainer *trainer)
{
    return trainer->seconds_before + dv_clock_seconds_since(trainer->run_start_ns);
}

/* --- Last ------------------------------------------------------------------------------- */

static struct dv_json *make_notes(const struct dv_trainer *trainer)
{
    struct dv_json *notes = dv_json_object();

    dv_json_set_string(notes, "identity", trainer->options->identity);
    dv_json_set_integer(notes, "thread_count", trainer->options->thread_count);
    dv_json_set(notes, "history", dv_json_ref(trainer->history));
    dv_json_set_integer(notes, "best_epoch", (int64_t)trainer->best_epoch);
    dv_json_set_number(notes, "best_accuracy", trainer->best_accuracy);
    dv_json_set_number(notes, "best_loss", trainer->best_loss);
    dv_json_set_integer(notes, "since_best", (int64_t)trainer->since_best);
    dv_json_set_number(notes, "val_accuracy", trainer->val_accuracy);
    dv_json_set_number(notes, "val_loss", trainer->val_loss);
    dv_json_set_number(notes, "seconds", dv_trainer_seconds(trainer));
    dv_json_set_bool(notes, "is_done", trainer->is_done);
    return notes;
}

enum dv_status dv_trainer_save(struct dv_trainer *trainer, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *notes = make_notes(trainer);
    struct dv_checkpoint checkpoint = {.notes = notes};
    size_t slots = dv_optimizer_slot_count(trainer->optimizer);

    assert(slots + 2 <= DV_CHECKPOINT_BLOCKS_MAX);
    trainer->counters.sequence++;
    trainer->counters.attempt = trainer->options->attempt;
    trainer->counters.optimizer_steps = dv_optimizer_steps(trainer->optimizer);
    checkpoint.counters = trainer->counters;
    dv_network_get_tensors(trainer->network, NULL, trainer->values);
    checkpoint.blocks[checkpoint.block_count++] = trainer->values;
    for (size_t i = 0; i < slots; i++) {
        float *block = trainer->scratch + i * trainer->floats;
        dv_network_get_tensors(trainer->network, dv_optimizer_slot(trainer->optimizer, i), block);
        checkpoint.blocks[checkpoint.block_count++] = block;
    }
    if (trainer->average) {
        checkpoint.blocks[checkpoint.block_count++] = trainer->average;
    }
    for (size_t i = 0; i < checkpoint.block_count; i++) {
        checkpoint.block_floats[i] = trainer->floats;
    }
    enum dv_status status = dv_checkpoint_write_last(trainer->options->folder, &checkpoint, reterr);
    trainer->saved_ns = dv_clock_monotonic_ns();
    return status;
}

static enum dv_status check_fits(const struct dv_trainer *trainer,
    const struct dv_checkpoint *checkpoint, struct dv_error *reterr)
{
    size_t want =
        1 + dv_optimizer_slot_count(trainer->optimizer) + (trainer->average != NULL ? 1 : 0);
    const char *identity = dv_json_get_string(checkpoint->notes, "identity", "");

    if (!dv_text_equal(identity, trainer->options->identity)) {
        return dv_fail(reterr, DV_CONFLICT, "the checkpoints in %s are of another job or data set",
            trainer->options->folder);
    }
    bool fits = checkpoint->block_count == want &&
                checkpoint->counters.epoch <= (uint64_t)trainer->options->hyperparameters->epochs &&
                checkpoint->counters.step <= trainer->epoch_steps;
    for (size_t i = 0; i < checkpoint->block_count; i++) {
        fits = fits && checkpoint->block_floats[i] == trainer->floats;
    }
    return fits ? DV_OK
                : dv_fail(reterr, DV_CONFLICT, "the checkpoints in %s are of another network",
                      trainer->options->folder);
}

static void take_notes(struct dv_trainer *trainer, const struct dv_json *notes)
{
    struct dv_json *history = dv_json_get(notes, "history");
    int64_t threads = dv_json_get_integer(notes, "thread_count", 0);

    if (dv_json_is_array(history)) {
        dv_json_unref(trainer->history);
        trainer->history = dv_json_copy(history);
    }
    trainer->best_epoch = (uint64_t)dv_json_get_integer(notes, "best_epoch", 0);
    trainer->best_accuracy = dv_json_get_number(notes, "best_accuracy", NAN);
    trainer->best_loss = dv_json_get_number(notes, "best_loss", NAN);
    trainer->since_best = (uint64_t)dv_json_get_integer(notes, "since_best", 0);
    trainer->val_accuracy = dv_json_get_number(notes, "val_accuracy", NAN);
    trainer->val_loss = dv_json_get_number(notes, "val_loss", NAN);
    trainer->is_done = dv_json_get_bool(notes, "is_done", false);
    if (threads != (int64_t)trainer->options->thread_count) {
        dv_trainer_log(trainer, DV_LOG_WARNING,
            "the run began with %lld threads and goes on with %u: bits may differ",
            (long long)threads, trainer->options->thread_count);
    }
}

static void take_blocks(struct dv_trainer *trainer, const struct dv_checkpoint *checkpoint)
{
    size_t slots = dv_optimizer_slot_count(trainer->optimizer);
    size_t next = 0;

    dv_network_set_tensors(trainer->network, NULL, checkpoint->blocks[next++]);
    for (size_t i = 0; i < slots; i++) {
        dv_network_set_tensors(
            trainer->network, dv_optimizer_slot(trainer->optimizer, i), checkpoint->blocks[next++]);
    }
    if (trainer->average) {
        memcpy(trainer->average, checkpoint->blocks[next], trainer->floats * sizeof(float));
    }
    dv_optimizer_set_steps(trainer->optimizer, checkpoint->counters.optimizer_steps);
}

static void begin(struct dv_trainer *trainer, uint64_t sequence)
{
    dv_network_init(trainer->network, (uint64_t)trainer->options->hyperparameters->seed);
    if (trainer->average) {
        dv_network_get_tensors(trainer->network, NULL, trainer->average);
    }
    trainer->counters.attempt = trainer->options->attempt;
    trainer->counters.sequence = sequence;
}

/* Of training, until it was written. */
static double seconds_of(const struct dv_checkpoint *checkpoint)
{
    return dv_json_get_number(checkpoint->notes, "seconds", 0.0);
}

enum dv_status dv_trainer_restore(struct dv_trainer *trainer, struct dv_error *reterr)
{
    DV_CLEANUP(dv_checkpoint_destroyp) struct dv_checkpoint *checkpoint = NULL;
    bool has_damage = false;

    trainer->saved_ns = dv_clock_monotonic_ns();
    enum dv_status status =
        dv_checkpoint_read_last(trainer->options->folder, &checkpoint, &has_damage, reterr);
    if (status == DV_CORRUPT) {
        dv_trainer_log(trainer, DV_LOG_WARNING,
            "both checkpoints are damaged: beginning anew, which ends with the same weights");
    }
    if (status == DV_NOT_FOUND || status == DV_CORRUPT) {
        begin(trainer, 0);
        return DV_OK;
    }
    if (status != DV_OK) {
        return status;
    }
    if (has_damage) {
        dv_trainer_log(trainer, DV_LOG_WARNING, "a checkpoint is damaged: going on from the other");
    }
    if (checkpoint->counters.attempt != trainer->options->attempt) {
        begin(trainer, checkpoint->counters.sequence);
        trainer->seconds_before = seconds_of(checkpoint); /* the time limit counts them too */
        return DV_OK;
    }
    status = check_fits(trainer, checkpoint, reterr);
    if (status != DV_OK) {
        return status;
    }
    trainer->counters = checkpoint->counters;
    trainer->seconds_before = seconds_of(checkpoint);
    take_notes(trainer, checkpoint->notes);
    take_blocks(trainer, checkpoint);
    dv_trainer_log(trainer, DV_LOG_INFO, "going on from epoch %llu, step %llu",
        (unsigned long long)trainer->counters.epoch + 1,
        (unsigned long long)trainer->counters.step);
    return DV_OK;
}

/* --- Best ------------------------------------------------------------------------------- */

static enum dv_status best_path(
    const struct dv_trainer *trainer, char ret_path[static DV_PATH_SIZE], struct dv_error *reterr)
{
    return dv_path_format(ret_path, reterr, "%s/best", trainer->options->folder);
}

enum dv_status dv_trainer_save_best(
    struct dv_trainer *trainer, const float *weights, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *notes = make_notes(trainer);
    struct dv_checkpoint checkpoint = {.counters = trainer->counters,
        .notes = notes,
        .block_count = 1,
        .blocks = {weights},
        .block_floats = {trainer->floats}};
    char path[DV_PATH_SIZE];

    enum dv_status status = best_path(trainer, path, reterr);
    return status == DV_OK ? dv_checkpoint_write(path, &checkpoint, reterr) : status;
}

enum dv_status dv_trainer_load_best(
    struct dv_trainer *trainer, float **ret_weights, struct dv_error *reterr)
{
    DV_CLEANUP(dv_checkpoint_destroyp) struct dv_checkpoint *best = NULL;
    const float *weights = trainer->average;
    char path[DV_PATH_SIZE];
    void *memory;

    enum dv_status status = best_path(trainer, path, reterr);
    if (status == DV_OK) {
        status = dv_checkpoint_read(path, &best, reterr);
    }
    if (status == DV_OK && best->block_count == 1 && best->block_floats[0] == trainer->floats &&
        best->counters.attempt == trainer->options->attempt) {
        weights = best->blocks[0];
    } else if (status == DV_OK || status == DV_CORRUPT || status == DV_NOT_FOUND) {
        dv_trainer_log(trainer, DV_LOG_WARNING,
            "the best checkpoint cannot be used: the weights are those of the last epoch");
        if (!weights) {
            dv_network_get_tensors(trainer->network, NULL, trainer->values);
            weights = trainer->values;
        }
    } else {
        return status;
    }
    status = dv_try_alloc_aligned(trainer->floats * sizeof(float), &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    memcpy(memory, weights, trainer->floats * sizeof(float));
    *ret_weights = memory;
    return DV_OK;
}
