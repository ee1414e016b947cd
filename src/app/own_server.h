/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_OWN_SERVER_H
#define DV_APP_OWN_SERVER_H

/*
 * A `dv serve` that a command starts for itself, as its child, and that ends with it: on a port of
 * the loopback that nobody else has, and only for jobs queued since a time that the command says.
 * It has a session of its own (Ctrl-C is the command's to understand) and dies if the command dies.
 */

#include "base/status.h"

#include <sys/types.h>

struct dv_own_server {
    pid_t pid;
    int output_fd; /* it says there when it is ready */
    char *url;
};

/*
 * Start it and wait until it is ready. DV_CONFLICT: another process serves the folder. DV_CANCELLED:
 * interrupt_fd became readable. Otherwise what the server itself could not do.
 */
DV_MUST_CHECK enum dv_status dv_own_server_start(const char *data_folder, const char *jobs_since,
    int interrupt_fd, struct dv_own_server **ret_server, struct dv_error *reterr);

/* Ask it to end, wait for that, free; NULL is fine. Returns NULL. */
struct dv_own_server *dv_own_server_stop(struct dv_own_server *server);

#endif
