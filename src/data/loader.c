/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of batches. The consumer holds one batch; loader threads fill those after it, each thread
 * a slice of pictures at a time, so that one batch is made by all of them. Which slice a thread
 * gets is a matter of timing, what goes into it is not: see fill_slice(). Read the struct, then
 * take_slice(), then dv_loader_next().
 */
#include "data/loader.h"

#include "base/alloc.h"
#include "base/random.h"
#include "data/augment.h"
#include "data/cache.h"
#include "pack/pack.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define RING_SIZE 4u /* one with the consumer, one next, two being filled */
#define THREADS_MAX 64u

struct slot {
    float *pixels; /* [picture, row, column, channel] */
    uint32_t *labels;
    uint32_t count;   /* pictures that are real */
    uint32_t handed;  /* of those, given to threads */
    uint32_t pending; /* of those, not yet finished */
};

struct worker {
    struct dv_loader *loader;
    pthread_t thread;
    struct dv_augment_scratch scratch;
};

struct dv_loader {
    const struct dv_pack *pack;
    struct dv_cache *cache;
    struct dv_augment augment;
    uint64_t seed;
    uint32_t batch_size;
    bool is_shuffled;
    uint64_t first, count; /* the split's samples */
    uint32_t *labels;      /* [sample of the split] */
    uint32_t *order;       /* [position in the epoch]: sample of the split; this epoch's */
    uint64_t epoch;

    struct worker workers[THREADS_MAX];
    uint32_t thread_count;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t has_work;
    pthread_cond_t has_progress;
    struct slot slots[RING_SIZE]; /* step s is in slot s % RING_SIZE */
    uint64_t step_end;            /* steps to make: up to here; 0 while the epoch is changed */
    uint64_t step_fill;           /* being handed out to threads */
    uint64_t step_held;           /* the consumer's batch; those before it are free */
    uint64_t step_read;           /* the consumer's next batch */
    uint32_t active_count;        /* threads that fill a slice */
    bool is_stopping;
};

struct slice {
    struct slot *slot;
    uint64_t step;
    uint32_t from, to; /* pictures of the batch */
};

/* --- Threads ------------------------------------------------------------------------------ */

static uint32_t pictures_of_step(const struct dv_loader *loader, uint64_t step)
{
    uint64_t left = loader->count - step * loader->batch_size;

    return left < loader->batch_size ? (uint32_t)left : loader->batch_size;
}

static size_t picture_values(const struct dv_loader *loader)
{
    const struct dv_augment *augment = &loader->augment;

    return (size_t)augment->rows * augment->columns * augment->channels;
}

/* Begin the batch of step_fill in its slot; what is left of a short batch becomes zeros. */
static void slot_begin(const struct dv_loader *loader, struct slot *slot)
{
    size_t values = picture_values(loader);

    slot->count = pictures_of_step(loader, loader->step_fill);
    slot->handed = 0;
    slot->pending = slot->count;
    uint32_t empty = loader->batch_size - slot->count;
    memset(slot->pixels + slot->count * values, 0, empty * values * sizeof(float));
    memset(slot->labels + slot->count, 0, empty * sizeof(uint32_t));
}

/* Wait for a slice of work; false when the loader is destroyed. */
static bool take_slice(struct dv_loader *loader, struct slice *ret_slice)
{
    bool has_slice = false;

    (void)pthread_mutex_lock(&loader->lock);
    while (!loader->is_stopping && (loader->step_fill >= loader->step_end ||
                                       loader->step_fill >= loader->step_held + RING_SIZE)) {
        (void)pthread_cond_wait(&loader->has_work, &loader->lock);
    }
    if (!loader->is_stopping) {
        struct slot *slot = &loader->slots[loader->step_fill % RING_SIZE];
        if (slot->handed == slot->count) {
            slot_begin(loader, slot);
        }
        uint32_t size = (loader->batch_size + loader->thread_count - 1) / loader->thread_count;
        uint32_t left = slot->count - slot->handed;
        size = size < left ? size : left;
        *ret_slice = (struct slice){.slot = slot,
            .step = loader->step_fill,
            .from = slot->handed,
            .to = slot->handed + size};
        slot->handed += size;
        loader->step_fill += slot->handed == slot->count;
        loader->active_count++;
        has_slice = true;
    }
    (void)pthread_mutex_unlock(&loader->lock);
    return has_slice;
}

