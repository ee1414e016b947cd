/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_CHECKPOINT_H
#define DV_TRAIN_CHECKPOINT_H

/*
 * Where a run stands, in a file: counters, notes (history and the like, as JSON) and blocks of
 * numbers. The file ends with the SHA-256 of all before it; it is written under a temporary name,
 * synced and renamed. `last` alternates between two files, so that damage to the newer one leaves
 * the older to go on from.
 *
 * Life: dv_checkpoint_read*(), use, dv_checkpoint_destroy(). For writing the caller fills in the
 * struct on its stack and everything in it is borrowed.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;

#define DV_CHECKPOINT_BLOCKS_MAX 8
#define DV_CHECKPOINT_NOTES_SIZE_MAX (64u << 20)

/* Stored as it is: little-endian, no padding. */
struct dv_checkpoint_counters {
    uint64_t attempt;  /* how often the run was begun anew with other hyperparameters */
    uint64_t sequence; /* grows with every checkpoint of a run; chooses between the two files */
    uint64_t epoch;    /* epochs finished */
    uint64_t step;     /* steps done in the epoch after these */
    uint64_t optimizer_steps;
    uint64_t correct; /* running sums of the epoch under way */
    uint64_t seen;
    double loss_sum;
    double first_loss; /* of the run's first step; what divergence is measured against */
};

struct dv_checkpoint {
    struct dv_checkpoint_counters counters;
    struct dv_json *notes;
    size_t block_count;
    const float *blocks[DV_CHECKPOINT_BLOCKS_MAX];
    uint64_t block_floats[DV_CHECKPOINT_BLOCKS_MAX];
    void *memory; /* that the blocks lie in, when read; NULL in the writer's struct */
};

DV_MUST_CHECK enum dv_status dv_checkpoint_write(
    const char *path, const struct dv_checkpoint *checkpoint, struct dv_error *reterr);

/* DV_NOT_FOUND: no such file. DV_CORRUPT: damaged, or another version's. */
DV_MUST_CHECK enum dv_status dv_checkpoint_read(
    const char *path, struct dv_checkpoint **ret_checkpoint, struct dv_error *reterr);
struct dv_checkpoint *dv_checkpoint_destroy(struct dv_checkpoint *checkpoint);
void dv_checkpoint_destroyp(struct dv_checkpoint **checkpoint);

/* Into FOLDER/last.0 or last.1, by the sequence number's last bit. */
DV_MUST_CHECK enum dv_status dv_checkpoint_write_last(
    const char *folder, const struct dv_checkpoint *checkpoint, struct dv_error *reterr);

/*
 * The sound one with the highest sequence number of FOLDER/last.0 and last.1. *ret_has_damage:
 * the other was there and unsound. DV_NOT_FOUND: there is none. DV_CORRUPT: none that is sound.
 */
DV_MUST_CHECK enum dv_status dv_checkpoint_read_last(const char *folder,
    struct dv_checkpoint **ret_checkpoint, bool *ret_has_damage, struct dv_error *reterr);

#endif
