/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_GRAPH_H
#define DV_SPEC_GRAPH_H

/*
 * The primitive graph: what an architecture lowers to for a given input and number of classes.
 * One list of nodes in execution order, each producing one value whose shape is known; parameters
 * with the names they have in every file (safetensors, PyTorch). The checker counts on it, nn
 * plans and runs it, format writes it: there is no second description of a network.
 *
 * Values are per picture: [channel, row, column], or [feature] with rows = columns = 1 after
 * flatten, global_pool + flatten and linear. Names follow torchvision inside blocks:
 *   conv "stem"                 stem.conv, stem.bn                 (repeat: stem.0.conv, ...)
 *   residual "s1" repeat 2      s1.0.conv1, s1.0.bn1, s1.0.conv2, s1.0.bn2,
 *                               s1.0.downsample.0 (conv), s1.0.downsample.1 (norm), s1.1.conv1, ...
 *   bottleneck                  conv1..3, bn1..3, downsample.0, downsample.1
 *   mbconv                      the same: conv1 expands (absent where expand is 1), conv2, conv3
 *   dwsep                       conv1 (depthwise), bn1, conv2 (1x1), bn2
 *   gate of a block             se.fc1, se.fc2
 *   linear "head"               head (weight, bias); with norm: head.linear, head.bn
 * A norm is called bn whatever its kind. Tensors: .weight, .bias, .running_mean, .running_var.
 *
 * Squeeze-and-excitation is no node of its own but global_pool (avg), conv 1x1, activation,
 * conv 1x1, activation (sigmoid or hardsigmoid), scale: the gate's layers are ordinary nodes.
 */

#include "base/status.h"
#include "spec/arch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_arena;
struct dv_json;
struct dv_problems;

enum dv_node_op {
    DV_NODE_INPUT,       /* the normalised picture */
    DV_NODE_CONV,        /* cross-correlation; weight [out, in/groups, kernel, kernel], bias [out] */
    DV_NODE_BATCH_NORM,  /* weight, bias, running_mean, running_var: [channel] */
    DV_NODE_ACTIVATION,
    DV_NODE_POOL,        /* max, or avg (which counts padding, as PyTorch's default) */
    DV_NODE_GLOBAL_POOL, /* over all rows and columns */
    DV_NODE_ADD,         /* 2 to 4 inputs of one shape */
    DV_NODE_CONCAT,      /* 2 to 4 inputs, along channels */
    DV_NODE_DROPOUT,
    DV_NODE_FLATTEN,     /* [channel, row, column] in that order to [feature] */
    DV_NODE_LINEAR,      /* weight [out, in], bias [out] */
    /*
     * Mean and variance of each picture over the places and channels / groups channels of each of
     * `groups` groups, which divide the channels; weight, bias: [channel]. Also of a flat value.
     */
    DV_NODE_GROUP_NORM,
    DV_NODE_SCALE, /* inputs[0], times inputs[1] [channel,1,1] at every place */
    /* Training: all of a picture 0 with probability `drop`, else x / (1 - drop). */
    DV_NODE_DROP_PATH,
    /* Every stride-th place, from the first; the channels beyond the input's, last, are 0. */
    DV_NODE_PAD_SHORTCUT,
    DV_NODE_OP_COUNT,
};

/* [channel, row, column] of one picture. */
struct dv_shape {
    uint32_t channels;
    uint32_t rows;
    uint32_t columns;
};

/* Roles of a parameter tensor; an index into dv_node.tensors. */
enum dv_tensor_role {
    DV_TENSOR_WEIGHT,
    DV_TENSOR_BIAS,
    DV_TENSOR_RUNNING_MEAN, /* not trained by gradients */
    DV_TENSOR_RUNNING_VAR,  /* not trained by gradients */
    DV_TENSOR_ROLE_COUNT,
};

#define DV_NO_TENSOR UINT32_MAX

struct dv_node {
    enum dv_node_op op;
    const char *name; /* "s1.0.conv1": the module, prefix of its tensors; "" where it has none */
    uint32_t row;     /* the architecture row it came from; UINT32_MAX: input, or put in by us */
    uint32_t inputs[DV_ARCH_INPUTS_MAX]; /* node indexes, all smaller than its own */
    uint32_t input_count;
    struct dv_shape shape; /* of its value */

    uint32_t kernel, stride, padding; /* conv, pool (square); pad_shortcut: stride alone */
    uint32_t groups;                  /* conv, group_norm */
    enum dv_pooling pooling;          /* pool, global_pool */
    enum dv_activation act;           /* activation */
    double drop;                      /* dropout, drop_path: probability of zero */

    uint32_t tensors[DV_TENSOR_ROLE_COUNT]; /* indexes into graph.tensors, or DV_NO_TENSOR */
};

struct dv_graph_tensor {
    const char *name; /* "s1.0.conv1.weight" */
    uint32_t node;
    enum dv_tensor_role role;
    uint32_t rank;
    uint32_t shape[4];
    uint64_t count; /* product of shape */
    bool is_trained; /* false: a running statistic */
    bool has_decay;  /* weight decay applies: conv and linear weights, not biases nor norms */
};

struct dv_graph {
    struct dv_node *nodes; /* nodes[0] is the input, the last one the logits */
    uint32_t node_count;
    struct dv_graph_tensor *tensors; /* in node order, then role */
    uint32_t tensor_count;
    uint32_t row_count;
    uint32_t *row_nodes; /* the node whose value is the row's, per row */

    uint64_t parameter_count; /* trained numbers */
    uint64_t macs;            /* multiply-adds of conv and linear, forward, one picture */
    const char **notes;       /* what was put in for the user: "global_pool before \"head\"" */
    uint32_t note_count;
};

/* How a graph is going to be used, for the memory estimate. */
struct dv_graph_use {
    uint32_t batch_size;
    uint32_t optimizer_slots; /* numbers of state per parameter: 0 sgd without momentum, 1, 2 adam */
    bool has_ema;
};

/*
 * Lower `arch` for pictures of `input` and `class_count` classes. Fills in the head's width,
 * inserts a missing global_pool or flatten before a linear row (with a note). DV_INVALID:
 * `problems` says why (shapes that do not fit, a map that vanishes, too many nodes, sizes that
 * overflow 64 bits), in the style of the architecture's own problems.
 */
DV_MUST_CHECK enum dv_status dv_graph_build(const struct dv_arch *arch, struct dv_shape input,
    uint32_t class_count, struct dv_arena *arena, struct dv_problems *problems,
    struct dv_graph **ret_graph, struct dv_error *reterr);

/* FLOPs as the API says them: twice the forward multiply-adds of one picture. */
uint64_t dv_graph_flops(const struct dv_graph *graph);

/*
 * Bytes of training: parameters, gradients, optimiser state, running averages, and what is wanted at
 * once of values and their gradients. Found by walking the graph as nn plans it, for any choice of
 * layouts: 1 to 1.7 times what is planned, mostly 1.1. Saturating.
 */
uint64_t dv_graph_training_memory(const struct dv_graph *graph, struct dv_graph_use use);

/* Trained numbers and multiply-adds of one architecture row. */
void dv_graph_row_cost(
    const struct dv_graph *graph, uint32_t row, uint64_t *ret_parameters, uint64_t *ret_macs);

/* [{"name", "op", "output": [c,h,w], "parameters", "macs"}, ...], one a row; the caller's. */
struct dv_json *dv_graph_table(const struct dv_graph *graph, const struct dv_arch *arch);

const char *dv_node_op_name(enum dv_node_op op); /* "batch_norm" */

#endif
