/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/folder_hash.h"
#include "http/file_writer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)
#define BLOCK_SIZE (8 * MIB)
#define LARGE (1024 * MIB) /* what lies behind is let go of, when 64 MiB more have come */
#define FAR (LARGE + 64 * MIB)

static char folder[] = "/tmp/dv-test-file-writer-XXXXXX";
static char path[DV_PATH_SIZE];
static char *block;

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    block = dv_alloc(BLOCK_SIZE);
    return dv_path_format(path, NULL, "%s/file", folder) == DV_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    block = dv_free(block);
    return dv_folder_remove(folder, NULL) == DV_OK ? 0 : -1;
}

struct outcome {
    pthread_mutex_t lock;
    pthread_cond_t has_come;
    bool is_there;
    enum dv_status status;
};

static void note_outcome(struct dv_file_work *work, enum dv_status status)
{
    struct outcome *outcome = work->user;

    pthread_mutex_lock(&outcome->lock);
    outcome->is_there = true;
    outcome->status = status;
    pthread_cond_signal(&outcome->has_come);
    pthread_mutex_unlock(&outcome->lock);
}

/* Blocks from `begin` to `end`, the last one with the fsync; what the first that failed says. */
static enum dv_status write_blocks(
    struct dv_file_writer *writer, int fd, size_t begin, size_t end, bool is_end)
{
    enum dv_status status = DV_OK;

    assert_int_equal(lseek(fd, (off_t)begin, SEEK_SET), (off_t)begin);
    for (size_t at = begin; at < end && status == DV_OK; at += BLOCK_SIZE) {
        struct outcome outcome = {
            .lock = PTHREAD_MUTEX_INITIALIZER, .has_come = PTHREAD_COND_INITIALIZER};
        struct dv_file_work work = {.fd = fd,
            .data = memset(block, (int)(at / BLOCK_SIZE % 251), BLOCK_SIZE),
            .size = BLOCK_SIZE,
            .offset = at,
            .is_sync = is_end && at + BLOCK_SIZE >= end,
            .done = note_outcome,
            .user = &outcome};
        dv_file_writer_submit(writer, &work);
        pthread_mutex_lock(&outcome.lock);
        while (!outcome.is_there) {
            pthread_cond_wait(&outcome.has_come, &outcome.lock);
        }
        status = outcome.status;
        pthread_mutex_unlock(&outcome.lock);
    }
    return status;
}

/* How many of a block's pages the kernel has in memory: it may hold on to a few that it was asked
 * to forget. */
#define FEW (BLOCK_SIZE / 4096 / 8)
static size_t count_pages(int fd, size_t at)
{
    static unsigned char pages[BLOCK_SIZE / 4096];
    size_t count = 0, page_count = BLOCK_SIZE / (size_t)sysconf(_SC_PAGESIZE);

    void *map = mmap(NULL, BLOCK_SIZE, PROT_READ, MAP_SHARED, fd, (off_t)at);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, BLOCK_SIZE, pages), 0);
    for (size_t i = 0; i < page_count; i++) {
        count += pages[i] & 1;
    }
    assert_int_equal(munmap(map, BLOCK_SIZE), 0);
    return count;
}

static void a_large_file_does_not_fill_the_memory(void **state)
{
    struct dv_file_writer *writer;
    struct statfs about;
    int fd;

    (void)state;
    assert_int_equal(dv_file_create(path, &fd, NULL), DV_OK);
    assert_int_equal(dv_file_writer_create(&writer, NULL), DV_OK);
    assert_int_equal(write_blocks(writer, fd, 0, BLOCK_SIZE, false), DV_OK);
    assert_int_equal(write_blocks(writer, fd, LARGE, FAR + 2 * BLOCK_SIZE, true), DV_OK);
    dv_file_writer_destroy(writer);

    assert_int_equal(fstatfs(fd, &about), 0);
    if (about.f_type != TMPFS_MAGIC) { /* which is memory */
        assert_true(count_pages(fd, LARGE) < FEW);
        assert_true(count_pages(fd, LARGE + BLOCK_SIZE) < FEW);
        assert_true(count_pages(fd, FAR + BLOCK_SIZE) > FEW);
    }
    for (size_t at = LARGE; at < FAR + 2 * BLOCK_SIZE; at += BLOCK_SIZE) {
        char last;
        assert_int_equal(dv_file_pread(fd, &last, 1, at + BLOCK_SIZE - 1, NULL), DV_OK);
        assert_int_equal((unsigned char)last, at / BLOCK_SIZE % 251);
    }
    dv_file_closep(&fd);
}

/* The kernel says once that a write has failed: whoever hears it must not keep it to himself. */
static void a_write_that_failed_behind_is_not_lost(void **state)
{
    struct dv_file_writer *writer;
    int fd;

    (void)state;
    assert_int_equal(dv_file_create(path, &fd, NULL), DV_OK);
    assert_int_equal(dv_file_writer_create(&writer, NULL), DV_OK);
    dv_fault_arm("let_go", 1);
    assert_int_equal(write_blocks(writer, fd, LARGE, FAR, false), DV_OK);
    assert_int_equal(write_blocks(writer, fd, FAR, FAR + BLOCK_SIZE, false), DV_IO);
    assert_true(dv_fault_disarm());
    assert_int_equal(write_blocks(writer, fd, FAR, FAR + BLOCK_SIZE, true), DV_OK);
    dv_file_writer_destroy(writer);
    dv_file_closep(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_file_does_not_fill_the_memory),
        cmocka_unit_test(a_write_that_failed_behind_is_not_lost),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
