/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives of more than 4 GiB, and such as say that they are: put together by hand, so that the
 * weights are a hole in the file.
 */
#include "base/file.h"
#include "base/macro.h"
#include "base/zip_writer.h"
#include "format/archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GIGABYTE (1ull << 30)
#define MARK_32 0xffffffffu

static char folder[] = "/tmp/dv-test-archive-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

/* --- Archives by hand --------------------------------------------------------------------- */

/* Two entries, "weights" with `hole` bytes of nothing and "text" with four, and what lies. */
struct recipe {
    uint64_t hole;
    bool says_zip64;       /* also where all numbers would fit */
    bool lacks_field;      /* no ZIP64 field in the directory */
    uint64_t offset_added; /* to where the second entry is said to be */
    uint64_t record_added; /* to where the locator says the ZIP64 record is */
};

struct bytes {
    unsigned char data[1024];
    size_t size;
};

static void put(struct bytes *to, uint64_t value, size_t size)
{
    assert_true(to->size + size <= sizeof(to->data));
    for (size_t i = 0; i < size; i++) {
        to->data[to->size++] = (unsigned char)(value >> (8 * i));
    }
}

static void put_text(struct bytes *to, const char *text)
{
    for (; *text; text++) {
        put(to, (unsigned char)*text, 1);
    }
}

static void put_local(struct bytes *to, const char *name, uint64_t size, bool is_zip64)
{
    put(to, 0x04034b50, 4);
    put(to, 45, 2);
    put(to, 0, 12); /* flags, method, time, date, check sum */
    put(to, is_zip64 ? MARK_32 : size, 4);
    put(to, is_zip64 ? MARK_32 : size, 4);
    put(to, strlen(name), 2);
    put(to, is_zip64 ? 20 : 0, 2);
    put_text(to, name);
    if (is_zip64) {
        put(to, 1, 2);
        put(to, 16, 2);
        put(to, size, 8);
        put(to, size, 8);
    }
}

static void put_central(
    struct bytes *to, const char *name, uint64_t size, uint64_t offset, const struct recipe *recipe)
{
    bool is_large = size >= MARK_32 || recipe->says_zip64;
    bool is_far = offset >= MARK_32 || recipe->says_zip64;
    size_t numbers = recipe->lacks_field ? 0 : (is_large ? 2u : 0u) + (is_far ? 1u : 0u);

    put(to, 0x02014b50, 4);
    put(to, 45, 2);
    put(to, 45, 2);
    put(to, 0, 12);
    put(to, is_large ? MARK_32 : size, 4);
    put(to, is_large ? MARK_32 : size, 4);
    put(to, strlen(name), 2);
    put(to, numbers ? 6 + 4 + 8 * numbers : 0, 2);
    put(to, 0, 10); /* comment, disk, attributes */
    put(to, is_far ? MARK_32 : offset, 4);
    put_text(to, name);
    if (numbers) {
        put(to, 0x5455, 2); /* another field in front */
        put(to, 2, 2);
        put(to, 0, 2);
        put(to, 1, 2);
        put(to, 8 * numbers, 2);
        put(to, is_large ? size : offset, 8);
        put(to, size, numbers > 1 ? 8 : 0);
        put(to, offset, numbers > 2 ? 8 : 0);
    }
}

static void put_end(
    struct bytes *to, uint64_t start, uint64_t directory_size, const struct recipe *recipe)
{
    bool is_zip64 = recipe->says_zip64 || start >= MARK_32;

    if (is_zip64) {
        put(to, 0x06064b50, 4);
        put(to, 44, 8);
        put(to, 45, 2);
        put(to, 45, 2);
        put(to, 0, 8);
        put(to, 2, 8);
        put(to, 2, 8);
        put(to, directory_size, 8);
        put(to, start, 8);
        put(to, 0x07064b50, 4);
        put(to, 0, 4);
        put(to, start + directory_size + recipe->record_added, 8);
        put(to, 1, 4);
    }
    put(to, 0x06054b50, 4);
    put(to, 0, 4);
    put(to, is_zip64 ? 0xffff : 2, 2);
    put(to, is_zip64 ? 0xffff : 2, 2);
    put(to, is_zip64 ? MARK_32 : directory_size, 4);
    put(to, is_zip64 ? MARK_32 : start, 4);
    put(to, 0, 2);
}

static void write_at(int fd, const struct bytes *bytes, uint64_t at)
{
    assert_int_equal(pwrite(fd, bytes->data, bytes->size, (off_t)at), bytes->size);
}

