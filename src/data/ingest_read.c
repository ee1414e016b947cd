/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/file.h"
#include "data/ingest_findings.h"
#include "data/ingest_pool.h"
#include "data/ingest_state.h"
#include "data/layout.h"
#include "data/source.h"
#include "spec/limits.h"

#include <assert.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define THUMBNAIL_SIZE (DV_FINGERPRINT_SIDE * DV_FINGERPRINT_SIDE)
#define THUMBNAILS_BUFFERED 256u

/* Thumbnails gathered until they are worth a write. */
struct thumbnails {
    uint32_t buffered;
    uint8_t bytes[THUMBNAILS_BUFFERED][THUMBNAIL_SIZE];
};

struct reading {
    struct dv_ingest *ingest;
    struct dv_ingest_pool *pool;
    struct thumbnails *thumbnails;
};

static uint32_t count_processors(void)
{
    cpu_set_t set;

    /* Not from /proc or /sys, which a locked-in process cannot read. */
    if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) < 1) {
        return 1;
    }
    return (uint32_t)CPU_COUNT(&set);
}

static enum dv_status flush_thumbnails(struct reading *reading, struct dv_error *reterr)
{
    struct thumbnails *thumbnails = reading->thumbnails;
    size_t size = (size_t)thumbnails->buffered * THUMBNAIL_SIZE;

    thumbnails->buffered = 0;
    return dv_file_write_all(reading->ingest->thumbnails, thumbnails->bytes, size, reterr);
}

/* The file needs no name: it is gone with its descriptor, whatever happens. */
static enum dv_status open_thumbnails(struct dv_ingest *ingest, struct dv_error *reterr)
{
    char path[DV_PATH_SIZE];

    enum dv_status status =
        dv_path_format(path, reterr, "%s/thumbnails.tmp", ingest->options->folder);
    if (status == DV_OK) {
        status = dv_file_create(path, &ingest->thumbnails, reterr);
    }
    if (status == DV_OK) {
        (void)unlink(path);
    }
    return status;
}

/* --- What comes out of the pool ----------------------------------------------------------------
 */

static enum dv_status keep(
    struct reading *reading, const struct dv_ingest_task *task, struct dv_error *reterr)
{
    struct dv_ingest *ingest = reading->ingest;
    struct thumbnails *thumbnails = reading->thumbnails;
    struct dv_candidate *candidate = &ingest->candidates[ingest->count];

    enum dv_status status = dv_pack_writer_append(
        ingest->writer, task->data, task->size, task->previews, &candidate->record.place, reterr);
    if (status != DV_OK) {
        return status;
    }
    candidate->record.sample = (struct dv_pack_sample){
        .name = task->name,
        .class_index = task->class_index,
        .split = task->split,
        .rows = task->rows,
        .columns = task->columns,
        .channels = task->channels,
        .size = task->size,
    };
    memcpy(candidate->record.sample.hash, task->hash, DV_SHA256_SIZE);
    candidate->key = task->fingerprint.key;
    candidate->finding = DV_FINDING_CODE_COUNT;
    candidate->thumbnail = ingest->count++;
    ingest->classes[task->class_index].good++;

    memcpy(thumbnails->bytes[thumbnails->buffered++], task->fingerprint.fine, THUMBNAIL_SIZE);
    return thumbnails->buffered == THUMBNAILS_BUFFERED ? flush_thumbnails(reading, reterr) : DV_OK;
}

static void refuse(struct dv_ingest *ingest, const char *name, uint32_t class_index,
    enum dv_finding_code code, const char *reason)
{
    dv_ingest_findings_add(ingest->findings, name, code, "%s", reason);
    if (code != DV_FINDING_UNSUPPORTED_FORMAT && code != DV_FINDING_EMPTY_FILE) {
        ingest->classes[class_index].bad++;
    }
}

/* Out of memory or disk says nothing about the file; all else does. */
static bool is_about_file(enum dv_status status)
{
    return status == DV_CORRUPT || status == DV_INVALID || status == DV_TOO_LARGE ||
           status == DV_UNSUPPORTED;
}

static enum dv_status consume_oldest(struct reading *reading, struct dv_error *reterr)
{
    const struct dv_ingest_task *task = dv_ingest_pool_take(reading->pool);
    enum dv_status status = DV_OK;

    assert(task);
    if (task->status == DV_OK) {
        status = keep(reading, task, reterr);
    } else if (is_about_file(task->status)) {
        refuse(reading->ingest, task->name, task->class_index, task->finding, task->error.text);
    } else {
        status = dv_fail(reterr, task->status, "%s: %s", task->name, task->error.text);
    }
    dv_ingest_pool_release(reading->pool);
    return status;
}

/* --- What goes into the pool --------------------------------------------------------------------
 */

