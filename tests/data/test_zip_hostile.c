/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives that lie, one case each: made honest, then bent. What condemns the whole archive and
 * what only one entry is the first thing each case says.
 */
#include "data/source.h"
#include "zip_builder.h"

#include "base/alloc.h"
#include "spec/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "the same text again, the same text again, the same text again";

/* Three plain entries: stored, deflated, deflated with a descriptor. */
static void build_plain(struct zip_image *image)
{
    const struct zip_item items[] = {
        {.name = "c/a.png", .data = text, .size = 20},
        {.name = "c/b.png", .data = text, .size = 61, .is_deflated = true},
        {.name = "c/d.png", .data = text, .size = 61, .is_deflated = true, .descriptor = 16},
    };

    zip_build(image, items, DV_ARRAY_SIZE(items), false);
}

static void build_zip64(struct zip_image *image)
{
    const struct zip_item items[] = {{.name = "c/a.png", .data = text, .size = 20}};

    zip_build(image, items, 1, true);
}

static void put_front(struct zip_image *image, const void *bytes, size_t size)
{
    zip_put_bytes(image, bytes, size);
    memmove(image->bytes + size, image->bytes, image->size - size);
    memcpy(image->bytes, bytes, size);
}

/* clang-format off */
static void bend_local_name(struct zip_image *i) { i->bytes[i->locals[0] + 30] = 'x'; }
static void bend_local_method(struct zip_image *i) { zip_set(i, i->locals[1] + 8, 0, 2); }
static void bend_local_flags(struct zip_image *i) { zip_set(i, i->locals[0] + 6, 1 << 11, 2); }
static void bend_local_crc(struct zip_image *i) { zip_set(i, i->locals[0] + 14, 1, 4); }
static void bend_local_size(struct zip_image *i) { zip_set(i, i->locals[1] + 22, 62, 4); }
static void bend_local_extra(struct zip_image *i) { zip_set(i, i->locals[0] + 28, 500, 2); }
static void bend_descriptor(struct zip_image *i) { i->bytes[i->directory - 1] ^= 1; }
static void bend_outside(struct zip_image *i) { zip_set(i, i->centrals[1] + 42, 1 << 30, 4); }
static void bend_into_directory(struct zip_image *i) { zip_set(i, i->centrals[1] + 42, i->directory, 4); }
static void bend_same_header(struct zip_image *i) { zip_set(i, i->centrals[1] + 42, 0, 4); }
static void bend_stored_size(struct zip_image *i) { zip_set(i, i->centrals[0] + 24, 21, 4); }
static void bend_huge_size(struct zip_image *i) { zip_set(i, i->centrals[1] + 24, 1 << 27, 4); }
static void bend_count_more(struct zip_image *i) { zip_set(i, i->end + 8, 60000 | 60000u << 16, 4); }
static void bend_count_less(struct zip_image *i) { zip_set(i, i->end + 8, 2 | 2 << 16, 4); }
static void bend_count_none(struct zip_image *i) { zip_set(i, i->end + 8, 0, 4); }
static void bend_disk(struct zip_image *i) { zip_set(i, i->end + 4, 1, 2); }
static void bend_entry_disk(struct zip_image *i) { zip_set(i, i->centrals[0] + 34, 1, 2); }
static void bend_comment_size(struct zip_image *i) { zip_set(i, i->end + 20, 7, 2); }
static void bend_directory_size(struct zip_image *i) { zip_set(i, i->end + 12, 7, 4); }
static void bend_directory_at(struct zip_image *i) { zip_set(i, i->end + 16, 0xfffffff0, 4); }
static void bend_signature(struct zip_image *i) { i->bytes[i->centrals[2]] = 'Q'; }
static void bend_missing_zip64(struct zip_image *i) { zip_set(i, i->centrals[0] + 24, 0xffffffff, 4); }
static void bend_locator(struct zip_image *i) { zip_set(i, i->end - 12, 3, 8); }
static void bend_zip64_count(struct zip_image *i) { zip_set(i, i->end - 76 + 24, 1ull << 60, 8); }
static void bend_zip64_both(struct zip_image *i) { bend_zip64_count(i); zip_set(i, i->end - 76 + 32, 1ull << 60, 8); }
static void bend_zip64_against(struct zip_image *i) { zip_set(i, i->end + 16, 1, 4); }
static void bend_junk_before(struct zip_image *i) { put_front(i, "#!/bin/sh\n", 10); }
static void bend_junk_after(struct zip_image *i) { zip_put_bytes(i, "junk", 4); }
static void bend_png_before(struct zip_image *i) { put_front(i, "\x89PNG\r\n\x1a\n", 8); }
static void bend_rar(struct zip_image *i) { memcpy(i->bytes, "Rar!", 4); }
static void bend_to_nothing(struct zip_image *i) { i->size = 0; }
/* clang-format on */

