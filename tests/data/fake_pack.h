/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_DATA_FAKE_PACK_H
#define DV_TESTS_DATA_FAKE_PACK_H

/*
 * A pack in memory: BMP pictures of different sizes, made from their number. Included by one
 * source file a program, where it takes the place of the real pack.
 */

#include "base/hash.h"
#include "pack/pack.h"

#include <stdio.h>
#include <string.h>

#define FAKE_SIDE_MAX 20u
#define FAKE_SIZE_MAX (54u + FAKE_SIDE_MAX * 64u)

struct dv_pack {
    uint64_t counts[DV_SPLIT_COUNT];
    uint64_t damaged; /* this sample is cut short; none when past the end */
    uint32_t variant; /* another value: other pictures */
    unsigned *reads;  /* counts dv_pack_read(), atomically */
};

static inline void fake_put_u32(unsigned char *to, uint32_t value)
{
    memcpy(to, &value, sizeof(value));
}

/* The original bytes of sample `index`; returns how many. */
static inline size_t fake_picture(
    const struct dv_pack *pack, uint64_t index, unsigned char ret_data[static FAKE_SIZE_MAX])
{
    uint32_t rows = 8 + (uint32_t)(index % 7);
    uint32_t columns = 8 + (uint32_t)(index % 11);
    uint32_t stride = (columns * 3 + 3) / 4 * 4;

    memset(ret_data, 0, FAKE_SIZE_MAX);
    memcpy(ret_data, "BM", 2);
    fake_put_u32(ret_data + 10, 54);
    fake_put_u32(ret_data + 14, 40);
    fake_put_u32(ret_data + 18, columns);
    fake_put_u32(ret_data + 22, rows);
    fake_put_u32(ret_data + 26, 1 | 24u << 16);
    for (uint32_t i = 0; i < rows * stride; i++) {
        ret_data[54 + i] = (unsigned char)(index * 37 + i * 11 + i * i + pack->variant);
    }
    return 54 + (index == pack->damaged ? 3 : (size_t)rows * stride);
}

uint64_t dv_pack_sample_count(const struct dv_pack *pack)
{
    return pack->counts[0] + pack->counts[1] + pack->counts[2];
}

void dv_pack_split_range(
    const struct dv_pack *pack, enum dv_split split, uint64_t *ret_first, uint64_t *ret_count)
{
    *ret_first = 0;
    for (int i = 0; i < (int)split; i++) {
        *ret_first += pack->counts[i];
    }
    *ret_count = pack->counts[split];
}

void dv_pack_sample(const struct dv_pack *pack, uint64_t index, struct dv_pack_sample *ret_sample)
{
    unsigned char data[FAKE_SIZE_MAX];

    *ret_sample = (struct dv_pack_sample){
        .name = "a/picture.bmp",
        .class_index = (uint32_t)(index * 5 % 9),
        .split = index < pack->counts[0]                     ? DV_SPLIT_TRAIN
                 : index < pack->counts[0] + pack->counts[1] ? DV_SPLIT_VAL
                                                             : DV_SPLIT_TEST,
        .size = fake_picture(pack, index, data),
    };
    dv_sha256(data, sizeof(data), ret_sample->hash);
}

enum dv_status dv_pack_read(
    const struct dv_pack *pack, uint64_t index, void *data, struct dv_error *reterr)
{
    unsigned char all[FAKE_SIZE_MAX];

    (void)reterr;
    memcpy(data, all, fake_picture(pack, index, all));
    if (pack->reads) {
        (void)__atomic_add_fetch(pack->reads, 1, __ATOMIC_RELAXED);
    }
    return DV_OK;
}

#endif
