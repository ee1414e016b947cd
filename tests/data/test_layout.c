/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "data/layout.h"
#include "spec/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/*
 * Each case is a list of paths with what they should mean: "class/split", "" for one without a
 * class, "-" for one that is ignored.
 */
struct expected {
    const char *path;
    const char *meaning;
};

static const char *path_at(void *data, uint64_t index)
{
    return ((const struct expected *)data)[index].path;
}

static struct dv_layout *make(struct expected *cases, size_t count)
{
    struct dv_layout_options options = {.path = path_at, .data = cases, .count = count};
    struct dv_layout *layout = NULL;
    struct dv_error error = {0};

    if (dv_layout_create(&options, &layout, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    return layout;
}

static void check(struct expected *cases, size_t count)
{
    DV_CLEANUP(dv_layout_destroyp) struct dv_layout *layout = make(cases, count);

    for (size_t i = 0; i < count; i++) {
        struct dv_layout_place place;
        char meaning[64] = "";
        dv_layout_place(layout, cases[i].path, &place);
        if (place.is_ignored) {
            (void)snprintf(meaning, sizeof(meaning), "-");
        } else if (!place.reason) {
            (void)snprintf(meaning, sizeof(meaning), "%s/%s",
                dv_layout_class_name(layout, place.class_index), dv_split_name(place.split));
        }
        if (strcmp(meaning, cases[i].meaning) != 0) {
            fail_msg("%s means '%s' instead of '%s'", cases[i].path, meaning, cases[i].meaning);
        }
    }
}

#define CHECK(...)                                                                                 \
    do {                                                                                           \
        struct expected cases[] = {__VA_ARGS__};                                                   \
        check(cases, DV_ARRAY_SIZE(cases));                                                        \
    } while (0)

static void folders_at_the_root_are_classes(void **state)
{
    (void)state;
    CHECK({"dog/1.jpg", "dog/train"}, {"cat/1.jpg", "cat/train"}, {"README.md", ""});
}

static void a_wrapping_folder_is_stripped(void **state)
{
    (void)state;
    CHECK({"pets/dog/1.jpg", "dog/train"}, {"pets/cat/1.jpg", "cat/train"}, {"pets/notes.txt", ""},
        {"notes.txt", ""});
    CHECK({"a/b/dog/1.jpg", "dog/train"}, {"a/b/cat/1.jpg", "cat/train"});
}

static void splits_may_come_before_classes(void **state)
{
    (void)state;
    CHECK({"train/dog/1.jpg", "dog/train"}, {"valid/cat/1.jpg", "cat/val"},
        {"test/cat/2.jpg", "cat/test"}, {"test/3.jpg", ""}, {"docs/4.jpg", ""});
    CHECK({"set/Training/dog/1.jpg", "dog/train"}, {"set/VALIDATION/dog/2.jpg", "dog/val"},
        {"set/Testing/cat/3.jpg", "cat/test"});
}

static void splits_may_come_after_classes(void **state)
{
    (void)state;
    CHECK({"dog/train/1.jpg", "dog/train"}, {"dog/Test/2.jpg", "dog/test"},
        {"cat/val/1.jpg", "cat/val"}, {"cat/stray.jpg", ""});
    CHECK({"x/dog/train/1.jpg", "dog/train"}, {"x/dog/test/a/2.jpg", "dog/test"},
        {"x/cat/train/1.jpg", "cat/train"});
}

static void a_lone_split_folder_is_no_split(void **state)
{
    (void)state;
    CHECK({"test/0/1.png", "0/train"}, {"test/1/1.png", "1/train"});
    CHECK({"dog/train/1.jpg", "dog/train"}, {"cat/train/1.jpg", "cat/train"});
    CHECK({"train/1.jpg", "train/train"}, {"bus/1.jpg", "bus/train"}, {"car/1.jpg", "car/train"});
}

static void deeper_files_belong_to_their_class(void **state)
{
    (void)state;
    CHECK({"dog/small/white/1.jpg", "dog/train"}, {"cat/1.jpg", "cat/train"});
    CHECK({"train/dog/small/1.jpg", "dog/train"}, {"test/dog/test/1.jpg", "dog/test"});
}

static void what_systems_leave_behind_is_ignored(void **state)
{
    (void)state;
    CHECK({"dog/1.jpg", "dog/train"}, {"cat/1.jpg", "cat/train"}, {"__MACOSX/dog/._1.jpg", "-"},
        {"dog/.DS_Store", "-"}, {"cat/thumbs.DB", "-"}, {"desktop.ini", "-"},
        {".git/objects/1", "-"}, {"cat/thumbs.jpg", "cat/train"});
    CHECK({"pets/dog/1.jpg", "dog/train"}, {"pets/cat/1.jpg", "cat/train"},
        {"__MACOSX/pets/dog/._1.jpg", "-"});
}

static void classes_are_sorted_bytewise(void **state)
{
    struct expected cases[] = {{"b/1", ""}, {"a/1", ""}, {"B/1", ""}, {"\xc3\xa4/1", ""}};
    const char *sorted[] = {"B", "a", "b", "\xc3\xa4"};
    DV_CLEANUP(dv_layout_destroyp) struct dv_layout *layout = make(cases, 4);

    (void)state;
    assert_int_equal(dv_layout_class_count(layout), 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(dv_layout_class_name(layout, i), sorted[i]);
    }
    assert_false(dv_layout_has_splits(layout));
}

static enum dv_status try_make(struct expected *cases, size_t count, struct dv_error *error)
{
    struct dv_layout_options options = {.path = path_at, .data = cases, .count = count};
    struct dv_layout *layout = NULL;

    enum dv_status status = dv_layout_create(&options, &layout, error);
    dv_layout_destroy(layout);
    return status;
}

static void without_a_class_folder_it_says_what_to_do(void **state)
{
    struct expected flat[] = {{"1.jpg", ""}, {"2.jpg", ""}};
    struct expected no_classes[] = {{"train/1.jpg", ""}, {"test/2.jpg", ""}};
    struct dv_error error = {0};

    (void)state;
    assert_int_equal(try_make(flat, 2, &error), DV_INVALID);
    assert_non_null(strstr(error.text, "cat/1.jpg"));
    assert_int_equal(try_make(no_classes, 2, &error), DV_INVALID);
    assert_non_null(strstr(error.text, "train/cat/1.jpg"));
}

static const char *numbered_path(void *data, uint64_t index)
{
    (void)snprintf(data, 32, "c%llu/1.jpg", (unsigned long long)index);
    return data;
}

static void the_number_of_classes_is_bounded(void **state)
{
    char path[32];
    struct dv_layout_options options = {
        .path = numbered_path, .data = path, .count = DV_CLASSES_MAX};
    struct dv_layout *layout = NULL;

    (void)state;
    assert_int_equal(dv_layout_create(&options, &layout, NULL), DV_OK);
    assert_int_equal(dv_layout_class_count(layout), DV_CLASSES_MAX);
    dv_layout_destroy(layout);
    options.count++;
    assert_int_equal(dv_layout_create(&options, &layout, NULL), DV_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_at_the_root_are_classes),
        cmocka_unit_test(a_wrapping_folder_is_stripped),
        cmocka_unit_test(splits_may_come_before_classes),
        cmocka_unit_test(splits_may_come_after_classes),
        cmocka_unit_test(a_lone_split_folder_is_no_split),
        cmocka_unit_test(deeper_files_belong_to_their_class),
        cmocka_unit_test(what_systems_leave_behind_is_ignored),
        cmocka_unit_test(classes_are_sorted_bytewise),
        cmocka_unit_test(without_a_class_folder_it_says_what_to_do),
        cmocka_unit_test(the_number_of_classes_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
