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

static int compare_offsets(const void *a, const void *b)
{
    const struct dv_memory_item *x = *(const struct dv_memory_item *const *)a;
    const struct dv_memory_item *y = *(const struct dv_memory_item *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool meet(const struct dv_memory_item *a, const struct dv_memory_item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static size_t round_up(size_t size)
{
    return (size + alignment - 1) / alignment * alignment;
}

/* The lowest gap between those already placed that are alive together with `item`. */
static size_t find_offset(
    const struct dv_memory_item *item, struct dv_memory_item **rivals, size_t rival_count)
{
    size_t offset = 0;

    qsort(rivals, rival_count, sizeof(*rivals), compare_offsets);
    for (size_t i = 0; i < rival_count; i++) {
        if (rivals[i]->offset >= offset + item->size) {
            break;
        }
        size_t end = round_up(rivals[i]->offset + rivals[i]->size);
        offset = end > offset ? end : offset;
    }
    return offset;
}

size_t dv_memory_plan(struct dv_memory_item *items, size_t count)
{
    DV_CLEANUP(dv_freep) struct dv_memory_item **order = dv_alloc((count + 1) * sizeof(*order));
    DV_CLEANUP(dv_freep) struct dv_memory_item **rivals = dv_alloc((count + 1) * sizeof(*rivals));
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        order[i] = &items[i];
    }
    qsort(order, count, sizeof(*order), compare_sizes);

    for (size_t i = 0; i < count && order[i]->size > 0; i++) {
        size_t rival_count = 0;
        for (size_t k = 0; k < i; k++) {
            if (meet(order[i], order[k])) {
                rivals[rival_count++] = order[k];
            }
        }
        order[i]->offset = find_offset(order[i], rivals, rival_count);
        size_t end = round_up(order[i]->offset + order[i]->size);
        total = end > total ? end : total;
    }
    return total;
}
