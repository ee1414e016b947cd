/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_REPORT_H
#define DV_TRAIN_REPORT_H

/*
 * What is made of a trained network: its figures on the validation and test splits, the model's
 * files, and the job's result.
 */

#include "base/status.h"

struct dv_json;
struct dv_train_task;
struct dv_trained;

/*
 * Measure and write; the result is the caller's. The test split is measured here, once, after
 * everything was chosen.
 */
DV_MUST_CHECK enum dv_status dv_report_make(const struct dv_train_task *task,
    const char *strategy_name, const struct dv_trained *trained, struct dv_json **ret_result,
    struct dv_error *reterr);

/* The figures alone, as "metrics" of the result has them; the caller's. */
DV_MUST_CHECK enum dv_status dv_report_measure(const struct dv_train_task *task,
    const struct dv_trained *trained, struct dv_json **ret_metrics, struct dv_error *reterr);

/* Their "training": what is known without measuring; the caller's. */
struct dv_json *dv_report_training(
    const struct dv_train_task *task, const struct dv_trained *trained);

/* The same of a run that was stopped: nothing is measured, its figures are those of validation. */
DV_MUST_CHECK enum dv_status dv_report_make_partial(const struct dv_train_task *task,
    const char *strategy_name, const struct dv_trained *trained, struct dv_json **ret_result,
    struct dv_error *reterr);

#endif