static void finish_slice(struct dv_loader *loader, const struct slice *slice)
{
    (void)pthread_mutex_lock(&loader->lock);
    slice->slot->pending -= slice->to - slice->from;
    loader->active_count--;
    if (slice->slot->pending == 0 || loader->step_end == 0) {
        (void)pthread_cond_signal(&loader->has_progress);
    }
    (void)pthread_mutex_unlock(&loader->lock);
}

/* The content of a batch: a function of (seed, epoch, step) and of nothing else. */
static void fill_slice(
    const struct dv_loader *loader, const struct slice *slice, struct dv_augment_scratch *scratch)
{
    size_t values = picture_values(loader);
    bool is_wide = loader->augment.kind == DV_AUGMENTATION_STRONG;

    for (uint32_t i = slice->from; i < slice->to; i++) {
        uint64_t position = slice->step * loader->batch_size + i;
        uint64_t sample = loader->is_shuffled ? loader->order[position] : position;
        uint64_t number = loader->first + sample;
        const uint8_t *source =
            is_wide ? dv_cache_wide(loader->cache, number) : dv_cache_exact(loader->cache, number);
        struct dv_random random =
            dv_random_make(loader->seed, DV_RANDOM_AUGMENT, loader->epoch, number);
        dv_augment_picture(
            &loader->augment, &random, source, scratch, slice->slot->pixels + i * values);
        slice->slot->labels[i] = loader->labels[sample];
    }
}

static void *loader_thread(void *argument)
{
    struct worker *worker = argument;
    struct slice slice;

    while (take_slice(worker->loader, &slice)) {
        fill_slice(worker->loader, &slice, &worker->scratch);
        finish_slice(worker->loader, &slice);
    }
    return NULL;
}

/* Signals are for the main thread: those started here block them all. */
static enum dv_status start_threads(
    struct dv_loader *loader, uint32_t thread_count, struct dv_error *reterr)
{
    sigset_t all, before;
    int error = 0;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_count = thread_count ? thread_count : 1;
    thread_count = thread_count < THREADS_MAX ? thread_count : THREADS_MAX;
    for (uint32_t i = 0; i < thread_count && !error; i++) {
        struct worker *worker = &loader->workers[i];
        worker->loader = loader;
        dv_augment_scratch_init(&worker->scratch, &loader->augment);
        /* Threads read the count under the lock to size their slices. */
        (void)pthread_mutex_lock(&loader->lock);
        error = pthread_create(&worker->thread, NULL, loader_thread, worker);
        loader->thread_count += !error;
        (void)pthread_mutex_unlock(&loader->lock);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == EAGAIN) { /* what pthread_create() says when there is no memory for a stack */
        return dv_fail(reterr, DV_NOMEM, "no memory for a loader thread");
    }
    return error ? dv_fail_errno(reterr, error, "cannot start a loader thread") : DV_OK;
}

/* --- Life --------------------------------------------------------------------------------- */

static enum dv_status open_cache(const struct dv_loader_options *options, bool is_wide,
    struct dv_cache **ret_cache, struct dv_error *reterr)
{
    const struct dv_cache_options cache_options = {
        .pack = options->pack,
        .preprocessing = options->preprocessing,
        .path = options->cache_path,
        .split = options->split,
        .is_wide = is_wide,
        .thread_count = options->thread_count,
    };

    return dv_cache_open(&cache_options, ret_cache, reterr);
}

static enum dv_status create_slots(struct dv_loader *loader, struct dv_error *reterr)
{
    size_t values, size;

    if (!dv_size_mul(picture_values(loader), loader->batch_size, &values) ||
        !dv_size_mul(values, sizeof(float), &size)) {
        return dv_fail(reterr, DV_TOO_LARGE, "a batch of %u pictures does not fit in memory",
            loader->batch_size);
    }
    for (size_t i = 0; i < RING_SIZE; i++) {
        void *memory;
        enum dv_status status = dv_try_alloc_aligned(size, &memory, reterr);
        if (status != DV_OK) {
            return status;
        }
        loader->slots[i].pixels = memory;
        loader->slots[i].labels = dv_alloc(loader->batch_size * sizeof(uint32_t));
    }
    return DV_OK;
}

static enum dv_status read_labels(struct dv_loader *loader, struct dv_error *reterr)
{
    void *labels, *order;

