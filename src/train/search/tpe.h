/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_TPE_H
#define DV_TRAIN_TPE_H

/*
 * Tree-structured Parzen estimator (Bergstra et al. 2011) over the levels of train/search/space.h:
 * the points seen so far are split into the good quarter and the rest, each dimension gets a
 * smoothed histogram of either, and of a number of points drawn from the good ones that is
 * taken for which good : rest is highest. A pure function of its inputs.
 */

#include "train/search/space.h"

struct dv_random;

struct dv_tpe_observation {
    struct dv_point point; /* levels that are not known count for nothing */
    double value;          /* higher is better; NaN: it failed, and is among the rest */
};

/* Only from the prior when there are no observations. */
void dv_tpe_draw(const struct dv_space *space, const struct dv_tpe_observation *observations,
    size_t count, struct dv_random *random, struct dv_point *ret_point);

/* From the prior alone. */
void dv_tpe_draw_prior(
    const struct dv_space *space, struct dv_random *random, struct dv_point *ret_point);

#endif
