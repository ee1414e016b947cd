/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/random.h"
#include "data/duplicates.h"
#include "data/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "picture_files.h"

#define CANDIDATES_MAX 64u

/* Candidates made from pictures, with their thumbnails in a file. */
struct crowd {
    struct dv_candidate candidates[CANDIDATES_MAX];
    uint32_t groups[CANDIDATES_MAX];
    uint32_t count;
    int thumbnails;
};

static void open_crowd(struct crowd *crowd)
{
    char path[] = "/tmp/dv-test-thumbnails-XXXXXX";

    *crowd = (struct crowd){.thumbnails = mkstemp(path)};
    assert_true(crowd->thumbnails >= 0);
    assert_int_equal(unlink(path), 0);
}

static void add(struct crowd *crowd, const struct dv_image *image)
{
    struct dv_candidate *candidate = &crowd->candidates[crowd->count];
    struct dv_fingerprint print;

    dv_fingerprint_make(image, &print);
    candidate->key = print.key;
    candidate->thumbnail = crowd->count++;
    candidate->record.sample.rows = image->rows;
    candidate->record.sample.columns = image->columns;
    assert_int_equal(
        dv_file_write_all(crowd->thumbnails, print.fine, sizeof(print.fine), NULL), DV_OK);
}

static void group(struct crowd *crowd)
{
    assert_int_equal(dv_duplicates_group(
                         crowd->candidates, crowd->count, crowd->thumbnails, crowd->groups, NULL),
        DV_OK);
    dv_file_closep(&crowd->thumbnails);
}

static void set_copy(
    struct dv_candidate *candidate, unsigned char bytes, uint32_t class_index, enum dv_split split)
{
    *candidate = (struct dv_candidate){.finding = DV_FINDING_CODE_COUNT};
    candidate->record.sample.class_index = class_index;
    candidate->record.sample.split = split;
    memset(candidate->record.sample.hash, bytes, DV_SHA256_SIZE);
}

static void of_copies_in_one_split_the_first_is_kept(void **state)
{
    struct dv_candidate candidates[4];

    (void)state;
    set_copy(&candidates[0], 1, 0, DV_SPLIT_TRAIN);
    set_copy(&candidates[1], 2, 0, DV_SPLIT_TRAIN);
    set_copy(&candidates[2], 1, 0, DV_SPLIT_TRAIN);
    set_copy(&candidates[3], 1, 0, DV_SPLIT_TRAIN);
    dv_duplicates_judge(candidates, 4);
    assert_int_equal(candidates[0].finding, DV_FINDING_CODE_COUNT);
    assert_int_equal(candidates[1].finding, DV_FINDING_CODE_COUNT);
    assert_int_equal(candidates[2].finding, DV_FINDING_DUPLICATE);
    assert_int_equal(candidates[3].finding, DV_FINDING_DUPLICATE);
    assert_int_equal(candidates[3].other, 0);
}

static void of_copies_in_several_splits_that_of_test_is_kept(void **state)
{
    struct dv_candidate candidates[4];

    (void)state;
    set_copy(&candidates[0], 1, 0, DV_SPLIT_TRAIN);
    set_copy(&candidates[1], 1, 0, DV_SPLIT_TEST);
    set_copy(&candidates[2], 1, 0, DV_SPLIT_VAL);
    set_copy(&candidates[3], 1, 0, DV_SPLIT_TEST);
    dv_duplicates_judge(candidates, 4);
    assert_int_equal(candidates[0].finding, DV_FINDING_LEAK_ACROSS_SPLITS);
    assert_int_equal(candidates[1].finding, DV_FINDING_CODE_COUNT);
    assert_int_equal(candidates[2].finding, DV_FINDING_LEAK_ACROSS_SPLITS);
    assert_int_equal(candidates[3].finding, DV_FINDING_DUPLICATE);
    assert_int_equal(candidates[0].other, 1);
}

static void of_copies_under_two_classes_none_is_kept(void **state)
{
    struct dv_candidate candidates[3];

    (void)state;
    set_copy(&candidates[0], 1, 0, DV_SPLIT_TRAIN);
    set_copy(&candidates[1], 1, 1, DV_SPLIT_TEST);
    set_copy(&candidates[2], 1, 0, DV_SPLIT_TRAIN);
    dv_duplicates_judge(candidates, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(candidates[i].finding, DV_FINDING_CONFLICTING_LABELS);
        assert_int_not_equal(candidates[candidates[i].other].record.sample.class_index,
            candidates[i].record.sample.class_index);
    }
}

/* A smooth random picture: a few grey levels at random, bilinear between them. */
static void draw(uint8_t *pixels, uint32_t side, uint64_t seed)
{
    struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, 0, 0);
    uint8_t knots[5][5];

    for (int i = 0; i < 25; i++) {
        knots[i / 5][i % 5] = (uint8_t)dv_random_below(&random, 256);
    }
    for (uint32_t y = 0; y < side; y++) {
        for (uint32_t x = 0; x < side; x++) {
            double row = 4.0 * y / side;
            double column = 4.0 * x / side;
            uint32_t r = (uint32_t)row;
            uint32_t c = (uint32_t)column;
            double top = knots[r][c] + (column - c) * (knots[r][c + 1] - knots[r][c]);
            double bottom =
                knots[r + 1][c] + (column - c) * (knots[r + 1][c + 1] - knots[r + 1][c]);
            pixels[y * side + x] = (uint8_t)(top + (row - r) * (bottom - top));
        }
    }
}

