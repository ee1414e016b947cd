/* SPDX-License-Identifier: Apache-2.0 */
#include "toy_model.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buffer.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "format/archive.h"
#include "spec/arch.h"
#include "spec/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static struct toy_model toy;

static const struct toy_model_options toy_options = {
    .arch = "{\"name\":\"toy\",\"layers\":[{\"name\":\"stem\",\"op\":\"conv\",\"out\":8},"
            "{\"name\":\"s1\",\"op\":\"residual\",\"out\":8,\"stride\":2},"
            "{\"name\":\"head\",\"op\":\"linear\"}]}",
    .rows = 12,
    .columns = 10,
    .channels = 3,
};

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/dv-test-model-XXXXXX");
    toy_model_init(&toy, &toy_options);
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    toy_model_finish(&toy);
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

static const char *in_folder(const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % DV_ARRAY_SIZE(paths)];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

/* Read the model at `path`; if it can be read it must be the toy. */
static enum dv_status read_toy(const char *path)
{
    struct dv_arena *arena = dv_arena_create(0);
    struct dv_model *model = NULL;
    struct dv_error error = {.text = ""};

    enum dv_status status = dv_model_read(path, arena, &model, &error);
    if (status == DV_OK) {
        size_t size = model->value_count * sizeof(float);
        assert_string_equal(model->name, toy.content.name);
        assert_int_equal(model->preprocessing.columns, 10);
        assert_string_equal(model->preprocessing.classes[1], toy.preprocessing.classes[1]);
        assert_int_equal(model->graph->parameter_count, toy.content.graph->parameter_count);
        assert_memory_equal(model->values, toy.content.values, size);
    } else {
        assert_int_not_equal(error.text[0], '\0');
    }
    dv_arena_destroy(arena);
    return status;
}

static void reads_back_the_folder(void **state)
{
    (void)state;
    assert_int_equal(dv_model_write(&toy.content, in_folder("a"), NULL), DV_OK);
    assert_int_equal(read_toy(in_folder("a")), DV_OK);
    assert_false(dv_path_exists(in_folder("a.staging")));
}

static void replaces_a_folder_that_is_there(void **state)
{
    (void)state;
    assert_int_equal(dv_folder_make(in_folder("b"), NULL), DV_OK);
    assert_int_equal(dv_file_write(in_folder("b/old"), "x", 1, NULL), DV_OK);
    assert_int_equal(dv_model_write(&toy.content, in_folder("b"), NULL), DV_OK);
    assert_int_equal(read_toy(in_folder("b")), DV_OK);
    assert_false(dv_path_exists(in_folder("b/old")));
}

static void reads_the_archive_like_the_folder(void **state)
{
    (void)state;
    assert_int_equal(dv_model_write(&toy.content, in_folder("c"), NULL), DV_OK);
    assert_int_equal(dv_archive_write(in_folder("c"), in_folder("c.zip"), NULL), DV_OK);
    assert_int_equal(read_toy(in_folder("c.zip")), DV_OK);
}

static void what_is_no_model_is_refused(void **state)
{
    (void)state;
    assert_int_equal(dv_folder_make(in_folder("empty"), NULL), DV_OK);
    assert_int_equal(dv_file_write(in_folder("text"), "hello, not a zip at all", 23, NULL), DV_OK);
    assert_int_equal(read_toy(in_folder("empty")), DV_CORRUPT);
    assert_int_equal(read_toy(in_folder("text")), DV_CORRUPT);
    assert_int_equal(read_toy(in_folder("nothing")), DV_NOT_FOUND);
}

/* Invert one byte of the file and see; put it right again. */
static enum dv_status read_with_flip(const char *path, const char *file, size_t at)
{
    DV_CLEANUP(dv_freep) char *data = NULL;
    size_t size;

    assert_int_equal(dv_file_read(file, 1 << 24, &data, &size, NULL), DV_OK);
    assert_true(at < size);
    data[at] = (char)~data[at];
    assert_int_equal(dv_file_write(file, data, size, NULL), DV_OK);
    enum dv_status status = read_toy(path);
    data[at] = (char)~data[at];
    assert_int_equal(dv_file_write(file, data, size, NULL), DV_OK);
    return status;
}

