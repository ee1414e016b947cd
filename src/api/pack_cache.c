/* SPDX-License-Identifier: Apache-2.0 */
#include "api/pack_cache.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "pack/pack.h"

#include <assert.h>
#include <pthread.h>

struct entry {
    char id[DV_UUID_TEXT_SIZE];
    struct dv_pack *pack;
    uint32_t user_count;
    bool is_forgotten; /* is not found any more, and goes with its last user */
    uint64_t used_at; /* the cache's count of borrowings then */
    struct entry *next;
};

struct dv_pack_cache {
    char *data_folder;
    pthread_mutex_t lock;
    struct entry *entries;
    uint64_t borrow_count;
};

struct dv_pack_cache *dv_pack_cache_create(const char *data_folder)
{
    struct dv_pack_cache *cache = dv_alloc(sizeof(*cache));

    cache->data_folder = dv_strdup(data_folder);
    (void)pthread_mutex_init(&cache->lock, NULL); /* cannot fail on Linux without attributes */
    return cache;
}

static void destroy_entry(struct entry *entry)
{
    assert(entry->user_count == 0);
    (void)dv_pack_close(entry->pack);
    dv_free(entry);
}

struct dv_pack_cache *dv_pack_cache_destroy(struct dv_pack_cache *cache)
{
    if (!cache) {
        return NULL;
    }
    while (cache->entries) {
        struct entry *entry = cache->entries;
        cache->entries = entry->next;
        destroy_entry(entry);
    }
    (void)pthread_mutex_destroy(&cache->lock);
    dv_free(cache->data_folder);
    dv_free(cache);
    return NULL;
}

static struct entry *find(struct dv_pack_cache *cache, const char *id)
{
    struct entry *entry = cache->entries;

    while (entry && (entry->is_forgotten || !dv_text_equal(entry->id, id))) {
        entry = entry->next;
    }
    return entry;
}

static void unlink_entry(struct dv_pack_cache *cache, const struct entry *entry)
{
    struct entry **at = &cache->entries;

    while (*at != entry) {
        at = &(*at)->next;
    }
    *at = entry->next;
}

/* Unlink the one that nobody has used for longest, when there are more than the cache keeps. */
static struct entry *take_oldest(struct dv_pack_cache *cache)
{
    struct entry *oldest = NULL;
    size_t idle_count = 0;

    for (struct entry *entry = cache->entries; entry; entry = entry->next) {
        if (entry->user_count == 0) {
            idle_count++;
            oldest = !oldest || entry->used_at < oldest->used_at ? entry : oldest;
        }
    }
    if (idle_count <= DV_PACK_CACHE_MAX) {
        return NULL;
    }
    unlink_entry(cache, oldest);
    return oldest;
}

static enum dv_status open_entry(struct dv_pack_cache *cache, const char *id,
    struct entry **ret_entry, struct dv_error *reterr)
{
    char folder[DV_PATH_SIZE];
    struct dv_pack *pack;

    enum dv_status status =
        dv_path_format(folder, reterr, "%s/datasets/%s", cache->data_folder, id);
    if (status == DV_OK) {
        status = dv_pack_open(folder, &pack, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    struct entry *entry = dv_alloc(sizeof(*entry));
    (void)dv_text_copy(entry->id, sizeof(entry->id), id);
    entry->pack = pack;
    *ret_entry = entry;
    return DV_OK;
}

enum dv_status dv_pack_cache_borrow(struct dv_pack_cache *cache, const char *id,
    const struct dv_pack **ret_pack, struct dv_error *reterr)
{
    struct entry *opened = NULL;

    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = find(cache, id);
    if (!entry) {
        (void)pthread_mutex_unlock(&cache->lock);
        enum dv_status status = open_entry(cache, id, &opened, reterr);
        if (status != DV_OK) {
            return status;
        }
        (void)pthread_mutex_lock(&cache->lock);
        entry = find(cache, id); /* someone else may have been quicker */
        if (!entry) {
            entry = opened;
            entry->next = cache->entries;
            cache->entries = entry;
            opened = NULL;
        }
    }
    entry->user_count++;
    entry->used_at = ++cache->borrow_count;
    *ret_pack = entry->pack;
    (void)pthread_mutex_unlock(&cache->lock);
    if (opened) {
        destroy_entry(opened);
    }
    return DV_OK;
}

void dv_pack_cache_return(struct dv_pack_cache *cache, const struct dv_pack *pack)
{
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = cache->entries;
    while (entry && entry->pack != pack) {
        entry = entry->next;
    }
    assert(entry);
    assert(entry->user_count > 0);
    entry->user_count--;
    struct entry *doomed = NULL;
    if (entry->is_forgotten && entry->user_count == 0) {
        doomed = entry;
        unlink_entry(cache, doomed);
    } else {
        doomed = take_oldest(cache);
    }
    (void)pthread_mutex_unlock(&cache->lock);
    if (doomed) {
        destroy_entry(doomed);
    }
}

void dv_pack_cache_forget(struct dv_pack_cache *cache, const char *id)
{
    struct entry *doomed = NULL;

    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = find(cache, id);
    if (entry && entry->user_count == 0) {
        doomed = entry;
        unlink_entry(cache, doomed);
    } else if (entry) {
        entry->is_forgotten = true;
    }
    (void)pthread_mutex_unlock(&cache->lock);
    if (doomed) {
        destroy_entry(doomed);
    }
}
