/* SPDX-License-Identifier: Apache-2.0 */
#include "data/cache_impl.h"

#include "base/alloc.h"
#include "base/fault.h"
#include "data/image.h"
#include "pack/pack.h"
#include "spec/limits.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#define CHUNK 16u /* samples that a thread takes at a time */
#define THREADS_MAX 64u

struct builder {
    const struct dv_cache_options *options;
    const struct dv_cache_plan *plan;
    uint8_t *memory; /* pictures go here, or when NULL into `fd` */
    int fd;
    pthread_mutex_t lock; /* guards what follows */
    uint64_t next;        /* the first sample that no thread has taken */
    enum dv_status status;
    struct dv_error *reterr;
};

/* What one thread of a build needs again and again. */
struct scratch {
    unsigned char *file; /* `file_capacity` bytes for a picture's original bytes */
    size_t file_capacity;
    uint8_t *pixels; /* one prepared picture, when it does not go straight to memory */
};

enum dv_status dv_cache_write(
    int fd, const void *data, size_t size, uint64_t offset, struct dv_error *reterr)
{
    const uint8_t *at = data;

    while (size > 0) {
        ssize_t count = dv_fault_hits("cache_write") ? (errno = ENOSPC, -1)
                                                     : pwrite(fd, at, size, (off_t)offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return dv_fail_errno(reterr, errno, "cannot write the cache of prepared pictures");
        }
        at += count;
        size -= (size_t)count;
        offset += (uint64_t)count;
    }
    return DV_OK;
}

static enum dv_status read_original(const struct builder *builder, uint64_t index,
    struct scratch *scratch, struct dv_image *ret_image, struct dv_error *reterr)
{
    struct dv_pack_sample sample;
    enum dv_finding_code finding;

    dv_pack_sample(builder->options->pack, index, &sample);
    if (sample.size > DV_IMAGE_FILE_SIZE_MAX) {
        return dv_fail(reterr, DV_CORRUPT, "%s is too large for a picture", sample.name);
    }
    if (sample.size > scratch->file_capacity) {
        scratch->file_capacity = (size_t)sample.size;
        scratch->file = dv_realloc(scratch->file, scratch->file_capacity);
    }
    enum dv_status status = dv_pack_read(builder->options->pack, index, scratch->file, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_image_decode(scratch->file, (size_t)sample.size, ret_image, &finding, reterr);
    if (status != DV_OK) {
        dv_error_prefix(reterr, "%s", sample.name);
        return status == DV_NOMEM ? DV_NOMEM : DV_CORRUPT; /* ingest had decoded it */
    }
    return DV_OK;
}

static enum dv_status put_picture(const struct builder *builder,
    const struct dv_cache_region *region, uint64_t index, const struct dv_image *image,
    struct scratch *scratch, struct dv_error *reterr)
{
    struct dv_preprocessing preprocessing = *builder->options->preprocessing;

    if (index < region->first || index - region->first >= region->count) {
        return DV_OK;
    }
    uint64_t offset = dv_cache_picture_offset(region, index);
    preprocessing.rows = region->rows;
    preprocessing.columns = region->columns;
    uint8_t *pixels = builder->memory ? builder->memory + offset : scratch->pixels;
    enum dv_status status = dv_image_prepare(image, &preprocessing, pixels, reterr);
    if (status == DV_OK && !builder->memory) {
        status = dv_cache_write(builder->fd, pixels, dv_cache_picture_size(region),
            DV_CACHE_HEADER_SIZE + offset, reterr);
    }
    return status;
}

static enum dv_status build_one(
    const struct builder *builder, uint64_t index, struct scratch *scratch, struct dv_error *reterr)
{
    DV_CLEANUP(dv_image_finish) struct dv_image image = {0};
    const struct dv_cache_plan *plan = builder->plan;

    enum dv_status status = read_original(builder, index, scratch, &image, reterr);
    if (status == DV_OK) {
        status = put_picture(builder, &plan->exact, index, &image, scratch, reterr);
    }
    if (status == DV_OK) {
        status = put_picture(builder, &plan->wide, index, &image, scratch, reterr);
    }
    return status;
}

static uint64_t sample_end(const struct dv_cache_plan *plan)
{
    uint64_t exact_end = plan->exact.first + plan->exact.count;
    uint64_t wide_end = plan->wide.first + plan->wide.count;

    return exact_end > wide_end ? exact_end : wide_end;
}

/* Take the next samples; false when there are none, or another thread has failed. */
static bool take_chunk(struct builder *builder, uint64_t *ret_first, uint64_t *ret_end)
{
    uint64_t end = sample_end(builder->plan);

    (void)pthread_mutex_lock(&builder->lock);
    bool has_work = builder->status == DV_OK && builder->next < end;
    *ret_first = builder->next;
    *ret_end = end - builder->next < CHUNK ? end : builder->next + CHUNK;
    if (has_work) {
        builder->next = *ret_end;
    }
    (void)pthread_mutex_unlock(&builder->lock);
    return has_work;
}

static void note_failure(
    struct builder *builder, enum dv_status status, const struct dv_error *error)
{
    (void)pthread_mutex_lock(&builder->lock);
    if (builder->status == DV_OK) {
        builder->status = status;
        if (builder->reterr) {
            *builder->reterr = *error;
        }
    }
    (void)pthread_mutex_unlock(&builder->lock);
}

static void *build_thread(void *argument)
{
    struct builder *builder = argument;
    struct scratch scratch = {0};
    struct dv_error error = {0};
    enum dv_status status = DV_OK;
    uint64_t index, end;

    if (!builder->memory) {
        size_t exact = dv_cache_picture_size(&builder->plan->exact);
        size_t wide = dv_cache_picture_size(&builder->plan->wide);
        scratch.pixels = dv_alloc(exact > wide ? exact : wide);
    }
    while (status == DV_OK && take_chunk(builder, &index, &end)) {
        for (; status == DV_OK && index < end; index++) {
            status = build_one(builder, index, &scratch, &error);
        }
    }
    if (status != DV_OK) {
        note_failure(builder, status, &error);
    }
    dv_free(scratch.file);
    dv_free(scratch.pixels);
    return NULL;
}

enum dv_status dv_cache_build(const struct dv_cache_options *options,
    const struct dv_cache_plan *plan, uint8_t *memory, int fd, struct dv_error *reterr)
{
    struct builder builder = {
        .options = options,
        .plan = plan,
        .memory = memory,
        .fd = fd,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .next = plan->exact.count ? plan->exact.first : plan->wide.first,
        .reterr = reterr,
    };
    pthread_t threads[THREADS_MAX];
    uint32_t count = 0;

    /* This thread works too; one that cannot be started is done without. */
    while (count + 1 < options->thread_count && count < THREADS_MAX &&
           pthread_create(&threads[count], NULL, build_thread, &builder) == 0) {
        count++;
    }
    (void)build_thread(&builder);
    for (uint32_t i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    return builder.status;
}