static void bend_fake_end(struct zip_image *image)
{
    unsigned char fake[22] = "PK\5\6";

    zip_set(image, image->end + 20, sizeof(fake), 2);
    zip_put_bytes(image, fake, sizeof(fake));
}

static void bend_twice(struct zip_image *image)
{
    size_t size = image->size;
    unsigned char *copy = dv_alloc(size);

    memcpy(copy, image->bytes, size);
    zip_put_bytes(image, copy, size);
    dv_free(copy);
}

static const struct lie {
    const char *what;
    void (*bend)(struct zip_image *image);
    bool is_zip64;
    enum dv_status status;
    const char *says; /* a part of the message */
} lies[] = {
    {"Z12 two names", bend_local_name, false, DV_CORRUPT, "'c/a.png': two names"},
    {"Z13 two methods", bend_local_method, false, DV_CORRUPT, "two compression methods"},
    {"Z13 two sets of flags", bend_local_flags, false, DV_CORRUPT, "flags"},
    {"Z13 two checksums", bend_local_crc, false, DV_CORRUPT, "two checksums"},
    {"Z13 two sizes", bend_local_size, false, DV_CORRUPT, "two sizes"},
    {"Z32 extra fields overrun", bend_local_extra, false, DV_CORRUPT, "overlaps"},
    {"Z27 the descriptor lies", bend_descriptor, false, DV_CORRUPT, "data descriptor"},
    {"Z15 beyond the file", bend_outside, false, DV_CORRUPT, "before the directory"},
    {"Z15 inside the directory", bend_into_directory, false, DV_CORRUPT, "before the directory"},
    {"Z16 two entries on one header", bend_same_header, false, DV_CORRUPT, "overlaps"},
    {"Z14 an entry the directory hides", bend_count_less, false, DV_CORRUPT, "goes on after"},
    {"Z19 stored with two sizes", bend_stored_size, false, DV_CORRUPT, "two different sizes"},
    {"Z18 inflates impossibly far", bend_huge_size, false, DV_CORRUPT, "further than is possible"},
    {"Z26 the count lies", bend_count_more, false, DV_CORRUPT, "counts more entries"},
    {"Z26 no entries", bend_count_none, false, DV_CORRUPT, "goes on after"},
    {"Z30 several disks", bend_disk, false, DV_UNSUPPORTED, "several disks"},
    {"Z30 an entry on another disk", bend_entry_disk, false, DV_UNSUPPORTED, "another disk"},
    {"Z23 the comment's length lies", bend_comment_size, false, DV_CORRUPT, "does not end"},
    {"Z23 a fake end record in the comment", bend_fake_end, false, DV_CORRUPT, "directory"},
    {"Z23 the directory is elsewhere", bend_directory_at, false, DV_CORRUPT, "directory"},
    {"Z23 the directory is shorter", bend_directory_size, false, DV_CORRUPT, "directory"},
    {"Z23 a header without signature", bend_signature, false, DV_CORRUPT, "at entry 3"},
    {"Z22 no ZIP64 field", bend_missing_zip64, false, DV_CORRUPT, "extra fields"},
    {"Z23 the locator points elsewhere", bend_locator, true, DV_CORRUPT, "ZIP64 end record"},
    {"Z22 two ZIP64 counts", bend_zip64_count, true, DV_UNSUPPORTED, "several disks"},
    {"Z31 2^60 entries", bend_zip64_both, true, DV_TOO_LARGE, "the limit is 5000000"},
    {"Z23 the end records contradict", bend_zip64_against, true, DV_CORRUPT, "contradict"},
    {"Z24 junk in front", bend_junk_before, false, DV_UNSUPPORTED, "not a ZIP archive"},
    {"Z24 junk behind", bend_junk_after, false, DV_CORRUPT, "does not end"},
    {"Z24 a picture in front", bend_png_before, false, DV_UNSUPPORTED, "a PNG picture"},
    {"Z24 two archives", bend_twice, false, DV_CORRUPT, "directory"},
    {"Z34 RAR", bend_rar, false, DV_UNSUPPORTED, "a RAR archive"},
    {"Z34 an empty file", bend_to_nothing, false, DV_UNSUPPORTED, "the file is empty"},
};

static void an_archive_that_lies_is_refused_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(lies); i++) {
        struct zip_image image;
        struct dv_source *source = NULL;
        struct dv_error error = {0};

        (lies[i].is_zip64 ? build_zip64 : build_plain)(&image);
        lies[i].bend(&image);
        enum dv_status status = zip_open(image.bytes, image.size, &source, &error);
        if (status != lies[i].status || !strstr(error.text, lies[i].says)) {
            fail_msg("%s: %s: %s", lies[i].what, dv_status_name(status), error.text);
        }
        assert_null(source);
        zip_image_finish(&image);
    }
}

