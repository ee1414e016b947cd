/* SPDX-License-Identifier: Apache-2.0 */
#include "nn/memory_plan.h"

#include "base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>

static const size_t alignment = 64;

static int compare_sizes(const void *a, const void *b)
{
    const struct dv_memory_item *x = *(const struct dv_memory_item *const *)a;
    const struct dv_memory_item *y = *(const struct dv_memory_item *const *)b;

    if (x->size != y->size) {
        return x->size < y->size ? 1 : -1;
    }
    return x < y ? -1 : 1; /* a stable order, so that plans repeat */
}

static bool meet(const struct dv_memory_item *a, const struct dv_memory_item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static size_t round_up(size_t size)
{
    return (size + alignment - 1) / alignment * alignment;
}

/* The lowest gap between those of `placed`, in the order of their offsets, that `item` meets. */
static size_t find_offset(
    const struct dv_memory_item *item, struct dv_memory_item *const *placed, size_t count)
{
    size_t offset = 0;

    for (size_t i = 0; i < count && placed[i]->offset < offset + item->size; i++) {
        if (meet(item, placed[i])) {
            size_t end = round_up(placed[i]->offset + placed[i]->size);
            offset = end > offset ? end : offset;
        }
    }
    return offset;
}

/* Among its like, in the order of the offsets. */
static void insert(struct dv_memory_item *item, struct dv_memory_item **placed, size_t count)
{
    size_t at = count;

    for (; at > 0 && placed[at - 1]->offset > item->offset; at--) {
        placed[at] = placed[at - 1];
    }
    placed[at] = item;
}

size_t dv_memory_plan(struct dv_memory_item *items, size_t count)
{
    DV_CLEANUP(dv_freep) struct dv_memory_item **order = dv_alloc((count + 1) * sizeof(*order));
    DV_CLEANUP(dv_freep) struct dv_memory_item **placed = dv_alloc((count + 1) * sizeof(*placed));
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        order[i] = &items[i];
    }
    qsort(order, count, sizeof(*order), compare_sizes);

    for (size_t i = 0; i < count && order[i]->size > 0; i++) {
        order[i]->offset = find_offset(order[i], placed, i);
        insert(order[i], placed, i);
        size_t end = round_up(order[i]->offset + order[i]->size);
        total = end > total ? end : total;
    }
    return total;
}