static void a_flipped_byte_in_the_weights_is_found(void **state)
{
    const size_t places[] = {0, 7, 30, 500, 2000, 3000};

    (void)state;
    assert_int_equal(dv_model_write(&toy.content, in_folder("d"), NULL), DV_OK);
    for (size_t i = 0; i < DV_ARRAY_SIZE(places); i++) {
        const char *file = in_folder("d/weights.safetensors");
        assert_int_equal(read_with_flip(in_folder("d"), file, places[i]), DV_CORRUPT);
    }
    assert_int_equal(read_toy(in_folder("d")), DV_OK);
}

static void a_flipped_byte_in_the_archive_never_gives_another_model(void **state)
{
    DV_CLEANUP(dv_freep) char *data = NULL;
    size_t size;

    (void)state;
    assert_int_equal(dv_model_write(&toy.content, in_folder("e"), NULL), DV_OK);
    assert_int_equal(dv_archive_write(in_folder("e"), in_folder("e.zip"), NULL), DV_OK);
    assert_int_equal(dv_file_read(in_folder("e.zip"), 1 << 24, &data, &size, NULL), DV_OK);
    for (size_t at = size % 97; at < size; at += 97) {
        (void)read_with_flip(in_folder("e.zip"), in_folder("e.zip"), at);
    }
    for (size_t cut = 0; cut < size; cut += 997) {
        assert_int_equal(dv_file_write(in_folder("cut.zip"), data, cut, NULL), DV_OK);
        assert_int_equal(read_toy(in_folder("cut.zip")), DV_CORRUPT);
    }
}

static void a_newer_format_is_refused_as_such(void **state)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    DV_CLEANUP(dv_freep) char *text = NULL;
    const char *path = in_folder("f/model.json");

    (void)state;
    assert_int_equal(dv_model_write(&toy.content, in_folder("f"), NULL), DV_OK);
    assert_int_equal(dv_json_read_file(path, 1 << 20, &json, NULL), DV_OK);
    dv_json_set_integer(json, "format_version", DV_MODEL_FORMAT_VERSION + 1);
    text = dv_json_print(json);
    assert_int_equal(dv_file_write(path, text, strlen(text), NULL), DV_OK);
    assert_int_equal(read_toy(in_folder("f")), DV_UNSUPPORTED);
}

/* Fail the 1st, 2nd, 3rd ... call of a kind: the old model stays, nothing is left beside it. */
static void a_failing_disk_leaves_the_old_model(void **state)
{
    static const char *const points[] = {"open", "write", "sync", "rename"};

    (void)state;
    assert_int_equal(dv_model_write(&toy.content, in_folder("g"), NULL), DV_OK);
    for (size_t p = 0; p < DV_ARRAY_SIZE(points); p++) {
        enum dv_status status = DV_IO;
        for (unsigned nth = 1; status != DV_OK; nth++) {
            assert_true(nth < 100);
            dv_fault_arm(points[p], nth);
            status = dv_model_write(&toy.content, in_folder("g"), NULL);
            (void)dv_fault_disarm();
            assert_false(dv_path_exists(in_folder("g.staging")));
            assert_int_equal(read_toy(in_folder("g")), DV_OK);
        }
    }
}

static void the_card_names_the_worst_confusions_as_plain_text(void **state)
{
    struct dv_buffer card = DV_BUFFER_INIT(1 << 20);

    (void)state;
    dv_model_card(&toy.content, &card);
    const char *text = dv_buffer_text(&card);
    assert_non_null(strstr(text, "| accuracy | 75.00 % |"));
    assert_non_null(strstr(text, "| \\<b\\>\\|\\*\\\\u0041 \\`x\\` | cat | 3 |"));
    assert_null(strstr(text, "<b>"));
    dv_buffer_finish(&card);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_the_folder),
        cmocka_unit_test(replaces_a_folder_that_is_there),
        cmocka_unit_test(reads_the_archive_like_the_folder),
        cmocka_unit_test(what_is_no_model_is_refused),
        cmocka_unit_test(a_flipped_byte_in_the_weights_is_found),
        cmocka_unit_test(a_flipped_byte_in_the_archive_never_gives_another_model),
        cmocka_unit_test(a_newer_format_is_refused_as_such),
        cmocka_unit_test(a_failing_disk_leaves_the_old_model),
        cmocka_unit_test(the_card_names_the_worst_confusions_as_plain_text),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
