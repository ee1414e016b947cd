/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "data/cache.h"
#include "fake_pack.h"
#include "spec/preprocessing.h"

#include <stdlib.h>
#include <unistd.h>

#define SIZE (12u * 10u)

static const struct dv_preprocessing preprocessing = {.rows = 12, .columns = 10, .channels = 1};

struct fixture {
    char folder[64];
    char path[128];
    unsigned reads;
    struct dv_pack pack;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){.folder = "/tmp/dv-test-cache-XXXXXX",
        .pack = {.counts = {50, 10, 20}, .damaged = UINT64_MAX, .reads = &fixture.reads}};
    if (!mkdtemp(fixture.folder)) {
        return -1;
    }
    (void)snprintf(fixture.path, sizeof(fixture.path), "%s/pictures.cache", fixture.folder);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    return dv_folder_remove(fixture->folder, NULL) == DV_OK ? 0 : -1;
}

static struct dv_cache_options options_of(const struct fixture *fixture)
{
    return (struct dv_cache_options){.pack = &fixture->pack,
        .preprocessing = &preprocessing,
        .path = fixture->path,
        .split = DV_SPLIT_TRAIN,
        .thread_count = 2};
}

/* Open, take a CRC of all exact pictures, close. */
static uint32_t crc_of_exact(const struct dv_cache_options *options, uint64_t first, uint64_t end)
{
    struct dv_cache *cache = NULL;
    uint32_t crc = 0;

    assert_int_equal(dv_cache_open(options, &cache, NULL), DV_OK);
    for (uint64_t i = first; i < end; i++) {
        crc = dv_crc32(crc, dv_cache_exact(cache, i), SIZE);
    }
    dv_cache_close(cache);
    return crc;
}

static void pictures_are_decoded_once_and_then_mapped(void **state)
{
    struct fixture *fixture = *state;
    struct dv_cache_options options = options_of(fixture);

    uint32_t first = crc_of_exact(&options, 0, 80);
    assert_int_equal(fixture->reads, 80);
    assert_int_equal(crc_of_exact(&options, 0, 80), first);
    assert_int_equal(fixture->reads, 80);

    options.path = NULL; /* in memory only the split, with the same pixels */
    uint32_t in_memory = crc_of_exact(&options, 0, 50);
    assert_int_equal(fixture->reads, 130);
    options.path = fixture->path;
    assert_int_equal(crc_of_exact(&options, 0, 50), in_memory);
}

static void a_cache_of_other_pictures_or_preprocessing_is_built_anew(void **state)
{
    struct fixture *fixture = *state;
    struct dv_cache_options options = options_of(fixture);
    struct dv_preprocessing padded = preprocessing;

    uint32_t first = crc_of_exact(&options, 0, 80);
    fixture->pack.variant = 1;
    assert_int_not_equal(crc_of_exact(&options, 0, 80), first);
    assert_int_equal(fixture->reads, 160);
    padded.resize = DV_RESIZE_PAD;
    options.preprocessing = &padded;
    (void)crc_of_exact(&options, 0, 80);
    assert_int_equal(fixture->reads, 240);
    padded.mean[0] = 0.5f; /* of no account for the bytes */
    (void)crc_of_exact(&options, 0, 80);
    assert_int_equal(fixture->reads, 240);
}

static void a_damaged_or_cut_file_is_built_anew(void **state)
{
    struct fixture *fixture = *state;
    struct dv_cache_options options = options_of(fixture);

    uint32_t first = crc_of_exact(&options, 0, 80);
    assert_int_equal(truncate(fixture->path, 5000), 0);
    assert_int_equal(crc_of_exact(&options, 0, 80), first);
    assert_int_equal(fixture->reads, 160);
    assert_int_equal(dv_file_write(fixture->path, "no cache", 8, NULL), DV_OK);
    assert_int_equal(crc_of_exact(&options, 0, 80), first);
    assert_int_equal(fixture->reads, 240);
}

static void wide_pictures_are_added_and_do_not_change_the_exact_ones(void **state)
{
    struct fixture *fixture = *state;
    struct dv_cache_options options = options_of(fixture);
    struct dv_cache *cache;

    uint32_t first = crc_of_exact(&options, 0, 80);
    options.is_wide = true;
    assert_int_equal(dv_cache_open(&options, &cache, NULL), DV_OK);
    assert_int_equal(dv_cache_wide_side(12), 15);
    assert_int_equal(dv_cache_wide_side(10), 13);
    uint32_t crc = dv_crc32(0, dv_cache_wide(cache, 49), 15 * 13);
    dv_cache_close(cache);

    assert_int_equal(crc_of_exact(&options, 0, 80), first);
    options.is_wide = false;
    assert_int_equal(crc_of_exact(&options, 0, 80), first);
    assert_int_equal(fixture->reads, 160);

    options.is_wide = true;
    options.path = NULL;
    assert_int_equal(dv_cache_open(&options, &cache, NULL), DV_OK);
    assert_int_equal(dv_crc32(0, dv_cache_wide(cache, 49), 15 * 13), crc);
    dv_cache_close(cache);
}

static void a_picture_that_cannot_be_read_fails_the_build_by_name(void **state)
{
    struct fixture *fixture = *state;
    struct dv_cache_options options = options_of(fixture);
    struct dv_cache *cache = NULL;
    struct dv_error error = {0};

    fixture->pack.damaged = 61;
    assert_int_equal(dv_cache_open(&options, &cache, &error), DV_CORRUPT);
    assert_non_null(strstr(error.text, "a/picture.bmp"));
    assert_null(cache);
    assert_int_equal(rmdir(fixture->folder), 0); /* it is empty */
    assert_int_equal(dv_folder_make(fixture->folder, NULL), DV_OK);
}

static void a_failing_disk_leaves_nothing_wherever_it_fails(void **state)
{
    static const struct {
        const char *point;
        enum dv_status status;
    } faults[] = {{"cache_write", DV_NO_SPACE}, {"sync", DV_IO}, {"rename", DV_IO}};
    struct fixture *fixture = *state;
    struct dv_cache_options options = options_of(fixture);

    for (size_t i = 0; i < DV_ARRAY_SIZE(faults); i++) {
        for (unsigned nth = 1; nth < 200; nth += 13) {
            struct dv_cache *cache = NULL;
            struct dv_error error = {0};
            dv_fault_arm(faults[i].point, nth);
            enum dv_status status = dv_cache_open(&options, &cache, &error);
            if (!dv_fault_disarm()) {
                assert_int_equal(status, DV_OK);
                dv_cache_close(cache);
                assert_int_equal(unlink(fixture->path), 0);
                break;
            }
            if (status != DV_OK) {
                assert_int_equal(status, faults[i].status);
                assert_true(strlen(error.text) > 0);
            } else {
                dv_cache_close(cache); /* a fault after the last thing that matters */
                assert_int_equal(unlink(fixture->path), 0);
            }
            assert_int_equal(rmdir(fixture->folder), 0);
            assert_int_equal(dv_folder_make(fixture->folder, NULL), DV_OK);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            pictures_are_decoded_once_and_then_mapped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_cache_of_other_pictures_or_preprocessing_is_built_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_or_cut_file_is_built_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            wide_pictures_are_added_and_do_not_change_the_exact_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_picture_that_cannot_be_read_fails_the_build_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_failing_disk_leaves_nothing_wherever_it_fails, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
