/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_SOURCE_IMPL_H
#define DV_DATA_SOURCE_IMPL_H

/*
 * What a source is made of. Only data/source.c and data/source_*.c include this.
 *
 * Adding a source `foo`:
 *   1. data/source_foo.c: a struct that starts with struct dv_source, and the constant
 *      dv_source_foo;
 *   2. declare that constant below, list it in sources[] in data/source.c and the file in
 *      data/meson.build;
 *   3. tests/data/test_source.c runs over it by itself once it has a maker there.
 */

#include "data/source.h"

#include <stddef.h>

struct dv_source {
    const struct dv_source_impl *impl;
};

struct dv_source_impl {
    const char *name;   /* in messages: "ZIP archive" */
    size_t object_size; /* of the struct that starts with struct dv_source */

    /* Required. Is what lies at `path` (a folder or not) for this source? The first that says yes.
     */
    bool (*accepts)(const char *path, bool is_folder);

    /* Required. Audit everything. The object is zeroed, its base set; if it fails, finish()
     * follows. */
    enum dv_status (*init)(struct dv_source *source, const char *path, struct dv_error *reterr);

    /* Required: release what init() took; must cope with a half-made object. */
    void (*finish)(struct dv_source *source);

    /* Required. */
    uint64_t (*count)(const struct dv_source *source);

    /* Required. `index` is below count(). */
    void (*entry)(
        const struct dv_source *source, uint64_t index, struct dv_source_entry *ret_entry);

    /* Required. Never called for a refused entry; `data` may be NULL when its size is 0. */
    enum dv_status (*read)(
        struct dv_source *source, uint64_t index, void *data, struct dv_error *reterr);
};

extern const struct dv_source_impl dv_source_folder;
extern const struct dv_source_impl dv_source_zip;

#endif
