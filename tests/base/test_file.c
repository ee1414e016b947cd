/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/folder_hash.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/dv-test-file-XXXXXX";
static char path[DV_PATH_SIZE];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    return dv_path_format(path, NULL, "%s/file", folder) == DV_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

static void expect_content(const char *wanted)
{
    char *data;
    size_t size;

    assert_int_equal(dv_file_read(path, 1000, &data, &size, NULL), DV_OK);
    assert_string_equal(data, wanted);
    assert_int_equal(size, strlen(wanted));
    dv_free(data);
}

static size_t count_files(void)
{
    DIR *list = opendir(folder);
    size_t count = 0;

    assert_non_null(list);
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(list);
    return count;
}

static void a_write_that_fails_anywhere_leaves_the_old_file_and_nothing_else(void **state)
{
    static const char *const points[] = {"open", "write", "sync", "rename"};
    struct dv_error error;

    (void)state;
    assert_int_equal(dv_file_write(path, "old", 3, NULL), DV_OK);
    for (size_t i = 0; i < DV_ARRAY_SIZE(points); i++) {
        dv_fault_arm(points[i], 1);
        enum dv_status status = dv_file_write(path, "new", 3, &error);
        assert_true(dv_fault_disarm());
        assert_int_not_equal(status, DV_OK);
        assert_true(strlen(error.text) > 0);
        expect_content("old");
        assert_int_equal(count_files(), 1);
    }
    assert_int_equal(dv_file_write(path, "new", 3, NULL), DV_OK);
    expect_content("new");
}

static void a_full_disk_has_its_own_status(void **state)
{
    (void)state;
    dv_fault_arm("write", 1);
    assert_int_equal(dv_file_write(path, "x", 1, NULL), DV_NO_SPACE);
    assert_true(dv_fault_disarm());
}

static void a_file_above_the_limit_is_refused(void **state)
{
    char *data = NULL;
    size_t size = 0;

    (void)state;
    assert_int_equal(dv_file_write(path, "12345", 5, NULL), DV_OK);
    assert_int_equal(dv_file_read(path, 5, &data, &size, NULL), DV_OK);
    dv_free(data);
    assert_int_equal(dv_file_read(path, 4, &data, &size, NULL), DV_TOO_LARGE);
}

static void removing_a_folder_follows_no_link(void **state)
{
    char inside[DV_PATH_SIZE];
    char link[DV_PATH_SIZE + 8];

    (void)state;
    assert_int_equal(dv_file_write(path, "kept", 4, NULL), DV_OK);
    assert_int_equal(dv_path_format(inside, NULL, "%s/a/b", folder), DV_OK);
    assert_int_equal(dv_folder_make(inside, NULL), DV_OK);
    (void)snprintf(link, sizeof(link), "%s/link", inside);
    assert_int_equal(symlink(folder, link), 0);
    assert_int_equal(dv_path_format(inside, NULL, "%s/a", folder), DV_OK);
    assert_int_equal(dv_folder_remove(inside, NULL), DV_OK);
    assert_false(dv_path_exists(inside));
    expect_content("kept");
}

static void make_file(const char *name)
{
    char place[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(place, NULL, "%s/tree/%s", folder, name), DV_OK);
    assert_int_equal(dv_file_write(place, "x", 1, NULL), DV_OK);
}

/* Two folders with three files each are nine entries with themselves and the one they lie in. */
static void a_folder_is_removed_a_few_entries_at_a_time(void **state)
{
    char place[DV_PATH_SIZE];
    bool is_gone = false;
    int calls = 0;

    (void)state;
    assert_int_equal(dv_path_format(place, NULL, "%s/tree/a", folder), DV_OK);
    assert_int_equal(dv_folder_make(place, NULL), DV_OK);
    assert_int_equal(dv_path_format(place, NULL, "%s/tree/b", folder), DV_OK);
    assert_int_equal(dv_folder_make(place, NULL), DV_OK);
    for (int i = 0; i < 3; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "%c/%d", i % 2 ? 'a' : 'b', i);
        make_file(name);
        (void)snprintf(name, sizeof(name), "%d", i);
        make_file(name);
    }
    assert_int_equal(dv_path_format(place, NULL, "%s/tree", folder), DV_OK);
    for (; !is_gone; calls++) {
        assert_true(dv_path_is_folder(place));
        assert_int_equal(dv_folder_remove_some(place, 2, &is_gone, NULL), DV_OK);
        assert_true(calls < 100);
    }
    assert_int_equal(calls, 5);
    assert_false(dv_path_exists(place));
    assert_int_equal(dv_folder_remove_some(place, 2, &is_gone, NULL), DV_OK);
    assert_true(is_gone);
}

