/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_SPACE_H
#define DV_TRAIN_SPACE_H

/*
 * What the offline proposer chooses from: the default network as a template, whose stages (all
 * blocks and convolutions but the stem) may have another family, depth, width and kernel, and
 * hyperparameters around the default ones. Everything is a choice among a few levels, so that one
 * model (train/search/tpe.h) serves for all.
 *
 * A network that somebody else designed is read as far as it is like the template; what cannot be
 * read is unknown. Nothing is kept but what the architecture and hyperparameters themselves say.
 */

#include "train/candidate.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_arch;
struct dv_arch_row;
struct dv_json;

#define DV_SPACE_STAGES_MAX 6u
#define DV_SPACE_LEVELS_MAX 13u
#define DV_SPACE_UNKNOWN (-1)

/* Of each stage. */
enum dv_space_stage_dimension {
    DV_SPACE_FAMILY,
    DV_SPACE_DEPTH,
    DV_SPACE_WIDTH,
    DV_SPACE_KERNEL,
    DV_SPACE_GATE, /* squeeze-and-excitation */
    DV_SPACE_STAGE_DIMENSIONS,
};

/* Of the whole. */
enum dv_space_dimension {
    DV_SPACE_ACTIVATION,
    DV_SPACE_DROPOUT, /* the last that is of the network; a hyperparameter in name */
    DV_SPACE_LEARNING_RATE,
    DV_SPACE_WEIGHT_DECAY,
    DV_SPACE_BATCH,
    DV_SPACE_SMOOTHING,
    DV_SPACE_AUGMENTATION,
    DV_SPACE_SCHEDULE,
    DV_SPACE_OPTIMIZER,
    DV_SPACE_DIMENSIONS,
};

#define DV_SPACE_POINT_SIZE (DV_SPACE_DIMENSIONS + DV_SPACE_STAGES_MAX * DV_SPACE_STAGE_DIMENSIONS)

/* A level for each dimension: those of the whole, then those of the first stage, and so on. */
struct dv_point {
    int levels[DV_SPACE_POINT_SIZE];
};

struct dv_space {
    const struct dv_arch *base;
    struct dv_hyperparameters defaults;
    uint32_t stages[DV_SPACE_STAGES_MAX]; /* rows of `base` */
    uint32_t stage_count;
    bool has_op[8];  /* of the families, in their table's order: what the language has */
    bool has_act[8]; /* likewise */
    bool has_gate;
};

/* `base` must live as long. Asks the checker what the language has. */
void dv_space_init(
    struct dv_space *space, const struct dv_arch *base, const struct dv_hyperparameters *defaults);

size_t dv_space_dimension_count(const struct dv_space *space);
size_t dv_space_level_count(const struct dv_space *space, size_t dimension);

/* Are neighbouring levels alike? */
bool dv_space_is_ordinal(const struct dv_space *space, size_t dimension);

/* Is it of the network rather than of its training? */
bool dv_space_is_structural(const struct dv_space *space, size_t dimension);

/* How likely a level is to be good before anything is known; a weight, 0: not to be had here. */
double dv_space_prior(const struct dv_space *space, size_t dimension, int level);

void dv_space_read(const struct dv_space *space, const struct dv_arch *arch,
    const struct dv_hyperparameters *hyperparameters, struct dv_point *ret_point);

/* The network and hyperparameters of a point without unknown levels; both are the caller's. */
struct dv_json *dv_space_architecture(const struct dv_space *space, const struct dv_point *point);
struct dv_json *dv_space_hyperparameters(
    const struct dv_space *space, const struct dv_point *point);

/* --- What mutation shares with it --------------------------------------------------------- */

/* Is it a block or a convolution, whose family could be another? */
bool dv_space_is_stage(const struct dv_arch_row *row);

/* Families and activations of the table: NULL past the end; those that are not here are skipped. */
const char *dv_space_family_name(const struct dv_space *space, size_t index);
const char *dv_space_activation_name(const struct dv_space *space, size_t index);

/* Make a row of an architecture file one of another family. */
void dv_space_set_family(struct dv_json *row, const char *family);

/* Put a rate into the last dropout row, or put such a row before the last one. */
void dv_space_set_dropout(struct dv_json *architecture, double rate);

#endif
