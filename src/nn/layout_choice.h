/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_LAYOUT_CHOICE_H
#define DV_NN_LAYOUT_CHOICE_H

/*
 * Which layout each architecture row runs in, by measuring every op in both and weighing what the
 * copies between rows cost. No one layout wins everywhere: NHWC is better for few channels on
 * large maps, blocked for many channels on small ones.
 */

#include "base/status.h"
#include "nn/backend_impl.h"

struct dv_graph;

/* Fill `ret_layouts`, one a row of the graph's architecture. */
DV_MUST_CHECK enum dv_status dv_layout_choose(const struct dv_graph *graph,
    const struct dv_backend_impl *backend, uint32_t batch_size, bool is_training,
    enum dv_layout *ret_layouts, struct dv_error *reterr);

#endif
