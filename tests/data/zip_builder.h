/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_TESTS_DATA_ZIP_BUILDER_H
#define DV_TESTS_DATA_ZIP_BUILDER_H

/*
 * Builds archives in memory for the tests of the reader, remembers where each header lies so that a
 * test can make them lie, and opens them as a source without touching the disk.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_source;

struct zip_item {
    const char *name;
    size_t name_size; /* 0: the length of `name` */
    const void *data;
    size_t size;
    bool is_deflated;
    uint16_t flags;
    uint16_t descriptor; /* 0, or 12, 16, 20, 24 bytes; sets flag 3, leaves the local sizes 0 */
    uint8_t host;        /* 0 MS-DOS, 3 Unix */
    uint32_t attributes;
    const void *local_extra;
    uint16_t local_extra_size;
    const void *central_extra;
    uint16_t central_extra_size;
};

enum { ZIP_ITEMS_MAX = 16 };

struct zip_image {
    unsigned char *bytes; /* dv_free() */
    size_t size;
    size_t capacity;
    size_t locals[ZIP_ITEMS_MAX];
    size_t datas[ZIP_ITEMS_MAX];
    size_t centrals[ZIP_ITEMS_MAX];
    size_t directory;
    size_t end;
};

void zip_put(struct zip_image *image, uint64_t value, size_t size);
void zip_put_bytes(struct zip_image *image, const void *bytes, size_t size);

/* Overwrite at an offset; a header's fields are at the offsets of the format. */
void zip_set(struct zip_image *image, size_t at, uint64_t value, size_t size);

/* `is_zip64`: with the ZIP64 end record and locator, and the marks in the plain one. */
void zip_build(struct zip_image *image, const struct zip_item *items, size_t count, bool is_zip64);
void zip_image_finish(struct zip_image *image);

/* Open as a source, by way of a file in memory. */
enum dv_status zip_open(
    const void *bytes, size_t size, struct dv_source **ret_source, struct dv_error *reterr);

/* Read every entry that is not refused; counts what came of them. */
struct zip_counts {
    unsigned good, refused, damaged;
};
struct zip_counts zip_read_all(struct dv_source *source);

#endif
