/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "data/ingest_findings.h"
#include "data/ingest_state.h"
#include "data/split.h"

#include <assert.h>
#include <string.h>

/* --- Exact duplicates ---------------------------------------------------------------------------
 */

static int compare_names(const void *a, const void *b)
{
    const struct dv_candidate *candidate_a = a;
    const struct dv_candidate *candidate_b = b;

    return strcmp(candidate_a->record.sample.name, candidate_b->record.sample.name);
}

static void describe_duplicate(struct dv_ingest *ingest, const struct dv_candidate *candidate)
{
    const struct dv_pack_sample *sample = &candidate->record.sample;
    const struct dv_pack_sample *other = &ingest->candidates[candidate->other].record.sample;

    switch (candidate->finding) {
    case DV_FINDING_CONFLICTING_LABELS:
        dv_ingest_findings_add(ingest->findings, sample->name, candidate->finding,
            "the same bytes are in class '%s' as '%s', and nobody knows which is right; all copies "
            "are left out",
            ingest->classes[other->class_index].name, other->name);
        break;
    case DV_FINDING_LEAK_ACROSS_SPLITS:
        dv_ingest_findings_add(ingest->findings, sample->name, candidate->finding,
            "the same bytes are in %s as '%s'; only that copy is kept", dv_split_name(other->split),
            other->name);
        break;
    default:
        dv_ingest_findings_add(ingest->findings, sample->name, candidate->finding,
            "the same bytes as '%s', which is kept", other->name);
        break;
    }
}

static void refuse_duplicates(struct dv_ingest *ingest)
{
    uint32_t kept = 0;

    dv_duplicates_judge(ingest->candidates, ingest->count);
    for (uint32_t i = 0; i < ingest->count; i++) {
        const struct dv_candidate *candidate = &ingest->candidates[i];
        if (candidate->finding != DV_FINDING_CODE_COUNT) {
            struct dv_ingest_class *class = &ingest->classes[candidate->record.sample.class_index];
            describe_duplicate(ingest, candidate);
            class->good--;
            class->bad++;
        }
    }
    for (uint32_t i = 0; i < ingest->count; i++) {
        if (ingest->candidates[i].finding == DV_FINDING_CODE_COUNT) {
            ingest->candidates[kept++] = ingest->candidates[i];
        }
    }
    ingest->count = kept;
}

/* --- Classes
 * -------------------------------------------------------------------------------------- */

/* "; 12 files were refused, most as corrupt_image" or nothing. */
static const char *describe_refusals(const struct dv_ingest *ingest, char *text, size_t size)
{
    enum dv_finding_code main_code = dv_ingest_findings_main_code(ingest->findings);
    uint64_t count = 0;

    if (main_code == DV_FINDING_CODE_COUNT) {
        return "";
    }
    for (int i = 0; i < DV_FINDING_CODE_COUNT; i++) {
        if (dv_finding_code_refuses((enum dv_finding_code)i)) {
            count += dv_ingest_findings_total(ingest->findings, (enum dv_finding_code)i);
        }
    }
    (void)snprintf(text, size, "; files refused: %llu, most of them as %s",
        (unsigned long long)count, dv_finding_code_name(main_code));
    return text;
}

/*
 * A folder whose files are no pictures at all (notes, tables) is no class and is dropped; each
 * class needs two good pictures. The message names the first class that falls short.
 */
static enum dv_status check_classes(const struct dv_ingest *ingest, struct dv_error *reterr)
{
    char refusals[128];
    uint32_t count = 0;

    for (uint32_t i = 0; i < ingest->class_count; i++) {
        const struct dv_ingest_class *class = &ingest->classes[i];
        if (class->good == 0 && class->bad == 0) {
            continue;
        }
        if (class->good < 2) {
            return dv_fail(reterr, DV_INVALID,
                "class '%s' has %s good picture, and each class needs at least 2%s", class->name,
                class->good == 0 ? "no" : "only 1",
                describe_refusals(ingest, refusals, sizeof(refusals)));
        }
        count++;
    }
    if (count < 2) {
        return dv_fail(reterr, DV_INVALID,
            "%s, and a data set needs at least 2 classes with 2 good pictures in each%s",
            count == 0 ? "no folder has pictures" : "there is only 1 class with pictures",
            describe_refusals(ingest, refusals, sizeof(refusals)));
    }
    return DV_OK;
}

static void drop_empty_classes(struct dv_ingest *ingest)
{
    DV_CLEANUP(dv_freep)
    uint32_t *new_index = dv_alloc(((size_t)ingest->class_count + 1) * sizeof(*new_index));
    uint32_t kept = 0;

    for (uint32_t i = 0; i < ingest->class_count; i++) {
        if (ingest->classes[i].good > 0) {
            new_index[i] = kept;
            ingest->classes[kept++] = ingest->classes[i];
        }
    }
    ingest->class_count = kept;
    for (uint32_t i = 0; i < ingest->count; i++) {
        struct dv_pack_sample *sample = &ingest->candidates[i].record.sample;
        sample->class_index = new_index[sample->class_index];
    }
}

