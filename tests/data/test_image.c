/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"
#include "picture_files.h"
#include "spec/limits.h"

#include <stdio.h>

#include <jpeglib.h>

#define ACCEPTED DV_FINDING_CODE_COUNT
#define CORRUPT DV_FINDING_CORRUPT_IMAGE
#define FORMAT DV_FINDING_UNSUPPORTED_FORMAT
#define FEATURE DV_FINDING_UNSUPPORTED_FEATURE

/* Decode a copy that ends where its memory ends, so that a sanitizer sees every read past it. */
static enum dv_finding_code decode(
    const void *data, size_t size, struct dv_image *ret_image, struct dv_error *reterr)
{
    enum dv_finding_code finding = DV_FINDING_CODE_COUNT;
    unsigned char *copy = dv_alloc(size);

    memcpy(copy, data, size);
    enum dv_status status = dv_image_decode(copy, size, ret_image, &finding, reterr);
    dv_free(copy);
    if (status == DV_OK) {
        assert_int_equal(finding, DV_FINDING_CODE_COUNT);
        return ACCEPTED;
    }
    assert_true(finding < DV_FINDING_CODE_COUNT);
    assert_true(strlen(reterr->text) > 0);
    return finding;
}

/* Decode and forget. */
static enum dv_finding_code verdict_on(const void *data, size_t size)
{
    struct dv_image image = {0};
    struct dv_error error = {0};
    enum dv_finding_code finding = decode(data, size, &image, &error);

    dv_image_finish(&image);
    return finding;
}

/*
 * Where our verdict is not the one of the manifests, which is Pillow's: what we say, and why.
 */
static const struct difference {
    const char *file;
    enum dv_finding_code ours;
    const char *why;
} differences[] = {
    {"jpegdec_partial_progressive.jpg", FEATURE, "scans end early: Pillow makes up the rest"},
    {"jpegdec_progressive-missing-dc.jpg", FEATURE, "no DC scan: Pillow takes it as 0"},
    {"pillow_hopper.ppm", FORMAT, "PNM is not among the formats of the product"},
    {"imagepng_cicp_pq.png", ACCEPTED, "damage in a chunk that makes no pixels"},
    {"imagepng_issue-430.png", ACCEPTED, "damage in a chunk that makes no pixels"},
    {"imagepng_x_interlaced_chck.png", CORRUPT, "wrong CRC of pixel data: Pillow looks away"},
    {"imagers_Bad_smile-incorrect-image-length.ico", FORMAT, "icons are not read"},
    {"imagers_clusterfuzz-testcase-minimized-fuzzer_script_tiff-5026894169374720.tif", FORMAT,
        "TIFF is not read"},
    {"jpegdec_dc-predictor-overflow.jpg", CORRUPT, "libjpeg warns: pixels are made up"},
    {"jpegdec_subtract-with-overflow.jpg", FEATURE, "libjpeg warns: pixels are made up"},
    {"ljt_8bit_testorig_transpose_440_q90_ari_rst1.jpg", FEATURE, "arithmetic coding is off"},
    {"ljt_8bit_testorig_transverse_422_q95_prog_ari.jpg", FEATURE, "arithmetic coding is off"},
    {"ljt_github_305_CVE-2018-19664_49065782-f0ebfd00-f216-11e8-9e9b-a86f3d5ea58a.jpg", CORRUPT,
        "libjpeg warns: pixels are made up"},
    {"ljt_mozilla_1050342_jpeg-image-000.jpg", CORRUPT, "libjpeg warns: pixels are made up"},
    {"ljt_mozilla_891693_CVE-2013-6629_CVE-2013-6630_182.jpg", CORRUPT,
        "libjpeg warns: the scan's parameters are illegal"},
    {"ljt_mozilla_891693_CVE-2013-6629_CVE-2013-6630_turbo-dht.jpg", CORRUPT,
        "libjpeg warns: pixels are made up"},
    {"pillow_badrle.bmp", CORRUPT, "runs lead out of the picture: Pillow drops them"},
    {"pillow_hopper_unexpected.ico", FORMAT, "icons are not read"},
    {"pillow_png_decompression_dos.png", ACCEPTED, "texts are stepped over, never inflated"},
    {"pillow_truncated_exif_dpi.jpg", ACCEPTED, "only EXIF is damaged; newer Pillow agrees"},
    {"pillow_unknown_compression_method.png", ACCEPTED, "of a colour profile, stepped over"},
    {"pngsuite_xcsn0g01.png", CORRUPT, "wrong CRC of pixel data: Pillow looks away"},
};

