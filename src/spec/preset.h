/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_SPEC_PRESET_H
#define DV_SPEC_PRESET_H

/*
 * Architectures by name, wherever one is taken: resnet18, resnet34, resnet50 (torchvision's
 * networks), resnet20, resnet32, resnet44, resnet56, resnet110 (He et al. 2015, section 4.2, for
 * 32 px; shortcuts without parameters), mobilenet_v2, small_cnn.
 */

#include <stddef.h>

struct dv_json;

/* The rows of a preset as an architecture file (the caller's), or NULL if there is no such name. */
struct dv_json *dv_preset_make(const char *name);

/* Walk the names: NULL past the end. */
const char *dv_preset_name(size_t index);

#endif
