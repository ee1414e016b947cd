/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "data/resize.h"
#include "picture_files.h"

#include <stdio.h>

struct golden {
    char name[256];
    char mode[16];
    unsigned rows, columns, channels, crc;
};

static enum dv_resize mode_of(const char *name)
{
    return strcmp(name, "crop") == 0  ? DV_RESIZE_CROP
           : strcmp(name, "pad") == 0 ? DV_RESIZE_PAD
                                      : DV_RESIZE_STRETCH;
}

static void check_golden(const struct golden *golden)
{
    struct dv_image image = {0};
    enum dv_finding_code finding;
    struct dv_error error = {0};
    char *data;
    size_t size;

    const struct dv_preprocessing preprocessing = {.rows = golden->rows,
        .columns = golden->columns,
        .channels = golden->channels,
        .resize = mode_of(golden->mode)};
    size_t out_size = (size_t)golden->rows * golden->columns * golden->channels;
    uint8_t *out = dv_alloc(out_size);

    read_picture_file(golden->name, &data, &size);
    assert_int_equal(dv_image_decode(data, size, &image, &finding, &error), DV_OK);
    assert_int_equal(dv_image_prepare(&image, &preprocessing, out, &error), DV_OK);
    if (dv_crc32(0, out, out_size) != golden->crc) {
        fail_msg("%s, %s to %u x %u x %u: not Pillow's pixels", golden->name, golden->mode,
            golden->rows, golden->columns, golden->channels);
    }
    dv_image_finish(&image);
    dv_free(data);
    dv_free(out);
}

static void every_pixel_is_that_of_pillow(void **state)
{
    char path[DV_PATH_SIZE];
    char *text;
    size_t size;
    unsigned count = 0;

    (void)state;
    if (!has_shared_data()) {
        skip();
    }
    assert_int_equal(
        dv_path_format(path, NULL, "%s/golden_images.txt", getenv("DV_TEST_DATA")), DV_OK);
    assert_int_equal(dv_file_read(path, 1 << 20, &text, &size, NULL), DV_OK);
    char *rest = text;
    while (rest) {
        struct golden golden;
        const char *line = strsep(&rest, "\n");
        if (sscanf(line, "resize %255s %15s %u %u %u %x", golden.name, golden.mode, &golden.rows,
                &golden.columns, &golden.channels, &golden.crc) == 6) {
            check_golden(&golden);
            count++;
        }
    }
    dv_free(text);
    assert_true(count > 200);
}

/* One pixel wide and very tall, cropped: only what is wanted may be computed. */
static void an_extreme_aspect_costs_no_memory(void **state)
{
    uint8_t *pixels = dv_alloc(16384);
    uint8_t *out = dv_alloc((size_t)512 * 512);
    const struct dv_image image = {.pixels = pixels, .rows = 16384, .columns = 1, .channels = 1};
    const struct dv_resize_target target = {
        .rows = 512, .columns = 512, .channels = 1, .mode = DV_RESIZE_CROP};

    (void)state;
    memset(pixels, 77, 16384);
    assert_int_equal(dv_resize_fit(&image, &target, out, NULL), DV_OK);
    assert_int_equal(out[0], 77);
    assert_int_equal(out[512 * 512 - 1], 77);
    dv_free(pixels);
    dv_free(out);
}

static void padding_is_black_and_centred(void **state)
{
    uint8_t pixels[2 * 4];
    uint8_t out[4 * 4];
    const struct dv_image image = {.pixels = pixels, .rows = 2, .columns = 4, .channels = 1};
    const struct dv_resize_target target = {
        .rows = 4, .columns = 4, .channels = 1, .mode = DV_RESIZE_PAD};

    (void)state;
    memset(pixels, 200, sizeof(pixels));
    assert_int_equal(dv_resize_fit(&image, &target, out, NULL), DV_OK);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(out[i], i >= 4 && i < 12 ? 200 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pixel_is_that_of_pillow),
        cmocka_unit_test(an_extreme_aspect_costs_no_memory),
        cmocka_unit_test(padding_is_black_and_centred),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
