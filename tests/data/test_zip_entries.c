/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry among good ones: what is accepted as it comes from real programs, and what is refused
 * alone, under which finding.
 */
#include "data/source.h"
#include "zip_builder.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "spec/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "the same text again, the same text again, the same text again";

static const struct good {
    const char *what;
    struct zip_item item;
    const char *name; /* as it is seen; NULL: the entry's own */
} goods[] = {
    {"Z05 UTF-8 with its flag", {.name = "c/\xc3\xa9.png", .flags = 1 << 11}, NULL},
    {"Z05 UTF-8 without", {.name = "c/\xc3\xa9.png"}, NULL},
    {"Z05 code page 437", {.name = "c/\x82.png"}, "c/\xc3\xa9.png"},
    {"a backslash from old .NET", {.name = "c\\a.png"}, "c/a.png"},
    {"a dot in front", {.name = "./c/a.png"}, "c/a.png"},
    {"Z11 a name Windows dislikes", {.name = "CON/aux.png"}, NULL},
    {"Z11 trailing dot and space", {.name = "c. /a.png "}, NULL},
    {"a name with two dots inside", {.name = "c/a..png"}, NULL},
    {"Z08 setuid is no matter", {.name = "a", .host = 3, .attributes = 0104755u << 16}, NULL},
    {"Z27 descriptor of 12 bytes", {.name = "a", .is_deflated = true, .descriptor = 12}, NULL},
    {"Z27 descriptor of 16 bytes", {.name = "a", .is_deflated = true, .descriptor = 16}, NULL},
    {"Z27 descriptor of 20 bytes", {.name = "a", .is_deflated = true, .descriptor = 20}, NULL},
    {"Z27 descriptor of 24 bytes", {.name = "a", .is_deflated = true, .descriptor = 24}, NULL},
    {"Z27 stored with a descriptor, as browsers' libraries write", {.name = "a", .descriptor = 16},
        NULL},
    {"Z33 padding of aligned archives",
        {.name = "a", .local_extra = "\0\0\0", .local_extra_size = 3}, NULL},
};

static void what_real_programs_write_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * DV_ARRAY_SIZE(goods); i++) {
        const struct good *good = &goods[i / 2];
        struct zip_item items[2] = {good->item, {.name = "z.png", .data = "z", .size = 1}};
        struct zip_image image;
        struct dv_source *source;
        struct dv_source_entry entry;
        struct dv_error error = {0};
        char data[sizeof(text)];

        items[0].data = text;
        items[0].size = 61;
        zip_build(&image, items, 2, i % 2);
        if (zip_open(image.bytes, image.size, &source, &error) != DV_OK) {
            fail_msg("%s: %s", good->what, error.text);
        }
        assert_int_equal(dv_source_count(source), 2);
        dv_source_entry(source, 0, &entry);
        if (entry.is_refused) {
            fail_msg("%s: %s", good->what, entry.reason);
        }
        assert_string_equal(entry.name, good->name ? good->name : good->item.name);
        assert_int_equal(entry.size, 61);
        assert_int_equal(dv_source_read(source, 0, data, NULL), DV_OK);
        assert_memory_equal(data, text, 61);
        assert_int_equal(zip_read_all(source).good, 2);
        (void)dv_source_close(source);
        zip_image_finish(&image);
    }
}

#define UNIX_TYPE(mode) .host = 3, .attributes = (uint32_t)(mode) << 16

