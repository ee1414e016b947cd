/* SPDX-License-Identifier: Apache-2.0 */
#include "zip_builder.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/source.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

void zip_put_bytes(struct zip_image *image, const void *bytes, size_t size)
{
    if (image->size + size > image->capacity) {
        image->capacity = (image->size + size) * 2 + 256;
        image->bytes = dv_realloc(image->bytes, image->capacity);
    }
    if (size > 0) {
        memcpy(image->bytes + image->size, bytes, size);
    }
    image->size += size;
}

void zip_put(struct zip_image *image, uint64_t value, size_t size)
{
    unsigned char bytes[8];

    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
    zip_put_bytes(image, bytes, size);
}

void zip_set(struct zip_image *image, size_t at, uint64_t value, size_t size)
{
    assert(at + size <= image->size);
    for (size_t i = 0; i < size; i++) {
        image->bytes[at + i] = (unsigned char)(value >> (8 * i));
    }
}

static size_t name_size_of(const struct zip_item *item)
{
    return item->name_size ? item->name_size : strlen(item->name);
}

static uint16_t flags_of(const struct zip_item *item)
{
    return (uint16_t)(item->flags | (item->descriptor ? 8 : 0));
}

static void put_packed(struct zip_image *image, const struct zip_item *item)
{
    if (!item->is_deflated) {
        zip_put_bytes(image, item->data, item->size);
        return;
    }
    z_stream stream = {0};
    int result = deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    assert(result == Z_OK);
    size_t room = deflateBound(&stream, item->size);
    unsigned char *packed = dv_alloc(room);
    stream.next_in = (unsigned char *)item->data;
    stream.avail_in = (uInt)item->size;
    stream.next_out = packed;
    stream.avail_out = (uInt)room;
    result = deflate(&stream, Z_FINISH);
    assert(result == Z_STREAM_END);
    zip_put_bytes(image, packed, stream.total_out);
    (void)deflateEnd(&stream);
    dv_free(packed);
}

static void put_local(struct zip_image *image, const struct zip_item *item, size_t index)
{
    uint32_t crc = dv_crc32(0, item->data, item->size);
    size_t at = image->size;

    image->locals[index] = at;
    zip_put(image, 0x04034b50, 4);
    zip_put(image, 20, 2);
    zip_put(image, flags_of(item), 2);
    zip_put(image, item->is_deflated ? 8 : 0, 2);
    zip_put(image, 0, 4);
    zip_put(image, item->descriptor ? 0 : crc, 4);
    zip_put(image, 0, 4);
    zip_put(image, item->descriptor ? 0 : item->size, 4);
    zip_put(image, name_size_of(item), 2);
    zip_put(image, item->local_extra_size, 2);
    zip_put_bytes(image, item->name, name_size_of(item));
    zip_put_bytes(image, item->local_extra, item->local_extra_size);
    image->datas[index] = image->size;
    put_packed(image, item);
    size_t packed_size = image->size - image->datas[index];
    if (!item->descriptor) {
        zip_set(image, at + 18, packed_size, 4);
        return;
    }
    size_t width = item->descriptor >= 20 ? 8 : 4;
    if (item->descriptor % 8 == 0) {
        zip_put(image, 0x08074b50, 4);
    }
    zip_put(image, crc, 4);
    zip_put(image, packed_size, width);
    zip_put(image, item->size, width);
}

static void put_central(struct zip_image *image, const struct zip_item *item, size_t index)
{
    image->centrals[index] = image->size;
    zip_put(image, 0x02014b50, 4);
    zip_put(image, 20, 1);
    zip_put(image, item->host, 1);
    zip_put(image, 20, 2);
    zip_put(image, flags_of(item), 2);
    zip_put(image, item->is_deflated ? 8 : 0, 2);
    zip_put(image, 0, 4);
    zip_put(image, dv_crc32(0, item->data, item->size), 4);
    zip_put(image, 0, 4); /* the caller knows where the data ends */
    zip_put(image, item->size, 4);
    zip_put(image, name_size_of(item), 2);
    zip_put(image, item->central_extra_size, 2);
    zip_put(image, 0, 6); /* comment, disk, internal attributes */
    zip_put(image, item->attributes, 4);
    zip_put(image, image->locals[index], 4);
    zip_put_bytes(image, item->name, name_size_of(item));
    zip_put_bytes(image, item->central_extra, item->central_extra_size);
}

static void put_end(struct zip_image *image, size_t count, bool is_zip64)
{
    size_t directory_size = image->size - image->directory;
    size_t record = image->size;

    if (is_zip64) {
        zip_put(image, 0x06064b50, 4);
        zip_put(image, 44, 8);
        zip_put(image, 45 | 45 << 16, 4);
        zip_put(image, 0, 8);
        zip_put(image, count, 8);
        zip_put(image, count, 8);
        zip_put(image, directory_size, 8);
        zip_put(image, image->directory, 8);
        zip_put(image, 0x07064b50, 4);
        zip_put(image, 0, 4);
        zip_put(image, record, 8);
        zip_put(image, 1, 4);
    }
    image->end = image->size;
    zip_put(image, 0x06054b50, 4);
    zip_put(image, 0, 4);
    zip_put(image, is_zip64 ? 0xffff : count, 2);
    zip_put(image, is_zip64 ? 0xffff : count, 2);
    zip_put(image, is_zip64 ? 0xffffffff : directory_size, 4);
    zip_put(image, is_zip64 ? 0xffffffff : image->directory, 4);
    zip_put(image, 0, 2);
}

void zip_build(struct zip_image *image, const struct zip_item *items, size_t count, bool is_zip64)
{
    assert(count <= ZIP_ITEMS_MAX);
    *image = (struct zip_image){0};
    for (size_t i = 0; i < count; i++) {
        put_local(image, &items[i], i);
    }
    image->directory = image->size;
    for (size_t i = 0; i < count; i++) {
        size_t next = i + 1 < count ? image->locals[i + 1] : image->directory;
        put_central(image, &items[i], i);
        zip_set(image, image->centrals[i] + 20, next - items[i].descriptor - image->datas[i], 4);
    }
    put_end(image, count, is_zip64);
}

void zip_image_finish(struct zip_image *image)
{
    image->bytes = dv_free(image->bytes);
}

enum dv_status zip_open(
    const void *bytes, size_t size, struct dv_source **ret_source, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = memfd_create("archive", MFD_CLOEXEC);
    char path[64];

    assert(fd >= 0);
    enum dv_status status = dv_file_write_all(fd, bytes, size, reterr);
    assert(status == DV_OK);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return dv_source_open(path, ret_source, reterr);
}

struct zip_counts zip_read_all(struct dv_source *source)
{
    struct zip_counts counts = {0};

    for (uint64_t i = 0; i < dv_source_count(source); i++) {
        DV_CLEANUP(dv_freep) void *data = NULL;
        struct dv_source_entry entry;

        dv_source_entry(source, i, &entry);
        if (entry.is_refused) {
            counts.refused++;
            continue;
        }
        if (dv_try_alloc((size_t)entry.size, 1, &data, NULL) != DV_OK ||
            dv_source_read(source, i, data, NULL) != DV_OK) {
            counts.damaged++;
        } else {
            counts.good++;
        }
    }
    return counts;
}
