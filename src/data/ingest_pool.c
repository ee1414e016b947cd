/* SPDX-License-Identifier: Apache-2.0 */
#include "data/ingest_pool.h"

#include "base/alloc.h"
#include "data/image.h"

#include <assert.h>
#include <pthread.h>

#define RING_SIZE 256u
#define BYTES_MAX ((size_t)64 << 20)
#define THREADS_MAX 64u

/*
 * Numbers of tasks only grow; a task lives at its number modulo RING_SIZE.
 * released <= taken by a thread (next) <= submitted <= released + RING_SIZE.
 */
struct dv_ingest_pool {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    pthread_cond_t has_result;
    uint64_t submitted;
    uint64_t next;
    bool is_stopping;
    bool is_done[RING_SIZE];

    /* The caller's thread alone. */
    uint64_t released;
    size_t bytes; /* of the tasks in flight */

    pthread_t threads[THREADS_MAX];
    uint32_t thread_count;
    struct dv_ingest_task tasks[RING_SIZE];
};

/* --- In the threads ------------------------------------------------------------------------- */

/* One that would be the same as the one before, because the picture is no larger, is left out. */
static enum dv_status make_previews(struct dv_ingest_task *task, const struct dv_image *image)
{
    for (int i = 0; i < DV_PACK_PREVIEW_COUNT; i++) {
        uint32_t side = dv_pack_preview_sides[i];
        uint32_t smaller = i > 0 ? dv_pack_preview_sides[i - 1] : 0;
        unsigned char *data;
        if (image->rows <= smaller && image->columns <= smaller) {
            continue;
        }
        enum dv_status status =
            dv_image_preview(image, side, &data, &task->previews[i].size, &task->error);
        if (status != DV_OK) {
            return status;
        }
        task->previews[i].data = data;
    }
    return DV_OK;
}

static void work(struct dv_ingest_task *task)
{
    struct dv_image image = {0};

    task->finding = DV_FINDING_CORRUPT_IMAGE;
    task->status = dv_image_decode(task->data, task->size, &image, &task->finding, &task->error);
    if (task->status != DV_OK) {
        return;
    }
    dv_sha256(task->data, task->size, task->hash);
    task->rows = image.rows;
    task->columns = image.columns;
    task->channels = image.channels;
    dv_fingerprint_make(&image, &task->fingerprint);
    task->status = make_previews(task, &image);
    dv_image_finish(&image);
}

static void *run_thread(void *data)
{
    struct dv_ingest_pool *pool = data;

    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->next == pool->submitted && !pool->is_stopping) {
            (void)pthread_cond_wait(&pool->has_work, &pool->lock);
        }
        if (pool->is_stopping) {
            break;
        }
        size_t slot = (size_t)(pool->next++ % RING_SIZE);
        (void)pthread_mutex_unlock(&pool->lock);
        work(&pool->tasks[slot]);
        (void)pthread_mutex_lock(&pool->lock);
        pool->is_done[slot] = true;
        (void)pthread_cond_signal(&pool->has_result);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* --- The caller's side ------------------------------------------------------------------------ */

enum dv_status dv_ingest_pool_create(
    uint32_t thread_count, struct dv_ingest_pool **ret_pool, struct dv_error *reterr)
{
    assert(thread_count > 0);
    assert(ret_pool);

    struct dv_ingest_pool *pool = dv_alloc(sizeof(*pool));
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->has_work, NULL);
    (void)pthread_cond_init(&pool->has_result, NULL);
    thread_count = thread_count < THREADS_MAX ? thread_count : THREADS_MAX;
    while (pool->thread_count < thread_count) {
        int error = pthread_create(&pool->threads[pool->thread_count], NULL, run_thread, pool);
        if (error != 0) {
            dv_ingest_pool_destroy(pool);
            return dv_fail_errno(reterr, error, "cannot start a thread");
        }
        pool->thread_count++;
    }
    *ret_pool = pool;
    return DV_OK;
}

static void finish_task(struct dv_ingest_task *task)
{
    for (int i = 0; i < DV_PACK_PREVIEW_COUNT; i++) {
        dv_free((void *)task->previews[i].data);
    }
    dv_free(task->data);
    *task = (struct dv_ingest_task){0};
}

struct dv_ingest_pool *dv_ingest_pool_destroy(struct dv_ingest_pool *pool)
{
    if (!pool) {
        return NULL;
    }
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    (void)pthread_cond_broadcast(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    for (size_t i = 0; i < RING_SIZE; i++) {
        finish_task(&pool->tasks[i]);
    }
    (void)pthread_cond_destroy(&pool->has_result);
    (void)pthread_cond_destroy(&pool->has_work);
    (void)pthread_mutex_destroy(&pool->lock);
    return dv_free(pool);
}

void dv_ingest_pool_destroyp(struct dv_ingest_pool **pool)
{
    *pool = dv_ingest_pool_destroy(*pool);
}

/* `submitted` is written by this thread alone, so reading it here needs no lock. */
bool dv_ingest_pool_has_room(const struct dv_ingest_pool *pool, size_t size)
{
    uint64_t in_flight = pool->submitted - pool->released;

    return in_flight == 0 ||
           (in_flight < RING_SIZE && pool->bytes < BYTES_MAX && size <= BYTES_MAX - pool->bytes);
}

struct dv_ingest_task *dv_ingest_pool_claim(struct dv_ingest_pool *pool)
{
    assert(pool->submitted - pool->released < RING_SIZE);
    return &pool->tasks[pool->submitted % RING_SIZE];
}

void dv_ingest_pool_submit(struct dv_ingest_pool *pool)
{
    pool->bytes += pool->tasks[pool->submitted % RING_SIZE].size;
    (void)pthread_mutex_lock(&pool->lock);
    pool->submitted++;
    (void)pthread_cond_signal(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
}

const struct dv_ingest_task *dv_ingest_pool_take(struct dv_ingest_pool *pool)
{
    size_t slot = (size_t)(pool->released % RING_SIZE);

    if (pool->released == pool->submitted) {
        return NULL;
    }
    (void)pthread_mutex_lock(&pool->lock);
    while (!pool->is_done[slot]) {
        (void)pthread_cond_wait(&pool->has_result, &pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return &pool->tasks[slot];
}

void dv_ingest_pool_release(struct dv_ingest_pool *pool)
{
    size_t slot = (size_t)(pool->released % RING_SIZE);

    assert(pool->released < pool->submitted);
    assert(pool->is_done[slot]);

    /* No lock: no thread looks at this slot before the next submit. */
    pool->is_done[slot] = false;
    pool->bytes -= pool->tasks[slot].size;
    finish_task(&pool->tasks[slot]);
    pool->released++;
}
