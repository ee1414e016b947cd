/* SPDX-License-Identifier: Apache-2.0 */
#include "data/cache_impl.h"

#include "base/alloc.h"
#include "base/file.h"
#include "pack/pack.h"
#include "spec/preprocessing.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "DVCACHE\1"; /* the last byte is the version */

/* What a file begins with; written last, so that a file with a good one is complete. */
struct header {
    char magic[8];
    unsigned char key[DV_SHA256_SIZE];
    uint64_t file_size;
    uint64_t wide_count;
    uint32_t crc; /* of everything before */
};

struct dv_cache {
    struct dv_cache_plan plan;
    uint8_t *pixels;
    void *mapping; /* NULL: `pixels` is memory of our own */
    size_t mapping_size;
};

uint32_t dv_cache_wide_side(uint32_t exact_side)
{
    return exact_side + (exact_side + 3) / 4;
}

/* --- Planning ----------------------------------------------------------------------------- */

/* Everything that decides what the pixels are: the preprocessing and the original bytes. */
static void make_key(const struct dv_cache_options *options, unsigned char *ret_key)
{
    const struct dv_preprocessing *preprocessing = options->preprocessing;
    uint64_t count = dv_pack_sample_count(options->pack);
    const uint32_t numbers[] = {preprocessing->rows, preprocessing->columns,
        preprocessing->channels, (uint32_t)preprocessing->resize};
    struct dv_sha256 hash;

    dv_sha256_init(&hash);
    dv_sha256_update(&hash, numbers, sizeof(numbers));
    dv_sha256_update(&hash, &count, sizeof(count));
    for (uint64_t i = 0; i < count; i++) {
        struct dv_pack_sample sample;
        dv_pack_sample(options->pack, i, &sample);
        unsigned char split = (unsigned char)sample.split;
        dv_sha256_update(&hash, &split, 1);
        dv_sha256_update(&hash, sample.hash, sizeof(sample.hash));
    }
    dv_sha256_finish(&hash, ret_key);
}

static enum dv_status make_plan(
    const struct dv_cache_options *options, struct dv_cache_plan *ret_plan, struct dv_error *reterr)
{
    const struct dv_preprocessing *preprocessing = options->preprocessing;
    struct dv_cache_plan plan = {
        .exact = {.rows = preprocessing->rows,
            .columns = preprocessing->columns,
            .channels = preprocessing->channels},
        .wide = {.rows = dv_cache_wide_side(preprocessing->rows),
            .columns = dv_cache_wide_side(preprocessing->columns),
            .channels = preprocessing->channels},
    };
    size_t exact_size, wide_size, size;

    if (options->path) {
        plan.exact.count = dv_pack_sample_count(options->pack);
    } else if (!options->is_wide) {
        dv_pack_split_range(options->pack, options->split, &plan.exact.first, &plan.exact.count);
    }
    if (options->is_wide) {
        dv_pack_split_range(options->pack, DV_SPLIT_TRAIN, &plan.wide.first, &plan.wide.count);
    }
    if (!dv_size_mul(plan.exact.count, dv_cache_picture_size(&plan.exact), &exact_size) ||
        !dv_size_mul(plan.wide.count, dv_cache_picture_size(&plan.wide), &wide_size) ||
        !dv_size_add(exact_size, wide_size, &size) || size > SIZE_MAX / 2) {
        return dv_fail(reterr, DV_TOO_LARGE, "the prepared pictures do not fit in memory");
    }
    plan.wide.offset = exact_size;
    plan.size = size;
    if (options->path) {
        make_key(options, plan.key);
    }
    *ret_plan = plan;
    return DV_OK;
}

/* --- The file ----------------------------------------------------------------------------- */

static struct header make_header(const struct dv_cache_plan *plan)
{
    struct header header;

    memset(&header, 0, sizeof(header)); /* padding too: it is written */
    memcpy(header.magic, magic, sizeof(magic));
    memcpy(header.key, plan->key, sizeof(plan->key));
    header.file_size = DV_CACHE_HEADER_SIZE + plan->size;
    header.wide_count = plan->wide.count;
    header.crc = dv_crc32(0, &header, offsetof(struct header, crc));
    return header;
}

/* Does this complete file hold what the plan wants? It may hold wide pictures on top. */
static bool is_wanted(
    const struct header *header, const struct dv_cache_plan *plan, uint64_t file_size)
{
    return memcmp(header->magic, magic, sizeof(magic)) == 0 &&
           header->crc == dv_crc32(0, header, offsetof(struct header, crc)) &&
           header->file_size == file_size && file_size >= DV_CACHE_HEADER_SIZE + plan->size &&
           memcmp(header->key, plan->key, sizeof(plan->key)) == 0 &&
           (plan->wide.count == 0 || plan->wide.count == header->wide_count);
}