static enum dv_status read_entry(struct reading *reading, uint64_t index,
    const struct dv_source_entry *entry, const struct dv_layout_place *place,
    struct dv_error *reterr)
{
    struct dv_ingest *ingest = reading->ingest;
    struct dv_error error = {0};
    void *memory;

    if (entry->size == 0) {
        refuse(ingest, entry->name, place->class_index, DV_FINDING_EMPTY_FILE,
            "the file has no bytes");
        return DV_OK;
    }
    if (entry->size > DV_IMAGE_FILE_SIZE_MAX) {
        dv_ingest_findings_add(ingest->findings, entry->name, DV_FINDING_TOO_LARGE,
            "the file has %llu bytes, the limit is %u", (unsigned long long)entry->size,
            DV_IMAGE_FILE_SIZE_MAX);
        ingest->classes[place->class_index].bad++;
        return DV_OK;
    }
    while (!dv_ingest_pool_has_room(reading->pool, (size_t)entry->size)) {
        enum dv_status status = consume_oldest(reading, reterr);
        if (status != DV_OK) {
            return status;
        }
    }

    enum dv_status status = dv_try_alloc((size_t)entry->size, 1, &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    DV_CLEANUP(dv_freep) unsigned char *data = memory;
    status = dv_source_read(ingest->source, index, data, &error);
    if (status != DV_OK) {
        if (!is_about_file(status)) {
            return dv_fail(reterr, status, "%s: %s", entry->name, error.text);
        }
        refuse(ingest, entry->name, place->class_index, DV_FINDING_CORRUPT_ENTRY, error.text);
        return DV_OK;
    }

    struct dv_ingest_task *task = dv_ingest_pool_claim(reading->pool);
    task->name = entry->name;
    task->class_index = place->class_index;
    task->split = place->split;
    task->data = data;
    task->size = (size_t)entry->size;
    data = NULL;
    dv_ingest_pool_submit(reading->pool);
    return DV_OK;
}

static enum dv_status visit_entry(struct reading *reading, uint64_t index, struct dv_error *reterr)
{
    struct dv_ingest *ingest = reading->ingest;
    struct dv_source_entry entry;
    struct dv_layout_place place;

    dv_source_entry(ingest->source, index, &entry);
    dv_layout_place(ingest->layout, entry.name, &place);
    if (place.is_ignored) {
        return DV_OK; /* remarked last, so that what was refused is not crowded out */
    }
    if (entry.is_refused) {
        dv_ingest_findings_add(ingest->findings, entry.name, entry.finding, "%s", entry.reason);
        if (!place.reason) {
            ingest->classes[place.class_index].bad++;
        }
        return DV_OK;
    }
    if (place.reason) {
        dv_ingest_findings_add(
            ingest->findings, entry.name, DV_FINDING_NO_CLASS, "%s", place.reason);
        return DV_OK;
    }
    return read_entry(reading, index, &entry, &place, reterr);
}

static enum dv_status read_all(struct reading *reading, struct dv_error *reterr)
{
    struct dv_ingest *ingest = reading->ingest;
    uint64_t total = dv_source_count(ingest->source);

    for (uint64_t i = 0; i < total; i++) {
        enum dv_status status = visit_entry(reading, i, reterr);
        if (status == DV_OK) {
            status = dv_ingest_report(ingest, "read", i, total, reterr);
        }
        if (status != DV_OK) {
            return status;
        }
    }
    while (dv_ingest_pool_take(reading->pool)) {
        enum dv_status status = consume_oldest(reading, reterr);
        if (status != DV_OK) {
            return status;
        }
    }
    enum dv_status status = flush_thumbnails(reading, reterr);
    return status == DV_OK ? dv_ingest_report(ingest, "read", total, total, reterr) : status;
}

enum dv_status dv_ingest_read(struct dv_ingest *ingest, struct dv_error *reterr)
{
    DV_CLEANUP(dv_ingest_pool_destroyp) struct dv_ingest_pool *pool = NULL;
    DV_CLEANUP(dv_freep) struct thumbnails *thumbnails = dv_alloc(sizeof(*thumbnails));
    uint32_t thread_count = ingest->options->thread_count;
    void *memory;

    /* As many as there are entries: what is not used is never touched. */
    uint64_t total = dv_source_count(ingest->source);
    assert(total < UINT32_MAX);
    enum dv_status status =
        dv_try_alloc((size_t)total + 1, sizeof(*ingest->candidates), &memory, reterr);
    if (status != DV_OK) {
        return status;
    }
    ingest->candidates = memory;
    status = open_thumbnails(ingest, reterr);
    if (status == DV_OK) {
        status = dv_ingest_pool_create(
            thread_count > 0 ? thread_count : count_processors(), &pool, reterr);
    }
    if (status != DV_OK) {
        return status;
    }

    struct reading reading = {.ingest = ingest, .pool = pool, .thumbnails = thumbnails};
    return read_all(&reading, reterr);
}
