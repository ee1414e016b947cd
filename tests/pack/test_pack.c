/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "pack/pack.h"
#include "pack/pack_format.h"
#include "pack/pack_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLES 6u

static char folder[] = "/tmp/dv-test-pack-XXXXXX";

static const char *path_in(const char *name)
{
    static char path[DV_PATH_SIZE];

    assert_int_equal(dv_path_format(path, NULL, "%s/%s", folder, name), DV_OK);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/dv-test-pack-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

/* Picture i: `i * 100 + 50` bytes of value i; the odd ones have previews of 7 and 9 bytes. */
static void write_samples(struct dv_pack_writer *writer, struct dv_pack_record *records)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    unsigned char data[1000];

    for (uint32_t i = 0; i < SAMPLES; i++) {
        size_t size = i * 100 + 50;
        struct dv_pack_bytes previews[DV_PACK_PREVIEW_COUNT] = {{0}};
        memset(data, (int)i, sizeof(data));
        if (i % 2 == 1) {
            previews[0] = (struct dv_pack_bytes){"preview", 7};
            previews[1] = (struct dv_pack_bytes){"preview 2", 9};
        }
        records[i] = (struct dv_pack_record){
            .sample =
                {
                    .name = names[i],
                    .class_index = i % 3 / 2,
                    .split = i < 3 ? DV_SPLIT_TRAIN : DV_SPLIT_TEST,
                    .rows = 10 + i,
                    .columns = 20,
                    .channels = i == 0 ? 1 : 3,
                    .size = size,
                    .group = i,
                },
        };
        dv_sha256(data, size, records[i].sample.hash);
        assert_int_equal(
            dv_pack_writer_append(writer, data, size, previews, &records[i].place, NULL), DV_OK);
    }
}

/* Pack files of 400 bytes at most, so that there are several. */
static void write_pack(void)
{
    DV_CLEANUP(dv_pack_writer_destroyp) struct dv_pack_writer *writer = NULL;
    struct dv_pack_record records[SAMPLES];
    const struct dv_pack_record *order[SAMPLES];
    const char *classes[] = {"cat", "dog"};
    struct dv_pack_finding findings[] = {{"x/y.jpg", DV_FINDING_CORRUPT_IMAGE, "it is cut"}};
    struct dv_pack_manifest manifest = {
        .classes = classes,
        .class_count = 2,
        .samples = order,
        .sample_count = SAMPLES,
        .findings = findings,
        .finding_count = 1,
        .finding_totals = {[DV_FINDING_CORRUPT_IMAGE] = 12345},
    };

    assert_int_equal(dv_pack_writer_create(folder, 400, &writer, NULL), DV_OK);
    write_samples(writer, records);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        order[i] = &records[i];
    }
    assert_int_equal(dv_pack_writer_finish(writer, &manifest, NULL), DV_OK);
}

static void what_is_written_is_read_again(void **state)
{
    DV_CLEANUP(dv_pack_closep) struct dv_pack *pack = NULL;
    struct dv_pack_sample sample;
    struct dv_pack_finding finding;
    unsigned char data[1000];
    uint64_t first;
    uint64_t count;

    (void)state;
    write_pack();
    assert_int_equal(dv_pack_open(folder, &pack, NULL), DV_OK);
    assert_int_equal(dv_pack_sample_count(pack), SAMPLES);
    assert_string_equal(dv_pack_class_name(pack, 1), "dog");
    for (uint32_t i = 0; i < SAMPLES; i++) {
        dv_pack_sample(pack, i, &sample);
        assert_int_equal(sample.size, i * 100 + 50);
        assert_int_equal(sample.rows, 10 + i);
        assert_int_equal(sample.name[0], 'a' + i);
        assert_int_equal(dv_pack_read(pack, i, data, NULL), DV_OK);
        assert_int_equal(data[0], i);
        assert_int_equal(data[sample.size - 1], i);
    }
    dv_pack_split_range(pack, DV_SPLIT_TEST, &first, &count);
    assert_int_equal(first, 3);
    assert_int_equal(count, 3);
    dv_pack_split_range(pack, DV_SPLIT_VAL, &first, &count);
    assert_int_equal(count, 0);
    dv_pack_class_range(pack, DV_SPLIT_TEST, 1, &first, &count);
    assert_int_equal(first, 5);
    assert_int_equal(count, 1);
    assert_int_equal(dv_pack_finding_count(pack), 1);
    dv_pack_finding(pack, 0, &finding);
    assert_string_equal(finding.path, "x/y.jpg");
    assert_string_equal(finding.message, "it is cut");
    assert_int_equal(dv_pack_finding_total(pack, DV_FINDING_CORRUPT_IMAGE), 12345);
    assert_true(dv_path_exists(path_in("packs/002.pack")));
}

