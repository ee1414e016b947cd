/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct dv_sha256), "state fits");

/* crc_tables[k][b]: the CRC of byte b followed by k zero bytes (slicing by eight). */
static uint32_t crc_tables[8][256];
static pthread_once_t crc_tables_once = PTHREAD_ONCE_INIT;

void dv_sha256_init(struct dv_sha256 *hash)
{
    (void)crypto_hash_sha256_init((crypto_hash_sha256_state *)hash);
}

void dv_sha256_update(struct dv_sha256 *hash, const void *data, size_t size)
{
    (void)crypto_hash_sha256_update((crypto_hash_sha256_state *)hash, data, size);
}

void dv_sha256_finish(struct dv_sha256 *hash, unsigned char ret_digest[static DV_SHA256_SIZE])
{
    (void)crypto_hash_sha256_final((crypto_hash_sha256_state *)hash, ret_digest);
}

void dv_sha256(const void *data, size_t size, unsigned char ret_digest[static DV_SHA256_SIZE])
{
    (void)crypto_hash_sha256(ret_digest, data, size);
}

static void make_crc_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
        }
        crc_tables[0][byte] = crc;
    }
    for (size_t k = 1; k < 8; k++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = crc_tables[k - 1][byte];
            crc_tables[k][byte] = (crc >> 8) ^ crc_tables[0][crc & 255];
        }
    }
}

uint32_t dv_crc32(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *at = data;

    (void)pthread_once(&crc_tables_once, make_crc_tables);
    crc = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint32_t low;
        uint32_t high;
        memcpy(&low, at, 4);
        memcpy(&high, at + 4, 4);
        low ^= crc;
        crc = crc_tables[7][low & 255] ^ crc_tables[6][(low >> 8) & 255] ^
            crc_tables[5][(low >> 16) & 255] ^ crc_tables[4][low >> 24] ^
            crc_tables[3][high & 255] ^ crc_tables[2][(high >> 8) & 255] ^
            crc_tables[1][(high >> 16) & 255] ^ crc_tables[0][high >> 24];
    }
    for (; size > 0; size--, at++) {
        crc = (crc >> 8) ^ crc_tables[0][(crc ^ *at) & 255];
    }
    return ~crc;
}

void dv_secret_bytes(void *ret_bytes, size_t size)
{
    randombytes_buf(ret_bytes, size);
}

void dv_uuid_make(char ret_text[static DV_UUID_TEXT_SIZE])
{
    unsigned char b[16];

    randombytes_buf(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    (void)snprintf(ret_text, DV_UUID_TEXT_SIZE,
        "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
        b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

bool dv_uuid_is_valid(const char *text)
{
    static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    assert(text);
    if (strlen(text) != sizeof(pattern) - 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof(pattern) - 1; i++) {
        bool fits = pattern[i] == '-' ? text[i] == '-' : strchr("0123456789abcdef", text[i]) != NULL;
        if (!fits) {
            return false;
        }
    }
    return true;
}
