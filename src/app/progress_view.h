/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_PROGRESS_VIEW_H
#define DV_APP_PROGRESS_VIEW_H

/*
 * How progress is shown: one line redrawn on a terminal, a line now and then in a pipe, an object
 * of type `progress` a line with --json. All of it goes to standard output.
 */

#include <stdbool.h>
#include <stdint.h>

struct dv_message_progress;

struct dv_progress_view {
    bool is_silent; /* shows nothing */
    bool is_json;
    bool is_terminal;
    bool has_line; /* a redrawn line stands unfinished */
    char stage[32];
    uint64_t shown_ns; /* when last */
};

void dv_progress_view_init(struct dv_progress_view *view, bool is_json);

/* What is done by parts of a whole: "uploading", "reading". */
void dv_progress_view_share(struct dv_progress_view *view, const char *stage, double fraction);

/* Training, and measuring a model. */
void dv_progress_view_train(
    struct dv_progress_view *view, const struct dv_message_progress *progress);

/* End the line that stands, so that something else can be printed. */
void dv_progress_view_end(struct dv_progress_view *view);

#endif
