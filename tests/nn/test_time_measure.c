/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of times on a backend that computes nothing and counts who asks it to. It takes only
 * small operations, so that little memory is filled.
 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/text.h"
#include "nn/backend_impl.h"
#include "nn/time_measure.h"
#include "spec/time_table.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FLOATS_MAX (1u << 14)

static unsigned created, forwards, backwards, without_gradient;
static char folder[] = "/tmp/test-time-measure-XXXXXX";

static enum dv_status fake_create(
    const struct dv_op_desc *desc, struct dv_op **ret_op, struct dv_error *reterr)
{
    created++;
    without_gradient += !desc->needs_input_gradient;
    assert_true(desc->is_training);
    if (dv_op_output_floats(desc) > FLOATS_MAX) {
        return dv_fail(reterr, DV_UNSUPPORTED, "too large for a test");
    }
    struct dv_op *op = dv_alloc(sizeof(*op));
    op->desc = *desc;
    *ret_op = op;
    return DV_OK;
}

static void fake_destroy(struct dv_op *op)
{
    dv_free(op);
}

static void fake_forward(struct dv_op *op, const struct dv_op_args *args)
{
    size_t count = dv_op_input_floats(&op->desc, 0);
    float sum = 0.0f;

    for (size_t i = 0; i < count; i++) {
        assert_true(args->inputs[0][i] >= -1.0f && args->inputs[0][i] <= 1.0f);
        sum += args->inputs[0][i] < 0.0f ? 1.0f : 0.0f;
    }
    /* What is made up has both signs, else branches are guessed and zeros skipped. */
    assert_true(count < 1000 || (sum > (float)count / 4 && sum < (float)count * 3 / 4));
    forwards++;
}

static void fake_backward(struct dv_op *op, const struct dv_op_args *args)
{
    assert_true((args->input_gradients[0] != NULL) == op->desc.needs_input_gradient);
    backwards++;
}

static const struct dv_backend_impl fake = {
    .name = "fake",
    .has_blocked_layout = true,
    .op_create = fake_create,
    .op_destroy = fake_destroy,
    .op_forward = fake_forward,
    .op_backward = fake_backward,
};

static struct dv_time_table *get_table(struct dv_arena *arena, uint32_t thread_count)
{
    struct dv_time_table *table = NULL;
    struct dv_error error = {0};

    created = forwards = backwards = without_gradient = 0;
    if (dv_time_measure_cached(folder, &fake, thread_count, NULL, arena, &table, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    return table;
}

/* The one file of the folder; its path is the caller's. */
static char *find_file(unsigned *ret_count)
{
    DIR *stream = opendir(folder);
    const struct dirent *entry;
    char *path = NULL;

    *ret_count = 0;
    while ((entry = readdir(stream))) {
        if (entry->d_name[0] != '.') {
            dv_free(path);
            path = dv_strprintf("%s/%s", folder, entry->d_name);
            (*ret_count)++;
        }
    }
    (void)closedir(stream);
    return path;
}

static bool stop_at_five(void *user, uint32_t done, uint32_t count)
{
    uint32_t *last = user;

    assert_true(done < count);
    *last = done;
    return done < 5;
}

static void whoever_watches_can_stop_it_and_then_nothing_is_kept(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    uint32_t last = 0;
    const struct dv_time_watcher watcher = {stop_at_five, &last};
    struct dv_time_table *table = NULL;
    struct dv_error error = {0};
    unsigned files;

    (void)state;
    assert_int_equal(
        dv_time_measure_cached(folder, &fake, 1, &watcher, arena, &table, &error), DV_CANCELLED);
    assert_int_equal(last, 5);
    assert_null(table);
    dv_free(find_file(&files));
    assert_int_equal(files, 0);
    dv_arena_destroy(arena);
}

static void is_measured_once_and_kept(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    unsigned files;
    (void)state;

    struct dv_time_table *first = get_table(arena, 1);
    assert_true(created > first->point_count); /* some in both layouts */
    assert_true(backwards == forwards);
    assert_true(without_gradient > 0);
    assert_true(first->parameter_seconds > 0.0);
    struct dv_time_table *again = get_table(arena, 1);
    assert_int_equal(created, 0);
    for (uint32_t i = 0; i < first->point_count; i++) {
        assert_true(first->points[i].seconds > 0.0);
        assert_true(again->points[i].seconds == first->points[i].seconds);
    }
    dv_free(find_file(&files));
    assert_int_equal(files, 1);
    dv_arena_destroy(arena);
}

static void another_number_of_threads_has_its_own(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    unsigned files;
    (void)state;

    (void)get_table(arena, 2);
    assert_true(created > 0);
    DV_CLEANUP(dv_freep) char *path = find_file(&files);
    assert_int_equal(files, 2);
    assert_int_equal(unlink(path), 0);
    dv_arena_destroy(arena);
}

static void what_cannot_be_read_is_measured_anew(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    unsigned files;
    (void)state;

    (void)get_table(arena, 1);
    DV_CLEANUP(dv_freep) char *path = find_file(&files);
    DV_CLEANUP(dv_freep) char *text = NULL;
    size_t size;
    assert_int_equal(files, 1);
    assert_int_equal(dv_file_read(path, 1u << 20, &text, &size, NULL), DV_OK);
    const char *const bad[] = {"", "{", "null", "{\"parameter_seconds\": 1e-9, \"seconds\": {}}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(dv_file_write(path, bad[i], strlen(bad[i]), NULL), DV_OK);
        (void)get_table(arena, 1);
        assert_true(created > 0);
        (void)get_table(arena, 1);
        assert_int_equal(created, 0);
    }
    assert_int_equal(dv_file_write(path, text, size / 2, NULL), DV_OK);
    (void)get_table(arena, 1);
    assert_true(created > 0);
    assert_int_equal(unlink(path), 0);
    dv_arena_destroy(arena);
}

static void a_folder_that_cannot_be_made_is_an_error(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_time_table *table = NULL;
    struct dv_error error = {0};
    (void)state;

    enum dv_status status =
        dv_time_measure_cached("/proc/none", &fake, 1, NULL, arena, &table, &error);
    assert_int_not_equal(status, DV_OK);
    assert_null(table);
    assert_true(error.text[0] != '\0');
    dv_arena_destroy(arena);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_watches_can_stop_it_and_then_nothing_is_kept),
        cmocka_unit_test(is_measured_once_and_kept),
        cmocka_unit_test(another_number_of_threads_has_its_own),
        cmocka_unit_test(what_cannot_be_read_is_measured_anew),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
