/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_LOG_H
#define DV_BASE_LOG_H

/*
 * Log lines on standard error. Libraries do not log (they return a status), except at debug
 * level; app, job and api log, once.
 */

#include "base/macro.h"

enum dv_log_level {
    DV_LOG_ERROR,
    DV_LOG_WARNING,
    DV_LOG_INFO,
    DV_LOG_DEBUG,
};

/* Lines above this level are dropped; at first DV_LOG_WARNING. Set before threads start. */
void dv_log_set_level(enum dv_log_level level);

void dv_log(enum dv_log_level level, const char *format, ...) DV_PRINTF(2, 3);

#endif
