/* SPDX-License-Identifier: Apache-2.0 */
#include "job/sweeper.h"

#include "base/file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[] = "/tmp/dv-sweeper-XXXXXX";
static char models[DV_PATH_SIZE], version[DV_PATH_SIZE], versions[DV_PATH_SIZE];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || dv_path_format(models, NULL, "%s/models", folder) != DV_OK ||
        dv_path_format(versions, NULL, "%s/m/versions", models) != DV_OK ||
        dv_path_format(version, NULL, "%s/1", versions) != DV_OK) {
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

/* How many names in a folder are hidden ones of ours. */
static int count_hidden(const char *path)
{
    DIR *stream = opendir(path);
    int count = 0;

    assert_non_null(stream);
    for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
        count += dv_sweeper_is_hidden_name(entry->d_name);
    }
    (void)closedir(stream);
    return count;
}

static void make_version(void)
{
    char file[DV_PATH_SIZE];

    assert_int_equal(dv_folder_make(version, NULL), DV_OK);
    assert_int_equal(dv_path_format(file, NULL, "%s/model.json", version), DV_OK);
    assert_int_equal(dv_file_write(file, "{}", 2, NULL), DV_OK);
}

static void what_is_hidden_goes_step_by_step(void **state)
{
    struct dv_sweeper *sweeper = dv_sweeper_create();

    (void)state;
    make_version();
    assert_int_equal(dv_sweeper_hide(sweeper, version, NULL), DV_OK);
    assert_false(dv_path_exists(version));
    assert_int_equal(count_hidden(versions), 1); /* beside its place */
    assert_false(dv_sweeper_is_idle(sweeper));
    while (dv_sweeper_step(sweeper)) {
    }
    assert_int_equal(count_hidden(versions), 0);
    assert_int_equal(dv_sweeper_hide(sweeper, version, NULL), DV_OK); /* it is not there */
    assert_true(dv_sweeper_is_idle(sweeper));
    (void)dv_sweeper_destroy(sweeper);
}

/* A server that dies before the sweep leaves it where the next one looks: in DATA/{kind}. */
static void what_lies_deep_is_hidden_where_it_is_seen(void **state)
{
    struct dv_sweeper *sweeper = dv_sweeper_create();

    (void)state;
    make_version();
    assert_int_equal(dv_sweeper_hide_in(sweeper, version, models, NULL), DV_OK);
    assert_false(dv_path_exists(version));
    assert_int_equal(count_hidden(versions), 0);
    assert_int_equal(count_hidden(models), 1);
    while (dv_sweeper_step(sweeper)) {
    }
    assert_int_equal(count_hidden(models), 0);
    (void)dv_sweeper_destroy(sweeper);
}

static void only_a_dot_and_an_id_is_a_hidden_name(void **state)
{
    (void)state;
    assert_true(dv_sweeper_is_hidden_name(".11111111-1111-4111-8111-111111111111"));
    assert_false(dv_sweeper_is_hidden_name("11111111-1111-4111-8111-111111111111"));
    assert_false(dv_sweeper_is_hidden_name(".."));
    assert_false(dv_sweeper_is_hidden_name(".11111111-1111-4111-8111-111111111111.zip"));
    assert_false(dv_sweeper_is_hidden_name(".profile"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_hidden_goes_step_by_step),
        cmocka_unit_test(what_lies_deep_is_hidden_where_it_is_seen),
        cmocka_unit_test(only_a_dot_and_an_id_is_a_hidden_name),
    };

    return cmocka_run_group_tests_name("sweeper", tests, set_up, tear_down);
}
