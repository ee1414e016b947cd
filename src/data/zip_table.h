/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_DATA_ZIP_TABLE_H
#define DV_DATA_ZIP_TABLE_H

/*
 * What the audit of a ZIP archive keeps: 40 bytes an entry and all names in one block, so that two
 * million pictures cost some 150 MB. The steps, in order, each refusing the archive where it lies:
 *   1. dv_zip_table_read_directory  the whole central directory, budgets
 *   2. dv_zip_table_check_locals    every local header, in storage order, no byte unaccounted for
 *   3. dv_zip_table_check_names     folders dropped, names that clash refused
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_zip_window;
struct dv_zip_end;

struct dv_zip_entry {
    uint64_t offset;      /* of the local header; after step 2 of the packed bytes */
    uint64_t packed_size; /* bytes in the archive */
    uint64_t size;        /* bytes inflated, as declared */
    uint32_t crc;
    uint32_t name_at; /* in the block of names; as in the archive, after step 2 UTF-8 with a NUL */
    uint16_t name_size; /* in the archive; at most the first 513 bytes are kept */
    uint16_t flags;
    uint16_t method;
    uint8_t refusal; /* enum dv_refusal */
    bool is_folder;
};

_Static_assert(sizeof(struct dv_zip_entry) == 40, "the table is compact");

struct dv_zip_table {
    struct dv_zip_entry *entries;
    size_t count;
    char *names;
    size_t names_size;
    size_t names_capacity;
};

DV_MUST_CHECK enum dv_status dv_zip_table_read_directory(struct dv_zip_table *table,
    struct dv_zip_window *window, const struct dv_zip_end *end, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_zip_table_check_locals(struct dv_zip_table *table,
    struct dv_zip_window *window, const struct dv_zip_end *end, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_zip_table_check_names(
    struct dv_zip_table *table, struct dv_error *reterr);
void dv_zip_table_finish(struct dv_zip_table *table);

/* --- Used by the steps ---------------------------------------------------------------------- */

/* Append `size` bytes and a NUL to the block of names. */
DV_MUST_CHECK enum dv_status dv_zip_table_add_name(struct dv_zip_table *table, const void *bytes,
    size_t size, uint32_t *ret_at, struct dv_error *reterr);

/* How many bytes of a name of `name_size` are kept for the comparison with the local header. */
size_t dv_zip_name_kept(uint16_t name_size);

enum { DV_ZIP_LABEL_SIZE = 80 };

/* The entry's name for a message: printable ASCII, cut where it is long. */
void dv_zip_entry_label(const struct dv_zip_table *table, const struct dv_zip_entry *entry,
    char ret_label[static DV_ZIP_LABEL_SIZE]);

/*
 * Find the extra field `id` among `size` bytes of them. `ret_bytes` is NULL where there is none.
 * False: the fields overrun their space.
 */
DV_MUST_CHECK bool dv_zip_extra_find(const unsigned char *extra, size_t size, uint16_t id,
    const unsigned char **ret_bytes, size_t *ret_size);

/*
 * Turn the archive's name of an entry into the final one (UTF-8, fit to be shown even where it is
 * refused) and refuse what is not fit. `extra` are the local extra fields, which may hold a Unicode
 * name.
 */
DV_MUST_CHECK enum dv_status dv_zip_name_settle(struct dv_zip_table *table,
    struct dv_zip_entry *entry, const unsigned char *extra, size_t extra_size,
    struct dv_error *reterr);

#endif
