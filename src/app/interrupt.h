/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_INTERRUPT_H
#define DV_APP_INTERRUPT_H

/*
 * SIGINT, SIGTERM and SIGHUP as a descriptor: readable once one has come, and for good. One that
 * was ignored when the command began stays ignored.
 */

#include "base/status.h"

#include <stdbool.h>

/* Catch the signals from now on; *ret_fd lives until the process ends. */
DV_MUST_CHECK enum dv_status dv_interrupt_open(int *ret_fd, struct dv_error *reterr);

bool dv_interrupt_has_come(void);

#endif
