/* SPDX-License-Identifier: Apache-2.0 */
#include "data/ingest_hash.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define CHUNK_SIZE ((size_t)1 << 20)

struct dv_ingest_hash {
    int fd; /* -1: a folder */
    pthread_t thread;
    bool has_thread;
    atomic_bool is_stopping;
    enum dv_status status;
    struct dv_error error;
    char text[DV_SHA256_TEXT_SIZE];
};

static enum dv_status hash_file(struct dv_ingest_hash *hash)
{
    DV_CLEANUP(dv_freep) unsigned char *chunk = dv_alloc(CHUNK_SIZE);
    unsigned char digest[DV_SHA256_SIZE];
    struct dv_sha256 state;
    uint64_t total = 0;

    dv_sha256_init(&state);
    enum dv_status status = dv_file_size(hash->fd, &total, &hash->error);
    for (uint64_t at = 0; at < total && status == DV_OK; at += CHUNK_SIZE) {
        size_t size = total - at < CHUNK_SIZE ? (size_t)(total - at) : CHUNK_SIZE;
        if (atomic_load(&hash->is_stopping)) {
            return DV_CANCELLED;
        }
        status = dv_file_pread(hash->fd, chunk, size, at, &hash->error);
        if (status == DV_OK) {
            dv_sha256_update(&state, chunk, size);
        }
    }
    if (status == DV_OK) {
        dv_sha256_finish(&state, digest);
        dv_text_hex(digest, sizeof(digest), hash->text);
    }
    return status;
}

static void *run_thread(void *data)
{
    struct dv_ingest_hash *hash = data;

    hash->status = hash_file(hash);
    return NULL;
}

enum dv_status dv_ingest_hash_start(
    const char *path, struct dv_ingest_hash **ret_hash, struct dv_error *reterr)
{
    assert(path);
    assert(ret_hash);

    struct dv_ingest_hash *hash = dv_alloc(sizeof(*hash));
    enum dv_status status = DV_OK;
    hash->fd = -1;
    if (!dv_path_is_folder(path)) {
        status = dv_file_open_read(path, &hash->fd, reterr);
        if (status == DV_OK) {
            int error = pthread_create(&hash->thread, NULL, run_thread, hash);
            hash->has_thread = error == 0;
            status = error == 0 ? DV_OK : dv_fail_errno(reterr, error, "cannot start a thread");
        }
    }
    if (status != DV_OK) {
        dv_ingest_hash_stop(hash);
        return status;
    }
    *ret_hash = hash;
    return DV_OK;
}

enum dv_status dv_ingest_hash_wait(
    struct dv_ingest_hash *hash, char ret_text[static DV_SHA256_TEXT_SIZE], struct dv_error *reterr)
{
    assert(hash);

    if (hash->has_thread) {
        (void)pthread_join(hash->thread, NULL);
        hash->has_thread = false;
    }
    if (hash->status != DV_OK) {
        return dv_fail(reterr, hash->status, "%s", hash->error.text);
    }
    memcpy(ret_text, hash->text, sizeof(hash->text));
    return DV_OK;
}

struct dv_ingest_hash *dv_ingest_hash_stop(struct dv_ingest_hash *hash)
{
    if (hash) {
        atomic_store(&hash->is_stopping, true);
        if (hash->has_thread) {
            (void)pthread_join(hash->thread, NULL);
        }
        dv_file_closep(&hash->fd);
        dv_free(hash);
    }
    return NULL;
}

void dv_ingest_hash_stopp(struct dv_ingest_hash **hash)
{
    *hash = dv_ingest_hash_stop(*hash);
}
