/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_RECIPE_H
#define DV_TRAIN_RECIPE_H

/*
 * What to train when nobody says otherwise: a picture size, a network and hyperparameters for a
 * data set, from its summary alone. Pure functions of their inputs: no clock, no measuring, so
 * that every machine and every resume starts from the same. docs/recipes.md says why these.
 */

#include "spec/hyperparameters.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_dataset_summary;
struct dv_json;

enum dv_recipe_kind {
    DV_RECIPE_TINY_GREY,   /* sides up to 40 px, one channel: digits, clothes */
    DV_RECIPE_TINY_COLOUR, /* sides up to 40 px, colour */
    DV_RECIPE_SMALL,       /* about 64 px */
    DV_RECIPE_PHOTO,       /* anything larger: 128 px */
};

/* The kind for pictures of this size (a side in pixels). */
enum dv_recipe_kind dv_recipe_kind_of(uint32_t image_size, uint32_t channels);

/* The default network, an architecture file's object (the caller's). `dropout` 0: no such row. */
struct dv_json *dv_recipe_architecture(
    const struct dv_dataset_summary *dataset, uint32_t image_size, double dropout);

/*
 * Hyperparameters for training a network of `macs` multiply-adds a picture at `image_size`.
 * Epochs grow as the data set shrinks and are cut to a budget of arithmetic, so that a default
 * run takes minutes on two cores as long as ten epochs do.
 */
struct dv_hyperparameters dv_recipe_hyperparameters(
    const struct dv_dataset_summary *dataset, uint32_t image_size, uint64_t macs);

/*
 * The batch size that leaves a data set of `train_count` pictures about eight steps an epoch: a
 * power of two, 8 at least and `batch_max` at most.
 */
int64_t dv_recipe_batch_size(uint64_t train_count, int64_t batch_max);

/* The decay of averaged weights for a run of so many steps. */
double dv_recipe_ema(double step_count);

/*
 * Would a mirrored picture still be of its class? Not known from pixels; names tell: digits,
 * letters, signs and what has left or right in it are not mirrored.
 */
bool dv_recipe_can_flip(const struct dv_dataset_summary *dataset);

#endif
