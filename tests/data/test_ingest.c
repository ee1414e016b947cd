/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "data/image.h"
#include "data/ingest.h"
#include "pack/pack.h"
#include "spec/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "picture_files.h"

/* Each test has a folder of its own: `in` is what is uploaded, `out` where ingest writes. */
struct place {
    char root[40];
    struct dv_arena *arena;
    struct dv_dataset_summary summary;
    struct dv_error error;
    struct dv_pack *pack;
};

static int set_up(void **state)
{
    struct place *place = dv_alloc(sizeof(*place));

    (void)snprintf(place->root, sizeof(place->root), "/tmp/dv-test-ingest-XXXXXX");
    place->arena = dv_arena_create(0);
    *state = place;
    return mkdtemp(place->root) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    dv_pack_close(place->pack);
    dv_arena_destroy(place->arena);
    enum dv_status status = dv_folder_remove(place->root, NULL);
    dv_free(place);
    return status == DV_OK ? 0 : -1;
}

static void put_file(struct place *place, const char *name, const void *data, size_t size)
{
    char path[DV_PATH_SIZE];
    char above[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/in/%s", place->root, name), DV_OK);
    memcpy(above, path, sizeof(above));
    *strrchr(above, '/') = '\0';
    assert_int_equal(dv_folder_make(above, NULL), DV_OK);
    FILE *file = fopen(path, "wb"); /* not dv_file_write(): hundreds of files need no fsync */
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* A BMP of 8 x 8 pixels of noise; the same seed gives the same bytes. */
static void put_picture(struct place *place, const char *name, uint64_t seed)
{
    unsigned char file[54 + 192] = {'B', 'M', 246, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 8,
        0, 0, 0, 8, 0, 0, 0, 1, 0, 24};
    struct dv_random random = dv_random_make(seed, DV_RANDOM_SAMPLE, 0, 0);

    for (size_t i = 54; i < sizeof(file); i++) {
        file[i] = (unsigned char)dv_random_below(&random, 256);
    }
    put_file(place, name, file, sizeof(file));
}

/* `count` pictures that are like no others, at folder/0.bmp and so on. */
static void put_class(struct place *place, const char *folder, uint32_t count)
{
    static uint64_t seed = 1000;
    char name[256];

    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "%s/%u.bmp", folder, (unsigned)i);
        put_picture(place, name, seed++);
    }
}

/* Ingest a path, or `in` when it is NULL, into an empty `out`. */
static enum dv_status ingest(struct place *place, const char *source, uint32_t thread_count)
{
    char in[DV_PATH_SIZE];
    char out[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(in, NULL, "%s/in", place->root), DV_OK);
    assert_int_equal(dv_path_format(out, NULL, "%s/out", place->root), DV_OK);
    place->pack = dv_pack_close(place->pack);
    assert_int_equal(dv_folder_remove(out, NULL), DV_OK);
    assert_int_equal(dv_folder_make(out, NULL), DV_OK);

    struct dv_ingest_options options = {
        .source_path = source ? source : in,
        .folder = out,
        .id = "00000000-0000-4000-8000-000000000000",
        .name = "a set",
        .seed = 3,
        .thread_count = thread_count,
    };
    enum dv_status status = dv_ingest_run(&options, place->arena, &place->summary, &place->error);
    if (status == DV_OK && dv_pack_open(out, &place->pack, &place->error) != DV_OK) {
        fail_msg("%s", place->error.text);
    }
    return status;
}

static void ingest_ok(struct place *place, const char *source)
{
    if (ingest(place, source, 2) != DV_OK) {
        fail_msg("%s", place->error.text);
    }
}

/* The code of the finding for this path; DV_FINDING_CODE_COUNT: there is none. */
static enum dv_finding_code finding_of(const struct place *place, const char *path)
{
    struct dv_pack_finding finding;

