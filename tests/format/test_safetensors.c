/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "format/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static const float numbers[] = {1.5f, -2.0f, 3.25f, 0.0f, 5.0f, 6.0f, 7.0f};
static const struct dv_safetensor two_tensors[] = {
    {.name = "stem.weight", .rank = 2, .shape = {2, 3}, .values = numbers},
    {.name = "stem.bias", .rank = 0, .values = numbers + 6},
};

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/dv-test-safetensors-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

static const char *in_folder(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* Open a file of these bytes; what the reader says of it. */
static enum dv_status open_bytes(const void *data, size_t size, struct dv_error *error)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    DV_CLEANUP(dv_safetensors_closep) struct dv_safetensors *file = NULL;
    const char *path = in_folder("bytes");

    assert_int_equal(dv_file_write(path, data, size, NULL), DV_OK);
    assert_int_equal(dv_file_open_read(path, &fd, NULL), DV_OK);
    return dv_safetensors_open(fd, 0, size, &file, error);
}

/* The same for a header text and a number of bytes of values. */
static enum dv_status open_header(const char *header, size_t values_size)
{
    size_t length = strlen(header);
    uint64_t length_field = length;
    DV_CLEANUP(dv_freep) char *data = dv_alloc(sizeof(length_field) + length + values_size);
    struct dv_error error = {.status = DV_OK};

    memcpy(data, &length_field, sizeof(length_field));
    memcpy(data + sizeof(length_field), header, length);
    return open_bytes(data, sizeof(length_field) + length + values_size, &error);
}

static void reads_back_what_it_wrote(void **state)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *metadata = dv_json_object();
    DV_CLEANUP(dv_file_closep) int fd = -1;
    DV_CLEANUP(dv_safetensors_closep) struct dv_safetensors *file = NULL;
    uint64_t size;
    float values[6];

    (void)state;
    dv_json_set_string(metadata, "format", "pt");
    assert_int_equal(
        dv_safetensors_write(in_folder("a"), two_tensors, 2, metadata, NULL, NULL), DV_OK);
    assert_int_equal(dv_file_open_read(in_folder("a"), &fd, NULL), DV_OK);
    assert_int_equal(dv_file_size(fd, &size, NULL), DV_OK);
    assert_int_equal((size - sizeof(numbers)) % 64, 0);
    assert_int_equal(dv_safetensors_open(fd, 0, size, &file, NULL), DV_OK);
    assert_int_equal(dv_safetensors_count(file), 2);
    assert_string_equal(dv_json_get_string(dv_safetensors_metadata(file), "format", ""), "pt");
    const struct dv_safetensor *weight = dv_safetensors_find(file, "stem.weight");
    assert_non_null(weight);
    assert_int_equal(weight->rank, 2);
    assert_int_equal(weight->shape[1], 3);
    assert_int_equal(dv_safetensors_read(file, weight, values, NULL), DV_OK);
    assert_memory_equal(values, numbers, sizeof(values));
    const struct dv_safetensor *bias = dv_safetensors_find(file, "stem.bias");
    assert_int_equal(dv_safetensor_value_count(bias), 1);
    assert_null(dv_safetensors_find(file, "stem"));
}

static void the_hash_is_that_of_the_file(void **state)
{
    DV_CLEANUP(dv_freep) char *data = NULL;
    char hash[DV_SHA256_TEXT_SIZE];
    char expected[DV_SHA256_TEXT_SIZE];
    unsigned char digest[DV_SHA256_SIZE];
    size_t size;

    (void)state;
    assert_int_equal(dv_safetensors_write(in_folder("b"), two_tensors, 2, NULL, hash, NULL), DV_OK);
    assert_int_equal(dv_file_read(in_folder("b"), 1 << 20, &data, &size, NULL), DV_OK);
    dv_sha256(data, size, digest);
    dv_text_hex(digest, sizeof(digest), expected);
    assert_string_equal(hash, expected);
}

static void refuses_a_name_that_occurs_twice(void **state)
{
    struct dv_safetensor same[] = {two_tensors[0], two_tensors[0]};

    (void)state;
    assert_int_equal(dv_safetensors_write(in_folder("c"), same, 2, NULL, NULL, NULL), DV_INVALID);
    assert_false(dv_path_exists(in_folder("c")));
}

