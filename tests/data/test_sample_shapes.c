/* SPDX-License-Identifier: Apache-2.0 */
#include "data/sample_shapes.h"

#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "data/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int make_path(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/dv-test-shapes-%d.zip", (int)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static void make(struct dv_sample_shapes_options options, char **ret_bytes, size_t *ret_size)
{
    assert_int_equal(dv_sample_shapes_write(path, &options, NULL), DV_OK);
    assert_int_equal(dv_file_read(path, 1 << 24, ret_bytes, ret_size, NULL), DV_OK);
}

static void the_set_has_its_classes_and_pictures(void **state)
{
    DV_CLEANUP(dv_freep) char *bytes = NULL;
    struct dv_source *source;
    struct dv_source_entry entry;
    char data[8192];
    size_t size;

    (void)state;
    make((struct dv_sample_shapes_options){.class_count = 12, .picture_count = 30}, &bytes, &size);
    assert_int_equal(dv_source_open(path, &source, NULL), DV_OK);
    assert_int_equal(dv_source_count(source), 30);
    for (uint64_t i = 0; i < 30; i++) {
        dv_source_entry(source, i, &entry);
        assert_in_range(entry.size, 100, sizeof(data));
        assert_int_equal(dv_source_read(source, i, data, NULL), DV_OK);
        assert_memory_equal(data, "\x89PNG\r\n\x1a\n", 8);
    }
    /* 30 over 12 classes: three each in the first six. */
    dv_source_entry(source, 2, &entry);
    assert_string_equal(entry.name, "circle/00002.png");
    dv_source_entry(source, 29, &entry);
    assert_string_equal(entry.name, "heart/00001.png");
    (void)dv_source_close(source);
}

static void the_seed_decides_every_byte(void **state)
{
    const struct dv_sample_shapes_options options = {
        .class_count = 2, .picture_count = 8, .seed = 7};
    struct dv_sample_shapes_options other = options;
    DV_CLEANUP(dv_freep) char *first = NULL;
    DV_CLEANUP(dv_freep) char *second = NULL;
    DV_CLEANUP(dv_freep) char *third = NULL;
    size_t first_size;
    size_t second_size;
    size_t third_size;

    (void)state;
    other.seed = 8;
    make(options, &first, &first_size);
    make(options, &second, &second_size);
    make(other, &third, &third_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    assert_true(first_size != third_size || memcmp(first, third, first_size) != 0);
}

static void numbers_out_of_range_are_refused(void **state)
{
    static const struct dv_sample_shapes_options bad[] = {
        {.class_count = 1},
        {.class_count = DV_SAMPLE_CLASSES_MAX + 1},
        {.class_count = 4, .picture_count = 7},
        {.picture_count = DV_SAMPLE_COUNT_MAX + 1},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(bad); i++) {
        assert_int_equal(dv_sample_shapes_write(path, &bad[i], NULL), DV_INVALID);
    }
}

static void a_full_disk_leaves_nothing(void **state)
{
    const struct dv_sample_shapes_options options = {.class_count = 2, .picture_count = 4};

    (void)state;
    (void)unlink(path);
    dv_fault_arm("write", 1);
    assert_int_equal(dv_sample_shapes_write(path, &options, NULL), DV_NO_SPACE);
    assert_true(dv_fault_disarm());
    assert_false(dv_path_exists(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_set_has_its_classes_and_pictures),
        cmocka_unit_test(the_seed_decides_every_byte),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(a_full_disk_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, make_path, remove_path);
}
