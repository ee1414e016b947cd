/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_RUN_VIEW_H
#define DV_APP_RUN_VIEW_H

/* How the candidates of a search are shown to people: a line each, on standard output. */

struct dv_json;

/* A run of the API, or the data of an event "run". */
void dv_run_view_print(const struct dv_json *run);

/*
 * Where the best of them comes from: it, its parent, that one's parent, and so on. Nothing when there is
 * but one run, or none is the best.
 */
void dv_run_view_print_best(const struct dv_json *runs);

#endif
