/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_FUSION_H
#define DV_SPEC_FUSION_H

/*
 * Which activations disappear into the op before them: nn runs them so, and the estimate of memory
 * counts on it.
 */

#include "spec/graph.h"

/*
 * Is the slope at x also the slope at act(x)? Then backward can do with the output, and nobody
 * need keep what the activation was made of.
 */
bool dv_activation_keeps_slope(enum dv_activation act);

/*
 * Can an op of this kind apply `act` to its result? All can that keep what they made the result
 * of, as norms do; the others when the result itself tells the slope, or nobody will ask for it.
 */
bool dv_node_can_activate(enum dv_node_op op, enum dv_activation act, bool is_training);

#endif
