/* SPDX-License-Identifier: Apache-2.0 */

/* A model on its way into the registry, with every call of the file system failing once. */

#include "base/alloc.h"
#include "base/fault.h"
#include "base/json.h"
#include "job/publication.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char folder[] = "/tmp/dv-publication-XXXXXX";
static char job[DV_PATH_SIZE], made[DV_PATH_SIZE], model[DV_PATH_SIZE], place[DV_PATH_SIZE];
static int number;

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

/* A job that has made a model, and a registry without it. */
static void begin(void)
{
    char file[DV_PATH_SIZE];

    number++;
    assert_int_equal(dv_path_format(job, NULL, "%s/%d/job", folder, number), DV_OK);
    assert_int_equal(dv_path_format(made, NULL, "%s/model", job), DV_OK);
    assert_int_equal(dv_path_format(model, NULL, "%s/%d/models/m", folder, number), DV_OK);
    assert_int_equal(dv_path_format(place, NULL, "%s/versions/3", model), DV_OK);
    assert_int_equal(dv_folder_make(made, NULL), DV_OK);
    assert_int_equal(dv_path_format(file, NULL, "%s/weights", made), DV_OK);
    assert_int_equal(dv_file_write(file, "w", 1, NULL), DV_OK);
}

static struct dv_json *make_result(void)
{
    struct dv_json *result = dv_json_object();

    dv_json_set_number(result, "accuracy", 0.5);
    return result;
}

/* As a server that starts: go on from what is there. */
static enum dv_status publish(struct dv_publication *ret_publication)
{
    struct dv_publication publication;

    enum dv_status status = dv_publication_find(job, model, &publication, NULL);
    if (status == DV_NOT_FOUND) {
        status = dv_publication_prepare(job, model, make_result(), 3, false, &publication, NULL);
    }
    if (status != DV_OK) {
        return status;
    }
    status = dv_publication_move(&publication, made, NULL);
    if (status != DV_OK) {
        dv_publication_finish(&publication);
        return status;
    }
    *ret_publication = publication;
    return DV_OK;
}

static void check_published(const struct dv_publication *publication)
{
    char file[DV_PATH_SIZE];

    assert_int_equal(publication->version, 3);
    assert_false(publication->is_partial);
    assert_string_equal(publication->place, place);
    assert_string_equal(dv_json_get_string(publication->result, "model_path", ""),
        "models/m/versions/3");
    assert_true(dv_json_get_number(publication->result, "accuracy", 0.0) == 0.5);
    assert_int_equal(dv_path_format(file, NULL, "%s/weights", place), DV_OK);
    assert_true(dv_path_exists(file));
    assert_false(dv_path_exists(made));
}

static void one_that_fails_anywhere_is_gone_on_with(void **state)
{
    static const char *const points[] = {"open", "write", "sync", "rename"};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(points); i++) {
        bool has_failed = true;
        for (unsigned nth = 1; has_failed; nth++) {
            struct dv_publication publication;
            begin();
            dv_fault_arm(points[i], nth);
            enum dv_status status = publish(&publication);
            has_failed = dv_fault_disarm();
            if (status != DV_OK) {
                assert_true(has_failed);
                assert_int_equal(publish(&publication), DV_OK);
            }
            check_published(&publication);
            dv_publication_finish(&publication);
            assert_int_equal(publish(&publication), DV_OK); /* once more changes nothing */
            check_published(&publication);
            dv_publication_finish(&publication);
        }
    }
}

static void a_note_that_is_forgotten_is_not_found(void **state)
{
    struct dv_publication publication;

    (void)state;
    begin();
    assert_int_equal(publish(&publication), DV_OK);
    dv_publication_finish(&publication);
    assert_int_equal(dv_publication_forget(job, NULL), DV_OK);
    assert_int_equal(dv_publication_forget(job, NULL), DV_OK);
    assert_int_equal(dv_publication_find(job, model, &publication, NULL), DV_NOT_FOUND);
}

static void a_note_that_is_damaged_is_not_believed(void **state)
{
    static const char *const notes[] = {"", "{", "[]", "{\"version\": 1}",
        "{\"version\": 0, \"result\": {}}", "{\"version\": 1, \"result\": []}",
        "{\"version\": \"../..\", \"result\": {}}"};
    struct dv_publication publication;
    char path[DV_PATH_SIZE];

    (void)state;
    begin();
    assert_int_equal(dv_path_format(path, NULL, "%s/result.json", job), DV_OK);
    for (size_t i = 0; i < DV_ARRAY_SIZE(notes); i++) {
        assert_int_equal(dv_file_write(path, notes[i], strlen(notes[i]), NULL), DV_OK);
        assert_int_equal(dv_publication_find(job, model, &publication, NULL), DV_CORRUPT);
    }
}

static void a_model_that_is_nowhere_is_said_to_be(void **state)
{
    struct dv_publication publication;

    (void)state;
    begin();
    assert_int_equal(dv_folder_remove(made, NULL), DV_OK);
    assert_int_equal(publish(&publication), DV_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_fails_anywhere_is_gone_on_with),
        cmocka_unit_test(a_note_that_is_forgotten_is_not_found),
        cmocka_unit_test(a_note_that_is_damaged_is_not_believed),
        cmocka_unit_test(a_model_that_is_nowhere_is_said_to_be),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
