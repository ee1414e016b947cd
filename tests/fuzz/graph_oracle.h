/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_FUZZ_GRAPH_ORACLE_H
#define DV_TESTS_FUZZ_GRAPH_ORACLE_H

/*
 * What holds of every graph that dv_graph_build() gives, worked out anew from the nodes alone: each
 * shape from those of its inputs, each count with overflow looked for. Asserts.
 */

#include "spec/graph.h"

void graph_oracle_check(const struct dv_graph *graph, const struct dv_arch *arch,
    struct dv_shape input, uint32_t class_count);

#endif
