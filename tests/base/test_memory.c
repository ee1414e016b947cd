/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas, buffers, hashes and random numbers: what everything else stands on. */
#include "base/arena.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/random.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void arena_memory_is_zero_also_after_a_reset(void **state)
{
    struct dv_arena *arena = dv_arena_create(0);

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t size = 1; size < 40000; size = 2 * size + 3) {
            char *memory = dv_arena_alloc(arena, size);
            assert_true((uintptr_t)memory % _Alignof(max_align_t) == 0);
            for (size_t i = 0; i < size; i++) {
                assert_int_equal(memory[i], 0);
            }
            memset(memory, 0xa5, size);
        }
        dv_arena_reset(arena);
        assert_int_equal(dv_arena_used(arena), 0);
    }
    dv_arena_destroy(arena);
}

static void a_buffer_stops_at_its_maximum_and_says_so(void **state)
{
    struct dv_buffer buffer = DV_BUFFER_INIT(10);

    (void)state;
    dv_buffer_append_text(&buffer, "0123456789");
    assert_false(buffer.is_over);
    dv_buffer_printf(&buffer, "%d", 1);
    assert_true(buffer.is_over);
    assert_string_equal(dv_buffer_text(&buffer), "0123456789");
    dv_buffer_consume(&buffer, 8);
    assert_string_equal(dv_buffer_text(&buffer), "89");
    dv_buffer_finish(&buffer);
}

static void hashes_match_their_published_vectors(void **state)
{
    unsigned char digest[DV_SHA256_SIZE];
    char text[DV_SHA256_TEXT_SIZE];

    (void)state;
    dv_sha256("abc", 3, digest);
    dv_text_hex(digest, sizeof(digest), text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(dv_crc32(0, "123456789", 9), 0xcbf43926u);
    assert_int_equal(dv_crc32(dv_crc32(0, "1234", 4), "56789", 5), 0xcbf43926u);
}

static void uuids_are_canonical_and_differ(void **state)
{
    char a[DV_UUID_TEXT_SIZE];
    char b[DV_UUID_TEXT_SIZE];

    (void)state;
    dv_uuid_make(a);
    dv_uuid_make(b);
    assert_true(dv_uuid_is_valid(a));
    assert_string_not_equal(a, b);
    assert_false(dv_uuid_is_valid("../../etc/passwd"));
    assert_false(dv_uuid_is_valid(""));
}

static void random_streams_repeat_and_differ_by_place(void **state)
{
    struct dv_random a = dv_random_make(1, DV_RANDOM_ORDER, 2, 3);
    struct dv_random b = dv_random_make(1, DV_RANDOM_ORDER, 2, 3);
    struct dv_random c = dv_random_make(1, DV_RANDOM_ORDER, 3, 2);
    uint32_t values[100];
    bool is_seen[100] = {false};
    double sum = 0;

    (void)state;
    assert_true(dv_random_u64(&a) == dv_random_u64(&b));
    assert_true(dv_random_u64(&a) != dv_random_u64(&c));
    for (uint32_t i = 0; i < 100; i++) {
        values[i] = i;
    }
    dv_random_shuffle(&a, values, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_false(is_seen[values[i]]);
        is_seen[values[i]] = true;
    }
    for (int i = 0; i < 100000; i++) {
        sum += dv_random_normal(&a);
    }
    assert_true(sum / 100000 < 0.02 && sum / 100000 > -0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zero_also_after_a_reset),
        cmocka_unit_test(a_buffer_stops_at_its_maximum_and_says_so),
        cmocka_unit_test(hashes_match_their_published_vectors),
        cmocka_unit_test(uuids_are_canonical_and_differ),
        cmocka_unit_test(random_streams_repeat_and_differ_by_place),
    };

    return cmocka_run_group_tests_name("memory, hashes, numbers", tests, NULL, NULL);
}