    for (uint64_t i = 0; i < dv_pack_finding_count(place->pack); i++) {
        dv_pack_finding(place->pack, i, &finding);
        if (strcmp(finding.path, path) == 0) {
            assert_true(strlen(finding.message) > 5);
            return finding.code;
        }
    }
    return DV_FINDING_CODE_COUNT;
}

static void refused_files_are_findings_and_the_good_ones_stay(void **state)
{
    struct place *place = *state;

    put_class(place, "cat", 10);
    put_class(place, "dog", 10);
    put_file(place, "cat/notes.txt", "hello, this is text", 19);
    put_file(place, "cat/empty.jpg", "", 0);
    put_file(place, "dog/cut.png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    put_file(place, "readme.md", "# hello", 7);
    put_file(place, "docs/a.txt", "nothing here is a picture", 25);
    put_file(place, "cat/.hidden", "x", 1);
    ingest_ok(place, NULL);

    assert_int_equal(place->summary.total_samples, 20);
    assert_int_equal(place->summary.class_count, 2);
    assert_int_equal(finding_of(place, "cat/notes.txt"), DV_FINDING_UNSUPPORTED_FORMAT);
    assert_int_equal(finding_of(place, "docs/a.txt"), DV_FINDING_UNSUPPORTED_FORMAT);
    assert_int_equal(finding_of(place, "cat/empty.jpg"), DV_FINDING_EMPTY_FILE);
    assert_int_equal(finding_of(place, "dog/cut.png"), DV_FINDING_CORRUPT_IMAGE);
    assert_int_equal(finding_of(place, "readme.md"), DV_FINDING_NO_CLASS);
    assert_int_equal(finding_of(place, "cat/.hidden"), DV_FINDING_IGNORED);
    assert_int_equal(dv_pack_finding_count(place->pack), 6);
}

static void the_summary_says_what_is_in_it(void **state)
{
    struct place *place = *state;
    const struct dv_dataset_summary *summary = &place->summary;

    put_class(place, "x/dog", 20);
    put_class(place, "x/cat", 10);
    ingest_ok(place, NULL);
    assert_string_equal(summary->classes[0].name, "cat");
    assert_int_equal(summary->classes[0].counts[DV_SPLIT_TRAIN], 8);
    assert_int_equal(summary->classes[1].counts[DV_SPLIT_VAL], 2);
    assert_int_equal(summary->classes[1].counts[DV_SPLIT_TEST], 2);
    assert_int_equal(summary->size_bytes, 30 * 246);
    assert_int_equal(summary->channels, 3);
    assert_int_equal(summary->side_median, 8);
    assert_true(summary->has_one_size);
    assert_string_equal(summary->source_hash, "");
}

static void dataset_json_holds_the_summary(void **state)
{
    struct place *place = *state;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    struct dv_dataset_summary read;
    char path[DV_PATH_SIZE];

    put_class(place, "cat", 10);
    put_class(place, "dog", 10);
    put_file(place, "cat/empty.jpg", "", 0);
    ingest_ok(place, NULL);
    assert_int_equal(dv_path_format(path, NULL, "%s/out/dataset.json", place->root), DV_OK);
    assert_int_equal(dv_json_read_file(path, 1 << 20, &json, NULL), DV_OK);
    assert_int_equal(dv_dataset_summary_parse(json, place->arena, &read, NULL), DV_OK);
    assert_string_equal(read.content_hash, place->summary.content_hash);
    assert_int_equal(read.classes[1].counts[DV_SPLIT_TRAIN], 8);
    const struct dv_json *counts = dv_json_get(json, "finding_counts");
    assert_int_equal(dv_json_get_integer(counts, "empty_file", 0), 1);
    assert_int_equal(dv_json_count(dv_json_get(json, "findings")), 1);
}

static void original_bytes_come_back(void **state)
{
    struct place *place = *state;
    DV_CLEANUP(dv_freep) char *file = NULL;
    struct dv_pack_sample sample;
    unsigned char data[246];
    char path[DV_PATH_SIZE];
    size_t size;

    put_class(place, "cat", 3);
    put_class(place, "dog", 3);
    ingest_ok(place, NULL);
    for (uint64_t i = 0; i < 6; i++) {
        dv_pack_sample(place->pack, i, &sample);
        assert_int_equal(dv_path_format(path, NULL, "%s/in/%s", place->root, sample.name), DV_OK);
        assert_int_equal(dv_file_read(path, 1000, &file, &size, NULL), DV_OK);
        assert_int_equal(sample.size, size);
        assert_int_equal(dv_pack_read(place->pack, i, data, NULL), DV_OK);
        assert_memory_equal(data, file, size);
        file = dv_free(file);
    }
}

static void copies_are_refused_by_their_kind(void **state)
{
    struct place *place = *state;

    put_class(place, "train/cat", 10);
    put_class(place, "train/dog", 10);
    put_class(place, "test/cat", 5);
    put_class(place, "test/dog", 5);
    put_picture(place, "train/cat/same-1.bmp", 1);
    put_picture(place, "train/cat/same-2.bmp", 1);
    put_picture(place, "train/cat/leak.bmp", 2);
    put_picture(place, "test/cat/leak.bmp", 2);
    put_picture(place, "train/cat/which.bmp", 3);
    put_picture(place, "train/dog/which.bmp", 3);
    ingest_ok(place, NULL);
    assert_int_equal(finding_of(place, "train/cat/same-1.bmp"), DV_FINDING_CODE_COUNT);
    assert_int_equal(finding_of(place, "train/cat/same-2.bmp"), DV_FINDING_DUPLICATE);
    assert_int_equal(finding_of(place, "train/cat/leak.bmp"), DV_FINDING_LEAK_ACROSS_SPLITS);
    assert_int_equal(finding_of(place, "test/cat/leak.bmp"), DV_FINDING_CODE_COUNT);
    assert_int_equal(finding_of(place, "train/cat/which.bmp"), DV_FINDING_CONFLICTING_LABELS);
    assert_int_equal(finding_of(place, "train/dog/which.bmp"), DV_FINDING_CONFLICTING_LABELS);
    assert_int_equal(place->summary.classes[0].counts[DV_SPLIT_TEST], 6);
    assert_int_equal(place->summary.classes[0].counts[DV_SPLIT_TRAIN], 10);
    assert_int_equal(place->summary.classes[0].counts[DV_SPLIT_VAL], 1);
}

static void thread_count_and_order_change_nothing(void **state)
{
    struct place *place = *state;
    char hash[DV_SHA256_TEXT_SIZE];

    put_class(place, "cat", 300);
    put_class(place, "dog", 300);
    assert_int_equal(ingest(place, NULL, 1), DV_OK);
    memcpy(hash, place->summary.content_hash, sizeof(hash));
    assert_int_equal(ingest(place, NULL, 7), DV_OK);
    assert_string_equal(hash, place->summary.content_hash);
}

/* There is no pack to ask: the one corrupt picture is in a file of its own. */
static void check_findings_of_refused(struct place *place)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *json = NULL;
    char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/out/findings.json", place->root), DV_OK);
    assert_int_equal(dv_json_read_file(path, 1 << 20, &json, NULL), DV_OK);
    const struct dv_json *counts = dv_json_get(json, "finding_counts");
    assert_int_equal(dv_json_get_integer(counts, "corrupt_image", 0), 1);
    const struct dv_json *finding = dv_json_at(dv_json_get(json, "findings"), 0);
    assert_string_equal(dv_json_get_string(finding, "path", ""), "dog/2.png");
    assert_string_equal(dv_json_get_string(finding, "code", ""), "corrupt_image");
}

