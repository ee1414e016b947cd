/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_PACK_PACK_FORMAT_H
#define DV_PACK_PACK_FORMAT_H

/*
 * The bytes of `manifest.bin`, for pack.c and pack_writer.c alone. All numbers are little-endian.
 *
 *     header         DV_PACK_HEADER_SIZE bytes, fields at DV_PACK_AT_...
 *     file sizes     u64 for each packs/NNN.pack
 *     classes        u64 offset of the name in the text block, for each class
 *     samples        DV_PACK_RECORD_SIZE bytes each, sorted by split, class, name
 *     findings       DV_PACK_FINDING_SIZE bytes each
 *     text           NUL-terminated strings
 *     SHA-256        of everything before
 *
 * In a pack file the previews of a picture follow its original bytes at once, smallest first, so
 * that their sizes are all there is to store of them.
 */

#include <stdint.h>

#define DV_PACK_MAGIC "DVPACK\r\n"
#define DV_PACK_VERSION 1u
#define DV_PACK_HEADER_SIZE 256u
#define DV_PACK_RECORD_SIZE 104u
#define DV_PACK_FINDING_SIZE 24u
#define DV_PACK_FILES_MAX 100000u
#define DV_PACK_SAMPLES_MAX 0xffffffffu

enum dv_pack_header_field {
    DV_PACK_AT_VERSION = 8,        /* u32 */
    DV_PACK_AT_CLASSES = 12,       /* u32 */
    DV_PACK_AT_SAMPLES = 16,       /* u64 */
    DV_PACK_AT_FINDINGS = 24,      /* u64, those kept with their text */
    DV_PACK_AT_TEXT_SIZE = 32,     /* u64 */
    DV_PACK_AT_FILES = 40,         /* u32 */
    DV_PACK_AT_CODES = 44,         /* u32, finding codes that are counted */
    DV_PACK_AT_SPLIT_COUNTS = 48,  /* u64 [3] */
    DV_PACK_AT_FINDING_TOTALS = 72 /* u64 [codes] */
};

enum dv_pack_record_field {
    DV_PACK_RECORD_NAME = 0,           /* u64, offset in the text block */
    DV_PACK_RECORD_OFFSET = 8,         /* u64, in the pack file */
    DV_PACK_RECORD_SIZE_BYTES = 16,    /* u64 */
    DV_PACK_RECORD_FILE = 24,          /* u32 */
    DV_PACK_RECORD_CLASS = 28,         /* u32 */
    DV_PACK_RECORD_SPLIT = 32,         /* u32 */
    DV_PACK_RECORD_ROWS = 36,          /* u32 */
    DV_PACK_RECORD_COLUMNS = 40,       /* u32 */
    DV_PACK_RECORD_CHANNELS = 44,      /* u32 */
    DV_PACK_RECORD_GROUP = 48,         /* u32 */
    DV_PACK_RECORD_PREVIEW_SIZES = 52, /* u32 [2], 0: none */
    DV_PACK_RECORD_PREVIEW_CRCS = 60,  /* u32 [2] */
    DV_PACK_RECORD_HASH = 68,          /* 32 bytes */
};

enum dv_pack_finding_field {
    DV_PACK_FINDING_PATH = 0,    /* u64, offset in the text block */
    DV_PACK_FINDING_MESSAGE = 8, /* u64, offset in the text block */
    DV_PACK_FINDING_CODE = 16,   /* u32 */
};

static inline void dv_pack_put32(unsigned char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
}

static inline void dv_pack_put64(unsigned char *bytes, uint64_t value)
{
    dv_pack_put32(bytes, (uint32_t)value);
    dv_pack_put32(bytes + 4, (uint32_t)(value >> 32));
}

static inline uint32_t dv_pack_get32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static inline uint64_t dv_pack_get64(const unsigned char *bytes)
{
    return dv_pack_get32(bytes) | (uint64_t)dv_pack_get32(bytes + 4) << 32;
}

#endif
