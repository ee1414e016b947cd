/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_LAYOUT_H
#define DV_DATA_LAYOUT_H

/*
 * Which class and split the path of a file means. The layout is found from all paths at once:
 * train/class/file, class/train/file or class/file, inside any single wrapping folders. Folders
 * named train|training, val|valid|validation, test|testing (in any case) are splits only where at
 * least two different ones stand side by side: a lone `test/` around the classes is a wrapping
 * folder. What lies deeper inside a class folder belongs to the class.
 *
 * Life:   dv_layout_create(), dv_layout_place() for each path, dv_layout_destroy().
 * Limits: DV_CLASSES_MAX folders on a level; the paths themselves are not kept.
 */

#include "base/status.h"
#include "spec/dataset.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_layout;

struct dv_layout_options {
    /* Path number `index`, valid until the next call; NULL for one that is to be left out. */
    const char *(*path)(void *data, uint64_t index);
    void *data;
    uint64_t count;
};

struct dv_layout_place {
    bool is_ignored;      /* what an operating system leaves behind; nothing else is set then */
    const char *reason;   /* why there is no class; NULL when there is one */
    uint32_t class_index; /* classes are sorted by name, bytewise */
    enum dv_split split;  /* DV_SPLIT_TRAIN where the layout has no splits */
};

/* DV_INVALID: no folder could be a class. DV_TOO_LARGE: too many folders. */
DV_MUST_CHECK enum dv_status dv_layout_create(const struct dv_layout_options *options,
    struct dv_layout **ret_layout, struct dv_error *reterr);
struct dv_layout *dv_layout_destroy(struct dv_layout *layout);
void dv_layout_destroyp(struct dv_layout **layout);

void dv_layout_place(
    const struct dv_layout *layout, const char *path, struct dv_layout_place *ret_place);

bool dv_layout_has_splits(const struct dv_layout *layout);
uint32_t dv_layout_class_count(const struct dv_layout *layout);
const char *dv_layout_class_name(const struct dv_layout *layout, uint32_t class_index);

/* Is this __MACOSX, a dot-file, Thumbs.db or desktop.ini, or inside such a folder? */
bool dv_layout_is_ignored(const char *path);

#endif
