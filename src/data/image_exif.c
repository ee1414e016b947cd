/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image_impl.h"

#include <string.h>

#define ENTRY_SIZE 12u

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4 };

struct tiff {
    const unsigned char *data;
    size_t size;
    bool is_little_endian;
};

static uint32_t read_u16(const struct tiff *tiff, size_t offset)
{
    const unsigned char *p = tiff->data + offset;
    return tiff->is_little_endian ? (uint32_t)(p[0] | p[1] << 8) : (uint32_t)(p[0] << 8 | p[1]);
}

static uint32_t read_u32(const struct tiff *tiff, size_t offset)
{
    uint32_t first = read_u16(tiff, offset);
    uint32_t second = read_u16(tiff, offset + 2);
    return tiff->is_little_endian ? first | second << 16 : first << 16 | second;
}

static unsigned orientation_of_entry(const struct tiff *tiff, size_t offset)
{
    uint32_t type = read_u16(tiff, offset + 2);
    uint32_t value = 0;

    if (type == TYPE_SHORT) {
        value = read_u16(tiff, offset + 8);
    } else if (type == TYPE_LONG) {
        value = read_u32(tiff, offset + 8);
    }
    return value >= 1 && value <= 8 ? value : 1;
}

/*
 * Only the first directory is walked, once: there is no link to follow, so nothing can loop, and
 * the work is bounded by the size of the data.
 */
unsigned dv_exif_orientation(const unsigned char *data, size_t size)
{
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        data += 6;
        size -= 6;
    }
    if (size < 8 || (memcmp(data, "II*\0", 4) != 0 && memcmp(data, "MM\0*", 4) != 0)) {
        return 1;
    }

    const struct tiff tiff = {.data = data, .size = size, .is_little_endian = data[0] == 'I'};
    size_t offset = read_u32(&tiff, 4);
    if (offset > size || size - offset < 2) {
        return 1;
    }
    size_t count = read_u16(&tiff, offset);
    offset += 2;
    for (size_t i = 0; i < count && size - offset >= ENTRY_SIZE; i++) {
        if (read_u16(&tiff, offset) == TAG_ORIENTATION) {
            return orientation_of_entry(&tiff, offset);
        }
        offset += ENTRY_SIZE;
    }
    return 1;
}
