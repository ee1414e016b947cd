/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_LLM_MASK_H
#define DV_LLM_MASK_H

/*
 * Keys out of whatever is kept or shown: an endpoint may say the key that it was sent, whole, in
 * part, or somebody else's. Everything that leaves src/llm as text goes through here.
 */

#include <stddef.h>

#define DV_LLM_KEY_SIZE_MAX 512u

/* Shorter ones ("none", "ollama") are given to endpoints that ask for none; they hide nothing. */
#define DV_LLM_KEY_SIZE_MIN 8u

/* Overwrite each `key` (NULL: none) in `text` with '*', in place; nothing else changes. */
void dv_llm_mask_key(char *text, size_t size, const char *key);

/*
 * The same, and each run of at least eight characters that the key begins or ends with, and each
 * word that begins as the keys of providers do ("sk-", "gsk_", ...) or follows "Bearer ". For what
 * is kept and shown; an answer that is still to be read might lose a name.
 */
void dv_llm_mask(char *text, size_t size, const char *key);

#endif