static void an_archive_cut_anywhere_is_refused(void **state)
{
    struct zip_image image;

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        (kind ? build_zip64 : build_plain)(&image);
        for (size_t size = 0; size < image.size; size++) {
            struct dv_source *source;
            assert_int_not_equal(zip_open(image.bytes, size, &source, NULL), DV_OK);
        }
        zip_image_finish(&image);
    }
}

static void no_single_bent_byte_breaks_the_reader(void **state)
{
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct zip_image image;

    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        (kind ? build_zip64 : build_plain)(&image);
        for (size_t at = 0; at < image.size * DV_ARRAY_SIZE(values); at++) {
            unsigned char *byte = &image.bytes[at / DV_ARRAY_SIZE(values)];
            unsigned char honest = *byte;
            struct dv_source *source;

            *byte ^= values[at % DV_ARRAY_SIZE(values)];
            if (zip_open(image.bytes, image.size, &source, NULL) == DV_OK) {
                (void)zip_read_all(source);
                (void)dv_source_close(source);
            }
            *byte = honest;
        }
        zip_image_finish(&image);
    }
}

/* Fifield's idea: each entry's data is the next entry's header. */
static void overlapping_entries_are_refused_before_inflating(void **state)
{
    struct zip_image image = {0};
    struct dv_source *source;
    struct dv_error error;
    enum { COUNT = 250, LOCAL = 31 };

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        size_t packed = (size_t)(COUNT - 1 - i) * LOCAL;
        zip_put(&image, 0x04034b50, 4);
        zip_put(&image, 20, 6);
        zip_put(&image, 0, 8);
        zip_put(&image, packed, 4);
        zip_put(&image, packed, 4);
        zip_put(&image, 1, 4);
        zip_put(&image, 'a', 1);
    }
    size_t directory = image.size;
    for (int i = 0; i < COUNT; i++) {
        size_t packed = (size_t)(COUNT - 1 - i) * LOCAL;
        zip_put(&image, 0x02014b50, 4);
        zip_put(&image, 20 | 20 << 16, 4);
        zip_put(&image, 0, 8);
        zip_put(&image, 0, 4);
        zip_put(&image, packed, 4);
        zip_put(&image, packed, 4);
        zip_put(&image, 1, 4);
        zip_put(&image, 0, 8);
        zip_put(&image, 0, 2);
        zip_put(&image, (uint64_t)i * LOCAL, 4);
        zip_put(&image, 'a', 1);
    }
    size_t directory_size = image.size - directory;
    zip_put(&image, 0x06054b50, 4);
    zip_put(&image, 0, 4);
    zip_put(&image, COUNT | COUNT << 16, 4);
    zip_put(&image, directory_size, 4);
    zip_put(&image, directory, 4);
    zip_put(&image, 0, 2);
    assert_int_equal(zip_open(image.bytes, image.size, &source, &error), DV_CORRUPT);
    assert_non_null(strstr(error.text, "overlaps"));
    zip_image_finish(&image);
}

static void a_bomb_is_refused_whole_and_a_flat_picture_alone(void **state)
{
    const size_t sizes[] = {
        DV_ZIP_RATIO_FROM_SIZE, DV_ZIP_RATIO_FROM_SIZE + 1, DV_IMAGE_FILE_SIZE_MAX + 1};
    const enum dv_status statuses[] = {DV_OK, DV_OK, DV_TOO_LARGE};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(sizes); i++) {
        DV_CLEANUP(dv_freep) char *zeros = dv_alloc(sizes[i]);
        const struct zip_item item = {
            .name = "flat.bmp", .data = zeros, .size = sizes[i], .is_deflated = true};
        struct zip_image image;
        struct dv_source *source = NULL;

        zip_build(&image, &item, 1, false);
        assert_int_equal(zip_open(image.bytes, image.size, &source, NULL), statuses[i]);
        if (source) {
            struct dv_source_entry entry;
            dv_source_entry(source, 0, &entry);
            assert_int_equal(entry.is_refused, i == 1);
            assert_true(i == 0 || entry.finding == DV_FINDING_TOO_LARGE);
            (void)dv_source_close(source);
        }
        zip_image_finish(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_archive_that_lies_is_refused_whole),
        cmocka_unit_test(an_archive_cut_anywhere_is_refused),
        cmocka_unit_test(no_single_bent_byte_breaks_the_reader),
        cmocka_unit_test(overlapping_entries_are_refused_before_inflating),
        cmocka_unit_test(a_bomb_is_refused_whole_and_a_flat_picture_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
