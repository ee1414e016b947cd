/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of entries: from the bytes of the archive to UTF-8. Makers differ: flag 11 says UTF-8, some
 * write UTF-8 without it, the old ones code page 437, some a second name in an extra field (4.6.9),
 * some from Windows backslashes.
 */
#include "base/hash.h"
#include "base/text.h"
#include "data/source_refusal.h"
#include "data/zip_format.h"
#include "data/zip_table.h"
#include "spec/limits.h"

#include <assert.h>
#include <string.h>

/* The upper half of code page 437. */
/* clang-format off */
static const uint16_t code_page_437[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef,
    0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa,
    0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4,
    0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};
/* clang-format on */

/* A name on its way: three bytes of UTF-8 for each byte that is kept, and a NUL. */
struct name {
    char bytes[3 * (DV_ZIP_NAME_SIZE_MAX + 1) + 1];
    size_t size;
};

static void name_set(struct name *name, const void *bytes, size_t size)
{
    assert(size < sizeof(name->bytes));
    memcpy(name->bytes, bytes, size);
    name->bytes[size] = '\0';
    name->size = size;
}

static void put_code_point(struct name *name, unsigned code)
{
    char *at = name->bytes + name->size;

    if (code < 0x80) {
        at[0] = (char)(code ? code : '?');
        name->size += 1;
    } else if (code < 0x800) {
        at[0] = (char)(0xc0 | code >> 6);
        at[1] = (char)(0x80 | (code & 0x3f));
        name->size += 2;
    } else {
        at[0] = (char)(0xe0 | code >> 12);
        at[1] = (char)(0x80 | (code >> 6 & 0x3f));
        at[2] = (char)(0x80 | (code & 0x3f));
        name->size += 3;
    }
}

static void name_set_437(struct name *name, const char *raw, size_t size)
{
    name->size = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned byte = (unsigned char)raw[i];
        put_code_point(name, byte < 0x80 ? byte : code_page_437[byte - 0x80]);
    }
    name->bytes[name->size] = '\0';
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* The Unicode path, where there is one that was made for this very name. */
static const unsigned char *find_unicode_path(const unsigned char *extra, size_t extra_size,
    const char *raw, size_t raw_size, size_t *ret_size)
{
    const unsigned char *field;
    size_t size;

    if (!dv_zip_extra_find(extra, extra_size, DV_ZIP_EXTRA_UNICODE_PATH, &field, &size) || !field ||
        size < 5 || field[0] != 1 || dv_zip_u32(field + 1) != dv_crc32(0, raw, raw_size)) {
        return NULL;
    }
    *ret_size = size - 5;
    return field + 5;
}

/* Make a second name the name, if it may be: never where the first was clear already. */
static enum dv_refusal take_unicode_path(
    struct name *name, const unsigned char *path, size_t size, bool is_clear)
{
    if (size == name->size && memcmp(path, name->bytes, size) == 0) {
        return DV_REFUSAL_NONE;
    }
    if (is_clear) {
        return DV_REFUSAL_NAME_TWO;
    }
    if (size > DV_ZIP_NAME_SIZE_MAX) {
        return DV_REFUSAL_NAME_LONG;
    }
    if (!dv_text_is_utf8(path, size)) {
        return memchr(path, '\0', size) ? DV_REFUSAL_NAME_NUL : DV_REFUSAL_NAME_UTF8;
    }
    name_set(name, path, size);
    return DV_REFUSAL_NONE;
}

/* UTF-8 into `name` whatever the bytes are. */
static enum dv_refusal decode(struct name *name, const struct dv_zip_entry *entry, const char *raw,
    const unsigned char *extra, size_t extra_size)
{
    size_t size = dv_zip_name_kept(entry->name_size);
    size_t path_size = 0;

    name_set_437(name, raw, size);
    if (entry->name_size > DV_ZIP_NAME_SIZE_MAX) {
        return DV_REFUSAL_NAME_LONG;
    }
    if (memchr(raw, '\0', size)) {
        return DV_REFUSAL_NAME_NUL;
    }
    bool is_utf8 = dv_text_is_utf8(raw, size);
    bool is_flagged = (entry->flags & DV_ZIP_FLAG_UTF8) != 0;
    if (is_flagged && !is_utf8) {
        return DV_REFUSAL_NAME_UTF8;
    }
    if (is_utf8) {
        name_set(name, raw, size);
    }
    const unsigned char *path = find_unicode_path(extra, extra_size, raw, size, &path_size);
    bool is_clear = is_flagged || is_ascii(raw, size);
    return path ? take_unicode_path(name, path, path_size, is_clear) : DV_REFUSAL_NONE;
}

/*
 * What makers add that means nothing: "./" in front, backslashes instead of slashes (old .NET; a
 * name that mixes both, or whose backslash may be half of a character, is left and refused) and the
 * slash after a folder.
 */
static void tidy(struct name *name, struct dv_zip_entry *entry, bool is_text)
{
    if (is_text && !strchr(name->bytes, '/')) {
        for (char *at = name->bytes; (at = strchr(at, '\\')); at++) {
            *at = '/';
        }
    }
    if (strncmp(name->bytes, "./", 2) == 0) {
        name->size -= 2;
        memmove(name->bytes, name->bytes + 2, name->size + 1);
    }
    bool has_slash = name->size > 0 && name->bytes[name->size - 1] == '/';
    if (has_slash && (entry->is_folder || entry->size == 0)) {
        entry->is_folder = true;
        name->bytes[--name->size] = '\0';
    }
}

enum dv_status dv_zip_name_settle(struct dv_zip_table *table, struct dv_zip_entry *entry,
    const unsigned char *extra, size_t extra_size, struct dv_error *reterr)
{
    const char *raw = table->names + entry->name_at;
    size_t size = dv_zip_name_kept(entry->name_size);
    struct name name;

    enum dv_refusal refusal = decode(&name, entry, raw, extra, extra_size);
    if (!refusal) {
        tidy(&name, entry, dv_text_is_utf8(raw, size));
        bool is_top = entry->is_folder && name.size == 0 && size > 0 && raw[0] == '.';
        refusal = is_top ? DV_REFUSAL_NONE : dv_source_name_check(name.bytes, name.size);
    }
    if (!entry->refusal) {
        entry->refusal = (uint8_t)refusal;
    }
    if (name.size == size && memcmp(name.bytes, raw, size) == 0) {
        return DV_OK;
    }
    return dv_zip_table_add_name(table, name.bytes, name.size, &entry->name_at, reterr);
}
