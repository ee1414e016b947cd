/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "data/augment.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define SIDE 32
#define WIDE 40 /* the side of the pictures that strong augmentation takes from the cache */

/* Mean 0 and standard deviation 1/255: a normalised value is the byte itself. */
static const struct dv_preprocessing plain = {
    .rows = SIDE, .columns = SIDE, .channels = 1, .std = {1.0f / 255.0f}};

static void augment_once(const struct dv_preprocessing *preprocessing, enum dv_augmentation kind,
    uint32_t source_side, const uint8_t *source, uint64_t sample, float *to)
{
    struct dv_augment augment;
    struct dv_augment_scratch scratch;
    struct dv_random random = dv_random_make(1, DV_RANDOM_AUGMENT, 2, sample);

    dv_augment_init(&augment, preprocessing, kind, source_side, source_side);
    dv_augment_scratch_init(&scratch, &augment);
    dv_augment_picture(&augment, &random, source, &scratch, to);
    dv_augment_scratch_finish(&scratch);
}

static bool is_near(float a, float b)
{
    return fabsf(a - b) < 1e-2f;
}

/* Every pixel says where it comes from: 8 * (row % 8) + column, so that a move can be read off. */
static void draw_places(uint8_t *pixels, uint32_t side)
{
    for (uint32_t y = 0; y < side; y++) {
        for (uint32_t x = 0; x < side; x++) {
            pixels[y * side + x] = (uint8_t)(8 * (y % 8) + x);
        }
    }
}

static int mirrored(int index, int count)
{
    index = index < 0 ? -index : index;
    return index >= count ? 2 * (count - 1) - index : index;
}

/* Is `shown` the source moved by (down, right), reflected at the edges, perhaps flipped? */
static bool is_moved(
    const uint8_t *source, const float *shown, int down, int right, bool is_flipped)
{
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            int at = is_flipped ? SIDE - 1 - x : x;
            uint8_t expected = source[mirrored(y - down, SIDE) * SIDE + mirrored(at - right, SIDE)];
            if (!is_near(shown[y * SIDE + x], (float)expected)) {
                return false;
            }
        }
    }
    return true;
}

static bool find_move(const uint8_t *source, const float *shown, bool is_flipped)
{
    for (int down = -4; down <= 4; down++) {
        for (int right = -4; right <= 4; right++) {
            if (is_moved(source, shown, down, right, is_flipped)) {
                return true;
            }
        }
    }
    return false;
}

static void crop_moves_and_never_mirrors_flip_mirrors_half_of_the_time(void **state)
{
    uint8_t source[SIDE * SIDE];
    float shown[SIDE * SIDE];
    int flip_count = 0;

    (void)state;
    draw_places(source, SIDE);
    for (uint64_t sample = 0; sample < 100; sample++) {
        augment_once(&plain, DV_AUGMENTATION_CROP, SIDE, source, sample, shown);
        assert_true(find_move(source, shown, false));
        augment_once(&plain, DV_AUGMENTATION_FLIP, SIDE, source, sample, shown);
        bool is_flipped = find_move(source, shown, true);
        assert_true(is_flipped || find_move(source, shown, false));
        flip_count += is_flipped;
    }
    assert_in_range(flip_count, 30, 70);
}

static void cutout_sets_a_square_to_the_mean(void **state)
{
    uint8_t source[SIDE * SIDE];
    float shown[SIDE * SIDE];

    (void)state;
    memset(source, 200, sizeof(source));
    for (uint64_t sample = 0; sample < 100; sample++) {
        int count = 0;
        augment_once(&plain, DV_AUGMENTATION_CUTOUT, SIDE, source, sample, shown);
        for (int i = 0; i < SIDE * SIDE; i++) {
            bool is_cut = shown[i] == 0.0f;
            assert_true(is_cut || is_near(shown[i], 200.0f));
            count += is_cut;
        }
        assert_in_range(count, 6 * 6, 12 * 12);
    }
}

static void strong_stays_within_the_range_of_bytes(void **state)
{
    static uint8_t source[WIDE * WIDE * 3];
    static float shown[SIDE * SIDE * 3];
    const struct dv_preprocessing photograph = {.rows = SIDE,
        .columns = SIDE,
        .channels = 3,
        .mean = {0.5f, 0.4f, 0.3f},
        .std = {0.25f, 0.25f, 0.25f}};
    double sum = 0.0;

    (void)state;
    for (size_t i = 0; i < sizeof(source); i++) {
        source[i] = i / 3 % 2 ? 255 : 0;
    }
    for (uint64_t sample = 0; sample < 50; sample++) {
        augment_once(&photograph, DV_AUGMENTATION_STRONG, WIDE, source, sample, shown);
        for (int i = 0; i < SIDE * SIDE * 3; i++) {
            float byte = (shown[i] * photograph.std[i % 3] + photograph.mean[i % 3]) * 255.0f;
            assert_true(byte > -0.01f);
            assert_true(byte < 255.01f);
            sum += (double)byte;
        }
    }
    double mean = sum / (50.0 * SIDE * SIDE * 3);
    assert_true(mean > 100.0);
    assert_true(mean < 155.0);
}

static void a_picture_of_one_pixel_can_be_augmented(void **state)
{
    const struct dv_preprocessing tiny = {
        .rows = 1, .columns = 1, .channels = 1, .std = {1.0f / 255.0f}};
    const uint8_t source[4] = {7, 7, 7, 7};
    float shown;

    (void)state;
    for (uint64_t sample = 0; sample < 20; sample++) {
        augment_once(&tiny, DV_AUGMENTATION_CUTOUT, 1, source, sample, &shown);
        assert_true(is_near(shown, 7.0f));
        augment_once(&tiny, DV_AUGMENTATION_STRONG, 2, source, sample, &shown);
        assert_true(shown > 4.0f);
        assert_true(shown < 11.0f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crop_moves_and_never_mirrors_flip_mirrors_half_of_the_time),
        cmocka_unit_test(cutout_sets_a_square_to_the_mean),
        cmocka_unit_test(strong_stays_within_the_range_of_bytes),
        cmocka_unit_test(a_picture_of_one_pixel_can_be_augmented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