/* Map the file at options->path; DV_NOT_FOUND: there is none, or not the one that is wanted. */
static enum dv_status open_file(const char *path, const struct dv_cache_plan *plan,
    struct dv_cache *cache, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    struct header header;
    uint64_t size;

    enum dv_status status = dv_file_open_read(path, &fd, reterr);
    if (status == DV_OK) {
        status = dv_file_size(fd, &size, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    if (size < DV_CACHE_HEADER_SIZE ||
        dv_file_pread(fd, &header, sizeof(header), 0, reterr) != DV_OK ||
        !is_wanted(&header, plan, size)) {
        return dv_fail(reterr, DV_NOT_FOUND, "%s holds other pictures", path);
    }
    void *mapping = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapping == MAP_FAILED) {
        return dv_fail_errno(reterr, errno, "cannot map %s", path);
    }
    cache->mapping = mapping;
    cache->mapping_size = size;
    cache->pixels = (uint8_t *)mapping + DV_CACHE_HEADER_SIZE;
    cache->plan = *plan;
    return DV_OK;
}

/* Does `path` still name the file that `fd` is? */
static bool is_same_file(int fd, const char *path)
{
    struct stat open_file_info, named;

    return fstat(fd, &open_file_info) == 0 && stat(path, &named) == 0 &&
           open_file_info.st_dev == named.st_dev && open_file_info.st_ino == named.st_ino;
}

/*
 * Open the temporary file and lock it, so that of several processes one builds and the others
 * wait. The one before us may have renamed or removed the file meanwhile; then try again.
 */
static enum dv_status lock_temporary(const char *path, int *ret_fd, struct dv_error *reterr)
{
    for (;;) {
        DV_CLEANUP(dv_file_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) {
            return dv_fail_errno(reterr, errno, "cannot make %s", path);
        }
        while (flock(fd, LOCK_EX) != 0) {
            if (errno != EINTR) {
                return dv_fail_errno(reterr, errno, "cannot lock %s", path);
            }
        }
        if (is_same_file(fd, path)) {
            *ret_fd = fd;
            fd = -1;
            return DV_OK;
        }
    }
}

static enum dv_status fill_file(const struct dv_cache_options *options,
    const struct dv_cache_plan *plan, int fd, struct dv_error *reterr)
{
    const struct header header = make_header(plan);

    if (ftruncate(fd, 0) != 0) {
        return dv_fail_errno(reterr, errno, "cannot empty the cache of prepared pictures");
    }
    /* Take the room at once: a full disk shows before hours of decoding, not after. */
    int error = posix_fallocate(fd, 0, (off_t)(DV_CACHE_HEADER_SIZE + plan->size));
    if (error) {
        return dv_fail_errno(reterr, error, "no room for the cache of prepared pictures (%llu MB)",
            (unsigned long long)(plan->size / 1000000));
    }
    enum dv_status status = dv_cache_build(options, plan, NULL, fd, reterr);
    if (status == DV_OK) {
        status = dv_cache_write(fd, &header, sizeof(header), 0, reterr);
    }
    return status == DV_OK ? dv_file_sync(fd, reterr) : status;
}

static enum dv_status build_file(const struct dv_cache_options *options,
    const struct dv_cache_plan *plan, struct dv_cache *cache, struct dv_error *reterr)
{
    DV_CLEANUP(dv_file_closep) int fd = -1;
    char temporary[DV_PATH_SIZE];

    enum dv_status status = dv_path_format(temporary, reterr, "%s.tmp", options->path);
    if (status == DV_OK) {
        status = lock_temporary(temporary, &fd, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    if (open_file(options->path, plan, cache, NULL) == DV_OK) { /* built while we waited */
        (void)unlink(temporary);
        return DV_OK;
    }
    status = fill_file(options, plan, fd, reterr);
    if (status == DV_OK) {
        status = dv_file_rename(temporary, options->path, reterr);
    }
    if (status != DV_OK) {
        (void)unlink(temporary);
        return status;
    }
    return open_file(options->path, plan, cache, reterr);
}

/* --- Life --------------------------------------------------------------------------------- */

static enum dv_status build_memory(const struct dv_cache_options *options,
    const struct dv_cache_plan *plan, struct dv_cache *cache, struct dv_error *reterr)
{
    void *memory;

    enum dv_status status = dv_try_alloc_aligned((size_t)plan->size, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    cache->pixels = memory;
    cache->plan = *plan;
    return dv_cache_build(options, plan, cache->pixels, -1, reterr);
}

enum dv_status dv_cache_open(
    const struct dv_cache_options *options, struct dv_cache **ret_cache, struct dv_error *reterr)
{
    struct dv_cache_plan plan;

    assert(options);
    assert(options->pack);
    assert(options->preprocessing);
    assert(ret_cache);
    assert(!options->is_wide || options->split == DV_SPLIT_TRAIN);

    enum dv_status status = make_plan(options, &plan, reterr);
    if (status != DV_OK) {
        return status;
    }
    struct dv_cache *cache = dv_alloc(sizeof(*cache));
    if (!options->path) {
        status = build_memory(options, &plan, cache, reterr);
    } else if (open_file(options->path, &plan, cache, NULL) != DV_OK) {
        status = build_file(options, &plan, cache, reterr);
    }
    if (status != DV_OK) {
        (void)dv_cache_close(cache);
        return status;
    }
    *ret_cache = cache;
    return DV_OK;
}

struct dv_cache *dv_cache_close(struct dv_cache *cache)
{
    if (!cache) {
        return NULL;
    }
    if (cache->mapping) {
        (void)munmap(cache->mapping, cache->mapping_size);
    } else {
        dv_free(cache->pixels);
    }
    return dv_free(cache);
}

const uint8_t *dv_cache_exact(const struct dv_cache *cache, uint64_t sample)
{
    return cache->pixels + dv_cache_picture_offset(&cache->plan.exact, sample);
}

const uint8_t *dv_cache_wide(const struct dv_cache *cache, uint64_t sample)
{
    return cache->pixels + dv_cache_picture_offset(&cache->plan.wide, sample);
}
