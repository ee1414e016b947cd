/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "data/cache.h"
#include "data/image.h"
#include "data/loader.h"
#include "fake_pack.h"

#include <math.h>
#include <stdlib.h>

#define ROWS 12
#define COLUMNS 10
#define VALUES (ROWS * COLUMNS * 3)

/* --- Allocations are counted: the linker sends the calls here (--wrap) ------------------- */

static unsigned long allocation_count;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **ret_memory, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **ret_memory, size_t alignment, size_t size);

static void count_allocation(void)
{
    (void)__atomic_add_fetch(&allocation_count, 1, __ATOMIC_SEQ_CST);
}

void *__wrap_malloc(size_t size)
{
    count_allocation();
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    count_allocation();
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    count_allocation();
    return __real_realloc(memory, size);
}

int __wrap_posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    count_allocation();
    return __real_posix_memalign(ret_memory, alignment, size);
}

/* ------------------------------------------------------------------------------------------ */

static const struct dv_pack pack = {.counts = {103, 20, 30}, .damaged = UINT64_MAX};

static const struct dv_preprocessing preprocessing = {.rows = ROWS,
    .columns = COLUMNS,
    .channels = 3,
    .mean = {0.4f, 0.5f, 0.45f},
    .std = {0.2f, 0.25f, 0.3f}};

static struct dv_loader_options train_options(void)
{
    return (struct dv_loader_options){.pack = &pack,
        .preprocessing = &preprocessing,
        .split = DV_SPLIT_TRAIN,
        .batch_size = 16,
        .thread_count = 2,
        .is_shuffled = true,
        .augmentation = DV_AUGMENTATION_CUTOUT,
        .seed = 7};
}

static struct dv_loader *create(const struct dv_loader_options *options)
{
    struct dv_loader *loader = NULL;
    struct dv_error error = {0};

    if (dv_loader_create(options, &loader, &error) != DV_OK) {
        fail_msg("%s", error.text);
    }
    return loader;
}

/* CRCs of all batches of an epoch from `step` on; returns how many. */
static uint64_t crcs_of_epoch(struct dv_loader *loader, const struct dv_loader_options *options,
    uint64_t epoch, uint64_t step, uint32_t *ret_crcs)
{
    struct dv_batch batch;
    bool has_batch = true;
    uint64_t count = 0;

    dv_loader_start(loader, epoch, step);
    for (;;) {
        assert_int_equal(dv_loader_next(loader, &batch, &has_batch, NULL), DV_OK);
        if (!has_batch) {
            return count;
        }
        assert_int_equal((uintptr_t)batch.pixels % 64, 0);
        uint32_t crc = dv_crc32(0, batch.pixels, options->batch_size * VALUES * sizeof(float));
        ret_crcs[count++] = dv_crc32(crc, batch.labels, options->batch_size * sizeof(uint32_t));
    }
}

static void batches_are_the_same_whatever_the_number_of_threads(void **state)
{
    static const enum dv_augmentation kinds[] = {DV_AUGMENTATION_NONE, DV_AUGMENTATION_FLIP,
        DV_AUGMENTATION_CROP, DV_AUGMENTATION_CUTOUT, DV_AUGMENTATION_STRONG};

    (void)state;
    for (size_t kind = 0; kind < DV_ARRAY_SIZE(kinds); kind++) {
        uint32_t expected[8], crcs[8];
        for (uint32_t threads = 1; threads <= 7; threads += 2) {
            struct dv_loader_options options = train_options();
            options.augmentation = kinds[kind];
            options.thread_count = threads;
            struct dv_loader *loader = create(&options);
            uint32_t *to = threads == 1 ? expected : crcs;
            assert_int_equal(dv_loader_sample_count(loader), 103);
            assert_int_equal(dv_loader_step_count(loader), 6); /* 103 / 16, the rest dropped */
            assert_int_equal(crcs_of_epoch(loader, &options, 3, 0, to), 6);
            assert_memory_equal(to, expected, 6 * sizeof(uint32_t));
            dv_loader_destroy(loader);
        }
    }
}

static void an_epoch_begun_at_a_step_goes_on_as_if_it_had_run_so_far(void **state)
{
    struct dv_loader_options options = train_options();
    struct dv_loader *loader = create(&options);
    uint32_t whole[8], rest[8], other[8];
    struct dv_batch batch;
    bool has_batch;

    (void)state;
    assert_int_equal(crcs_of_epoch(loader, &options, 1, 0, whole), 6);
    dv_loader_start(loader, 2, 0);
    assert_int_equal(dv_loader_next(loader, &batch, &has_batch, NULL), DV_OK); /* and dropped */
    assert_int_equal(crcs_of_epoch(loader, &options, 1, 4, rest), 2);
    assert_memory_equal(rest, whole + 4, 2 * sizeof(uint32_t));
    assert_int_equal(crcs_of_epoch(loader, &options, 2, 0, other), 6);
    assert_memory_not_equal(other, whole, sizeof(uint32_t));
    assert_int_equal(crcs_of_epoch(loader, &options, 1, 6, rest), 0);
    dv_loader_destroy(loader);
}

static void a_shuffled_epoch_shows_no_picture_twice(void **state)
{
    struct dv_loader_options options = train_options();
    options.batch_size = 103;
    struct dv_loader *loader = create(&options);
    uint32_t seen[9] = {0};
    struct dv_batch batch;
    bool has_batch;

    (void)state;
    dv_loader_start(loader, 0, 0);
    assert_int_equal(dv_loader_next(loader, &batch, &has_batch, NULL), DV_OK);
    assert_int_equal(batch.count, 103);
    for (uint32_t i = 0; i < batch.count; i++) {
        seen[batch.labels[i]]++;
    }
    for (uint64_t i = 0; i < 103; i++) {
        seen[i * 5 % 9]--;
    }
    for (int i = 0; i < 9; i++) {
        assert_int_equal(seen[i], 0);
    }
    dv_loader_destroy(loader);
}

