/* SPDX-License-Identifier: Apache-2.0 */
#include "data/zip_table.h"

#include "base/alloc.h"
#include "data/source_refusal.h"
#include "data/zip_format.h"
#include "spec/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const size_t names_start_capacity = 64 << 10;

void dv_zip_table_finish(struct dv_zip_table *table)
{
    table->entries = dv_free(table->entries);
    table->names = dv_free(table->names);
    table->count = 0;
}

size_t dv_zip_name_kept(uint16_t name_size)
{
    /* One more than is allowed, so that a name too long stays recognisable. */
    return name_size <= DV_ZIP_NAME_SIZE_MAX ? name_size : DV_ZIP_NAME_SIZE_MAX + 1;
}

enum dv_status dv_zip_table_add_name(struct dv_zip_table *table, const void *bytes, size_t size,
    uint32_t *ret_at, struct dv_error *reterr)
{
    void *memory;

    if (table->names_size + size + 1 > UINT32_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "the names in the archive are longer than 4 GiB");
    }
    if (table->names_capacity - table->names_size < size + 1) {
        size_t capacity = table->names_capacity + table->names_capacity / 2 + names_start_capacity;
        enum dv_status status = dv_try_alloc(capacity, 1, &memory, reterr);
        if (status != DV_OK) {
            return status;
        }
        if (table->names_size > 0) {
            memcpy(memory, table->names, table->names_size);
        }
        dv_free(table->names);
        table->names = memory;
        table->names_capacity = capacity;
    }
    assert(table->names_capacity - table->names_size >= size + 1);
    *ret_at = (uint32_t)table->names_size;
    memcpy(table->names + table->names_size, bytes, size);
    table->names[table->names_size + size] = '\0';
    table->names_size += size + 1;
    return DV_OK;
}

void dv_zip_entry_label(const struct dv_zip_table *table, const struct dv_zip_entry *entry,
    char ret_label[static DV_ZIP_LABEL_SIZE])
{
    const char *name = table->names + entry->name_at;
    size_t size = strnlen(name, dv_zip_name_kept(entry->name_size)); /* it may be another by now */
    bool is_cut = size > DV_ZIP_LABEL_SIZE - 4;
    size_t shown = is_cut ? DV_ZIP_LABEL_SIZE - 4 : size;

    for (size_t i = 0; i < shown; i++) {
        ret_label[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
    }
    memcpy(ret_label + shown, is_cut ? "..." : "", is_cut ? 4 : 1);
}

bool dv_zip_extra_find(const unsigned char *extra, size_t size, uint16_t id,
    const unsigned char **ret_bytes, size_t *ret_size)
{
    *ret_bytes = NULL;
    *ret_size = 0;
    while (size >= 4) {
        size_t field_size = dv_zip_u16(extra + 2);
        if (field_size > size - 4) {
            return false;
        }
        if (dv_zip_u16(extra) == id && !*ret_bytes) {
            *ret_bytes = extra + 4;
            *ret_size = field_size;
        }
        extra += 4 + field_size;
        size -= 4 + field_size;
    }
    for (; size > 0; size--, extra++) { /* tools that align entries pad with zeros */
        if (*extra != 0) {
            return false;
        }
    }
    return true;
}

/* --- Step 3: names that clash --------------------------------------------------------------- */

static int compare_names(const void *a, const void *b, void *context)
{
    const struct dv_zip_table *table = context;
    const struct dv_zip_entry *first = &table->entries[*(const uint32_t *)a];
    const struct dv_zip_entry *second = &table->entries[*(const uint32_t *)b];

    return strcmp(table->names + first->name_at, table->names + second->name_at);
}

static void refuse(struct dv_zip_entry *entry, enum dv_refusal refusal)
{
    if (!entry->refusal) {
        entry->refusal = (uint8_t)refusal;
    }
}

static const char *name_of(const struct dv_zip_table *table, uint32_t index)
{
    return table->names + table->entries[index].name_at;
}

/* Refuse each entry whose name is the first `size` bytes of `folder`. */
static void refuse_named(
    struct dv_zip_table *table, const uint32_t *order, const char *folder, size_t size)
{
    size_t low = 0;
    size_t high = table->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *name = name_of(table, order[middle]);
        int side = strncmp(name, folder, size);
        if (side < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < table->count; low++) { /* names that begin so; those equal come first */
        const char *name = name_of(table, order[low]);
        if (strncmp(name, folder, size) != 0 || name[size] != '\0') {
            return;
        }
        refuse(&table->entries[order[low]], DV_REFUSAL_NAME_FOLDER);
    }
}

static size_t parent_size(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash ? (size_t)(slash - name) : 0;
}

static void refuse_clashes(struct dv_zip_table *table, const uint32_t *order)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *name = name_of(table, order[i]);
        const char *before = i > 0 ? name_of(table, order[i - 1]) : "";
        size_t size = parent_size(name);

        if (i > 0 && strcmp(before, name) == 0) {
            refuse(&table->entries[order[i - 1]], DV_REFUSAL_NAME_TWICE);
            refuse(&table->entries[order[i]], DV_REFUSAL_NAME_TWICE);
        }
        if (i > 0 && parent_size(before) == size && strncmp(before, name, size) == 0) {
            continue; /* in the folder of the one before, so it was looked at */
        }
        for (; size > 0; size--) {
            if (name[size] == '/') {
                refuse_named(table, order, name, size);
            }
        }
    }
}

static void drop_folders(struct dv_zip_table *table)
{
    size_t kept = 0;

    for (size_t i = 0; i < table->count; i++) {
        if (!table->entries[i].is_folder || table->entries[i].refusal) {
            table->entries[kept++] = table->entries[i];
        }
    }
    table->count = kept;
}

enum dv_status dv_zip_table_check_names(struct dv_zip_table *table, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) uint32_t *order = NULL;
    void *memory;

    assert(table);
    drop_folders(table);
    if (table->count == 0) {
        return dv_fail(reterr, DV_INVALID, "the archive holds folders but no files");
    }
    enum dv_status status = dv_try_alloc(table->count, sizeof(*order), &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    order = memory;
    for (size_t i = 0; i < table->count; i++) {
        order[i] = (uint32_t)i;
    }
    qsort_r(order, table->count, sizeof(*order), compare_names, table);
    refuse_clashes(table, order);
    return DV_OK;
}