    if (loader->count > UINT32_MAX) {
        return dv_fail(reterr, DV_TOO_LARGE, "more than %u pictures in a split", UINT32_MAX);
    }
    enum dv_status status = dv_try_alloc(loader->count, sizeof(uint32_t), &labels, reterr);
    if (status != DV_OK) {
        return status;
    }
    loader->labels = labels;
    status = dv_try_alloc(loader->count, sizeof(uint32_t), &order, reterr);
    if (status != DV_OK) {
        return status;
    }
    loader->order = order;
    for (uint64_t i = 0; i < loader->count; i++) {
        struct dv_pack_sample sample;
        dv_pack_sample(loader->pack, loader->first + i, &sample);
        loader->labels[i] = sample.class_index;
    }
    return DV_OK;
}

static enum dv_status loader_init(
    struct dv_loader *loader, const struct dv_loader_options *options, struct dv_error *reterr)
{
    bool is_wide = options->augmentation == DV_AUGMENTATION_STRONG;
    uint32_t rows = options->preprocessing->rows;
    uint32_t columns = options->preprocessing->columns;

    loader->pack = options->pack;
    loader->seed = options->seed;
    loader->batch_size = options->batch_size;
    loader->is_shuffled = options->is_shuffled;
    dv_pack_split_range(options->pack, options->split, &loader->first, &loader->count);
    dv_augment_init(&loader->augment, options->preprocessing, options->augmentation,
        is_wide ? dv_cache_wide_side(rows) : rows, is_wide ? dv_cache_wide_side(columns) : columns);

    enum dv_status status = read_labels(loader, reterr);
    if (status == DV_OK) {
        status = create_slots(loader, reterr);
    }
    if (status == DV_OK) {
        status = open_cache(options, is_wide, &loader->cache, reterr);
    }
    if (status == DV_OK) {
        status = start_threads(loader, options->thread_count, reterr);
    }
    return status;
}

enum dv_status dv_loader_create(
    const struct dv_loader_options *options, struct dv_loader **ret_loader, struct dv_error *reterr)
{
    assert(options);
    assert(options->pack);
    assert(options->preprocessing);
    assert(options->batch_size > 0);
    assert(ret_loader);
    assert(options->augmentation != DV_AUGMENTATION_STRONG || options->split == DV_SPLIT_TRAIN);

    struct dv_loader *loader = dv_alloc(sizeof(*loader));
    (void)pthread_mutex_init(&loader->lock, NULL);
    (void)pthread_cond_init(&loader->has_work, NULL);
    (void)pthread_cond_init(&loader->has_progress, NULL);
    enum dv_status status = loader_init(loader, options, reterr);
    if (status != DV_OK) {
        (void)dv_loader_destroy(loader);
        return status;
    }
    *ret_loader = loader;
    return DV_OK;
}

struct dv_loader *dv_loader_destroy(struct dv_loader *loader)
{
    if (!loader) {
        return NULL;
    }
    (void)pthread_mutex_lock(&loader->lock);
    loader->is_stopping = true;
    (void)pthread_cond_broadcast(&loader->has_work);
    (void)pthread_mutex_unlock(&loader->lock);
    for (uint32_t i = 0; i < loader->thread_count; i++) {
        (void)pthread_join(loader->workers[i].thread, NULL);
    }
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
        dv_augment_scratch_finish(&loader->workers[i].scratch); /* empty where none was started */
    }
    for (size_t i = 0; i < RING_SIZE; i++) {
        dv_free(loader->slots[i].pixels);
        dv_free(loader->slots[i].labels);
    }
    (void)dv_cache_close(loader->cache);
    dv_free(loader->labels);
    dv_free(loader->order);
    (void)pthread_cond_destroy(&loader->has_progress);
    (void)pthread_cond_destroy(&loader->has_work);
    (void)pthread_mutex_destroy(&loader->lock);
    return dv_free(loader);
}

/* --- Use ---------------------------------------------------------------------------------- */

uint64_t dv_loader_sample_count(const struct dv_loader *loader)
{
    return loader->count;
}

uint64_t dv_loader_step_count(const struct dv_loader *loader)
{
    uint64_t full = loader->count / loader->batch_size;
    bool has_rest = loader->count % loader->batch_size != 0;

    return full + (has_rest && (full == 0 || !loader->is_shuffled));
}

static void shuffle(struct dv_loader *loader)
{
    struct dv_random random = dv_random_make(loader->seed, DV_RANDOM_ORDER, loader->epoch, 0);

    for (uint32_t i = 0; i < loader->count; i++) {
        loader->order[i] = i;
    }
    dv_random_shuffle(&random, loader->order, (size_t)loader->count);
}