static const struct bad {
    const char *what;
    struct zip_item item;
    enum dv_finding_code finding;
    const char *says;
} bads[] = {
    {"Z01", {.name = "../../evil.png"}, DV_FINDING_UNSAFE_PATH, "'..'"},
    {"Z01", {.name = "a/../../evil.png"}, DV_FINDING_UNSAFE_PATH, "'..'"},
    {"Z01", {.name = ".."}, DV_FINDING_UNSAFE_PATH, "'..'"},
    {"Z01 an empty segment", {.name = "a//b.png"}, DV_FINDING_UNSAFE_PATH, "'..'"},
    {"Z02", {.name = "/etc/passwd"}, DV_FINDING_UNSAFE_PATH, "absolute"},
    {"Z02", {.name = "//host/x"}, DV_FINDING_UNSAFE_PATH, "absolute"},
    {"Z02", {.name = "C:\\x"}, DV_FINDING_UNSAFE_PATH, "drive"},
    {"Z02", {.name = "C:x"}, DV_FINDING_UNSAFE_PATH, "drive"},
    {"Z03", {.name = "..\\..\\evil.png"}, DV_FINDING_UNSAFE_PATH, "'..'"},
    {"Z03", {.name = "\\\\host\\x"}, DV_FINDING_UNSAFE_PATH, "absolute"},
    {"Z03 mixed", {.name = "c/..\\evil.png"}, DV_FINDING_UNSAFE_PATH, "backslash"},
    {"Z03 half a character", {.name = "\x95\\.png"}, DV_FINDING_UNSAFE_PATH, "backslash"},
    {"Z04", {.name = "a.png\0.exe", .name_size = 10}, DV_FINDING_UNSAFE_PATH, "NUL"},
    {"Z05", {.name = "\xff.png", .flags = 1 << 11}, DV_FINDING_UNSAFE_PATH, "UTF-8"},
    {"Z07", {.name = "link", UNIX_TYPE(0120777)}, DV_FINDING_UNSAFE_PATH, "symbolic link"},
    {"Z07 said to be from MS-DOS", {.name = "l", .attributes = 0120777u << 16},
        DV_FINDING_UNSAFE_PATH, "symbolic link"},
    {"Z08 device", {.name = "null", UNIX_TYPE(0020666)}, DV_FINDING_UNSAFE_PATH, "neither"},
    {"Z08 pipe", {.name = "pipe", UNIX_TYPE(0010666)}, DV_FINDING_UNSAFE_PATH, "neither"},
    {"Z08 socket", {.name = "sock", UNIX_TYPE(0140666)}, DV_FINDING_UNSAFE_PATH, "neither"},
    {"Z11 deep", {.name = "1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h"}, DV_FINDING_UNSAFE_PATH, "16"},
    {"Z28", {.name = "a", .flags = 1}, DV_FINDING_ENCRYPTED, "encrypted"},
    {"Z28 strong", {.name = "a", .flags = 1 << 6 | 1}, DV_FINDING_ENCRYPTED, "encrypted"},
    {"Z29 patch", {.name = "a", .flags = 1 << 5}, DV_FINDING_UNSUPPORTED_FEATURE, "patch"},
    {"Z33", {.name = "folder/"}, DV_FINDING_CORRUPT_ENTRY, "folder that holds data"},
};

/* Open two entries of which `item` is the first, and say what became of it. */
static void expect_refused(
    const struct zip_image *image, const char *what, enum dv_finding_code finding, const char *says)
{
    struct dv_source *source;
    struct dv_source_entry entry;
    struct dv_error error = {0};

    if (zip_open(image->bytes, image->size, &source, &error) != DV_OK) {
        fail_msg("%s: %s", what, error.text);
    }
    dv_source_entry(source, 0, &entry);
    if (!entry.is_refused || entry.finding != finding || !strstr(entry.reason, says)) {
        fail_msg("%s: %s: %s", what, entry.name, entry.is_refused ? entry.reason : "accepted");
    }
    struct zip_counts counts = zip_read_all(source);
    assert_int_equal(counts.good, 1);
    assert_int_equal(counts.damaged, 0);
    (void)dv_source_close(source);
}

static void a_bad_entry_is_refused_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(bads); i++) {
        struct zip_item items[2] = {bads[i].item, {.name = "z.png", .data = "z", .size = 1}};
        struct zip_image image;

        items[0].data = text;
        items[0].size = 61;
        zip_build(&image, items, 2, false);
        expect_refused(&image, bads[i].what, bads[i].finding, bads[i].says);
        zip_image_finish(&image);
    }
}

static void other_methods_are_refused_alone(void **state)
{
    static const uint16_t methods[] = {1, 9, 12, 14, 93, 95, 98};
    const struct zip_item items[2] = {
        {.name = "a", .data = text, .size = 61}, {.name = "z.png", .data = "z", .size = 1}};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(methods); i++) {
        struct zip_image image;
        zip_build(&image, items, 2, false);
        zip_set(&image, image.locals[0] + 8, methods[i], 2);
        zip_set(&image, image.centrals[0] + 10, methods[i], 2);
        expect_refused(&image, "Z29", DV_FINDING_UNSUPPORTED_FEATURE, "method");
        zip_image_finish(&image);
    }
}

static void names_are_held_to_their_length(void **state)
{
    static const size_t sizes[] = {DV_ZIP_NAME_SIZE_MAX, DV_ZIP_NAME_SIZE_MAX + 1, 65535};
    char *name = dv_alloc(65536);

    (void)state;
    memset(name, 'n', 65535);
    for (size_t i = 0; i < DV_ARRAY_SIZE(sizes); i++) {
        const struct zip_item items[2] = {{.name = name, .name_size = sizes[i]}, {.name = "z"}};
        struct zip_image image;
        struct dv_source *source;
        struct dv_source_entry entry;

        zip_build(&image, items, 2, false);
        assert_int_equal(zip_open(image.bytes, image.size, &source, NULL), DV_OK);
        dv_source_entry(source, 0, &entry);
        assert_int_equal(entry.is_refused, i > 0);
        (void)dv_source_close(source);
        zip_image_finish(&image);
    }
    dv_free(name);
}

