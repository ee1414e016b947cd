/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_GRAPH_BUILDER_H
#define DV_SPEC_GRAPH_BUILDER_H

/*
 * How a graph comes about; only the graph's own files include this. graph.c has the builder and
 * its primitives, graph_lower.c says what each row becomes, graph_fix.c looks for a change of the
 * architecture that takes a problem away, and tries it before it says so.
 *
 * The first problem ends a build: from then on `has_failed` is set, what is still added has a
 * shape of [1,1,1], and the graph is thrown away.
 */

#include "spec/arch_field.h"
#include "spec/graph.h"

struct dv_graph_builder {
    const struct dv_arch *arch;
    struct dv_arena *arena;
    struct dv_problems *problems; /* NULL: a trial, which only wants to know whether it works */
    struct dv_graph *graph;
    bool *is_flat; /* by node: its value is [feature], no map */
    uint32_t node_room, flat_room, tensor_room;
    uint32_t row; /* being lowered */
    uint32_t class_count;
    bool is_inserting; /* nodes that no row asked for */
    bool has_failed;
};

struct dv_window {
    uint32_t kernel, stride, padding;
};

/* --- Problems (graph.c) -------------------------------------------------------------------- */

/* Report a problem of the row being lowered; the message gets `layers[2] "s2": ` in front. */
void dv_builder_fail(struct dv_graph_builder *builder, const char *code, const char *field,
    const char *fix, const char *format, ...) DV_PRINTF(5, 6);

struct dv_shape dv_builder_shape(const struct dv_graph_builder *builder, uint32_t node);

/* "[128,8,8]", or "[128]" of a flat value. */
const char *dv_builder_shape_text(const struct dv_graph_builder *builder, uint32_t node);

const struct dv_arch_row *dv_builder_row(const struct dv_graph_builder *builder);

/* --- Primitives (graph.c): each takes nodes and gives the new one ---------------------------- */

uint32_t dv_builder_conv(struct dv_graph_builder *builder, const char *name, uint32_t from,
    uint32_t out, struct dv_window window, uint32_t groups);
/* 1x1, with a bias whatever the row's norm. */
uint32_t dv_builder_gate_conv(
    struct dv_graph_builder *builder, const char *name, uint32_t from, uint32_t out);
uint32_t dv_builder_norm(struct dv_graph_builder *builder, const char *name, uint32_t from);
uint32_t dv_builder_activation(
    struct dv_graph_builder *builder, uint32_t from, enum dv_activation act);
uint32_t dv_builder_pool(struct dv_graph_builder *builder, uint32_t from, struct dv_window window);
uint32_t dv_builder_global_pool(
    struct dv_graph_builder *builder, uint32_t from, enum dv_pooling pooling);
uint32_t dv_builder_join(struct dv_graph_builder *builder, enum dv_node_op op,
    const uint32_t *inputs, uint32_t input_count, uint32_t channels);
uint32_t dv_builder_dropout(struct dv_graph_builder *builder, uint32_t from, double drop);
uint32_t dv_builder_drop_path(struct dv_graph_builder *builder, uint32_t from, double drop);
uint32_t dv_builder_scale(struct dv_graph_builder *builder, uint32_t from, uint32_t gate);
uint32_t dv_builder_pad_shortcut(
    struct dv_graph_builder *builder, uint32_t from, uint32_t channels, uint32_t stride);
uint32_t dv_builder_flatten(struct dv_graph_builder *builder, uint32_t from);
uint32_t dv_builder_linear(
    struct dv_graph_builder *builder, const char *name, uint32_t from, uint32_t out);

void dv_builder_note(struct dv_graph_builder *builder, const char *text);

/* Lower all rows of builder->arch up to and including `row_last`, or to the first problem. */
void dv_builder_run(struct dv_graph_builder *builder, struct dv_shape input, uint32_t row_last);

/* --- Rows (graph_lower.c) ------------------------------------------------------------------ */

/* Lower the row; `inputs` are the nodes it takes. Gives the node of its value. */
uint32_t dv_builder_lower(struct dv_graph_builder *builder, const uint32_t *inputs);

/* --- Fixes (graph_fix.c): "" when none was found; never called in a trial -------------------- */

const char *dv_graph_fix_window(const struct dv_graph_builder *builder, uint32_t from);
const char *dv_graph_fix_flat(const struct dv_graph_builder *builder);
const char *dv_graph_fix_join(
    const struct dv_graph_builder *builder, const uint32_t *inputs, uint32_t differing);
const char *dv_graph_fix_nodes(const struct dv_graph_builder *builder);
const char *dv_graph_fix_size(const struct dv_graph_builder *builder);

#endif
