/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_FORMAT_GRAPH_JSON_H
#define DV_TESTS_FORMAT_GRAPH_JSON_H

/*
 * The primitive graph for tests/python, which runs it node by node:
 *     {"nodes": [{"op", "name", "inputs", "kernel", ...}, ...], "tensors": {name: shape}}
 * and back, for tests of what no architecture lowers to: {"input": [channels, rows, columns],
 * "nodes": [...]}, where what a node does not say is 0, but `groups` and `stride`: 1.
 */

#include "base/status.h"

struct dv_arena;
struct dv_graph;
struct dv_json;

DV_MUST_CHECK enum dv_status graph_json_write(
    const struct dv_graph *graph, const char *path, struct dv_error *reterr);

/*
 * The graph of `json`, in the arena; each node is a row of its own. Shapes are worked out, `out`
 * gives the channels of conv, linear and pad_shortcut. For our own tests: asserts what it needs.
 */
struct dv_graph *graph_json_read(const struct dv_json *json, struct dv_arena *arena);

#endif
