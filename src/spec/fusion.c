/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/fusion.h"

bool dv_activation_keeps_slope(enum dv_activation act)
{
    return act == DV_ACT_NONE || act == DV_ACT_RELU || act == DV_ACT_RELU6 ||
           act == DV_ACT_LEAKY_RELU;
}

bool dv_node_can_activate(enum dv_node_op op, enum dv_activation act, bool is_training)
{
    switch (op) {
    case DV_NODE_BATCH_NORM:
    case DV_NODE_GROUP_NORM:
    case DV_NODE_ACTIVATION:
        return true;
    case DV_NODE_CONV:
    case DV_NODE_LINEAR:
    case DV_NODE_ADD:
        return !is_training || dv_activation_keeps_slope(act);
    default:
        return act == DV_ACT_NONE;
    }
}
