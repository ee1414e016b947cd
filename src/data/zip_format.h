/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_ZIP_FORMAT_H
#define DV_DATA_ZIP_FORMAT_H

/*
 * Numbers of the ZIP format (PKWARE's APPNOTE 6.3.10) that the reader needs, and little-endian
 * integers. Section numbers in the sources of data/zip_* are those of that document.
 */

#include <stdint.h>

#define DV_ZIP_LOCAL_SIGNATURE 0x04034b50u
#define DV_ZIP_CENTRAL_SIGNATURE 0x02014b50u
#define DV_ZIP_END_SIGNATURE 0x06054b50u
#define DV_ZIP_END64_SIGNATURE 0x06064b50u
#define DV_ZIP_LOCATOR_SIGNATURE 0x07064b50u
#define DV_ZIP_DESCRIPTOR_SIGNATURE 0x08074b50u

enum {
    DV_ZIP_LOCAL_SIZE = 30, /* fixed parts, signatures included */
    DV_ZIP_CENTRAL_SIZE = 46,
    DV_ZIP_END_SIZE = 22,
    DV_ZIP_END64_SIZE = 56,
    DV_ZIP_LOCATOR_SIZE = 20,
};

/* General purpose flags (4.4.4). */
enum {
    DV_ZIP_FLAG_ENCRYPTED = 1 << 0,
    DV_ZIP_FLAG_DESCRIPTOR = 1 << 3,
    DV_ZIP_FLAG_PATCH = 1 << 5,
    DV_ZIP_FLAG_STRONG = 1 << 6,
    DV_ZIP_FLAG_UTF8 = 1 << 11,
    DV_ZIP_FLAG_MASKED = 1 << 13,
};

enum { DV_ZIP_STORED = 0, DV_ZIP_DEFLATED = 8, DV_ZIP_AES = 99 };

/* Extra fields (4.5, 4.6). */
enum { DV_ZIP_EXTRA_ZIP64 = 0x0001, DV_ZIP_EXTRA_UNICODE_PATH = 0x7075 };

#define DV_ZIP_MARK_16 0xffffu /* "the value is in the ZIP64 record" */
#define DV_ZIP_MARK_32 0xffffffffu

static inline uint16_t dv_zip_u16(const unsigned char *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t dv_zip_u32(const unsigned char *at)
{
    return dv_zip_u16(at) | (uint32_t)dv_zip_u16(at + 2) << 16;
}

static inline uint64_t dv_zip_u64(const unsigned char *at)
{
    return dv_zip_u32(at) | (uint64_t)dv_zip_u32(at + 4) << 32;
}

#endif
