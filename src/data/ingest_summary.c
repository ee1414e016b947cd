/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/text.h"
#include "data/ingest_state.h"
#include "spec/limits.h"

#include <assert.h>
#include <string.h>

struct sides {
    uint32_t min, max;
    bool has_one_size;
    uint64_t histogram[DV_IMAGE_SIDE_MAX + 1]; /* of short sides */
};

static void measure_sides(const struct dv_ingest *ingest, struct sides *sides)
{
    const struct dv_pack_sample *first = &ingest->candidates[0].record.sample;

    sides->min = UINT32_MAX;
    sides->has_one_size = true;
    for (uint32_t i = 0; i < ingest->count; i++) {
        const struct dv_pack_sample *sample = &ingest->candidates[i].record.sample;
        uint32_t low = sample->rows < sample->columns ? sample->rows : sample->columns;
        uint32_t high = sample->rows < sample->columns ? sample->columns : sample->rows;
        assert(low <= DV_IMAGE_SIDE_MAX);
        sides->min = low < sides->min ? low : sides->min;
        sides->max = high > sides->max ? high : sides->max;
        sides->histogram[low]++;
        sides->has_one_size =
            sides->has_one_size && sample->rows == first->rows && sample->columns == first->columns;
    }
}

/* The lower median, so that it is a side that occurs. */
static uint32_t find_median(const struct sides *sides, uint64_t count)
{
    uint64_t seen = 0;

    for (uint32_t side = 0; side <= DV_IMAGE_SIDE_MAX; side++) {
        seen += sides->histogram[side];
        if (2 * seen >= count) {
            return side;
        }
    }
    return 0;
}

static void hash_text(struct dv_sha256 *hash, const char *text)
{
    dv_sha256_update(
        hash, text, strlen(text) + 1); /* with the NUL, so that two never run together */
}

/*
 * Of everything that makes this data set what it is: class names, then split, class, name and
 * picture of every sample, in the manifest's order. Not of previews, times or the archive.
 */
static void hash_content(const struct dv_ingest *ingest, char ret_text[static DV_SHA256_TEXT_SIZE])
{
    unsigned char digest[DV_SHA256_SIZE];
    struct dv_sha256 hash;

    dv_sha256_init(&hash);
    for (uint32_t i = 0; i < ingest->class_count; i++) {
        hash_text(&hash, ingest->classes[i].name);
    }
    for (uint32_t i = 0; i < ingest->count; i++) {
        const struct dv_pack_sample *sample = &ingest->order[i]->sample;
        hash_text(&hash, dv_split_name(sample->split));
        hash_text(&hash, ingest->classes[sample->class_index].name);
        hash_text(&hash, sample->name);
        dv_sha256_update(&hash, sample->hash, DV_SHA256_SIZE);
    }
    dv_sha256_finish(&hash, digest);
    dv_text_hex(digest, DV_SHA256_SIZE, ret_text);
}

static void count_classes(
    const struct dv_ingest *ingest, struct dv_arena *arena, struct dv_dataset_summary *summary)
{
    summary->class_count = ingest->class_count;
    summary->classes = dv_arena_array(arena, ingest->class_count, sizeof(*summary->classes));
    for (uint32_t i = 0; i < ingest->class_count; i++) {
        summary->classes[i].name = dv_arena_strdup(arena, ingest->classes[i].name);
    }
    summary->channels = 1;
    summary->total_samples = ingest->count;
    for (uint32_t i = 0; i < ingest->count; i++) {
        const struct dv_pack_sample *sample = &ingest->candidates[i].record.sample;
        summary->classes[sample->class_index].counts[sample->split]++;
        summary->size_bytes += sample->size;
        summary->channels = sample->channels > summary->channels ? 3 : summary->channels;
    }
}

void dv_ingest_summarize(
    const struct dv_ingest *ingest, struct dv_arena *arena, struct dv_dataset_summary *summary)
{
    DV_CLEANUP(dv_freep) struct sides *sides = dv_alloc(sizeof(*sides));

    assert(ingest->count > 0);
    assert(ingest->order);

    count_classes(ingest, arena, summary);
    measure_sides(ingest, sides);
    summary->side_min = sides->min;
    summary->side_max = sides->max;
    summary->side_median = find_median(sides, ingest->count);
    summary->has_one_size = sides->has_one_size;
    hash_content(ingest, summary->content_hash);
}
