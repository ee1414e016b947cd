/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_NN_BACKEND_H
#define DV_NN_BACKEND_H

/*
 * The compute backends that this build has. Those who write one read nn/backend_impl.h.
 */

#include <stddef.h>

struct dv_backend_impl;

/* By name ("onednn", "ref"), or NULL. */
const struct dv_backend_impl *dv_backend_find(const char *name);

/* Walk them: NULL past the end. */
const struct dv_backend_impl *dv_backend_at(size_t index);

#endif