void dv_loader_start(struct dv_loader *loader, uint64_t epoch, uint64_t step)
{
    assert(loader);
    (void)pthread_mutex_lock(&loader->lock);
    loader->step_end = 0; /* no thread takes more */
    while (loader->active_count > 0) {
        (void)pthread_cond_wait(&loader->has_progress, &loader->lock);
    }
    loader->epoch = epoch;
    if (loader->is_shuffled) {
        shuffle(loader);
    }
    for (size_t i = 0; i < RING_SIZE; i++) {
        loader->slots[i].count = 0;
        loader->slots[i].handed = 0;
        loader->slots[i].pending = 0;
    }
    loader->step_fill = step;
    loader->step_held = step;
    loader->step_read = step;
    loader->step_end = dv_loader_step_count(loader);
    (void)pthread_cond_broadcast(&loader->has_work);
    (void)pthread_mutex_unlock(&loader->lock);
}

enum dv_status dv_loader_next(struct dv_loader *loader, struct dv_batch *ret_batch,
    bool *ret_has_batch, struct dv_error *reterr)
{
    assert(loader);
    assert(ret_batch);
    assert(ret_has_batch);
    (void)reterr; /* for readers that decode on the way; ours did it when it was created */

    (void)pthread_mutex_lock(&loader->lock);
    bool has_batch = loader->step_read < loader->step_end;
    loader->step_held = loader->step_read; /* the batch before is given back */
    (void)pthread_cond_broadcast(&loader->has_work);
    if (has_batch) {
        const struct slot *slot = &loader->slots[loader->step_read % RING_SIZE];
        while (loader->step_fill <= loader->step_read || slot->pending > 0) {
            (void)pthread_cond_wait(&loader->has_progress, &loader->lock);
        }
        *ret_batch = (struct dv_batch){
            .pixels = slot->pixels,
            .labels = slot->labels,
            .count = slot->count,
            .first_sample = loader->first + loader->step_read * loader->batch_size,
        };
        loader->step_read++;
    }
    *ret_has_batch = has_batch;
    (void)pthread_mutex_unlock(&loader->lock);
    return DV_OK;
}

/* --- Statistics --------------------------------------------------------------------------- */

/* How often each byte value occurs: sums from it are exact, whatever the order. */
static void count_values(const struct dv_cache *cache, uint64_t first, uint64_t count,
    const struct dv_preprocessing *preprocessing, uint64_t (*ret_counts)[256])
{
    uint32_t channels = preprocessing->channels;
    size_t size = (size_t)preprocessing->rows * preprocessing->columns * channels;

    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *pixels = dv_cache_exact(cache, first + i);
        for (uint32_t c = 0; c < channels; c++) {
            for (size_t j = c; j < size; j += channels) {
                ret_counts[c][pixels[j]]++;
            }
        }
    }
}

static void mean_and_std(const uint64_t counts[256], float *ret_mean, float *ret_std)
{
    double total = 0.0, sum = 0.0, squares = 0.0;

    for (int value = 0; value < 256; value++) {
        double count = (double)counts[value];
        total += count;
        sum += count * value;
        squares += count * value * value;
    }
    double mean = total > 0.0 ? sum / total : 0.0;
    double variance = total > 0.0 ? squares / total - mean * mean : 0.0;
    *ret_mean = (float)(mean / 255.0);
    *ret_std = variance > 1e-3 ? (float)(sqrt(variance) / 255.0) : 1.0f; /* one flat colour */
}

enum dv_status dv_loader_statistics(const struct dv_loader_options *options, float ret_mean[3],
    float ret_std[3], struct dv_error *reterr)
{
    struct dv_loader_options train = *options;
    uint64_t counts[3][256] = {0};
    struct dv_cache *cache;
    uint64_t first, count;

    assert(ret_mean);
    assert(ret_std);
    train.split = DV_SPLIT_TRAIN;
    /* A file that training will want with wide pictures is built with them at once. */
    bool is_wide = options->cache_path && options->augmentation == DV_AUGMENTATION_STRONG;
    enum dv_status status = open_cache(&train, is_wide, &cache, reterr);
    if (status != DV_OK) {
        return status;
    }
    dv_pack_split_range(options->pack, DV_SPLIT_TRAIN, &first, &count);
    count_values(cache, first, count, options->preprocessing, counts);
    (void)dv_cache_close(cache);
    for (uint32_t c = 0; c < 3; c++) {
        mean_and_std(
            counts[c < options->preprocessing->channels ? c : 0], &ret_mean[c], &ret_std[c]);
    }
    return DV_OK;
}
