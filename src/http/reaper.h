/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_HTTP_REAPER_H
#define DV_HTTP_REAPER_H

/*
 * The thread that watches the clock: it cuts connections that are past the deadline of their phase
 * or below its rate, and wakes streams for their heartbeat and when there may be news. What
 * libmicrohttpd calls a timeout is reset by every byte, which a slow attacker knows.
 */

#include "base/status.h"

struct dv_http_server;

DV_MUST_CHECK enum dv_status dv_http_reaper_start(
    struct dv_http_server *server, struct dv_error *reterr);
void dv_http_reaper_stop(struct dv_http_server *server); /* who wakes it wakes nobody now */

/* After it was stopped, and when nobody is left who might wake it. */
void dv_http_reaper_close(struct dv_http_server *server);

/* Look at everything now. From any thread; quick. */
void dv_http_reaper_wake(struct dv_http_server *server);

#endif
