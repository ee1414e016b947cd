/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_STATE_H
#define DV_SPEC_STATE_H

/*
 * The states that data sets, models and jobs can be in, by the names that the API, the database
 * and the page use, and the moves between them that there are. The store makes no other.
 *
 * Adding a state: its name and its moves in state.c, the CHECK of its column in a new file of
 * store/schema/, the enumeration in contract/openapi.json.
 */

#include <stdbool.h>

struct dv_states; /* of one kind of thing */

extern const struct dv_states dv_dataset_states; /* column `readiness` */
extern const struct dv_states dv_model_states;
extern const struct dv_states dv_job_states;

/* All names, the one that a new thing begins in first, NULL at the end. */
const char *const *dv_states_names(const struct dv_states *states);

/* False for a word that is no state, too. NULL is none. */
bool dv_states_have(const struct dv_states *states, const char *name);
bool dv_states_can_move(const struct dv_states *states, const char *from, const char *to);

#endif
