/* SPDX-License-Identifier: Apache-2.0 */
#include "app/data_folder.h"
#include "base/alloc.h"
#include "base/json.h"

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

static void put_record(const char *root, const char *id, const char *created_at)
{
    struct dv_json *record = dv_json_object();
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/datasets/%s", root, id), DV_OK);
    assert_int_equal(dv_folder_make(path, NULL), DV_OK);
    assert_int_equal(dv_path_format(path, NULL, "%s/datasets/%s/r.json", root, id), DV_OK);
    dv_json_set_string(record, "id", id);
    dv_json_set_string(record, "created_at", created_at);
    assert_int_equal(dv_record_write(path, record, NULL), DV_OK);
    dv_json_unref(record);
}

/* A folder that is locked, as every test but one needs it. */
static void open_locked(const char *root, struct dv_data_folder *ret_folder)
{
    assert_int_equal(dv_data_folder_open(root, ret_folder, NULL), DV_OK);
    assert_int_equal(dv_data_folder_lock(ret_folder, NULL), DV_OK);
}

static void looking_makes_nothing(void **state)
{
    struct dv_data_folder folder;
    struct dv_json *records;
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/new", (const char *)*state), DV_OK);
    assert_int_equal(dv_data_folder_open(path, &folder, NULL), DV_OK);
    assert_int_equal(dv_data_folder_records(&folder, "datasets", "r.json", &records, NULL), DV_OK);
    assert_int_equal(dv_json_count(records), 0);
    dv_json_unref(records);
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
static void a_record_that_names_another_id_is_damaged(void **state)
{
    static const char *const texts[] = {
        "{\"id\":\"../../elsewhere\"}", "{\"id\":7}", "{}", "[]", "", "{\"id\":\"" ID_B "\"}"};
    struct dv_data_folder folder;
    struct dv_json *record = NULL;
    struct dv_json *records;
    char path[DV_PATH_SIZE];

    open_locked(*state, &folder);
    put_record(*state, ID_A, "2026-01-01T00:00:00.000Z");
    assert_int_equal(dv_path_format(path, NULL, "%s/datasets/" ID_A "/r.json", folder.path), DV_OK);
    for (size_t i = 0; i < DV_ARRAY_SIZE(texts); i++) {
        assert_int_equal(dv_file_write(path, texts[i], strlen(texts[i]), NULL), DV_OK);
        assert_int_not_equal(
            dv_data_folder_record(&folder, "datasets", ID_A, "r.json", &record, NULL), DV_OK);
        assert_null(record);
        assert_int_equal(
            dv_data_folder_records(&folder, "datasets", "r.json", &records, NULL), DV_OK);
        assert_int_equal(dv_json_count(records), 0);
        dv_json_unref(records);
    }
    dv_data_folder_close(&folder);
}

static void a_scratch_folder_lives_as_long_as_it_is_used(void **state)
{
    struct dv_data_folder folder;
    struct dv_scratch scratch;

    open_locked(*state, &folder);
    dv_data_folder_close(&folder);
    assert_int_equal(dv_scratch_open(&folder, &scratch, NULL), DV_OK);
    assert_int_equal(dv_data_folder_lock(&folder, NULL), DV_OK);
    assert_true(dv_path_exists(scratch.path));
    dv_data_folder_close(&folder);
    dv_file_closep(&scratch.fd); /* as when its command is killed */
    assert_int_equal(dv_data_folder_lock(&folder, NULL), DV_OK);
    assert_false(dv_path_exists(scratch.path));
    assert_int_equal(dv_scratch_open(&folder, &scratch, NULL), DV_OK);
    dv_scratch_close(&scratch);
    assert_false(dv_path_exists(scratch.path));
    dv_data_folder_close(&folder);
}

static void records_come_in_the_order_they_were_made(void **state)
{
    struct dv_data_folder folder;
    struct dv_json *records;

    assert_int_equal(dv_data_folder_open(*state, &folder, NULL), DV_OK);
    put_record(*state, ID_A, "2026-02-01T00:00:00.000Z");
    put_record(*state, ID_B, "2026-01-01T00:00:00.000Z");
    put_record(*state, "no-id", "2026-01-01T00:00:00.000Z");
    assert_int_equal(dv_data_folder_records(&folder, "datasets", "r.json", &records, NULL), DV_OK);
    assert_int_equal(dv_json_count(records), 2);
    assert_string_equal(dv_json_get_string(dv_json_at(records, 0), "id", ""), ID_B);
    dv_json_unref(records);
    dv_data_folder_close(&folder);
}

static void an_id_is_never_a_path(void **state)
{
    struct dv_data_folder folder;
    struct dv_json *record;
    struct dv_error error;

    assert_int_equal(dv_data_folder_open(*state, &folder, NULL), DV_OK);
    assert_int_equal(
        dv_data_folder_record(&folder, "datasets", "../datasets/" ID_A, "r.json", &record, &error),
        DV_NOT_FOUND);
    assert_int_equal(
        dv_data_folder_record(&folder, "datasets", ID_A, "r.json", &record, &error), DV_NOT_FOUND);
    assert_string_equal(error.text, "there is no dataset " ID_A);
    dv_data_folder_close(&folder);
}

static void what_a_killed_command_left_is_swept_and_the_rest_stays(void **state)
{
    struct dv_data_folder folder;
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_data_folder_open(*state, &folder, NULL), DV_OK);
    put_record(*state, ID_A, "2026-01-01T00:00:00.000Z");
    put_record(*state, "." ID_B, "2026-01-01T00:00:00.000Z");
    assert_int_equal(dv_data_folder_lock(&folder, NULL), DV_OK);
    assert_int_equal(dv_path_format(path, NULL, "%s/datasets/." ID_B, folder.path), DV_OK);
    assert_false(dv_path_exists(path));
    assert_int_equal(dv_path_format(path, NULL, "%s/datasets/" ID_A, folder.path), DV_OK);
    assert_true(dv_path_exists(path));
    assert_int_equal(dv_data_folder_delete(&folder, "datasets", ID_A, NULL), DV_OK);
    assert_false(dv_path_exists(path));
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(looking_makes_nothing),
        TEST(a_path_that_roles_could_not_be_told_is_refused),
        TEST(a_record_that_names_another_id_is_damaged),
        TEST(a_scratch_folder_lives_as_long_as_it_is_used),
        TEST(records_come_in_the_order_they_were_made),
        TEST(an_id_is_never_a_path),
        TEST(what_a_killed_command_left_is_swept_and_the_rest_stays),
        TEST(a_second_command_is_told_who_holds_the_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
