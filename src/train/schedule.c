/* SPDX-License-Identifier: Apache-2.0 */
#include "train/schedule.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define ONECYCLE_START (1.0 / 25.0)
#define ONECYCLE_END 1e-4
#define ONECYCLE_WARMUP_PART 0.25
#define ONECYCLE_WARMUP_EPOCHS_MAX 5.0

struct dv_schedule dv_schedule_make(
    const struct dv_hyperparameters *hyperparameters, uint64_t steps_per_epoch, double scale)
{
    assert(hyperparameters);
    assert(hyperparameters->epochs > 0);
    assert(steps_per_epoch > 0);

    double warmup_epochs = hyperparameters->warmup_epochs;
    if (hyperparameters->schedule == DV_SCHEDULE_ONECYCLE && warmup_epochs <= 0.0) {
        warmup_epochs = fmin(
            ONECYCLE_WARMUP_EPOCHS_MAX, ONECYCLE_WARMUP_PART * (double)hyperparameters->epochs);
    }

    struct dv_schedule schedule = {.kind = hyperparameters->schedule,
        .peak = hyperparameters->learning_rate * scale,
        .step_count = (uint64_t)hyperparameters->epochs * steps_per_epoch};
    schedule.warmup_steps = (uint64_t)llround(fmax(0.0, warmup_epochs) * (double)steps_per_epoch);
    if (schedule.warmup_steps >= schedule.step_count) {
        schedule.warmup_steps = schedule.step_count - 1;
    }
    return schedule;
}

/* Half a cosine from 1 at 0 to 0 at 1. */
static double cosine_down(double part)
{
    return 0.5 * (1.0 + cos(3.14159265358979323846 * part));
}

static double factor_after_warmup(enum dv_schedule_kind kind, double part_of_rest, double part)
{
    switch (kind) {
    case DV_SCHEDULE_ONECYCLE:
        return ONECYCLE_END + (1.0 - ONECYCLE_END) * cosine_down(part_of_rest);
    case DV_SCHEDULE_COSINE:
        return cosine_down(part_of_rest);
    case DV_SCHEDULE_STEP:
        return part < 0.5 ? 1.0 : part < 0.75 ? 0.1 : 0.01;
    case DV_SCHEDULE_CONSTANT:
        return 1.0;
    }
    return 1.0;
}

double dv_schedule_rate(const struct dv_schedule *schedule, uint64_t step)
{
    assert(schedule);
    assert(schedule->step_count > schedule->warmup_steps);

    if (step < schedule->warmup_steps) {
        double from = schedule->kind == DV_SCHEDULE_ONECYCLE ? ONECYCLE_START : 0.0;
        double part = (double)(step + 1) / (double)schedule->warmup_steps;
        return schedule->peak * (from + (1.0 - from) * part);
    }

    uint64_t rest = schedule->step_count - schedule->warmup_steps;
    uint64_t done = step - schedule->warmup_steps;
    /* One-cycle ends at its end; a cosine's last step still moves: at the end its rate is 0. */
    bool ends_low = schedule->kind == DV_SCHEDULE_ONECYCLE && rest > 1;
    double part_of_rest = fmin(1.0, (double)(done + ends_low) / (double)rest);
    double part = (double)step / (double)schedule->step_count;

    return schedule->peak * factor_after_warmup(schedule->kind, part_of_rest, part);
}
