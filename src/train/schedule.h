/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_SCHEDULE_H
#define DV_TRAIN_SCHEDULE_H

/*
 * The learning rate of every step, as a pure function of the step's number: a resumed run needs no
 * state for it.
 */

#include "spec/hyperparameters.h"

#include <stdint.h>

struct dv_schedule {
    enum dv_schedule_kind kind;
    double peak;           /* the hyperparameter learning_rate */
    uint64_t step_count;   /* of the whole run */
    uint64_t warmup_steps; /* linear up to the peak */
};

/*
 * `scale` is 1, or what divergence has brought the rate down to. One-cycle without warm-up
 * epochs warms up over a quarter of the run (Smith 2018), but never more than five epochs.
 */
struct dv_schedule dv_schedule_make(
    const struct dv_hyperparameters *hyperparameters, uint64_t steps_per_epoch, double scale);

/*
 * The rate of step `step` (from 0):
 *     onecycle  peak/25 up to peak, then half a cosine down to peak/10000
 *     cosine    0 up to peak, then half a cosine down to 0
 *     step      0 up to peak, a tenth after half of the run, a hundredth after three quarters
 *     constant  0 up to peak, then peak
 */
double dv_schedule_rate(const struct dv_schedule *schedule, uint64_t step);

#endif