static const struct difference *find_difference(const char *file)
{
    for (size_t i = 0; i < DV_ARRAY_SIZE(differences); i++) {
        if (strcmp(differences[i].file, file) == 0) {
            return &differences[i];
        }
    }
    return NULL;
}

static void check_file(const char *folder, const char *file, bool pillow_reads)
{
    char name[DV_PATH_SIZE];
    char *data;
    size_t size;

    assert_int_equal(dv_path_format(name, NULL, "%s/%s", folder, file), DV_OK);
    read_picture_file(name, &data, &size);
    uint64_t start = dv_clock_monotonic_ns();
    enum dv_finding_code ours = verdict_on(data, size);
    if (dv_clock_seconds_since(start) > 5.0) {
        fail_msg("%s takes too long", name);
    }
    dv_free(data);

    const struct difference *difference = find_difference(file);
    if (difference && (ours != difference->ours || (ours == ACCEPTED) == pillow_reads)) {
        fail_msg("%s: verdict %d is not the difference that the table explains", name, ours);
    }
    if (!difference && (ours == ACCEPTED) != pillow_reads) {
        fail_msg("%s: verdict %d differs from Pillow's and is not explained", name, ours);
    }
}

static unsigned check_folder(const char *folder)
{
    char name[DV_PATH_SIZE];
    char *manifest;
    size_t size;
    unsigned count = 0;

    assert_int_equal(dv_path_format(name, NULL, "%s/manifest.csv", folder), DV_OK);
    read_picture_file(name, &manifest, &size);
    char *rest = manifest;
    (void)strsep(&rest, "\n"); /* names of the columns */
    while (rest && *rest) {
        char *line = strsep(&rest, "\n");
        char *file = strsep(&line, ",");
        (void)strsep(&line, ","); /* size */
        check_file(folder, file, strncmp(line, "ok ", 3) == 0);
        count++;
    }
    dv_free(manifest);
    return count;
}

static void every_odd_or_malformed_picture_gets_the_verdict_of_the_table(void **state)
{
    (void)state;
    if (!has_shared_data()) {
        skip();
    }
    assert_int_equal(check_folder("odd-but-valid-images"), 69);
    assert_int_equal(check_folder("malformed-images"), 166);
}

static void check_golden(const char *line)
{
    char name[256];
    unsigned rows, columns, channels, crc;
    struct dv_image image = {0};
    struct dv_error error = {0};
    char *data;
    size_t size;

    if (sscanf(line, "pixels %255s %u %u %u %x", name, &rows, &columns, &channels, &crc) != 5) {
        return;
    }
    if (strncmp(name, "pictures/", 9) != 0 && !has_shared_data()) {
        return;
    }
    read_picture_file(name, &data, &size);
    if (decode(data, size, &image, &error) == ACCEPTED) {
        assert_int_equal(image.rows, rows);
        assert_int_equal(image.columns, columns);
        assert_int_equal(image.channels, channels);
        if (dv_crc32(0, image.pixels, (size_t)rows * columns * channels) != crc) {
            fail_msg("%s: the pixels are not Pillow's", name);
        }
    } else if (strncmp(name, "pictures/", 9) == 0) {
        fail_msg("%s: %s", name, error.text);
    }
    dv_image_finish(&image);
    dv_free(data);
}