static void refuses_headers_that_break_a_rule(void **state)
{
    static const struct {
        const char *header;
        size_t values_size;
        enum dv_status status;
    } cases[] = {
        {"{}", 0, DV_OK},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ", 8, DV_OK},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, DV_OK},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[2,0],\"data_offsets\":[0,0]}}", 0, DV_OK},
        {"{}", 1, DV_CORRUPT},
        {" {}", 0, DV_CORRUPT},
        {"[]", 0, DV_CORRUPT},
        {"{\"a\":", 0, DV_CORRUPT},
        {"{\"a\":1}", 0, DV_CORRUPT},
        {"{\"__metadata__\":[]}", 0, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
            DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, DV_OK},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
            DV_TOO_LARGE},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
            3, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
            5, DV_CORRUPT},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
            4, DV_OK},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
            2, DV_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(cases); i++) {
        enum dv_status status = open_header(cases[i].header, cases[i].values_size);
        if (status != cases[i].status) {
            fail_msg("%s: %s, not %s", cases[i].header, dv_status_name(status),
                dv_status_name(cases[i].status));
        }
    }
}

static void refuses_lengths_before_it_allocates(void **state)
{
    static const uint64_t lengths[] = {0, 1, 9, 1ull << 31, 1ull << 63, UINT64_MAX};
    struct dv_error error = {.status = DV_OK};

    (void)state;
    for (size_t i = 0; i < DV_ARRAY_SIZE(lengths); i++) {
        char data[16] = {0};
        memcpy(data, &lengths[i], sizeof(lengths[i]));
        assert_int_equal(open_bytes(data, sizeof(data), &error), DV_CORRUPT);
    }
    assert_int_equal(open_bytes("", 0, &error), DV_CORRUPT);
    assert_int_equal(open_bytes("1234567", 7, &error), DV_CORRUPT);
}

/* A header of `length` bytes, all blanks but "{}". */
static enum dv_status open_padded(size_t length)
{
    DV_CLEANUP(dv_freep) char *header = dv_alloc(length + 1);

    memset(header, ' ', length);
    header[0] = '{';
    header[1] = '}';
    return open_header(header, 0);
}

static void keeps_the_limit_of_the_header(void **state)
{
    (void)state;
    assert_int_equal(open_padded(DV_SAFETENSORS_HEADER_SIZE_MAX), DV_OK);
    assert_int_equal(open_padded(DV_SAFETENSORS_HEADER_SIZE_MAX + 1), DV_TOO_LARGE);
}

static void every_truncation_is_refused(void **state)
{
    DV_CLEANUP(dv_freep) char *data = NULL;
    size_t size;

    (void)state;
    assert_int_equal(dv_safetensors_write(in_folder("t"), two_tensors, 2, NULL, NULL, NULL), DV_OK);
    assert_int_equal(dv_file_read(in_folder("t"), 1 << 20, &data, &size, NULL), DV_OK);
    for (size_t cut = 0; cut < size; cut++) {
        struct dv_error error;
        assert_int_equal(open_bytes(data, cut, &error), DV_CORRUPT);
    }
}

static void a_failing_disk_leaves_the_old_file(void **state)
{
    static const char *const points[] = {"open", "write", "sync", "rename"};

    (void)state;
    assert_int_equal(dv_safetensors_write(in_folder("d"), two_tensors, 1, NULL, NULL, NULL), DV_OK);
    for (size_t p = 0; p < DV_ARRAY_SIZE(points); p++) {
        DV_CLEANUP(dv_file_closep) int fd = -1;
        DV_CLEANUP(dv_safetensors_closep) struct dv_safetensors *file = NULL;
        uint64_t size;
        dv_fault_arm(points[p], 1);
        assert_int_not_equal(
            dv_safetensors_write(in_folder("d"), two_tensors, 2, NULL, NULL, NULL), DV_OK);
        assert_true(dv_fault_disarm());
        assert_false(dv_path_exists(in_folder("d.tmp")));
        assert_int_equal(dv_file_open_read(in_folder("d"), &fd, NULL), DV_OK);
        assert_int_equal(dv_file_size(fd, &size, NULL), DV_OK);
        assert_int_equal(dv_safetensors_open(fd, 0, size, &file, NULL), DV_OK);
        assert_int_equal(dv_safetensors_count(file), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_what_it_wrote),
        cmocka_unit_test(the_hash_is_that_of_the_file),
        cmocka_unit_test(refuses_a_name_that_occurs_twice),
        cmocka_unit_test(refuses_headers_that_break_a_rule),
        cmocka_unit_test(refuses_lengths_before_it_allocates),
        cmocka_unit_test(keeps_the_limit_of_the_header),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_failing_disk_leaves_the_old_file),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
