/* SPDX-License-Identifier: Apache-2.0 */
#include "data/duplicates.h"

#include "base/alloc.h"
#include "base/file.h"
#include "data/image.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define SIDE DV_FINGERPRINT_SIDE
#define FINE_SIZE (SIDE * SIDE)

#define HASH_STEP 4      /* grey levels that a difference must have to set a bit */
#define HASH_BITS_MAX 3  /* bits of the hash that may differ */
#define HASH_WINDOW 8    /* neighbours looked at in each sorted pass */
#define COARSE_MAX 4     /* grey levels, of any of the 4 x 4 cells */
#define COLOUR_MAX 3     /* levels, of each mean colour */
#define FINE_MAX 8       /* grey levels, of any of the 16 x 16 cells */
#define FINE_SUM_MAX 384 /* 1.5 grey levels on average */
#define CONTRAST_MIN 24  /* below, a picture is too flat to be told from others */

/* --- Fingerprints -------------------------------------------------------------------------- */

/* FNV's idea on words of 8 bytes, with a stronger mixer; for grouping, not against an attacker. */
static uint64_t hash_pixels(const struct dv_image *image)
{
    size_t size = (size_t)image->rows * image->columns * image->channels;
    uint64_t hash = (uint64_t)image->rows << 32 ^ (uint64_t)image->columns << 2 ^ image->channels;
    uint64_t word;
    size_t i = 0;

    for (; i + sizeof(word) <= size; i += sizeof(word)) {
        memcpy(&word, image->pixels + i, sizeof(word));
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    word = 0;
    memcpy(&word, image->pixels + i, size - i);
    hash = (hash ^ word) * 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

/* Sums of red, green and blue over the pixels of one cell of the 16 x 16 grid. */
static uint64_t sum_cell(
    const struct dv_image *image, uint32_t cell_row, uint32_t cell_column, uint64_t sums[3])
{
    uint32_t row_first = (uint32_t)((uint64_t)cell_row * image->rows / SIDE);
    uint32_t row_end = (uint32_t)((uint64_t)(cell_row + 1) * image->rows / SIDE);
    uint32_t column_first = (uint32_t)((uint64_t)cell_column * image->columns / SIDE);
    uint32_t column_end = (uint32_t)((uint64_t)(cell_column + 1) * image->columns / SIDE);
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t third = 0;

    /* A picture smaller than the grid has cells that share a pixel. */
    row_end = row_end > row_first ? row_end : row_first + 1;
    column_end = column_end > column_first ? column_end : column_first + 1;
    for (uint32_t row = row_first; row < row_end; row++) {
        const uint8_t *pixel =
            image->pixels + ((size_t)row * image->columns + column_first) * image->channels;
        if (image->channels == 1) {
            for (uint32_t column = column_first; column < column_end; column++) {
                first += *pixel++;
            }
        } else {
            for (uint32_t column = column_first; column < column_end; column++, pixel += 3) {
                first += pixel[0];
                second += pixel[1];
                third += pixel[2];
            }
        }
    }
    sums[0] = first;
    sums[1] = image->channels == 1 ? first : second;
    sums[2] = image->channels == 1 ? first : third;
    return (uint64_t)(row_end - row_first) * (column_end - column_first);
}

/* Mean of a square of cells of the fine thumbnail. */
static uint8_t mean_block(const uint8_t *fine, int row, int column, int side)
{
    int sum = 0;

    for (int y = row * side; y < (row + 1) * side; y++) {
        for (int x = column * side; x < (column + 1) * side; x++) {
            sum += fine[y * SIDE + x];
        }
    }
    return (uint8_t)((sum + side * side / 2) / (side * side));
}

/* Each bit says whether a cell is brighter than its right neighbour (the last: than the first). */
static uint64_t hash_differences(const uint8_t *fine)
{
    uint8_t grid[8][8];
    uint64_t hash = 0;

    for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) {
            grid[y][x] = mean_block(fine, y, x, 2);
        }
    }
    for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) {
            hash = hash << 1 | (grid[y][x] > grid[y][(x + 1) % 8] + HASH_STEP ? 1u : 0u);
        }
    }
    return hash;
}

void dv_fingerprint_make(const struct dv_image *image, struct dv_fingerprint *ret_fingerprint)
{
    struct dv_fingerprint print = {.key.pixels = hash_pixels(image)};
    uint64_t colours[3] = {0};
    uint8_t low = 255;
    uint8_t high = 0;

    assert(image->rows > 0);
    assert(image->columns > 0);

    for (uint32_t row = 0; row < SIDE; row++) {
        for (uint32_t column = 0; column < SIDE; column++) {
            uint64_t sums[3];
            uint64_t area = sum_cell(image, row, column, sums);
            uint64_t grey = 299 * sums[0] + 587 * sums[1] + 114 * sums[2];
            uint8_t value = (uint8_t)((grey + 500 * area) / (1000 * area));
            print.fine[row * SIDE + column] = value;
            low = value < low ? value : low;
            high = value > high ? value : high;
            for (int i = 0; i < 3; i++) {
                colours[i] += sums[i] / area;
            }
        }
    }
    for (int i = 0; i < 3; i++) {
        print.key.colour[i] = (uint8_t)(colours[i] / FINE_SIZE);
    }
    for (int i = 0; i < 16; i++) {
        print.key.coarse[i] = mean_block(print.fine, i / 4, i % 4, 4);
    }
    print.key.contrast = (uint8_t)(high - low);
    print.key.differences = hash_differences(print.fine);
    *ret_fingerprint = print;
}

