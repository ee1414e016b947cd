/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_WIRE_CHANNEL_H
#define DV_WIRE_CHANNEL_H

/*
 * A channel carries lines of at most DV_MESSAGE_SIZE_MAX bytes, their newline included, over a
 * local socket between a parent and the role it started; a descriptor may ride along with a line.
 * What the lines mean is in wire/message.h.
 *
 * Life:    dv_channel_create(), send and receive, dv_channel_destroy().
 * Threads: one thread at a time; a sender in another thread needs a lock of its own.
 * Limits:  one line, four descriptors not yet taken; memory does not grow.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct dv_channel;

/* The descriptor that a role finds its end of the channel on. */
#define DV_CHANNEL_FD 3
#define DV_CHANNEL_FDS_MAX 4
#define DV_CHANNEL_FOREVER (-1) /* as a timeout */

/* Two connected descriptors, close-on-exec. */
DV_MUST_CHECK enum dv_status dv_channel_pair(int ret_fds[static 2], struct dv_error *reterr);

/* A channel over the socket `fd`, which is the channel's from now on. */
struct dv_channel *dv_channel_create(int fd);

/* Close; NULL is fine. Returns NULL. */
struct dv_channel *dv_channel_destroy(struct dv_channel *channel);
void dv_channel_destroyp(struct dv_channel **channel);

/*
 * Send one line (without its newline), and `passed_fd` with it unless that is -1; the descriptor
 * stays the caller's. DV_TOO_LARGE: the line is over the limit, nothing was sent. DV_TIMEOUT: the
 * other side does not read; if it took half a line, no other can be sent. DV_NOT_FOUND: it has closed.
 */
DV_MUST_CHECK enum dv_status dv_channel_send(struct dv_channel *channel, const char *line,
    size_t size, int passed_fd, int timeout_ms, struct dv_error *reterr);

/*
 * The next line, without its newline, with a NUL after it; borrowed until the next call.
 * DV_TIMEOUT: none came. DV_NOT_FOUND: the other side has closed, after a whole line.
 * DV_CORRUPT: it closed within a line, or passed more descriptors than we keep.
 * DV_TOO_LARGE: the line is over the limit; the channel is of no use any more.
 */
DV_MUST_CHECK enum dv_status dv_channel_receive(struct dv_channel *channel, int timeout_ms,
    const char **ret_line, size_t *ret_size, struct dv_error *reterr);

/* The oldest descriptor that came along and was not taken, the caller's from now on; or -1. */
int dv_channel_take_fd(struct dv_channel *channel);

/* Is a whole line here already, so that poll() would wait in vain? */
bool dv_channel_has_line(const struct dv_channel *channel);

/* For poll(). */
int dv_channel_fd(const struct dv_channel *channel);

#endif
