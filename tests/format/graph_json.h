/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_FORMAT_GRAPH_JSON_H
#define DV_TESTS_FORMAT_GRAPH_JSON_H

/*
 * The primitive graph for tests/python, which runs it node by node:
 *     {"nodes": [{"op", "name", "inputs", "kernel", ...}, ...], "tensors": {name: shape}}
 */

#include "base/status.h"

struct dv_graph;

DV_MUST_CHECK enum dv_status graph_json_write(
    const struct dv_graph *graph, const char *path, struct dv_error *reterr);

#endif