static void previews_are_read_where_there_are_any(void **state)
{
    DV_CLEANUP(dv_pack_closep) struct dv_pack *pack = NULL;
    unsigned char *data;
    size_t size;

    (void)state;
    write_pack();
    assert_int_equal(dv_pack_open(folder, &pack, NULL), DV_OK);
    assert_int_equal(dv_pack_read_preview(pack, 3, 256, &data, &size, NULL), DV_OK);
    assert_int_equal(size, 9);
    assert_memory_equal(data, "preview 2", 9);
    dv_free(data);
    assert_int_equal(dv_pack_read_preview(pack, 2, 96, &data, &size, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_pack_read_preview(pack, 2, 256, &data, &size, NULL), DV_NOT_FOUND);
    assert_int_equal(dv_pack_read_preview(pack, 3, 97, &data, &size, NULL), DV_INVALID);
}

/* Without the care of dv_file_write(), whose fsync would make hundreds of these slow. */
static void replace_file(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(path_in(name), "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void flip_byte(const char *name, uint64_t at)
{
    unsigned char byte;

    FILE *file = fopen(path_in(name), "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fread(&byte, 1, 1, file), 1);
    byte ^= 0x10;
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fwrite(&byte, 1, 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

static void any_changed_byte_of_the_manifest_is_found(void **state)
{
    DV_CLEANUP(dv_freep) char *data = NULL;
    struct dv_pack *pack = NULL;
    size_t size;

    (void)state;
    write_pack();
    assert_int_equal(dv_file_read(path_in("manifest.bin"), 1 << 20, &data, &size, NULL), DV_OK);
    for (size_t at = 0; at < size; at++) {
        flip_byte("manifest.bin", at);
        assert_int_equal(dv_pack_open(folder, &pack, NULL), DV_CORRUPT);
        flip_byte("manifest.bin", at);
    }
    assert_int_equal(dv_pack_open(folder, &pack, NULL), DV_OK);
    dv_pack_close(pack);
}

/* Damage that has been sealed again: only the checks of the single fields can find it. */
static void no_sealed_manifest_leads_out_of_its_files(void **state)
{
    DV_CLEANUP(dv_freep) char *data = NULL;
    struct dv_pack *pack = NULL;
    unsigned char buffer[1000];
    size_t size;

    (void)state;
    write_pack();
    assert_int_equal(dv_file_read(path_in("manifest.bin"), 1 << 20, &data, &size, NULL), DV_OK);
    for (size_t at = 8; at < size - DV_SHA256_SIZE; at++) {
        char kept = data[at];
        data[at] = (char)(kept ^ 0x81);
        dv_sha256(data, size - DV_SHA256_SIZE, (unsigned char *)data + size - DV_SHA256_SIZE);
        replace_file("manifest.bin", data, size);
        if (dv_pack_open(folder, &pack, NULL) == DV_OK) {
            for (uint64_t i = 0; i < dv_pack_sample_count(pack); i++) {
                struct dv_pack_sample sample;
                dv_pack_sample(pack, i, &sample);
                assert_true(sample.size <= 1000);
                enum dv_status status = dv_pack_read(pack, i, buffer, NULL);
                assert_true(status == DV_OK || status == DV_CORRUPT);
            }
            pack = dv_pack_close(pack);
        }
        data[at] = kept;
    }
}

static void a_damaged_or_short_pack_file_is_found(void **state)
{
    DV_CLEANUP(dv_pack_closep) struct dv_pack *pack = NULL;
    unsigned char data[1000];
    unsigned char *preview;
    size_t size;

    (void)state;
    write_pack();
    flip_byte("packs/000.pack", 10);  /* in the first picture */
    flip_byte("packs/000.pack", 202); /* in the first preview of the second */
    assert_int_equal(dv_pack_open(folder, &pack, NULL), DV_OK);
    assert_int_equal(dv_pack_read(pack, 0, data, NULL), DV_CORRUPT);
    assert_int_equal(dv_pack_read(pack, 1, data, NULL), DV_OK);
    assert_int_equal(dv_pack_read_preview(pack, 1, 96, &preview, &size, NULL), DV_CORRUPT);
    pack = dv_pack_close(pack);
    assert_int_equal(truncate(path_in("packs/001.pack"), 100), 0);
    assert_int_equal(dv_pack_open(folder, &pack, NULL), DV_CORRUPT);
}

/* Three pictures in three pack files; the statuses pass through. */
static enum dv_status write_small_pack(struct dv_error *error)
{
    DV_CLEANUP(dv_pack_writer_destroyp) struct dv_pack_writer *writer = NULL;
    const struct dv_pack_bytes previews[DV_PACK_PREVIEW_COUNT] = {{0}};
    struct dv_pack_record records[3] = {0};
    const struct dv_pack_record *order[3];
    const char *classes[] = {"only"};
    const struct dv_pack_manifest manifest = {
        .classes = classes, .class_count = 1, .samples = order, .sample_count = 3};

    enum dv_status status = dv_pack_writer_create(folder, 10, &writer, error);
    for (uint32_t i = 0; i < 3 && status == DV_OK; i++) {
        records[i].sample = (struct dv_pack_sample){
            .name = "picture", .rows = 1, .columns = 1, .channels = 1, .size = 10};
        dv_sha256("0123456789", 10, records[i].sample.hash);
        order[i] = &records[i];
        status =
            dv_pack_writer_append(writer, "0123456789", 10, previews, &records[i].place, error);
    }
    return status == DV_OK ? dv_pack_writer_finish(writer, &manifest, error) : status;
}

static void a_write_that_fails_anywhere_is_told_and_makes_no_pack(void **state)
{
    static const char *const points[] = {"open", "write", "sync", "rename"};
    struct dv_error error;

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(points); i++) {
        unsigned nth = 0;
        bool was_hit;
        do {
            struct dv_pack *pack = NULL;
            assert_int_equal(dv_folder_remove(path_in("packs"), NULL), DV_OK);
            (void)unlink(path_in("manifest.bin"));
            dv_fault_arm(points[i], ++nth);
            enum dv_status status = write_small_pack(&error);
            was_hit = dv_fault_disarm();
            assert_int_equal(status == DV_OK, !was_hit);
            if (status == DV_OK) {
                assert_int_equal(dv_pack_open(folder, &pack, NULL), DV_OK);
            } else {
                assert_true(strlen(error.text) > 0);
                assert_true(i != 1 || status == DV_NO_SPACE);
            }
            pack = dv_pack_close(pack);
        } while (was_hit);
        assert_true(nth > 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(previews_are_read_where_there_are_any, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            any_changed_byte_of_the_manifest_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            no_sealed_manifest_leads_out_of_its_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_write_that_fails_anywhere_is_told_and_makes_no_pack, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_or_short_pack_file_is_found, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
