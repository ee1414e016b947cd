/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_JOB_SWEEPER_H
#define DV_JOB_SWEEPER_H

/*
 * Removes folders and files under DATA: out of sight at once, by a rename to a hidden name
 * (".{uuid}") beside it, and from the disk in slices between other things. What a dead server had
 * hidden and not removed is found by its name at the next start.
 */

#include "base/status.h"

#include <stdbool.h>

struct dv_sweeper;

struct dv_sweeper *dv_sweeper_create(void);

/* What is not removed yet stays hidden. NULL is fine; returns NULL. */
struct dv_sweeper *dv_sweeper_destroy(struct dv_sweeper *sweeper);

/* Hide `path`, durably, and have it removed; one that is not there is fine. */
DV_MUST_CHECK enum dv_status dv_sweeper_hide(
    struct dv_sweeper *sweeper, const char *path, struct dv_error *reterr);

/*
 * The same with the folder in which it is hidden, DATA/{kind}: for what lies so deep that the next
 * start would not see it.
 */
DV_MUST_CHECK enum dv_status dv_sweeper_hide_in(struct dv_sweeper *sweeper, const char *path,
    const char *folder, struct dv_error *reterr);

/* Have something hidden removed. */
void dv_sweeper_add(struct dv_sweeper *sweeper, const char *hidden_path);

/* Remove a slice. False: nothing is left to do. */
bool dv_sweeper_step(struct dv_sweeper *sweeper);
bool dv_sweeper_is_idle(const struct dv_sweeper *sweeper);

/* A hidden name of ours: a dot and an id. */
bool dv_sweeper_is_hidden_name(const char *name);

#endif