/* What evaluation sees of a sample, made without loader and cache. */
static void expect_exact(uint64_t index, const float *pixels)
{
    unsigned char file[FAKE_SIZE_MAX];
    uint8_t bytes[VALUES];
    struct dv_image image;
    enum dv_finding_code finding;

    size_t size = fake_picture(&pack, index, file);
    assert_int_equal(dv_image_decode(file, size, &image, &finding, NULL), DV_OK);
    assert_int_equal(dv_image_prepare(&image, &preprocessing, bytes, NULL), DV_OK);
    dv_image_finish(&image);
    for (int i = 0; i < VALUES; i++) {
        float expected =
            ((float)bytes[i] / 255.0f - preprocessing.mean[i % 3]) / preprocessing.std[i % 3];
        assert_true(pixels[i] == expected);
    }
}

static void evaluation_sees_exact_pixels_in_order_and_a_padded_tail(void **state)
{
    struct dv_loader_options options = train_options();
    options.split = DV_SPLIT_TEST;
    options.is_shuffled = false;
    options.augmentation = DV_AUGMENTATION_NONE;
    struct dv_loader *loader = create(&options);
    struct dv_batch batch;
    bool has_batch;

    (void)state;
    assert_int_equal(dv_loader_step_count(loader), 2);
    for (int epoch = 0; epoch < 3; epoch++) {
        dv_loader_start(loader, 0, 0);
        for (uint64_t step = 0; step < 2; step++) {
            assert_int_equal(dv_loader_next(loader, &batch, &has_batch, NULL), DV_OK);
            assert_true(has_batch);
            assert_int_equal(batch.first_sample, 123 + 16 * step);
            assert_int_equal(batch.count, step == 0 ? 16 : 14);
            for (uint32_t i = 0; i < batch.count; i++) {
                expect_exact(batch.first_sample + i, batch.pixels + i * VALUES);
                assert_int_equal(batch.labels[i], (batch.first_sample + i) * 5 % 9);
            }
        }
        for (size_t i = 14 * VALUES; i < 16 * VALUES; i++) {
            assert_true(batch.pixels[i] == 0.0f);
        }
        assert_int_equal(batch.labels[15], 0);
        assert_int_equal(dv_loader_next(loader, &batch, &has_batch, NULL), DV_OK);
        assert_false(has_batch);
    }
    dv_loader_destroy(loader);
}

static void fewer_pictures_than_a_batch_make_one_short_batch(void **state)
{
    struct dv_loader_options options = train_options();
    options.batch_size = 200;
    struct dv_loader *loader = create(&options);
    struct dv_batch batch;
    bool has_batch;

    (void)state;
    assert_int_equal(dv_loader_step_count(loader), 1);
    dv_loader_start(loader, 0, 0);
    assert_int_equal(dv_loader_next(loader, &batch, &has_batch, NULL), DV_OK);
    assert_int_equal(batch.count, 103);
    dv_loader_destroy(loader);
}

static void a_step_allocates_nothing(void **state)
{
    struct dv_loader_options options = train_options();
    struct dv_loader *loader = create(&options);
    struct dv_batch batch;
    bool has_batch;

    (void)state;
    dv_loader_start(loader, 0, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dv_loader_next(loader, &batch, &has_batch, NULL), DV_OK);
    }
    unsigned long before = __atomic_load_n(&allocation_count, __ATOMIC_SEQ_CST);
    assert_true(before > 0); /* the counting works */
    for (uint64_t epoch = 1; epoch < 5; epoch++) {
        dv_loader_start(loader, epoch, 0);
        do {
            if (dv_loader_next(loader, &batch, &has_batch, NULL) != DV_OK) {
                break;
            }
        } while (has_batch);
    }
    assert_int_equal(__atomic_load_n(&allocation_count, __ATOMIC_SEQ_CST), before);
    dv_loader_destroy(loader);
}

static void statistics_are_those_of_the_training_pictures(void **state)
{
    struct dv_loader_options options = train_options();
    float mean[3], std[3];
    double sum = 0.0, squares = 0.0;
    struct dv_batch batch;
    bool has_batch;

    (void)state;
    assert_int_equal(dv_loader_statistics(&options, mean, std, NULL), DV_OK);

    options.augmentation = DV_AUGMENTATION_NONE;
    options.batch_size = 103;
    struct dv_loader *loader = create(&options);
    dv_loader_start(loader, 0, 0);
    assert_int_equal(dv_loader_next(loader, &batch, &has_batch, NULL), DV_OK);
    size_t count = (size_t)103 * ROWS * COLUMNS;
    for (size_t i = 0; i < count; i++) {
        double value = (double)batch.pixels[3 * i + 1] * (double)preprocessing.std[1] +
                       (double)preprocessing.mean[1];
        sum += value;
        squares += value * value;
    }
    double expected = sum / (double)count;
    assert_true(fabs((double)mean[1] - expected) < 1e-5);
    assert_true(fabs((double)std[1] - sqrt(squares / (double)count - expected * expected)) < 1e-5);
    dv_loader_destroy(loader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_the_same_whatever_the_number_of_threads),
        cmocka_unit_test(an_epoch_begun_at_a_step_goes_on_as_if_it_had_run_so_far),
        cmocka_unit_test(a_shuffled_epoch_shows_no_picture_twice),
        cmocka_unit_test(evaluation_sees_exact_pixels_in_order_and_a_padded_tail),
        cmocka_unit_test(fewer_pictures_than_a_batch_make_one_short_batch),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(statistics_are_those_of_the_training_pictures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