static void different_pictures_stay_apart(void **state)
{
    uint8_t pixels[64 * 64];
    struct dv_image image = {.pixels = pixels, .rows = 64, .columns = 64, .channels = 1};
    struct crowd crowd;

    (void)state;
    open_crowd(&crowd);
    for (uint64_t i = 0; i < CANDIDATES_MAX; i++) {
        draw(pixels, 64, i);
        add(&crowd, &image);
    }
    group(&crowd);
    for (uint32_t i = 0; i < CANDIDATES_MAX; i++) {
        assert_int_equal(crowd.groups[i], i);
    }
}

static void a_small_change_of_place_is_another_picture(void **state)
{
    uint8_t pixels[32 * 32];
    struct dv_image image = {.pixels = pixels, .rows = 32, .columns = 32, .channels = 1};
    struct crowd crowd;

    (void)state;
    open_crowd(&crowd);
    for (int i = 0; i < 6; i++) { /* a flat drawing that moves by two pixels each time */
        memset(pixels, 255, sizeof(pixels));
        for (int y = 8; y < 20; y++) {
            memset(pixels + y * 32 + 2 * i, 0, 12);
        }
        add(&crowd, &image);
    }
    group(&crowd);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(crowd.groups[i], i);
    }
}

static void flat_pictures_are_near_only_when_equal(void **state)
{
    uint8_t pixels[16 * 16];
    struct dv_image image = {.pixels = pixels, .rows = 16, .columns = 16, .channels = 1};
    struct crowd crowd;

    (void)state;
    open_crowd(&crowd);
    for (int i = 0; i < 4; i++) {
        memset(pixels, 100 + i / 2, sizeof(pixels)); /* two pairs, one level apart */
        add(&crowd, &image);
    }
    group(&crowd);
    assert_int_equal(crowd.groups[1], 0);
    assert_int_equal(crowd.groups[2], 2);
    assert_int_equal(crowd.groups[3], 2);
}

static void the_smallest_pictures_have_fingerprints(void **state)
{
    uint8_t pixels[3] = {10, 200, 30};
    struct dv_image image = {.pixels = pixels, .rows = 1, .columns = 1, .channels = 3};
    struct dv_fingerprint print;

    (void)state;
    dv_fingerprint_make(&image, &print);
    assert_int_equal(print.key.colour[1], 200);
    assert_int_equal(print.fine[255], 124); /* 0.299 * 10 + 0.587 * 200 + 0.114 * 30 */
    image = (struct dv_image){.pixels = pixels, .rows = 1, .columns = 3, .channels = 1};
    dv_fingerprint_make(&image, &print);
    assert_int_equal(print.fine[0], 10);
    assert_int_equal(print.fine[15], 30);
}

/* Smaller and compressed again, as pictures are that were sent through a messenger. */
static void a_photograph_and_its_smaller_copy_are_one_group(void **state)
{
    static const char *const names[] = {"pillow_hopper.jpg", "pillow_flower.jpg"};
    struct crowd crowd;

    if (!has_shared_data()) {
        skip();
    }
    (void)state;
    open_crowd(&crowd);
    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        DV_CLEANUP(dv_freep) char *data = NULL;
        DV_CLEANUP(dv_freep) unsigned char *copy = NULL;
        struct dv_image image;
        enum dv_finding_code finding;
        char path[128];
        size_t size;

        (void)snprintf(path, sizeof(path), "odd-but-valid-images/%s", names[i]);
        read_picture_file(path, &data, &size);
        assert_int_equal(dv_image_decode(data, size, &image, &finding, NULL), DV_OK);
        add(&crowd, &image);
        assert_int_equal(
            dv_image_preview(&image, image.columns * 3 / 4, &copy, &size, NULL), DV_OK);
        dv_image_finish(&image);
        assert_int_equal(dv_image_decode(copy, size, &image, &finding, NULL), DV_OK);
        add(&crowd, &image);
        dv_image_finish(&image);
    }
    group(&crowd);
    assert_int_equal(crowd.groups[1], 0);
    assert_int_equal(crowd.groups[2], 2);
    assert_int_equal(crowd.groups[3], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_copies_in_one_split_the_first_is_kept),
        cmocka_unit_test(of_copies_in_several_splits_that_of_test_is_kept),
        cmocka_unit_test(of_copies_under_two_classes_none_is_kept),
        cmocka_unit_test(different_pictures_stay_apart),
        cmocka_unit_test(a_small_change_of_place_is_another_picture),
        cmocka_unit_test(flat_pictures_are_near_only_when_equal),
        cmocka_unit_test(the_smallest_pictures_have_fingerprints),
        cmocka_unit_test(a_photograph_and_its_smaller_copy_are_one_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