/* --- Exact duplicates ------------------------------------------------------------------------ */

static int compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_bytes_hash(const void *a, const void *b, void *data)
{
    const struct dv_candidate *candidates = data;
    uint32_t index_a = *(const uint32_t *)a;
    uint32_t index_b = *(const uint32_t *)b;

    int order = memcmp(candidates[index_a].record.sample.hash,
        candidates[index_b].record.sample.hash, DV_SHA256_SIZE);
    return order != 0 ? order : compare_numbers(index_a, index_b);
}

static uint32_t *make_order(uint32_t count)
{
    uint32_t *order = dv_alloc(((size_t)count + 1) * sizeof(*order));

    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    return order;
}

/* Candidates order[0..count) have the same bytes. */
static void judge_copies(struct dv_candidate *candidates, const uint32_t *order, uint32_t count)
{
    uint32_t kept = order[0];
    uint32_t stranger = order[0]; /* one of another class than the first */

    for (uint32_t i = 1; i < count; i++) {
        const struct dv_pack_sample *sample = &candidates[order[i]].record.sample;
        /* The splits are numbered so that the one to keep intact comes last. */
        if (sample->split > candidates[kept].record.sample.split) {
            kept = order[i];
        }
        if (sample->class_index != candidates[order[0]].record.sample.class_index) {
            stranger = order[i];
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct dv_candidate *candidate = &candidates[order[i]];
        if (stranger != order[0]) {
            bool is_first_class = candidate->record.sample.class_index ==
                                  candidates[order[0]].record.sample.class_index;
            candidate->finding = DV_FINDING_CONFLICTING_LABELS;
            candidate->other = is_first_class ? stranger : order[0];
        } else if (order[i] != kept) {
            bool is_same_split =
                candidate->record.sample.split == candidates[kept].record.sample.split;
            candidate->finding =
                is_same_split ? DV_FINDING_DUPLICATE : DV_FINDING_LEAK_ACROSS_SPLITS;
            candidate->other = kept;
        }
    }
}

void dv_duplicates_judge(struct dv_candidate *candidates, uint32_t count)
{
    DV_CLEANUP(dv_freep) uint32_t *order = make_order(count);

    qsort_r(order, count, sizeof(*order), compare_bytes_hash, candidates);
    for (uint32_t first = 0, end; first < count; first = end) {
        end = first + 1;
        while (end < count && memcmp(candidates[order[first]].record.sample.hash,
                                  candidates[order[end]].record.sample.hash, DV_SHA256_SIZE) == 0) {
            end++;
        }
        if (end - first > 1) {
            judge_copies(candidates, order + first, end - first);
        }
    }
}

/* --- Near duplicates ------------------------------------------------------------------------- */

struct sorting {
    const struct dv_candidate *candidates;
    unsigned rotation; /* bits by which the difference hash is turned */
};

static uint64_t turned_hash(const struct sorting *sorting, uint32_t index)
{
    uint64_t hash = sorting->candidates[index].key.differences;

    return sorting->rotation == 0 ? hash
                                  : hash << sorting->rotation | hash >> (64 - sorting->rotation);
}

static int compare_differences(const void *a, const void *b, void *data)
{
    uint32_t index_a = *(const uint32_t *)a;
    uint32_t index_b = *(const uint32_t *)b;
    uint64_t hash_a = turned_hash(data, index_a);
    uint64_t hash_b = turned_hash(data, index_b);

    return hash_a != hash_b ? (hash_a > hash_b) - (hash_a < hash_b)
                            : compare_numbers(index_a, index_b);
}

static int compare_pixels(const void *a, const void *b, void *data)
{
    const struct sorting *sorting = data;
    uint32_t index_a = *(const uint32_t *)a;
    uint32_t index_b = *(const uint32_t *)b;
    uint64_t hash_a = sorting->candidates[index_a].key.pixels;
    uint64_t hash_b = sorting->candidates[index_b].key.pixels;

    return hash_a != hash_b ? (hash_a > hash_b) - (hash_a < hash_b)
                            : compare_numbers(index_a, index_b);
}

static uint32_t find_root(uint32_t *groups, uint32_t index)
{
    while (groups[index] != index) {
        groups[index] = groups[groups[index]];
        index = groups[index];
    }
    return index;
}

/* The smaller number stays the root, so that the result does not depend on the order of joins. */
static void join(uint32_t *groups, uint32_t a, uint32_t b)
{
    a = find_root(groups, a);
    b = find_root(groups, b);
    if (a < b) {
        groups[b] = a;
    } else {
        groups[a] = b;
    }
}

static bool is_within(const uint8_t *a, const uint8_t *b, size_t count, int limit)
{
    for (size_t i = 0; i < count; i++) {
        int difference = a[i] - b[i];
        if (difference > limit || difference < -limit) {
            return false;
        }
    }
    return true;
}

static bool has_same_shape(const struct dv_pack_sample *a, const struct dv_pack_sample *b)
{
    uint64_t left = (uint64_t)a->rows * b->columns;
    uint64_t right = (uint64_t)b->rows * a->columns;
    uint64_t difference = left > right ? left - right : right - left;

    return difference * 50 <= left;
}

/* What can be said without the fine thumbnails. */
static bool may_be_near(const struct dv_candidate *a, const struct dv_candidate *b)
{
    return __builtin_popcountll(a->key.differences ^ b->key.differences) <= HASH_BITS_MAX &&
           a->key.contrast >= CONTRAST_MIN && b->key.contrast >= CONTRAST_MIN &&
           is_within(a->key.coarse, b->key.coarse, sizeof(a->key.coarse), COARSE_MAX) &&
           is_within(a->key.colour, b->key.colour, sizeof(a->key.colour), COLOUR_MAX) &&
           has_same_shape(&a->record.sample, &b->record.sample);
}

static enum dv_status compare_fine(int thumbnails, const struct dv_candidate *a,
    const struct dv_candidate *b, bool *ret_is_near, struct dv_error *reterr)
{
    uint8_t fine[2][FINE_SIZE];
    int sum = 0;

    enum dv_status status =
        dv_file_pread(thumbnails, fine[0], FINE_SIZE, (uint64_t)a->thumbnail * FINE_SIZE, reterr);
    if (status == DV_OK) {
        status = dv_file_pread(
            thumbnails, fine[1], FINE_SIZE, (uint64_t)b->thumbnail * FINE_SIZE, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    for (int i = 0; i < FINE_SIZE; i++) {
        sum += abs(fine[0][i] - fine[1][i]);
    }
    *ret_is_near = sum <= FINE_SUM_MAX && is_within(fine[0], fine[1], FINE_SIZE, FINE_MAX);
    return DV_OK;
}

static enum dv_status join_near(const struct sorting *sorting, const uint32_t *order,
    uint32_t count, int thumbnails, uint32_t *groups, struct dv_error *reterr)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = i + 1; j < count && j - i <= HASH_WINDOW; j++) {
            const struct dv_candidate *a = &sorting->candidates[order[i]];
            const struct dv_candidate *b = &sorting->candidates[order[j]];
            bool is_near = false;
            if (!may_be_near(a, b) || find_root(groups, order[i]) == find_root(groups, order[j])) {
                continue;
            }
            enum dv_status status = compare_fine(thumbnails, a, b, &is_near, reterr);
            if (status != DV_OK) {
                return status;
            }
            if (is_near) {
                join(groups, order[i], order[j]);
            }
        }
    }
    return DV_OK;
}