/* Make the archive and look for "text" in it, whose bytes are "abcd". */
static enum dv_status find_text(const struct recipe *recipe, struct dv_error *error)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    struct bytes first = {0}, second = {0}, directory = {0};
    struct dv_archive_part part;
    char path[DV_PATH_SIZE];
    char text[4];

    assert_int_equal(dv_path_format(path, NULL, "%s/by-hand.zip", folder), DV_OK);
    assert_int_equal(dv_file_create(path, &fd, NULL), DV_OK);
    put_local(&first, "weights", recipe->hole, recipe->hole >= MARK_32 || recipe->says_zip64);
    put_local(&second, "text", 4, false);
    put_text(&second, "abcd");
    uint64_t offset = first.size + recipe->hole;
    put_central(&directory, "weights", recipe->hole, 0, recipe);
    put_central(&directory, "text", 4, offset + recipe->offset_added, recipe);
    put_end(&directory, offset + second.size, directory.size, recipe);
    write_at(fd, &first, 0);
    write_at(fd, &second, offset);
    write_at(fd, &directory, offset + second.size);

    enum dv_status status = dv_archive_find(fd, "weights", &part, error);
    if (status == DV_OK) {
        assert_int_equal(part.offset, first.size);
        assert_int_equal(part.size, recipe->hole);
        status = dv_archive_find(fd, "text", &part, error);
    }
    if (status == DV_OK) {
        assert_int_equal(part.size, 4);
        assert_int_equal(dv_file_pread(fd, text, 4, part.offset, NULL), DV_OK);
        assert_memory_equal(text, "abcd", 4);
    }
    return status;
}

/* --- Tests -------------------------------------------------------------------------------- */

static void finds_what_lies_behind_four_gigabytes(void **state)
{
    static const uint64_t holes[] = {
        0, 1000, MARK_32 - 100, MARK_32 - 1, MARK_32, 4 * GIGABYTE, 9 * GIGABYTE};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(holes); i++) {
        struct dv_error error;
        if (find_text(&(struct recipe){.hole = holes[i]}, &error) != DV_OK) {
            fail_msg("%llu bytes: %s", (unsigned long long)holes[i], error.text);
        }
    }
}

static void numbers_may_stand_in_zip64_fields_though_they_are_small(void **state)
{
    (void)state;
    assert_int_equal(find_text(&(struct recipe){.hole = 100, .says_zip64 = true}, NULL), DV_OK);
}

static void zip64_that_contradicts_itself_is_corrupt(void **state)
{
    static const struct recipe recipes[] = {
        {.hole = 100, .says_zip64 = true, .lacks_field = true},
        {.hole = 100, .says_zip64 = true, .offset_added = 1},
        {.hole = 100, .says_zip64 = true, .offset_added = UINT64_MAX - 20},
        {.hole = 100, .says_zip64 = true, .offset_added = 5 * GIGABYTE},
        {.hole = 100, .says_zip64 = true, .record_added = 1},
        {.hole = 100, .says_zip64 = true, .record_added = UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(recipes); i++) {
        struct dv_error error = {.text = ""};
        assert_int_equal(find_text(&recipes[i], &error), DV_CORRUPT);
        assert_true(error.text[0] != '\0');
    }
}

/* Our writer's own ZIP64 records: of an archive with more entries than a model has. */
static void the_records_of_the_writer_are_read(void **state)
{
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;
    DV_CLEANUP(dv_file_closep) int fd = -1;
    struct dv_archive_part part;
    char path[DV_PATH_SIZE];

    (void)state;
    assert_int_equal(dv_path_format(path, NULL, "%s/many.zip", folder), DV_OK);
    assert_int_equal(dv_zip_writer_open(path, &writer, NULL), DV_OK);
    for (unsigned i = 0; i < 65536; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u", i);
        assert_int_equal(dv_zip_writer_add(writer, name, "", 0, NULL), DV_OK);
    }
    assert_int_equal(dv_zip_writer_finish(writer, NULL), DV_OK);
    assert_int_equal(dv_file_open_read(path, &fd, NULL), DV_OK);
    assert_int_equal(dv_archive_find(fd, "7", &part, NULL), DV_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_lies_behind_four_gigabytes),
        cmocka_unit_test(numbers_may_stand_in_zip64_fields_though_they_are_small),
        cmocka_unit_test(zip64_that_contradicts_itself_is_corrupt),
        cmocka_unit_test(the_records_of_the_writer_are_read),
    };

    return cmocka_run_group_tests_name("archive", tests, make_folder, remove_folder);
}