static void a_new_folder_is_made_durable_in_the_one_above(void **state)
{
    char inside[DV_PATH_SIZE];

    (void)state;
    assert_int_equal(dv_path_format(inside, NULL, "%s/one/two", folder), DV_OK);
    for (unsigned nth = 1; nth <= 2; nth++) {
        dv_fault_arm("sync", nth);
        assert_int_equal(dv_folder_make(inside, NULL), DV_IO);
        assert_true(dv_fault_disarm());
        assert_false(dv_path_exists(inside));
    }
    assert_int_equal(dv_folder_make(inside, NULL), DV_OK);
    dv_fault_arm("sync", 1);
    assert_int_equal(dv_folder_make(inside, NULL), DV_OK); /* it is there: nothing to be done */
    assert_false(dv_fault_disarm());
}

static void what_is_no_regular_file_is_refused_without_waiting(void **state)
{
    struct dv_error error;
    char *data;
    size_t size;
    int fd = -1;

    (void)state;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(dv_file_open_read(path, &fd, &error), DV_INVALID);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(dv_file_read(folder, 100, &data, &size, &error), DV_INVALID);
    assert_non_null(strstr(error.text, "not a regular file"));
    assert_int_equal(fd, -1);
    assert_int_equal(unlink(path), 0);
}

static void *remove_tree(void *tree)
{
    return dv_folder_remove(tree, NULL) == DV_OK ? tree : NULL;
}

static void two_may_remove_the_same_folder(void **state)
{
    char tree[DV_PATH_SIZE], name[DV_PATH_SIZE];
    pthread_t other;
    void *result;

    (void)state;
    assert_int_equal(dv_path_format(tree, NULL, "%s/tree", folder), DV_OK);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 100; i++) {
            assert_int_equal(dv_path_format(name, NULL, "%s/%d", tree, i), DV_OK);
            assert_true(mkdir(i == 0 ? tree : name, 0700) == 0);
        }
        assert_int_equal(pthread_create(&other, NULL, remove_tree, tree), 0);
        assert_non_null(remove_tree(tree));
        assert_false(dv_path_exists(tree)); /* whoever returns: it is gone then */
        assert_int_equal(pthread_join(other, &result), 0);
        assert_non_null(result);
    }
}

static void put(const char *place, const char *name, const char *text)
{
    char file[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(file, NULL, "%s/%s", place, name), DV_OK);
    assert_int_equal(dv_file_write(file, text, strlen(text), NULL), DV_OK);
}

static void the_hash_of_a_folder_is_of_names_and_bytes(void **state)
{
    /* Of two files, what is in them, and what the hash of the first is compared with. */
    static const struct {
        const char *first_name, *first, *second_name, *second;
        bool is_same;
    } cases[] = {
        {"a", "one", "b", "two", true},
        {"b", "two", "a", "one", true}, /* whatever came first */
        {"a", "one", "b", "twO", false},
        {"a", "onet", "b", "wo", false}, /* bytes that moved over */
        {"a", "one", "c", "two", false},
        {"ab", "one", "b", "two", false},
        {"a", "two", "b", "one", false},
    };
    char tree[DV_PATH_SIZE], inner[DV_PATH_SIZE];
    char expected[DV_SHA256_TEXT_SIZE] = "", hash[DV_SHA256_TEXT_SIZE];
    uint64_t size;

    (void)state;
    assert_int_equal(dv_path_format(tree, NULL, "%s/hashed", folder), DV_OK);
    assert_int_equal(dv_path_format(inner, NULL, "%s/inner", tree), DV_OK);
    assert_int_equal(dv_folder_hash(tree, hash, &size, NULL), DV_NOT_FOUND);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(dv_folder_make(tree, NULL), DV_OK);
        put(tree, cases[i].first_name, cases[i].first);
        put(tree, cases[i].second_name, cases[i].second);
        assert_int_equal(dv_folder_hash(tree, i == 0 ? expected : hash, &size, NULL), DV_OK);
        assert_int_equal(size, 6);
        assert_true(i == 0 || (strcmp(hash, expected) == 0) == cases[i].is_same);
        assert_int_equal(dv_folder_make(inner, NULL), DV_OK);
        assert_int_equal(dv_folder_hash(tree, hash, &size, NULL), DV_CORRUPT);
        assert_int_equal(dv_folder_remove(tree, NULL), DV_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_fails_anywhere_leaves_the_old_file_and_nothing_else),
        cmocka_unit_test(a_full_disk_has_its_own_status),
        cmocka_unit_test(a_file_above_the_limit_is_refused),
        cmocka_unit_test(removing_a_folder_follows_no_link),
        cmocka_unit_test(a_folder_is_removed_a_few_entries_at_a_time),
        cmocka_unit_test(a_new_folder_is_made_durable_in_the_one_above),
        cmocka_unit_test(what_is_no_regular_file_is_refused_without_waiting),
        cmocka_unit_test(two_may_remove_the_same_folder),
        cmocka_unit_test(the_hash_of_a_folder_is_of_names_and_bytes),
    };

    return cmocka_run_group_tests_name("file", tests, set_up, tear_down);
}