static void join_same_pixels(
    const struct dv_candidate *candidates, uint32_t *order, uint32_t count, uint32_t *groups)
{
    struct sorting sorting = {.candidates = candidates};

    qsort_r(order, count, sizeof(*order), compare_pixels, &sorting);
    for (uint32_t i = 1; i < count; i++) {
        const struct dv_candidate *a = &candidates[order[i - 1]];
        const struct dv_candidate *b = &candidates[order[i]];
        if (a->key.pixels == b->key.pixels && a->record.sample.rows == b->record.sample.rows &&
            a->record.sample.columns == b->record.sample.columns) {
            join(groups, order[i - 1], order[i]);
        }
    }
}

enum dv_status dv_duplicates_group(const struct dv_candidate *candidates, uint32_t count,
    int thumbnails, uint32_t *ret_groups, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) uint32_t *order = make_order(count);
    DV_CLEANUP(dv_freep) uint32_t *groups = make_order(count);

    assert(candidates);
    assert(ret_groups);

    join_same_pixels(candidates, order, count, groups);
    /*
     * Of four 16-bit pieces of two hashes that differ in at most 3 bits, one is equal. Turned to
     * the front and sorted, it brings the two close together.
     */
    for (unsigned rotation = 0; rotation < 64; rotation += 16) {
        struct sorting sorting = {.candidates = candidates, .rotation = rotation};
        qsort_r(order, count, sizeof(*order), compare_differences, &sorting);
        enum dv_status status = join_near(&sorting, order, count, thumbnails, groups, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        ret_groups[i] = find_root(groups, i);
    }
    return DV_OK;
}
