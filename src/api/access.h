/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_API_ACCESS_H
#define DV_API_ACCESS_H

/*
 * The secrets that callers bring: made here, kept by them, known to the store as SHA-256 only.
 */

#include "base/hash.h"

#define DV_API_TOKEN_PREFIX "dv_"
#define DV_API_COOKIE "dv_session"

/* A new token of 256 random bits; the caller's (dv_free). */
char *dv_api_secret_make(void);

void dv_api_secret_hash(const char *secret, char ret_text[static DV_SHA256_TEXT_SIZE]);

#endif
