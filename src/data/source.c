/* SPDX-License-Identifier: Apache-2.0 */
#include "data/source.h"

#include "base/alloc.h"
#include "base/file.h"
#include "data/source_impl.h"

#include <assert.h>

static const struct dv_source_impl *const sources[] = {&dv_source_folder, &dv_source_zip};

static const struct dv_source_impl *find_impl(const char *path)
{
    bool is_folder = dv_path_is_folder(path);

    for (size_t i = 0; i < DV_ARRAY_SIZE(sources); i++) {
        if (sources[i]->accepts(path, is_folder)) {
            return sources[i];
        }
    }
    return NULL;
}

enum dv_status dv_source_open(
    const char *path, struct dv_source **ret_source, struct dv_error *reterr)
{
    assert(path);
    assert(ret_source);

    const struct dv_source_impl *impl = find_impl(path);
    assert(impl); /* the ZIP archive takes what nobody else does, and refuses it with a reason */
    assert(impl->object_size >= sizeof(struct dv_source));

    struct dv_source *source = dv_alloc(impl->object_size);
    source->impl = impl;
    enum dv_status status = impl->init(source, path, reterr);
    if (status != DV_OK) {
        (void)dv_source_close(source);
        return status;
    }
    *ret_source = source;
    return DV_OK;
}

struct dv_source *dv_source_close(struct dv_source *source)
{
    if (source) {
        source->impl->finish(source);
        dv_free(source);
    }
    return NULL;
}

uint64_t dv_source_count(const struct dv_source *source)
{
    assert(source);
    return source->impl->count(source);
}

void dv_source_entry(
    const struct dv_source *source, uint64_t index, struct dv_source_entry *ret_entry)
{
    assert(source);
    assert(ret_entry);
    assert(index < dv_source_count(source));
    source->impl->entry(source, index, ret_entry);
}

enum dv_status dv_source_read(
    struct dv_source *source, uint64_t index, void *data, struct dv_error *reterr)
{
    struct dv_source_entry entry;

    dv_source_entry(source, index, &entry);
    assert(!entry.is_refused);
    assert(data || entry.size == 0);
    return source->impl->read(source, index, data, reterr);
}
