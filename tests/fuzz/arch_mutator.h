/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_FUZZ_ARCH_MUTATOR_H
#define DV_TESTS_FUZZ_ARCH_MUTATOR_H

/*
 * Changes an architecture the way its authors would, and the way they should not: rows put in,
 * taken out, copied and joined, fields set to what is legal and to what lies just beyond. Ops,
 * fields and words come from the table of spec/arch_field.h, so that a new one is mutated from its
 * first day.
 */

struct dv_json;
struct dv_random;

/* One change of `arch`, an object or anything else that JSON can be. */
void arch_mutate(struct dv_json *arch, struct dv_random *random);

/* A small network that is legal but for its fields' values. The caller's. */
struct dv_json *arch_mutator_seed(struct dv_random *random);

#endif
