/* SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint.h"
#include "train/journal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

static char folder[] = "/tmp/dv-checkpoint-XXXXXX";

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

static const float weights[] = {1.5f, -2.0f, 3.25f};
static const float average[] = {0.1f};

static void write_one(uint64_t sequence)
{
    struct dv_checkpoint checkpoint = {.counters = {.sequence = sequence,
                                           .epoch = 3,
                                           .step = 7,
                                           .loss_sum = 0.1 + 0.2,
                                           .seen = 896},
        .notes = dv_json_object(),
        .block_count = 2,
        .blocks = {weights, average},
        .block_floats = {3, 1}};

    dv_json_set_number(checkpoint.notes, "best", 1.0 / 3.0);
    assert_int_equal(dv_checkpoint_write_last(folder, &checkpoint, NULL), DV_OK);
    dv_json_unref(checkpoint.notes);
}

static void path_of(unsigned which, char path[static DV_PATH_SIZE])
{
    assert_int_equal(dv_path_format(path, NULL, "%s/last.%u", folder, which), DV_OK);
}

static void what_was_written_is_read_bit_for_bit(void **state)
{
    struct dv_checkpoint *read = NULL;
    bool has_damage = true;

    (void)state;
    write_one(1);
    assert_int_equal(dv_checkpoint_read_last(folder, &read, &has_damage, NULL), DV_OK);
    assert_false(has_damage);
    assert_int_equal(read->counters.epoch, 3);
    assert_int_equal(read->counters.step, 7);
    assert_true(read->counters.loss_sum == 0.1 + 0.2);
    assert_true(dv_json_get_number(read->notes, "best", 0) == 1.0 / 3.0);
    assert_int_equal(read->block_count, 2);
    assert_memory_equal(read->blocks[0], weights, sizeof(weights));
    assert_memory_equal(read->blocks[1], average, sizeof(average));
    dv_checkpoint_destroy(read);
}

static void a_damaged_byte_anywhere_falls_back_to_the_one_before(void **state)
{
    DV_CLEANUP(dv_freep) char *bytes = NULL;
    char path[DV_PATH_SIZE];
    size_t size;

    (void)state;
    write_one(5);
    write_one(6);
    path_of(0, path);
    assert_int_equal(dv_file_read(path, 1 << 20, &bytes, &size, NULL), DV_OK);
    for (size_t i = 0; i < size; i += 3) {
        struct dv_checkpoint *read = NULL;
        bool has_damage = false;
        bytes[i] ^= 0x20;
        FILE *file = fopen(path, "wb");
        assert_int_equal(fwrite(bytes, 1, size, file), size);
        assert_int_equal(fclose(file), 0);
        bytes[i] ^= 0x20;
        assert_int_equal(dv_checkpoint_read_last(folder, &read, &has_damage, NULL), DV_OK);
        assert_true(has_damage);
        assert_int_equal(read->counters.sequence, 5);
        dv_checkpoint_destroy(read);
    }
}

static void a_file_cut_short_is_damage_and_not_a_crash(void **state)
{
    char path[DV_PATH_SIZE];

    (void)state;
    write_one(5);
    write_one(6);
    path_of(0, path);
    for (off_t size = 200; size >= 0; size -= 25) {
        struct dv_checkpoint *read = NULL;
        bool has_damage = false;
        assert_int_equal(truncate(path, size), 0);
        assert_int_equal(dv_checkpoint_read(path, &read, NULL), DV_CORRUPT);
        assert_null(read);
        assert_int_equal(dv_checkpoint_read_last(folder, &read, &has_damage, NULL), DV_OK);
        assert_true(has_damage);
        dv_checkpoint_destroy(read);
    }
}

static void one_that_cannot_be_read_falls_back_to_the_other(void **state)
{
    struct dv_checkpoint *read = NULL;
    bool has_damage = false;
    char path[DV_PATH_SIZE];

    (void)state;
    write_one(5);
    write_one(6);
    path_of(0, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(path, path), 0); /* opening it fails, but not as what is missing */
    assert_int_equal(dv_checkpoint_read_last(folder, &read, &has_damage, NULL), DV_OK);
    assert_true(has_damage);
    assert_int_equal(read->counters.sequence, 5);
    dv_checkpoint_destroy(read);
    assert_int_equal(unlink(path), 0);
}

static void two_that_are_damaged_are_not_as_none(void **state)
{
    struct dv_checkpoint *read = NULL;
    bool has_damage = false;
    char path[DV_PATH_SIZE];

    (void)state;
    write_one(5);
    write_one(6);
    for (unsigned which = 0; which < 2; which++) {
        path_of(which, path);
        assert_int_equal(truncate(path, 100), 0);
    }
    assert_int_equal(dv_checkpoint_read_last(folder, &read, &has_damage, NULL), DV_CORRUPT);
    assert_null(read);
}

static void no_checkpoint_is_not_found(void **state)
{
    struct dv_checkpoint *read = NULL;
    bool has_damage = false;

    (void)state;
    assert_int_equal(
        dv_checkpoint_read_last("/tmp/no-such-folder", &read, &has_damage, NULL), DV_NOT_FOUND);
    assert_null(read);
}

static void journal_entries_come_back_in_order(void **state)
{
    struct dv_json *entries = NULL;

    (void)state;
    assert_int_equal(dv_journal_read(folder, &entries, NULL), DV_OK);
    assert_int_equal(dv_json_count(entries), 0);
    dv_json_unref(entries);
    for (int i = 0; i < 3; i++) {
        struct dv_json *entry = dv_json_object();
        dv_json_set_integer(entry, "attempt", i);
        assert_int_equal(dv_journal_append(folder, entry, NULL), DV_OK);
        dv_json_unref(entry);
    }
    assert_int_equal(dv_journal_read(folder, &entries, NULL), DV_OK);
    assert_int_equal(dv_json_count(entries), 3);
    assert_int_equal(dv_json_get_integer(dv_json_at(entries, 2), "attempt", -1), 2);
    dv_json_unref(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_bit_for_bit),
        cmocka_unit_test(a_damaged_byte_anywhere_falls_back_to_the_one_before),
        cmocka_unit_test(a_file_cut_short_is_damage_and_not_a_crash),
        cmocka_unit_test(one_that_cannot_be_read_falls_back_to_the_other),
        cmocka_unit_test(two_that_are_damaged_are_not_as_none),
        cmocka_unit_test(no_checkpoint_is_not_found),
        cmocka_unit_test(journal_entries_come_back_in_order),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
