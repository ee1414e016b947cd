/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TRAIN_MUTATION_H
#define DV_TRAIN_MUTATION_H

/*
 * One structural change of a network, whoever designed it. Whether what comes out can be built is
 * the gate's to say: a change that breaks a join is drawn again.
 */

struct dv_arch;
struct dv_arena;
struct dv_json;
struct dv_random;
struct dv_space;

/*
 * The changed network (the caller's) and in `ret_hypothesis` (in the arena) what was changed, in a
 * sentence. NULL: the change that was drawn does not apply to this network.
 */
struct dv_json *dv_mutation_make(const struct dv_space *space, const struct dv_arch *arch,
    struct dv_random *random, struct dv_arena *arena, const char **ret_hypothesis);

#endif