static void a_unicode_path_may_explain_a_name_but_not_replace_it(void **state)
{
    static const struct {
        const char *name;
        const char *path;
        const char *seen; /* NULL: refused */
    } cases[] = {
        {"\x82.png", "\xd1\x84.png", "\xd1\x84.png"},
        {"\x82.png", "../x.png", NULL},
        {"a.png", "a.png", "a.png"},
        {"a.png", "b.png", NULL},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        struct zip_image extra = {0};
        struct zip_image image;
        struct dv_source *source;
        struct dv_source_entry entry;

        zip_put(&extra, 0x7075, 2);
        zip_put(&extra, 5 + strlen(cases[i].path), 2);
        zip_put(&extra, 1, 1);
        zip_put(&extra, dv_crc32(0, cases[i].name, strlen(cases[i].name)), 4);
        zip_put_bytes(&extra, cases[i].path, strlen(cases[i].path));
        const struct zip_item item = {.name = cases[i].name,
            .local_extra = extra.bytes,
            .local_extra_size = (uint16_t)extra.size};
        zip_build(&image, &item, 1, false);
        assert_int_equal(zip_open(image.bytes, image.size, &source, NULL), DV_OK);
        dv_source_entry(source, 0, &entry);
        assert_int_equal(entry.is_refused, !cases[i].seen);
        if (cases[i].seen) {
            assert_string_equal(entry.name, cases[i].seen);
        }
        (void)dv_source_close(source);
        zip_image_finish(&image);
        zip_image_finish(&extra);
    }
}

static void names_that_clash_are_refused(void **state)
{
    const struct zip_item items[] = {{.name = "c/a"}, {.name = "c/b"}, {.name = "c/a"},
        {.name = "d"}, {.name = "d/e/f"}, {.name = "d/e"}, {.name = "c/A"}};
    static const bool is_refused[] = {true, false, true, true, false, true, false};
    struct zip_image image;
    struct dv_source *source;
    struct dv_source_entry entry;

    (void)state;
    zip_build(&image, items, DV_ARRAY_SIZE(items), false);
    assert_int_equal(zip_open(image.bytes, image.size, &source, NULL), DV_OK);
    assert_int_equal(dv_source_count(source), DV_ARRAY_SIZE(items));
    for (size_t i = 0; i < DV_ARRAY_SIZE(items); i++) {
        dv_source_entry(source, i, &entry);
        assert_int_equal(entry.is_refused, is_refused[i]);
    }
    (void)dv_source_close(source);
    zip_image_finish(&image);
}

/* Bend the checksum, or the size in both headers by `by`, of a deflated entry. */
static void damaged_entries_are_found_when_read(void **state)
{
    static const int changes[] = {0, -1, 1, 30};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(changes); i++) {
        const struct zip_item items[2] = {
            {.name = "a", .data = text, .size = 61, .is_deflated = true}, {.name = "z"}};
        struct zip_image image;
        struct dv_source *source;
        struct dv_error error;
        char data[128];

        zip_build(&image, items, 2, false);
        zip_set(&image, image.locals[0] + 22, (uint64_t)(61 + changes[i]), 4);
        zip_set(&image, image.centrals[0] + 24, (uint64_t)(61 + changes[i]), 4);
        if (changes[i] == 0) {
            zip_set(&image, image.locals[0] + 14, 1, 4);
            zip_set(&image, image.centrals[0] + 16, 1, 4);
        }
        assert_int_equal(zip_open(image.bytes, image.size, &source, NULL), DV_OK);
        memset(data, '#', sizeof(data));
        assert_int_equal(dv_source_read(source, 0, data, &error), DV_CORRUPT);
        assert_int_equal(data[61 + changes[i]], '#'); /* never a byte too many */
        assert_int_equal(zip_read_all(source).good, 1);
        (void)dv_source_close(source);
        zip_image_finish(&image);
    }
}

static void folders_are_left_out_and_order_is_that_of_storage(void **state)
{
    const struct zip_item items[] = {{.name = "c/"}, {.name = "c/b", .data = "b", .size = 1},
        {.name = "dos", .attributes = 0x10}, {.name = "net\\"}, {.name = "./"},
        {.name = "c/a", .data = "a", .size = 1}};
    struct zip_image image;
    struct dv_source *source;
    struct dv_source_entry entry;

    (void)state;
    zip_build(&image, items, DV_ARRAY_SIZE(items), false);
    assert_int_equal(zip_open(image.bytes, image.size, &source, NULL), DV_OK);
    assert_int_equal(dv_source_count(source), 2);
    dv_source_entry(source, 0, &entry);
    assert_string_equal(entry.name, "c/b");
    dv_source_entry(source, 1, &entry);
    assert_string_equal(entry.name, "c/a");
    (void)dv_source_close(source);
    zip_image_finish(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_real_programs_write_is_read),
        cmocka_unit_test(a_bad_entry_is_refused_alone),
        cmocka_unit_test(other_methods_are_refused_alone),
        cmocka_unit_test(names_are_held_to_their_length),
        cmocka_unit_test(a_unicode_path_may_explain_a_name_but_not_replace_it),
        cmocka_unit_test(names_that_clash_are_refused),
        cmocka_unit_test(damaged_entries_are_found_when_read),
        cmocka_unit_test(folders_are_left_out_and_order_is_that_of_storage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
