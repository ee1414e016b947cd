/* SPDX-License-Identifier: Apache-2.0 */
#include "train/search/tpe.h"

#include "base/alloc.h"
#include "base/random.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define GOOD_SHARE 0.25
#define DRAW_COUNT 24       /* as Optuna and Hyperopt have it */
#define PRIOR_WEIGHT 1.0    /* as one observation */
#define NEIGHBOUR_SHARE 0.4 /* of an observation, for each level beside its own */

struct density {
    double levels[DV_SPACE_POINT_SIZE][DV_SPACE_LEVELS_MAX]; /* sums to 1 over the levels */
};

static void normalise(double *weights, size_t count)
{
    double sum = 0.0;

    for (size_t i = 0; i < count; i++) {
        sum += weights[i];
    }
    assert(sum > 0.0);
    for (size_t i = 0; i < count; i++) {
        weights[i] /= sum;
    }
}

static void begin(const struct dv_space *space, struct density *density)
{
    for (size_t d = 0; d < dv_space_dimension_count(space); d++) {
        size_t count = dv_space_level_count(space, d);
        for (size_t i = 0; i < count; i++) {
            density->levels[d][i] = dv_space_prior(space, d, (int)i);
        }
        normalise(density->levels[d], count);
        for (size_t i = 0; i < count; i++) {
            density->levels[d][i] *= PRIOR_WEIGHT;
        }
    }
}

static void add(const struct dv_space *space, const struct dv_point *point, struct density *density)
{
    for (size_t d = 0; d < dv_space_dimension_count(space); d++) {
        int count = (int)dv_space_level_count(space, d);
        int level = point->levels[d];
        if (level == DV_SPACE_UNKNOWN) {
            continue;
        }
        density->levels[d][level] += 1.0;
        if (dv_space_is_ordinal(space, d)) {
            for (int side = -1; side <= 1; side += 2) {
                int beside = level + side;
                /* What cannot be had stays so, whatever is next to it. */
                if (beside >= 0 && beside < count && density->levels[d][beside] > 0.0) {
                    density->levels[d][beside] += NEIGHBOUR_SHARE;
                }
            }
        }
    }
}

static void finish(const struct dv_space *space, struct density *density)
{
    for (size_t d = 0; d < dv_space_dimension_count(space); d++) {
        normalise(density->levels[d], dv_space_level_count(space, d));
    }
}

static int draw_level(const double *weights, size_t count, struct dv_random *random)
{
    double at = dv_random_unit(random);
    int last = 0;

    for (size_t i = 0; i < count; i++) {
        if (weights[i] > 0.0) {
            last = (int)i;
            at -= weights[i];
            if (at < 0.0) {
                break;
            }
        }
    }
    return last;
}

static void draw(const struct dv_space *space, const struct density *density,
    struct dv_random *random, struct dv_point *ret_point)
{
    for (size_t d = 0; d < DV_SPACE_POINT_SIZE; d++) {
        ret_point->levels[d] = DV_SPACE_UNKNOWN;
    }
    for (size_t d = 0; d < dv_space_dimension_count(space); d++) {
        ret_point->levels[d] =
            draw_level(density->levels[d], dv_space_level_count(space, d), random);
    }
}

static double score(const struct dv_space *space, const struct density *good,
    const struct density *rest, const struct dv_point *point)
{
    double sum = 0.0;

    for (size_t d = 0; d < dv_space_dimension_count(space); d++) {
        int level = point->levels[d];
        sum += log(good->levels[d][level] / rest->levels[d][level]);
    }
    return sum;
}

/* Best first, failures last; equal ones in their order, which qsort would not keep by itself. */
struct rank {
    double value;
    size_t index;
};

static int compare(const void *a, const void *b)
{
    const struct rank *one = a;
    const struct rank *two = b;
    double x = isnan(one->value) ? -INFINITY : one->value;
    double y = isnan(two->value) ? -INFINITY : two->value;

    if (x != y) {
        return x > y ? -1 : 1;
    }
    return one->index < two->index ? -1 : 1;
}

void dv_tpe_draw_prior(
    const struct dv_space *space, struct dv_random *random, struct dv_point *ret_point)
{
    struct density prior = {0};

    begin(space, &prior);
    finish(space, &prior);
    draw(space, &prior, random, ret_point);
}

void dv_tpe_draw(const struct dv_space *space, const struct dv_tpe_observation *observations,
    size_t count, struct dv_random *random, struct dv_point *ret_point)
{
    struct density good = {0};
    struct density rest = {0};
    struct rank *ranks = dv_alloc((count + 1) * sizeof(*ranks));
    size_t good_count = (size_t)ceil(GOOD_SHARE * (double)count);
    double best = -INFINITY;

    for (size_t i = 0; i < count; i++) {
        ranks[i] = (struct rank){observations[i].value, i};
    }
    qsort(ranks, count, sizeof(*ranks), compare);
    begin(space, &good);
    begin(space, &rest);
    for (size_t i = 0; i < count; i++) {
        bool is_good = i < good_count && !isnan(ranks[i].value);
        add(space, &observations[ranks[i].index].point, is_good ? &good : &rest);
    }
    finish(space, &good);
    finish(space, &rest);
    for (int i = 0; i < DRAW_COUNT; i++) {
        struct dv_point point;
        draw(space, &good, random, &point);
        double value = score(space, &good, &rest, &point);
        if (value > best) {
            best = value;
            *ret_point = point;
        }
    }
    dv_free(ranks);
}
