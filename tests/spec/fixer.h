/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_SPEC_FIXER_H
#define DV_TESTS_SPEC_FIXER_H

/*
 * Does to an architecture file what the fix of a problem says, word by word, as a reader would:
 * the proof that fixes work.
 */

#include <stdbool.h>

struct dv_json;
struct dv_problem;

/* False: the fix is none that can be followed literally (empty, or advice in words). */
bool fixer_apply(struct dv_json *arch, const struct dv_problem *problem);

#endif
