/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "job/admission.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MIB (1ull << 20)

static char folder[] = "/tmp/dv-admission-XXXXXX";

/* A thousand grey pictures of 32 by 32. */
static int set_up(void **state)
{
    static const char summary[] =
        "{\"id\": \"d\", \"name\": \"n\", \"created_at\": \"2026-01-01T00:00:00.000Z\", "
        "\"classes\": [{\"name\": \"a\", \"train\": 500, \"val\": 0, \"test\": 0}, "
        "{\"name\": \"b\", \"train\": 500, \"val\": 0, \"test\": 0}], \"total_samples\": 1000, "
        "\"size_bytes\": 9, \"channels\": 1, \"side_min\": 32, \"side_max\": 32, "
        "\"side_median\": 32, \"has_one_size\": true, \"content_hash\": "
        "\"0000000000000000000000000000000000000000000000000000000000000000\", "
        "\"source_hash\": \"\"}";
    char path[DV_PATH_SIZE];

    (void)state;
    if (!mkdtemp(folder) || dv_path_format(path, NULL, "%s/dataset.json", folder) != DV_OK) {
        return -1;
    }
    return dv_file_write(path, summary, strlen(summary), NULL) == DV_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

static struct dv_job_plan plan_of(const char *text)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *spec = NULL;
    struct dv_job_plan plan = {0};
    struct dv_error error = {0};

    assert_int_equal(dv_json_parse(text, strlen(text), &spec, NULL), DV_OK);
    if (dv_admission_plan(spec, folder, &plan, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    return plan;
}

static void pictures_are_planned_at_the_size_they_are_trained_at(void **state)
{
    (void)state;
    assert_int_equal(plan_of("{}").disk_bytes, 1000 * 32 * 32);
    assert_int_equal(
        plan_of("{\"hyperparameters\": {\"image_size\": 64}}").disk_bytes, 1000 * 64 * 64);
}

/* resnet18 has 11.2 million parameters for two classes, of which twelve numbers are checkpointed.
 */
static void a_network_is_planned_with_its_batch(void **state)
{
    struct dv_job_plan one = plan_of("{\"architecture\": \"resnet18\", \"hyperparameters\": "
                                     "{\"batch_size\": 1, \"image_size\": 224}}");
    struct dv_job_plan many = plan_of("{\"architecture\": \"resnet18\", \"hyperparameters\": "
                                      "{\"batch_size\": 256, \"image_size\": 224}}");

    (void)state;
    assert_int_equal(one.memory_bytes, one.memory_least_bytes);
    assert_int_equal(many.memory_least_bytes, one.memory_least_bytes);
    assert_true(one.memory_bytes > 250 * MIB);
    assert_true(many.memory_bytes > 15 * one.memory_bytes);
    uint64_t checkpoints = many.disk_bytes - 1000 * 224 * 224;
    assert_true(checkpoints > 11000000ull * 12 * 4);
    assert_true(checkpoints < 12000000ull * 12 * 4);
    /* What is wrong with an architecture the worker says. */
    assert_int_equal(
        plan_of("{\"architecture\": \"resnet19\"}").memory_bytes, plan_of("{}").memory_bytes);
}

static void a_data_set_that_is_not_there_is_no_plan(void **state)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *spec = dv_json_object();
    struct dv_job_plan plan;

    (void)state;
    assert_int_equal(dv_admission_plan(spec, "/nowhere", &plan, NULL), DV_NOT_FOUND);
}

static void what_fits_beside_the_others_may_start(void **state)
{
    static const struct {
        const char *what;
        struct dv_job_plan plan;
        struct dv_admission_room room;
        enum dv_status status;
    } cases[] = {
        {"alone", {100, 50, 10}, {100, 10, 0, 0}, DV_OK},
        {"more than there is, but a smaller batch is not", {101, 50, 10}, {100, 10, 0, 0}, DV_OK},
        {"with one picture too", {200, 101, 10}, {100, 10, 0, 0}, DV_NOMEM},
        {"and others do not change that", {200, 101, 10}, {100, 10, 90, 0}, DV_NOMEM},
        {"beside another", {50, 50, 5}, {100, 10, 50, 5}, DV_OK},
        {"after another", {51, 50, 5}, {100, 10, 50, 5}, DV_UNAVAILABLE},
        {"others have planned more than there is", {51, 50, 5}, {100, 10, 150, 5}, DV_UNAVAILABLE},
        {"disk after another", {50, 50, 6}, {100, 10, 50, 5}, DV_UNAVAILABLE},
        {"no disk", {50, 50, 11}, {100, 10, 0, 0}, DV_NO_SPACE},
        {"numbers that overflow", {UINT64_MAX, 1, UINT64_MAX}, {100, 10, 50, 5}, DV_UNAVAILABLE},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        struct dv_error error = {0};
        enum dv_status status = dv_admission_check(&cases[i].plan, &cases[i].room, &error);
        if (status != cases[i].status) {
            fail_msg("%s: %s (%s)", cases[i].what, dv_status_name(status), error.text);
        }
        assert_true((status == DV_OK) == (error.text[0] == '\0'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_planned_at_the_size_they_are_trained_at),
        cmocka_unit_test(a_network_is_planned_with_its_batch),
        cmocka_unit_test(a_data_set_that_is_not_there_is_no_plan),
        cmocka_unit_test(what_fits_beside_the_others_may_start),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
