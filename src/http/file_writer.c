/* SPDX-License-Identifier: Apache-2.0 */
#include "http/file_writer.h"

#include "base/alloc.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#define THREAD_COUNT 2 /* so that one file's fsync does not hold up another's blocks */
/* Writing out is started every so many bytes: what is left for the last fsync stays small, and so
 * does what the kernel holds in memory. */
#define WRITE_OUT_SIZE (8u << 20)
/* Of a large file the kernel forgets what is on the disk and this far back, so that the next bytes
 * go into the same pages. New ones would push out what others read, and can cost more than the
 * copying: under a hypervisor that takes unused memory back, 4 GB went in at half the speed. */
#define IN_FLIGHT_SIZE (8u * WRITE_OUT_SIZE)
#define KEPT_SIZE (1u << 30) /* at its start: a smaller file is in memory for who reads it next */

struct dv_file_writer {
    pthread_mutex_t lock;
    pthread_cond_t has_work;
    struct dv_file_work *first, *last;
    bool is_ending;
    pthread_t threads[THREAD_COUNT];
    size_t thread_count; /* started */
};

static enum dv_status write_out(struct dv_file_work *work, uint64_t begin, uint64_t end)
{
    /* Only a hint: a failure shows in fsync. */
    int result =
        sync_file_range(work->fd, (off_t)begin, (off_t)(end - begin), SYNC_FILE_RANGE_WRITE);

    if (result != 0 || begin < KEPT_SIZE + IN_FLIGHT_SIZE) {
        return DV_OK;
    }
    return dv_file_let_go(work->fd, begin - IN_FLIGHT_SIZE, WRITE_OUT_SIZE, &work->error);
}

static enum dv_status write_block(struct dv_file_work *work)
{
    enum dv_status status = DV_OK;
    uint64_t end = work->offset + work->size;

    if (work->size > 0) {
        status = dv_file_write_all(work->fd, work->data, work->size, &work->error);
    }
    if (status == DV_OK && work->offset / WRITE_OUT_SIZE != end / WRITE_OUT_SIZE) {
        status = write_out(work, work->offset / WRITE_OUT_SIZE * WRITE_OUT_SIZE, end);
    }
    if (status == DV_OK && work->is_sync) {
        status = dv_file_sync(work->fd, &work->error);
    }
    return status;
}

static struct dv_file_work *take_work(struct dv_file_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (!writer->first && !writer->is_ending) {
        pthread_cond_wait(&writer->has_work, &writer->lock);
    }
    struct dv_file_work *work = writer->first;
    if (work) {
        writer->first = work->next;
        writer->last = writer->first ? writer->last : NULL;
    }
    pthread_mutex_unlock(&writer->lock);
    return work;
}

static void *run(void *user)
{
    struct dv_file_writer *writer = user;
    struct dv_file_work *work;

    while ((work = take_work(writer))) {
        enum dv_status status = write_block(work);
        work->done(work, status);
    }
    return NULL;
}

enum dv_status dv_file_writer_create(struct dv_file_writer **ret_writer, struct dv_error *reterr)
{
    struct dv_file_writer *writer = dv_alloc(sizeof(*writer));

    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->has_work, NULL);
    for (; writer->thread_count < THREAD_COUNT; writer->thread_count++) {
        int error = pthread_create(&writer->threads[writer->thread_count], NULL, run, writer);
        if (error != 0) {
            writer = dv_file_writer_destroy(writer);
            return dv_fail_errno(reterr, error, "cannot start a thread for files");
        }
    }
    *ret_writer = writer;
    return DV_OK;
}

struct dv_file_writer *dv_file_writer_destroy(struct dv_file_writer *writer)
{
    if (!writer) {
        return NULL;
    }
    pthread_mutex_lock(&writer->lock);
    writer->is_ending = true;
    pthread_cond_broadcast(&writer->has_work);
    pthread_mutex_unlock(&writer->lock);
    for (size_t i = 0; i < writer->thread_count; i++) {
        pthread_join(writer->threads[i], NULL);
    }
    assert(!writer->first);
    pthread_cond_destroy(&writer->has_work);
    pthread_mutex_destroy(&writer->lock);
    return dv_free(writer);
}

void dv_file_writer_submit(struct dv_file_writer *writer, struct dv_file_work *work)
{
    assert(work->done);
    pthread_mutex_lock(&writer->lock);
    assert(!writer->is_ending);
    work->next = NULL;
    if (writer->last) {
        writer->last->next = work;
    } else {
        writer->first = work;
    }
    writer->last = work;
    pthread_cond_signal(&writer->has_work);
    pthread_mutex_unlock(&writer->lock);
}
