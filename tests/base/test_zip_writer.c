/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/zip_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/dv-test-zip-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

static const char *in_folder(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* An archive with an entry of each kind; the statuses pass through. */
static enum dv_status write_archive(const char *path, struct dv_error *error)
{
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;

    enum dv_status status = dv_zip_writer_open(path, &writer, error);
    if (status == DV_OK) {
        status = dv_zip_writer_add(writer, "a.txt", "hello", 5, error);
    }
    if (status == DV_OK) {
        status = dv_zip_writer_begin(writer, "b/\xc3\xa9.txt", 6, error);
    }
    if (status == DV_OK) {
        status = dv_zip_writer_append(writer, "wor", 3, error);
    }
    if (status == DV_OK) {
        status = dv_zip_writer_append(writer, "ld\n", 3, error);
    }
    if (status == DV_OK) {
        status = dv_zip_writer_end(writer, error);
    }
    if (status == DV_OK) {
        status = dv_zip_writer_add(writer, "empty", NULL, 0, error);
    }
    return status == DV_OK ? dv_zip_writer_finish(writer, error) : status;
}

static void the_same_entries_give_the_same_bytes(void **state)
{
    DV_CLEANUP(dv_freep) char *first = NULL;
    DV_CLEANUP(dv_freep) char *second = NULL;
    size_t first_size;
    size_t second_size;

    (void)state;
    assert_int_equal(write_archive(in_folder("1.zip"), NULL), DV_OK);
    assert_int_equal(write_archive(in_folder("2.zip"), NULL), DV_OK);
    assert_int_equal(dv_file_read(in_folder("1.zip"), 4096, &first, &first_size, NULL), DV_OK);
    assert_int_equal(dv_file_read(in_folder("2.zip"), 4096, &second, &second_size, NULL), DV_OK);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    /* 3 local and 3 central headers, the names twice, 11 bytes of data, the end record. */
    assert_int_equal(first_size, 3 * (30 + 46) + 2 * (5 + 8 + 5) + 11 + 22);
    /* The CRC of "world\n", written after the fact, is where a reader looks for it. */
    assert_memory_equal(
        first + 30 + 5 + 5 + 14, first + first_size - 22 - 3 * 46 - 18 + 46 + 5 + 16, 4);
}

static void an_archive_that_was_not_finished_leaves_nothing(void **state)
{
    struct dv_zip_writer *writer;

    (void)state;
    assert_int_equal(dv_zip_writer_open(in_folder("half.zip"), &writer, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_add(writer, "a", "b", 1, NULL), DV_OK);
    assert_null(dv_zip_writer_close(writer));
    assert_false(dv_path_exists(in_folder("half.zip")));
    assert_false(dv_path_exists(in_folder("half.zip.tmp")));
}

static void an_entry_of_another_size_than_announced_is_refused(void **state)
{
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;
    struct dv_error error;

    (void)state;
    assert_int_equal(dv_zip_writer_open(in_folder("size.zip"), &writer, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_begin(writer, "a", 3, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_append(writer, "ab", 2, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_end(writer, &error), DV_INVALID);
    assert_string_equal(error.text, "a has 2 bytes, not the 3 that were announced");
}

static void a_full_disk_is_said_and_leaves_nothing(void **state)
{
    static const char *const points[] = {"write", "sync", "open", "rename"};
    struct dv_error error;

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(points); i++) {
        for (unsigned nth = 1;; nth++) {
            dv_fault_arm(points[i], nth);
            enum dv_status status = write_archive(in_folder("full.zip"), &error);
            if (!dv_fault_disarm()) {
                assert_int_equal(status, DV_OK);
                assert_int_equal(unlink(in_folder("full.zip")), 0);
                break;
            }
            /* Only when the folder itself cannot be made durable may the archive be there. */
            assert_int_not_equal(status, DV_OK);
            assert_true(i != 0 || status == DV_NO_SPACE);
            assert_false(dv_path_exists(in_folder("full.zip.tmp")));
            (void)unlink(in_folder("full.zip"));
        }
    }
}

static void what_is_no_file_is_not_replaced(void **state)
{
    struct dv_zip_writer *writer = NULL;
    struct stat info;

    (void)state;
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_int_equal(dv_zip_writer_open(in_folder("pipe"), &writer, NULL), DV_CONFLICT);
    assert_int_equal(stat(in_folder("pipe"), &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    assert_int_equal(dv_zip_writer_open(folder, &writer, NULL), DV_CONFLICT);
    assert_null(writer);
}

static void more_entries_than_16_bits_count_take_zip64(void **state)
{
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;
    DV_CLEANUP(dv_freep) char *bytes = NULL;
    char name[16];
    size_t size;

    (void)state;
    assert_int_equal(dv_zip_writer_open(in_folder("many.zip"), &writer, NULL), DV_OK);
    for (int i = 0; i < 65535; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(dv_zip_writer_add(writer, name, "", 0, NULL), DV_OK);
    }
    assert_int_equal(dv_zip_writer_finish(writer, NULL), DV_OK);
    assert_int_equal(dv_file_read(in_folder("many.zip"), 1 << 24, &bytes, &size, NULL), DV_OK);
    assert_memory_equal(bytes + size - 22, "PK\5\6\0\0\0\0\xff\xff\xff\xff", 12);
    assert_memory_equal(bytes + size - 22 - 20, "PK\6\7", 4);
    assert_memory_equal(bytes + size - 22 - 20 - 56, "PK\6\6", 4);
}

static void the_bytes_of_a_file_are_copied(void **state)
{
    DV_CLEANUP(dv_zip_writer_closep) struct dv_zip_writer *writer = NULL;
    DV_CLEANUP(dv_freep) char *bytes = NULL;
    char path[128];
    size_t size;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s", in_folder("weights"));
    assert_int_equal(dv_file_write(path, "0123456789", 10, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_open(in_folder("model.zip"), &writer, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_add_file(writer, "w", path, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_finish(writer, NULL), DV_OK);
    assert_int_equal(dv_file_read(in_folder("model.zip"), 4096, &bytes, &size, NULL), DV_OK);
    assert_memory_equal(bytes + 31, "0123456789", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_entries_give_the_same_bytes),
        cmocka_unit_test(an_archive_that_was_not_finished_leaves_nothing),
        cmocka_unit_test(an_entry_of_another_size_than_announced_is_refused),
        cmocka_unit_test(a_full_disk_is_said_and_leaves_nothing),
        cmocka_unit_test(what_is_no_file_is_not_replaced),
        cmocka_unit_test(more_entries_than_16_bits_count_take_zip64),
        cmocka_unit_test(the_bytes_of_a_file_are_copied),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
