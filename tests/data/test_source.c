/* SPDX-License-Identifier: Apache-2.0 */
#include "data/source.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/zip_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/dv-test-source-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

static const char *in_folder(const char *name)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make_file(const char *name, const char *text)
{
    assert_int_equal(dv_file_write(in_folder(name), text, strlen(text), NULL), DV_OK);
}

static void make_set_folder(void)
{
    assert_int_equal(dv_folder_make(in_folder("set/b/deep"), NULL), DV_OK);
    assert_int_equal(dv_folder_make(in_folder("set/a"), NULL), DV_OK);
    make_file("set/b/deep/3.png", "three");
    make_file("set/a/2.png", "two");
    make_file("set/a/1.png", "one");
    make_file("set/a/empty.png", "");
}

static void make_set_zip(void)
{
    struct dv_zip_writer *writer;

    assert_int_equal(dv_zip_writer_open(in_folder("set.zip"), &writer, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_add(writer, "a/1.png", "one", 3, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_add(writer, "a/2.png", "two", 3, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_add(writer, "a/empty.png", "", 0, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_add(writer, "b/deep/3.png", "three", 5, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_finish(writer, NULL), DV_OK);
    (void)dv_zip_writer_close(writer);
}

static void expect_entry(
    struct dv_source *source, uint64_t index, const char *name, const char *text)
{
    struct dv_source_entry entry;
    char data[16];

    dv_source_entry(source, index, &entry);
    assert_string_equal(entry.name, name);
    assert_false(entry.is_refused);
    assert_int_equal(entry.size, strlen(text));
    assert_int_equal(dv_source_read(source, index, data, NULL), DV_OK);
    assert_memory_equal(data, text, strlen(text));
}

/* The conformance of the sources: each maker's set must look alike. */
static void every_source_hands_out_the_same_set(void **state)
{
    static const char *const names[] = {"set", "set.zip"};

    (void)state;
    make_set_folder();
    make_set_zip();
    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        struct dv_source *source;
        assert_int_equal(dv_source_open(in_folder(names[i]), &source, NULL), DV_OK);
        assert_int_equal(dv_source_count(source), 4);
        for (int order = 0; order < 2; order++) { /* forwards, then backwards */
            expect_entry(
                source, order ? 3 : 0, order ? "b/deep/3.png" : "a/1.png", order ? "three" : "one");
            expect_entry(
                source, order ? 2 : 1, order ? "a/empty.png" : "a/2.png", order ? "" : "two");
            expect_entry(
                source, order ? 1 : 2, order ? "a/2.png" : "a/empty.png", order ? "two" : "");
            expect_entry(
                source, order ? 0 : 3, order ? "a/1.png" : "b/deep/3.png", order ? "one" : "three");
        }
        assert_null(dv_source_close(source));
    }
}

static void what_is_not_there_or_empty_is_said(void **state)
{
    struct dv_source *source;
    struct dv_error error;

    (void)state;
    assert_int_equal(dv_source_open(in_folder("nothing"), &source, &error), DV_NOT_FOUND);
    assert_int_equal(dv_folder_make(in_folder("hollow"), NULL), DV_OK);
    assert_int_equal(dv_source_open(in_folder("hollow"), &source, &error), DV_INVALID);
    assert_non_null(strstr(error.text, "holds no files"));
}

static void a_folder_refuses_links_and_pipes_and_bad_names(void **state)
{
    static const char *const names[] = {
        "back\\slash", "latin-\xe9.png", "link", "link-folder", "pipe", "plain"};
    struct dv_source *source;
    struct dv_source_entry entry;

    (void)state;
    assert_int_equal(dv_folder_make(in_folder("odd"), NULL), DV_OK);
    make_file("odd/plain", "plain");
    make_file("odd/back\\slash", "x");
    make_file("odd/latin-\xe9.png", "x");
    assert_int_equal(symlink("/etc/passwd", in_folder("odd/link")), 0);
    assert_int_equal(symlink("/etc", in_folder("odd/link-folder")), 0);
    assert_int_equal(mkfifo(in_folder("odd/pipe"), 0600), 0);

    assert_int_equal(dv_source_open(in_folder("odd"), &source, NULL), DV_OK);
    assert_int_equal(dv_source_count(source), DV_ARRAY_SIZE(names));
    for (size_t i = 0; i < DV_ARRAY_SIZE(names); i++) {
        dv_source_entry(source, i, &entry);
        assert_string_equal(entry.name, i == 1 ? "latin-?.png" : names[i]);
        assert_int_equal(entry.is_refused, i != 5);
        assert_true(i == 5 || entry.finding == DV_FINDING_UNSAFE_PATH);
    }
    (void)dv_source_close(source);
}

static void a_file_that_changed_since_is_not_read(void **state)
{
    struct dv_source *source;
    char data[16];

    (void)state;
    assert_int_equal(dv_folder_make(in_folder("moving/c"), NULL), DV_OK);
    make_file("moving/c/1", "one");
    make_file("moving/c/2", "two");
    assert_int_equal(dv_source_open(in_folder("moving"), &source, NULL), DV_OK);
    make_file("moving/c/1", "longer");
    assert_int_equal(dv_source_read(source, 0, data, NULL), DV_CORRUPT);
    assert_int_equal(unlink(in_folder("moving/c/2")), 0);
    assert_int_equal(symlink("1", in_folder("moving/c/2")), 0);
    assert_int_equal(dv_source_read(source, 1, data, NULL), DV_CORRUPT);
    (void)dv_source_close(source);
}

static void an_archive_cut_off_under_way_is_damaged_not_fatal(void **state)
{
    static char zeros[4 << 20];
    struct dv_zip_writer *writer;
    struct dv_source *source;

    (void)state;
    assert_int_equal(dv_zip_writer_open(in_folder("cut.zip"), &writer, NULL), DV_OK);
    assert_int_equal(dv_zip_writer_add(writer, "a", zeros, sizeof(zeros), NULL), DV_OK);
    assert_int_equal(dv_zip_writer_finish(writer, NULL), DV_OK);
    (void)dv_zip_writer_close(writer);
    assert_int_equal(dv_source_open(in_folder("cut.zip"), &source, NULL), DV_OK);
    assert_int_equal(truncate(in_folder("cut.zip"), 2 << 20), 0);
    assert_int_equal(dv_source_read(source, 0, zeros, NULL), DV_CORRUPT);
    (void)dv_source_close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_source_hands_out_the_same_set),
        cmocka_unit_test(what_is_not_there_or_empty_is_said),
        cmocka_unit_test(a_folder_refuses_links_and_pipes_and_bad_names),
        cmocka_unit_test(a_file_that_changed_since_is_not_read),
        cmocka_unit_test(an_archive_cut_off_under_way_is_damaged_not_fatal),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
