/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_BASE_HASH_H
#define DV_BASE_HASH_H

/*
 * SHA-256 (FIPS 180-4, by libsodium), CRC-32 (the ZIP and PNG polynomial) and UUIDs.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DV_SHA256_SIZE 32
#define DV_SHA256_TEXT_SIZE 65 /* hexadecimal and a NUL */
#define DV_UUID_TEXT_SIZE 37   /* 8-4-4-4-12 and a NUL */

struct dv_sha256 {
    _Alignas(8) unsigned char state[128]; /* libsodium's, checked to fit */
};

void dv_sha256_init(struct dv_sha256 *hash);
void dv_sha256_update(struct dv_sha256 *hash, const void *data, size_t size);
void dv_sha256_finish(struct dv_sha256 *hash, unsigned char ret_digest[static DV_SHA256_SIZE]);

/* All at once. */
void dv_sha256(const void *data, size_t size, unsigned char ret_digest[static DV_SHA256_SIZE]);

/* CRC-32 of `data`, going on from `crc` (0 to begin). */
uint32_t dv_crc32(uint32_t crc, const void *data, size_t size);

/* Random bytes that nobody can guess: for tokens. */
void dv_secret_bytes(void *ret_bytes, size_t size);

/* A new random (version 4) UUID in canonical text. */
void dv_uuid_make(char ret_text[static DV_UUID_TEXT_SIZE]);

/* Is this a UUID in canonical lower-case text? */
bool dv_uuid_is_valid(const char *text);

#endif
