/* SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

#include <assert.h>
#include <unistd.h>

#define MAGIC "DVCKPT\r\n"
#define VERSION 1u

struct header {
    char magic[8];
    uint32_t version;
    uint32_t block_count;
    struct dv_checkpoint_counters counters;
    uint64_t notes_size;
    uint64_t block_floats[DV_CHECKPOINT_BLOCKS_MAX];
};

_Static_assert(sizeof(struct dv_checkpoint_counters) == 9 * 8, "stored as it is");
_Static_assert(sizeof(struct header) == 16 + 9 * 8 + 8 + 8 * DV_CHECKPOINT_BLOCKS_MAX, "likewise");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

/* --- Writing ---------------------------------------------------------------------------- */

static enum dv_status write_hashed(
    int fd, struct dv_sha256 *hash, const void *data, size_t size, struct dv_error *reterr)
{
    dv_sha256_update(hash, data, size);
    return dv_file_write_all(fd, data, size, reterr);
}

static enum dv_status write_parts(
    int fd, const struct dv_checkpoint *checkpoint, const char *notes, struct dv_error *reterr)
{
    struct dv_sha256 hash;
    unsigned char digest[DV_SHA256_SIZE];
    struct header header = {.version = VERSION,
        .block_count = (uint32_t)checkpoint->block_count,
        .counters = checkpoint->counters,
        .notes_size = strlen(notes)};

    memcpy(header.magic, MAGIC, sizeof(header.magic));
    for (size_t i = 0; i < checkpoint->block_count; i++) {
        header.block_floats[i] = checkpoint->block_floats[i];
    }
    dv_sha256_init(&hash);
    enum dv_status status = write_hashed(fd, &hash, &header, sizeof(header), reterr);
    if (status == DV_OK) {
        status = write_hashed(fd, &hash, notes, header.notes_size, reterr);
    }
    for (size_t i = 0; status == DV_OK && i < checkpoint->block_count; i++) {
        size_t size = checkpoint->block_floats[i] * sizeof(float);
        status = write_hashed(fd, &hash, checkpoint->blocks[i], size, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    dv_sha256_finish(&hash, digest);
    status = dv_file_write_all(fd, digest, sizeof(digest), reterr);
    return status == DV_OK ? dv_file_sync(fd, reterr) : status;
}

enum dv_status dv_checkpoint_write(
    const char *path, const struct dv_checkpoint *checkpoint, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *notes = NULL;
    char temporary[DV_PATH_SIZE];

    assert(path);
    assert(checkpoint);
    assert(checkpoint->block_count <= DV_CHECKPOINT_BLOCKS_MAX);

    enum dv_status status = dv_path_format(temporary, reterr, "%s.tmp", path);
    if (status != DV_OK) {
        return status;
    }

    int fd = -1;
    notes = dv_json_print(checkpoint->notes);
    status = dv_file_create(temporary, &fd, reterr);
    if (status == DV_OK) {
        status = write_parts(fd, checkpoint, notes, reterr);
        dv_file_closep(&fd);
    }
    if (status == DV_OK) {
        status = dv_file_rename(temporary, path, reterr);
    }
    if (status != DV_OK) {
        (void)unlink(temporary);
        dv_error_prefix(reterr, "checkpoint %s", path);
    }
    return status;
}

enum dv_status dv_checkpoint_write_last(
    const char *folder, const struct dv_checkpoint *checkpoint, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    assert(folder);
    assert(checkpoint);
    unsigned which = (unsigned)(checkpoint->counters.sequence & 1);
    enum dv_status status = dv_path_format(path, reterr, "%s/last.%u", folder, which);
    return status == DV_OK ? dv_checkpoint_write(path, checkpoint, reterr) : status;
}

/* --- Reading ---------------------------------------------------------------------------- */

/* The bytes that the header promises, digest included; false when it cannot be true. */
static bool header_size(const struct header *header, uint64_t *ret_size)
{
    size_t size = sizeof(*header) + DV_SHA256_SIZE;

    if (memcmp(header->magic, MAGIC, sizeof(header->magic)) != 0 || header->version != VERSION ||
        header->block_count > DV_CHECKPOINT_BLOCKS_MAX ||
        header->notes_size > DV_CHECKPOINT_NOTES_SIZE_MAX ||
        !dv_size_add(size, header->notes_size, &size)) {
        return false;
    }
    for (uint32_t i = 0; i < header->block_count; i++) {
        size_t block;
        if (!dv_size_mul(header->block_floats[i], sizeof(float), &block) ||
            !dv_size_add(size, block, &size)) {
            return false;
        }
    }
    *ret_size = size;
    return true;
}

static bool has_sound_digest(const struct header *header, const char *notes, const void *blocks,
    size_t blocks_size, const unsigned char *digest)
{
    struct dv_sha256 hash;
    unsigned char found[DV_SHA256_SIZE];

    dv_sha256_init(&hash);
    dv_sha256_update(&hash, header, sizeof(*header));
    dv_sha256_update(&hash, notes, header->notes_size);
    dv_sha256_update(&hash, blocks, blocks_size);
    dv_sha256_finish(&hash, found);
    return memcmp(found, digest, sizeof(found)) == 0;
}

/* Read and verify what follows a plausible header. */
static enum dv_status read_body(int fd, const struct header *header, size_t blocks_size,
    struct dv_checkpoint *checkpoint, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) void *notes = NULL;
    unsigned char digest[DV_SHA256_SIZE];
    uint64_t offset = sizeof(*header);

    enum dv_status status = dv_try_alloc(header->notes_size + 1, 1, &notes, reterr);
    if (status == DV_OK) {
        status = dv_try_alloc_aligned(blocks_size, &checkpoint->memory, reterr);
    }
    if (status == DV_OK) {
        status = dv_file_pread(fd, notes, header->notes_size, offset, reterr);
        offset += header->notes_size;
    }
    if (status == DV_OK) {
        status = dv_file_pread(fd, checkpoint->memory, blocks_size, offset, reterr);
        offset += blocks_size;
    }
    if (status == DV_OK) {
        status = dv_file_pread(fd, digest, sizeof(digest), offset, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    if (!has_sound_digest(header, notes, checkpoint->memory, blocks_size, digest)) {
        return dv_fail(reterr, DV_CORRUPT, "its bytes do not match their SHA-256");
    }
    return dv_json_parse(notes, header->notes_size, &checkpoint->notes, reterr);
}

static enum dv_status read_open(int fd, struct dv_checkpoint *checkpoint, struct dv_error *reterr)
{
    struct header header;
    uint64_t file_size;
    uint64_t size;

    enum dv_status status = dv_file_size(fd, &file_size, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (file_size < sizeof(header)) {
        return dv_fail(reterr, DV_CORRUPT, "it is cut short");
    }
    status = dv_file_pread(fd, &header, sizeof(header), 0, reterr);
    if (status != DV_OK) {
        return status;
    }
    if (!header_size(&header, &size) || size != file_size) {
        return dv_fail(reterr, DV_CORRUPT, "its header does not describe its %llu bytes",
            (unsigned long long)file_size);
    }

    size_t blocks_size = size - sizeof(header) - header.notes_size - DV_SHA256_SIZE;
    status = read_body(fd, &header, blocks_size, checkpoint, reterr);
    if (status != DV_OK) {
        return status;
    }
    const float *next = checkpoint->memory;
    checkpoint->counters = header.counters;
    checkpoint->block_count = header.block_count;
    for (uint32_t i = 0; i < header.block_count; i++) {
        checkpoint->blocks[i] = next;
        checkpoint->block_floats[i] = header.block_floats[i];
        next += header.block_floats[i];
    }
    return DV_OK;
}

enum dv_status dv_checkpoint_read(
    const char *path, struct dv_checkpoint **ret_checkpoint, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;

    assert(path);
    assert(ret_checkpoint);

    enum dv_status status = dv_file_open_read(path, &fd, reterr);
    if (status != DV_OK) {
        return status;
    }
    struct dv_checkpoint *checkpoint = dv_alloc(sizeof(*checkpoint));
    status = read_open(fd, checkpoint, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "checkpoint %s", path);
        dv_checkpoint_destroy(checkpoint);
        return status;
    }
    *ret_checkpoint = checkpoint;
    return DV_OK;
}

enum dv_status dv_checkpoint_read_last(const char *folder, struct dv_checkpoint **ret_checkpoint,
    bool *ret_has_damage, struct dv_error *reterr)
{
    struct dv_checkpoint *best = NULL;
    bool has_damage = false;

    assert(folder);
    assert(ret_checkpoint);
    assert(ret_has_damage);

    for (unsigned which = 0; which < 2; which++) {
        char path[DV_PATH_SIZE];
        struct dv_checkpoint *one = NULL;
        enum dv_status status = dv_path_format(path, reterr, "%s/last.%u", folder, which);
        if (status == DV_OK) {
            status = dv_checkpoint_read(path, &one, reterr);
        }
        if (status == DV_OK && (!best || one->counters.sequence > best->counters.sequence)) {
            dv_checkpoint_destroy(best);
            best = one;
        } else if (status == DV_OK) {
            dv_checkpoint_destroy(one);
        } else if (status == DV_NOMEM) {
            dv_checkpoint_destroy(best);
            return status;
        } else if (status != DV_NOT_FOUND) {
            has_damage = true; /* also where the disk does not give it: the other may be sound */
        }
    }
    if (!best && has_damage) {
        return dv_fail(reterr, DV_CORRUPT, "no checkpoint in %s can be read", folder);
    }
    if (!best) {
        return dv_fail(reterr, DV_NOT_FOUND, "%s holds no checkpoint", folder);
    }
    *ret_checkpoint = best;
    *ret_has_damage = has_damage;
    return DV_OK;
}

struct dv_checkpoint *dv_checkpoint_destroy(struct dv_checkpoint *checkpoint)
{
    if (!checkpoint) {
        return NULL;
    }
    dv_json_unref(checkpoint->notes);
    dv_free(checkpoint->memory);
    return dv_free(checkpoint);
}

void dv_checkpoint_destroyp(struct dv_checkpoint **checkpoint)
{
    *checkpoint = dv_checkpoint_destroy(*checkpoint);
}