static void pixels_are_those_of_pillow(void **state)
{
    char path[DV_PATH_SIZE];
    char *golden;
    size_t size;

    (void)state;
    assert_int_equal(
        dv_path_format(path, NULL, "%s/golden_images.txt", getenv("DV_TEST_DATA")), DV_OK);
    assert_int_equal(dv_file_read(path, 1 << 20, &golden, &size, NULL), DV_OK);
    char *rest = golden;
    while (rest) {
        check_golden(strsep(&rest, "\n"));
    }
    dv_free(golden);
}

/* --- Hostile bytes ------------------------------------------------------------------------ */

static const char *const small_files[] = {
    "pictures/animated.gif",
    "pictures/animated.webp",
    "pictures/alpha-lossy.webp",
    "pictures/orientation-6.png",
    "pictures/animated.png",
    "pictures/interlaced.gif",
    "pictures/rle8.bmp",
    "pictures/rle4.bmp",
    "pictures/rgb565.bmp",
    "pictures/four-bits.bmp",
};

static void a_picture_cut_anywhere_is_refused_or_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(small_files); i++) {
        char *data;
        size_t size;
        read_picture_file(small_files[i], &data, &size);
        for (size_t length = 0; length < size; length++) {
            (void)verdict_on(data, length);
        }
        assert_int_not_equal(verdict_on(data, size / 4), ACCEPTED);
        assert_int_equal(verdict_on(data, size), ACCEPTED);
        dv_free(data);
    }
}

static void damaged_bytes_never_crash_a_decoder(void **state)
{
    const uint64_t seed = 20250101;

    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < DV_ARRAY_SIZE(small_files); i++) {
        char *data;
        size_t size;
        read_picture_file(small_files[i], &data, &size);
        for (uint64_t round = 0; round < 300; round++) {
            struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, i, round);
            char *copy = dv_alloc(size);
            memcpy(copy, data, size);
            for (uint64_t n = 1 + dv_random_below(&random, 4); n > 0; n--) {
                copy[dv_random_below(&random, size)] = (char)dv_random_u64(&random);
            }
            /* Claims of up to 64 million pixels are legal and slow under sanitizers. */
            (void)verdict_on(copy, size);
            dv_free(copy);
        }
        dv_free(data);
    }
}

static void nothing_and_one_byte_are_refused(void **state)
{
    (void)state;
    assert_int_equal(verdict_on("", 0), DV_FINDING_EMPTY_FILE);
    assert_int_equal(verdict_on("\xff", 1), FORMAT);
    assert_int_equal(verdict_on("II*\0\0\0\0\0", 8), FORMAT);
    assert_int_equal(verdict_on("<!DOCTYPE html>", 15), FORMAT);
}

static void put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (unsigned char)(value >> (24 - 8 * i));
    }
}

/* A PNG of one bit a pixel whose data never comes. */
static enum dv_finding_code verdict_on_png_of(uint32_t rows, uint32_t columns)
{
    unsigned char file[8 + 25 + 12] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    unsigned char *chunk = file + 8;

    put_u32(chunk + 8, columns);
    put_u32(chunk + 12, rows);
    chunk[16] = 1;
    put_u32(chunk + 21, dv_crc32(0, chunk + 4, 17));
    memcpy(chunk + 25 + 4, "IEND", 4);
    put_u32(chunk + 25 + 8, dv_crc32(0, "IEND", 4));
    return verdict_on(file, sizeof(file));
}

static void sizes_are_held_to_the_limits_before_decoding(void **state)
{
    (void)state;
    assert_int_equal(verdict_on_png_of(16384, 4096), CORRUPT); /* allowed, but without pixels */
    assert_int_equal(verdict_on_png_of(16384, 4097), DV_FINDING_TOO_LARGE);
    assert_int_equal(verdict_on_png_of(1, 16384), CORRUPT);
    assert_int_equal(verdict_on_png_of(1, 16385), DV_FINDING_TOO_LARGE);
    assert_int_equal(verdict_on_png_of(50000, 50000), DV_FINDING_TOO_LARGE);
    assert_int_equal(verdict_on_png_of(0, 1), CORRUPT);
    assert_int_equal(verdict_on_png_of(0x7fffffff, 0x7fffffff), DV_FINDING_TOO_LARGE);
}

