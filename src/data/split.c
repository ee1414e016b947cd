/* SPDX-License-Identifier: Apache-2.0 */
#include "data/split.h"

#include "base/alloc.h"
#include "base/random.h"

#include <assert.h>
#include <stdbool.h>

/* What is known of the group whose smallest item is the index into the array. */
struct group {
    uint32_t size;
    bool is_mixed; /* it has several classes, or is in several given splits */
};

struct plan {
    struct dv_split_item *items;
    uint32_t count;
    struct group *groups; /* [item], valid at a group's smallest item */
    uint32_t *totals;     /* [class], items in train before */
    bool has_test;        /* a tenth is to become test too */
    uint64_t seed;
};

static struct group *measure_groups(const struct dv_split_item *items, uint32_t count)
{
    struct group *groups = dv_alloc(((size_t)count + 1) * sizeof(*groups));

    for (uint32_t i = 0; i < count; i++) {
        const struct dv_split_item *first = &items[items[i].group];
        struct group *group = &groups[items[i].group];
        assert(items[i].group <= i);
        group->size++;
        group->is_mixed = group->is_mixed || first->class_index != items[i].class_index ||
                          first->split != items[i].split;
    }
    return groups;
}

/*
 * Move whole groups of one class from train to test and val, in a random order, until each has a
 * tenth. `firsts` are the groups' smallest items. A group that does not fit stays in train, and so
 * does one that is mixed, for it would tip the balance of other classes.
 */
static void split_class(
    const struct plan *plan, uint32_t class_index, uint32_t *firsts, uint32_t first_count)
{
    struct dv_random random = dv_random_make(plan->seed, DV_RANDOM_SPLIT, class_index, 0);

    /* Rounded to nearest; what is left is at least one for every class that has any. */
    uint64_t tenth = ((uint64_t)plan->totals[class_index] + 5) / 10;
    uint64_t left[DV_SPLIT_COUNT] = {
        [DV_SPLIT_VAL] = tenth,
        [DV_SPLIT_TEST] = plan->has_test ? tenth : 0,
    };
    dv_random_shuffle(&random, firsts, first_count);
    for (uint32_t i = 0; i < first_count; i++) {
        const struct group *group = &plan->groups[firsts[i]];
        enum dv_split split = DV_SPLIT_TRAIN;
        if (!group->is_mixed && group->size <= left[DV_SPLIT_TEST]) {
            split = DV_SPLIT_TEST;
        } else if (!group->is_mixed && group->size <= left[DV_SPLIT_VAL]) {
            split = DV_SPLIT_VAL;
        }
        left[split] -= split == DV_SPLIT_TRAIN ? 0 : group->size;
        plan->items[firsts[i]].split = split;
    }
}

/* Counting sort of the groups that lie in train alone by class, then class after class. */
static void split_classes(const struct plan *plan, uint32_t class_count)
{
    DV_CLEANUP(dv_freep) uint32_t *starts = dv_alloc(((size_t)class_count + 2) * sizeof(*starts));
    DV_CLEANUP(dv_freep) uint32_t *firsts = dv_alloc(((size_t)plan->count + 1) * sizeof(*firsts));

    for (uint32_t i = 0; i < plan->count; i++) {
        if (plan->items[i].group == i && plan->items[i].split == DV_SPLIT_TRAIN) {
            starts[plan->items[i].class_index + 2]++;
        }
    }
    for (uint32_t i = 2; i < class_count + 2; i++) {
        starts[i] += starts[i - 1];
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        if (plan->items[i].group == i && plan->items[i].split == DV_SPLIT_TRAIN) {
            firsts[starts[plan->items[i].class_index + 1]++] = i;
        }
    }
    for (uint32_t i = 0; i < class_count; i++) {
        split_class(plan, i, firsts + starts[i], starts[i + 1] - starts[i]);
    }

    /* A mixed group may be in several given splits: its members stay where they are. */
    for (uint32_t i = 0; i < plan->count; i++) {
        if (!plan->groups[plan->items[i].group].is_mixed) {
            plan->items[i].split = plan->items[plan->items[i].group].split;
        }
    }
}

enum dv_status dv_split_assign(struct dv_split_item *items, uint32_t count, uint32_t class_count,
    uint64_t seed, struct dv_error *reterr)
{
    uint64_t counts[DV_SPLIT_COUNT] = {0};

    assert(items || count == 0);

    for (uint32_t i = 0; i < count; i++) {
        counts[items[i].split]++;
    }

    bool has_train = counts[DV_SPLIT_TRAIN] > 0;
    bool has_val = counts[DV_SPLIT_VAL] > 0;
    bool has_test = counts[DV_SPLIT_TEST] > 0;
    if (!has_train && has_val && has_test) {
        return dv_fail(reterr, DV_INVALID,
            "there are val and test pictures but none in train: add a train folder, or leave the "
            "split folders out and let the platform split");
    }
    if (has_train && has_val) {
        return DV_OK;
    }
    if (!has_train) { /* one split alone is no split */
        for (uint32_t i = 0; i < count; i++) {
            items[i].split = DV_SPLIT_TRAIN;
        }
        has_test = false;
    }

    DV_CLEANUP(dv_freep) struct group *groups = measure_groups(items, count);
    DV_CLEANUP(dv_freep) uint32_t *totals = dv_alloc(((size_t)class_count + 1) * sizeof(*totals));
    for (uint32_t i = 0; i < count; i++) {
        assert(items[i].class_index < class_count);
        totals[items[i].class_index] += items[i].split == DV_SPLIT_TRAIN ? 1u : 0u;
    }
    struct plan plan = {
        .items = items,
        .count = count,
        .groups = groups,
        .totals = totals,
        .has_test = !has_test,
        .seed = seed,
    };
    split_classes(&plan, class_count);
    return DV_OK;
}