static enum dv_status check_train(const struct dv_ingest *ingest, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    bool *has_train = dv_alloc(((size_t)ingest->class_count + 1) * sizeof(*has_train));

    for (uint32_t i = 0; i < ingest->count; i++) {
        const struct dv_pack_sample *sample = &ingest->candidates[i].record.sample;
        has_train[sample->class_index] =
            has_train[sample->class_index] || sample->split == DV_SPLIT_TRAIN;
    }
    for (uint32_t i = 0; i < ingest->class_count; i++) {
        if (!has_train[i]) {
            return dv_fail(reterr, DV_INVALID,
                "class '%s' has pictures, but none in train, so that it cannot be learnt; add some "
                "or take the class out",
                ingest->classes[i].name);
        }
    }
    return DV_OK;
}

/* --- Groups and splits
 * ------------------------------------------------------------------------------ */

static void remark_near_duplicates(struct dv_ingest *ingest, const uint32_t *groups)
{
    for (uint32_t i = 0; i < ingest->count; i++) {
        const struct dv_pack_sample *sample = &ingest->candidates[i].record.sample;
        const struct dv_pack_sample *first = &ingest->candidates[groups[i]].record.sample;
        if (groups[i] == i) {
            continue;
        }
        if (sample->class_index != first->class_index) {
            dv_ingest_findings_add(ingest->findings, sample->name, DV_FINDING_NEAR_DUPLICATE,
                "looks the same as '%s' of class '%s'", first->name,
                ingest->classes[first->class_index].name);
        } else if (sample->split != first->split) {
            dv_ingest_findings_add(ingest->findings, sample->name, DV_FINDING_NEAR_DUPLICATE,
                "looks the same as '%s', which is in %s", first->name, dv_split_name(first->split));
        } else {
            dv_ingest_findings_add(ingest->findings, sample->name, DV_FINDING_NEAR_DUPLICATE,
                "looks the same as '%s'", first->name);
        }
    }
}

static enum dv_status split(
    struct dv_ingest *ingest, const uint32_t *groups, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep)
    struct dv_split_item *items = dv_alloc(((size_t)ingest->count + 1) * sizeof(*items));

    for (uint32_t i = 0; i < ingest->count; i++) {
        const struct dv_pack_sample *sample = &ingest->candidates[i].record.sample;
        items[i] = (struct dv_split_item){
            .class_index = sample->class_index,
            .group = groups[i],
            .split = sample->split,
        };
    }
    enum dv_status status =
        dv_split_assign(items, ingest->count, ingest->class_count, ingest->options->seed, reterr);
    for (uint32_t i = 0; i < ingest->count && status == DV_OK; i++) {
        ingest->candidates[i].record.sample.split = items[i].split;
    }
    return status;
}

static int compare_records(const void *a, const void *b)
{
    const struct dv_pack_sample *sample_a = &(*(const struct dv_pack_record *const *)a)->sample;
    const struct dv_pack_sample *sample_b = &(*(const struct dv_pack_record *const *)b)->sample;

    if (sample_a->split != sample_b->split) {
        return sample_a->split < sample_b->split ? -1 : 1;
    }
    if (sample_a->class_index != sample_b->class_index) {
        return sample_a->class_index < sample_b->class_index ? -1 : 1;
    }
    return strcmp(sample_a->name, sample_b->name);
}

/* Groups are numbered afresh so that the numbers have no gaps. */
static void order_records(struct dv_ingest *ingest, uint32_t *groups)
{
    uint32_t group_count = 0;

    ingest->order = dv_alloc(((size_t)ingest->count + 1) * sizeof(*ingest->order));
    for (uint32_t i = 0; i < ingest->count; i++) {
        /* The first of a group has the smallest number, so its new number is known by now. */
        groups[i] = groups[i] == i ? group_count++ : groups[groups[i]];
        ingest->candidates[i].record.sample.group = groups[i];
        ingest->order[i] = &ingest->candidates[i].record;
    }
    qsort(ingest->order, ingest->count, sizeof(*ingest->order), compare_records);
}

enum dv_status dv_ingest_arrange(struct dv_ingest *ingest, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) uint32_t *groups = NULL;

    assert(!ingest->order);

    /* By name, so that nothing depends on the order in which an archive stores its files. */
    qsort(ingest->candidates, ingest->count, sizeof(*ingest->candidates), compare_names);
    refuse_duplicates(ingest);
    enum dv_status status = check_classes(ingest, reterr);
    if (status != DV_OK) {
        return status;
    }
    drop_empty_classes(ingest);

    groups = dv_alloc(((size_t)ingest->count + 1) * sizeof(*groups));
    status =
        dv_duplicates_group(ingest->candidates, ingest->count, ingest->thumbnails, groups, reterr);
    if (status == DV_OK) {
        remark_near_duplicates(ingest, groups);
        status = split(ingest, groups, reterr);
    }
    if (status == DV_OK) {
        status = check_train(ingest, reterr);
    }
    if (status == DV_OK) {
        order_records(ingest, groups);
    }
    return status;
}