/* A legal grey JPEG of `scan_count` scans: DC, then AC coefficients one by one, then bit by bit. */
static enum dv_finding_code verdict_on_jpeg_of_scans(int scan_count)
{
    static jpeg_scan_info scans[DV_JPEG_SCANS_MAX + 8];
    struct jpeg_compress_struct writer;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long size = 0;
    unsigned char row[16] = {200, 3, 90, 17, 255};
    JSAMPROW rows[1] = {row};

    for (int i = 0; i < scan_count; i++) {
        int coefficient = i < 64 ? i : i - 63;
        scans[i] = (jpeg_scan_info){.comps_in_scan = 1,
            .Ss = coefficient,
            .Se = coefficient,
            .Ah = i < 64 ? 0 : 1,
            .Al = i > 0 && i < 64 ? 1 : 0};
    }
    writer.err = jpeg_std_error(&errors);
    jpeg_create_compress(&writer);
    jpeg_mem_dest(&writer, &data, &size);
    writer.image_width = 16;
    writer.image_height = 16;
    writer.input_components = 1;
    writer.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&writer);
    writer.scan_info = scans;
    writer.num_scans = scan_count;
    jpeg_start_compress(&writer, TRUE);
    while (writer.next_scanline < 16) {
        (void)jpeg_write_scanlines(&writer, rows, 1);
    }
    jpeg_finish_compress(&writer);
    jpeg_destroy_compress(&writer);
    enum dv_finding_code finding = verdict_on(data, size);
    free(data);
    return finding;
}

static void a_jpeg_may_have_100_scans_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(verdict_on_jpeg_of_scans(DV_JPEG_SCANS_MAX), ACCEPTED);
    assert_int_equal(verdict_on_jpeg_of_scans(DV_JPEG_SCANS_MAX + 1), DV_FINDING_TOO_LARGE);
}

static void a_preview_is_a_jpeg_of_at_most_the_side(void **state)
{
    uint8_t pixels[40 * 10 * 3];
    const struct dv_image image = {.pixels = pixels, .rows = 40, .columns = 10, .channels = 3};
    struct dv_image shown = {0};
    struct dv_error error = {0};
    unsigned char *data;
    size_t size;

    (void)state;
    memset(pixels, 99, sizeof(pixels));
    assert_int_equal(dv_image_preview(&image, 16, &data, &size, NULL), DV_OK);
    assert_int_equal(decode(data, size, &shown, &error), ACCEPTED);
    assert_int_equal(shown.rows, 16);
    assert_int_equal(shown.columns, 4);
    assert_in_range(shown.pixels[0], 97, 101);
    dv_image_finish(&shown);
    dv_free(data);

    assert_int_equal(dv_image_preview(&image, 96, &data, &size, NULL), DV_OK);
    assert_int_equal(decode(data, size, &shown, &error), ACCEPTED);
    assert_int_equal(shown.rows, 40); /* never larger than it is */
    dv_image_finish(&shown);
    dv_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_odd_or_malformed_picture_gets_the_verdict_of_the_table),
        cmocka_unit_test(pixels_are_those_of_pillow),
        cmocka_unit_test(a_picture_cut_anywhere_is_refused_or_whole),
        cmocka_unit_test(damaged_bytes_never_crash_a_decoder),
        cmocka_unit_test(nothing_and_one_byte_are_refused),
        cmocka_unit_test(sizes_are_held_to_the_limits_before_decoding),
        cmocka_unit_test(a_jpeg_may_have_100_scans_and_no_more),
        cmocka_unit_test(a_preview_is_a_jpeg_of_at_most_the_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
