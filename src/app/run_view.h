/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_APP_RUN_VIEW_H
#define DV_APP_RUN_VIEW_H

/* How the candidates of a search are shown to people: a line each, on standard output. */

struct dv_json;

/* A run of the API, or the data of an event "run". */
void dv_run_view_print(const struct dv_json *run);

/*
 * What a job's search came to: where the best candidate comes from (it, its parent, that one's
 * parent, and so on), how the proposals fared, what a language model cost. Nothing of a job that did
 * not search.
 */
void dv_run_view_print_search(const struct dv_json *job);

#endif
