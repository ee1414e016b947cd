/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/mask.h"

#include "base/macro.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <strings.h>

#define PART_SIZE 8u       /* fewer characters of a key are no use to anybody, and occur by chance */
#define LOOKALIKE_SIZE 16u /* after its beginning; shorter ones are words */

static bool is_word(char character)
{
    return isalnum((unsigned char)character) || character == '-' || character == '_';
}

static bool is_token(char character)
{
    return is_word(character) || (character && strchr("._~+/=", character));
}

static size_t common_prefix(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t size = 0;

    while (size < a_size && size < b_size && a[size] == b[size]) {
        size++;
    }
    return size;
}

/*
 * Where the last PART_SIZE characters of the key stand in the text, those that stand before them
 * in both go too.
 */
static void mask_end(char *text, size_t at, const char *key, size_t key_size)
{
    size_t size = PART_SIZE;

    if (memcmp(text + at, key + key_size - PART_SIZE, PART_SIZE) != 0) {
        return;
    }
    while (at > 0 && size < key_size && text[at - 1] == key[key_size - size - 1]) {
        at--;
        size++;
    }
    memset(text + at, '*', size);
}

static void mask_parts(char *text, size_t size, const char *key, size_t key_size)
{
    for (size_t at = 0; at + PART_SIZE <= size; at++) {
        size_t begins = common_prefix(text + at, size - at, key, key_size);
        if (begins >= PART_SIZE) {
            memset(text + at, '*', begins);
        } else {
            mask_end(text, at, key, key_size);
        }
    }
}

static size_t token_size(const char *text, size_t size)
{
    size_t length = 0;

    while (length < size && is_token(text[length])) {
        length++;
    }
    return length;
}

/* Words that look like keys, whoever's. */
static void mask_lookalikes(char *text, size_t size)
{
    static const char *const beginnings[] = {"gsk_", "sk-", "hf_", "xai-", "AIza", "Bearer "};

    for (size_t at = 0; at < size; at++) {
        bool is_start = at == 0 || !is_word(text[at - 1]);
        for (size_t i = 0; is_start && i < DV_ARRAY_SIZE(beginnings); i++) {
            size_t length = strlen(beginnings[i]);
            if (size - at <= length || strncasecmp(text + at, beginnings[i], length) != 0) {
                continue;
            }
            size_t rest = token_size(text + at + length, size - at - length);
            if (rest >= LOOKALIKE_SIZE) {
                memset(text + at + length, '*', rest);
                at += length + rest - 1;
                break;
            }
        }
    }
}

void dv_llm_mask_key(char *text, size_t size, const char *key)
{
    size_t key_size = key ? strlen(key) : 0;
    char *at = text;

    assert(text);
    if (key_size < DV_LLM_KEY_SIZE_MIN) {
        return;
    }
    while ((at = memmem(at, size - (size_t)(at - text), key, key_size))) {
        memset(at, '*', key_size);
    }
}

void dv_llm_mask(char *text, size_t size, const char *key)
{
    size_t key_size = key ? strlen(key) : 0;

    assert(text);
    if (key_size >= DV_LLM_KEY_SIZE_MIN) {
        mask_parts(text, size, key, key_size);
    }
    mask_lookalikes(text, size);
}