static void an_unusable_set_is_refused_with_a_reason(void **state)
{
    struct place *place = *state;

    put_class(place, "cat", 3);
    assert_int_equal(ingest(place, NULL, 2), DV_INVALID);
    assert_non_null(strstr(place->error.text, "at least 2 classes"));
    put_class(place, "dog", 1);
    assert_int_equal(ingest(place, NULL, 2), DV_INVALID);
    assert_non_null(strstr(place->error.text, "'dog'"));
    put_file(place, "dog/2.png", "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    assert_int_equal(ingest(place, NULL, 2), DV_INVALID);
    assert_non_null(strstr(place->error.text, "corrupt_image"));
    check_findings_of_refused(place);
    put_class(place, "dog", 2);
    assert_int_equal(ingest(place, NULL, 2), DV_OK);
}

static void a_class_without_train_is_refused(void **state)
{
    struct place *place = *state;

    put_class(place, "train/cat", 3);
    put_class(place, "train/dog", 3);
    put_class(place, "test/cow", 3);
    assert_int_equal(ingest(place, NULL, 2), DV_INVALID);
    assert_non_null(strstr(place->error.text, "'cow'"));
}

static void whatever_write_fails_no_summary_is_left(void **state)
{
    struct place *place = *state;
    char path[DV_PATH_SIZE];
    bool was_hit = true;

    put_class(place, "cat", 3);
    put_class(place, "dog", 3);
    assert_int_equal(dv_path_format(path, NULL, "%s/out/dataset.json", place->root), DV_OK);
    for (unsigned nth = 1; was_hit; nth++) {
        dv_fault_arm("write", nth);
        enum dv_status status = ingest(place, NULL, 2);
        was_hit = dv_fault_disarm();
        assert_true(nth < 100);
        assert_int_equal(status == DV_OK, !was_hit);
        assert_int_equal(dv_path_exists(path), !was_hit);
    }
}

/* The first progress report stops the run. */
static void cancel(void *data, const char *stage, uint64_t done, uint64_t total)
{
    (void)stage;
    (void)done;
    (void)total;
    atomic_store((atomic_bool *)data, true);
}

static void it_stops_when_it_is_told_to(void **state)
{
    struct place *place = *state;
    char in[DV_PATH_SIZE];
    char out[DV_PATH_SIZE];
    atomic_bool is_cancelled = false;

    put_class(place, "cat", 3);
    put_class(place, "dog", 3);
    assert_int_equal(dv_path_format(in, NULL, "%s/in", place->root), DV_OK);
    assert_int_equal(dv_path_format(out, NULL, "%s/out", place->root), DV_OK);
    assert_int_equal(dv_folder_make(out, NULL), DV_OK);
    struct dv_ingest_options options = {
        .source_path = in,
        .folder = out,
        .id = "1",
        .name = "a set",
        .progress = cancel,
        .data = &is_cancelled,
        .is_cancelled = &is_cancelled,
    };
    assert_int_equal(dv_ingest_run(&options, place->arena, &place->summary, NULL), DV_CANCELLED);
}

static void shared_path(char ret_path[static DV_PATH_SIZE], const char *name)
{
    if (!has_shared_data()) {
        skip();
    }
    assert_int_equal(
        dv_path_format(ret_path, NULL, "%s/data/%s", getenv("DV_SHARED"), name), DV_OK);
}

static void real_small_pictures_go_in_whole(void **state)
{
    struct place *place = *state;
    char path[DV_PATH_SIZE];

    shared_path(path, "images/tiny-sign-digits.zip");
    ingest_ok(place, path);
    assert_int_equal(place->summary.total_samples, 192);
    assert_int_equal(place->summary.class_count, 4);
    assert_int_equal(dv_pack_finding_count(place->pack), 0);
    assert_int_equal(place->summary.side_max, 100);
    /* From the SHA256SUMS beside the archive. */
    assert_true(dv_text_has_prefix(place->summary.source_hash, "0a7f1c8d"));
}

static void photographs_have_previews(void **state)
{
    struct place *place = *state;
    char path[DV_PATH_SIZE];

    shared_path(path, "images/flowers.zip");
    ingest_ok(place, path);
    assert_int_equal(place->summary.total_samples, 750);
    assert_false(place->summary.has_one_size);
    for (uint64_t i = 0; i < 750; i += 150) {
        DV_CLEANUP(dv_freep) unsigned char *data = NULL;
        struct dv_image image;
        enum dv_finding_code finding;
        size_t size;
        assert_int_equal(
            dv_pack_read_preview(place->pack, i, 96, &data, &size, &place->error), DV_OK);
        assert_int_equal(dv_image_decode(data, size, &image, &finding, NULL), DV_OK);
        assert_int_equal(image.rows > image.columns ? image.rows : image.columns, 96);
        dv_image_finish(&image);
    }
}

static void small_pictures_have_one_preview_for_every_side(void **state)
{
    struct place *place = *state;
    char path[DV_PATH_SIZE];

    shared_path(path, "images/tiny-sign-digits.zip");
    ingest_ok(place, path);
    for (size_t i = 0; i < DV_PACK_PREVIEW_COUNT; i++) {
        DV_CLEANUP(dv_freep) unsigned char *data = NULL;
        struct dv_pack_sample sample;
        struct dv_image image;
        enum dv_finding_code finding;
        size_t size;
        dv_pack_sample(place->pack, 7, &sample);
        assert_int_equal(dv_pack_read_preview(place->pack, 7, dv_pack_preview_sides[i], &data,
                             &size, &place->error),
            DV_OK);
        assert_int_equal(dv_image_decode(data, size, &image, &finding, NULL), DV_OK);
        assert_memory_equal(data, "\xff\xd8\xff", 3); /* a JPEG */
        assert_true(image.rows <= sample.rows);
        assert_true(image.columns <= sample.columns);
        dv_image_finish(&image);
    }
}

/* Each line of the manifest of a folder of odd pictures begins with a file name. */
static uint32_t put_listed(struct place *place, const char *folder)
{
    DV_CLEANUP(dv_freep) char *list = NULL;
    char name[256];
    size_t size;
    uint32_t count = 0;

    (void)snprintf(name, sizeof(name), "%s/manifest.csv", folder);
    read_picture_file(name, &list, &size);
    for (char *line = strchr(list, '\n'); line && line[1] != '\0'; line = strchr(line + 1, '\n')) {
        DV_CLEANUP(dv_freep) char *data = NULL;
        int length = (int)strcspn(line + 1, ",");
        (void)snprintf(name, sizeof(name), "%s/%.*s", folder, length, line + 1);
        read_picture_file(name, &data, &size);
        (void)snprintf(name, sizeof(name), "odd/%.*s", length, line + 1);
        put_file(place, name, data, size);
        count++;
    }
    return count;
}

static void hostile_pictures_never_cost_the_good_ones(void **state)
{
    struct place *place = *state;
    char path[DV_PATH_SIZE];
    uint64_t refused = 0;

    shared_path(path, "malformed-images");
    put_class(place, "cat", 10);
    put_class(place, "odd", 10);
    uint32_t count = put_listed(place, "malformed-images");
    assert_true(count > 100);
    ingest_ok(place, NULL);
    for (int i = 0; i < DV_FINDING_CODE_COUNT; i++) {
        enum dv_finding_code code = (enum dv_finding_code)i;
        refused += dv_finding_code_refuses(code) ? dv_pack_finding_total(place->pack, code) : 0;
    }
    assert_true(refused > count / 2);
    assert_int_equal(place->summary.total_samples + refused, 20 + count);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(refused_files_are_findings_and_the_good_ones_stay),
        TEST(the_summary_says_what_is_in_it),
        TEST(dataset_json_holds_the_summary),
        TEST(original_bytes_come_back),
        TEST(copies_are_refused_by_their_kind),
        TEST(thread_count_and_order_change_nothing),
        TEST(an_unusable_set_is_refused_with_a_reason),
        TEST(a_class_without_train_is_refused),
        TEST(whatever_write_fails_no_summary_is_left),
        TEST(it_stops_when_it_is_told_to),
        TEST(real_small_pictures_go_in_whole),
        TEST(photographs_have_previews),
        TEST(small_pictures_have_one_preview_for_every_side),
        TEST(hostile_pictures_never_cost_the_good_ones),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
