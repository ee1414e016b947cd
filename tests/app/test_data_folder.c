/* SPDX-License-Identifier: Apache-2.0 */
#include "app/data_folder.h"
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ID_A "11111111-1111-4111-8111-111111111111"
#define ID_B "22222222-2222-4222-8222-222222222222"

static int make_root(void **state)
{
    char *root = dv_strdup("/tmp/dv-data-XXXXXX");

    assert_non_null(mkdtemp(root));
    *state = root;
    return 0;
}

static int remove_root(void **state)
{
    enum dv_status status = dv_folder_remove(*state, NULL);

    dv_free(*state);
    return status == DV_OK ? 0 : -1;
}

static void put_folder(const char *root, const char *name)
{
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/datasets", root), DV_OK);
    assert_int_equal(dv_folder_make(path, NULL), DV_OK);
    assert_int_equal(dv_path_format(path, NULL, "%s/datasets/%s", root, name), DV_OK);
    assert_int_equal(dv_folder_make(path, NULL), DV_OK);
}

static void looking_makes_nothing(void **state)
{
    struct dv_data_folder folder;
    char path[DV_PATH_SIZE];
    char *url;

    assert_int_equal(dv_path_format(path, NULL, "%s/new", (const char *)*state), DV_OK);
    assert_int_equal(dv_data_folder_open(path, &folder, NULL), DV_OK);
    assert_int_equal(dv_data_folder_find_server(&folder, &url, NULL), DV_NOT_FOUND);
    assert_false(dv_path_exists(path));
    assert_int_equal(dv_data_folder_lock(&folder, NULL), DV_OK);
    assert_true(dv_path_exists(path));
    dv_data_folder_close(&folder);
}

static void a_path_that_roles_could_not_be_told_is_refused(void **state)
{
    struct dv_data_folder folder;
    struct dv_error error;
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/caf\xe9", (const char *)*state), DV_OK);
    assert_int_equal(dv_folder_make(path, NULL), DV_OK);
    assert_int_equal(dv_data_folder_open(path, &folder, &error), DV_INVALID);
    assert_int_equal(dv_path_format(path, NULL, "%s/file", (const char *)*state), DV_OK);
    assert_int_equal(dv_file_write(path, "", 0, NULL), DV_OK);
    assert_int_equal(dv_data_folder_open(path, &folder, &error), DV_CONFLICT);
}

/* Written by a role that was taken over: what it says of itself is not believed. */
static void a_scratch_folder_lives_as_long_as_it_is_used(void **state)
{
    struct dv_data_folder folder;
    struct dv_scratch scratch;
    char parent[DV_PATH_SIZE];

    assert_int_equal(dv_data_folder_open(*state, &folder, NULL), DV_OK);
    assert_int_equal(dv_data_folder_lock(&folder, NULL), DV_OK); /* makes DATA */
    assert_int_equal(dv_path_format(parent, NULL, "%s/cache", folder.path), DV_OK);
    dv_data_folder_close(&folder);
    assert_int_equal(dv_scratch_open(parent, &scratch, NULL), DV_OK);
    assert_int_equal(dv_data_folder_lock(&folder, NULL), DV_OK);
    assert_true(dv_path_exists(scratch.path));
    dv_data_folder_close(&folder);
    dv_file_closep(&scratch.fd); /* as when its command is killed */
    assert_int_equal(dv_data_folder_lock(&folder, NULL), DV_OK);
    assert_false(dv_path_exists(scratch.path));
    assert_int_equal(dv_scratch_open(parent, &scratch, NULL), DV_OK);
    dv_scratch_close(&scratch);
    assert_false(dv_path_exists(scratch.path));
    dv_data_folder_close(&folder);
}

static void what_else_was_left_half_made_is_not_ours_to_sweep(void **state)
{
    struct dv_data_folder folder;
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_data_folder_open(*state, &folder, NULL), DV_OK);
    put_folder(*state, ID_A);
    put_folder(*state, "." ID_B);
    assert_int_equal(dv_data_folder_lock(&folder, NULL), DV_OK);
    assert_int_equal(dv_path_format(path, NULL, "%s/datasets/." ID_B, folder.path), DV_OK);
    assert_true(dv_path_exists(path)); /* it may be large: the supervisor removes it in slices */
    assert_int_equal(dv_path_format(path, NULL, "%s/datasets/" ID_A, folder.path), DV_OK);
    assert_true(dv_path_exists(path));
    dv_data_folder_close(&folder);
}

static void a_second_command_is_told_who_holds_the_folder(void **state)
{
    struct dv_data_folder first, second;
    struct dv_error error;
    char pid[32];

    assert_int_equal(dv_data_folder_open(*state, &first, NULL), DV_OK);
    assert_int_equal(dv_data_folder_open(*state, &second, NULL), DV_OK);
    assert_int_equal(dv_data_folder_lock(&first, NULL), DV_OK);
    assert_int_equal(dv_data_folder_lock(&second, &error), DV_CONFLICT);
    (void)snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
    assert_non_null(strstr(error.text, pid));
    dv_data_folder_close(&first);
    assert_int_equal(dv_data_folder_lock(&second, NULL), DV_OK);
    dv_data_folder_close(&second);
}

static void a_server_is_found_by_its_lock_while_it_lives(void **state)
{
    struct dv_data_folder server, command;
    char *url;

    assert_int_equal(dv_data_folder_open(*state, &server, NULL), DV_OK);
    assert_int_equal(dv_data_folder_open(*state, &command, NULL), DV_OK);
    assert_int_equal(dv_data_folder_lock(&server, NULL), DV_OK);
    assert_int_equal(dv_data_folder_find_server(&command, &url, NULL), DV_UNAVAILABLE);
    assert_int_equal(dv_data_folder_name_server(&server, "http://127.0.0.1:8080", NULL), DV_OK);
    assert_int_equal(dv_data_folder_find_server(&command, &url, NULL), DV_OK);
    assert_string_equal(url, "http://127.0.0.1:8080");
    dv_free(url);
    dv_data_folder_close(&server);
    assert_int_equal(dv_data_folder_find_server(&command, &url, NULL), DV_NOT_FOUND);
    dv_data_folder_close(&command);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(looking_makes_nothing),
        TEST(a_path_that_roles_could_not_be_told_is_refused),
        TEST(a_scratch_folder_lives_as_long_as_it_is_used),
        TEST(what_else_was_left_half_made_is_not_ours_to_sweep),
        TEST(a_second_command_is_told_who_holds_the_folder),
        TEST(a_server_is_found_by_its_lock_while_it_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
