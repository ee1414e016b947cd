/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from dv_http_upload_feed() and dv_http_upload_end(); before them stand what is done with
 * parts, and how the disk is waited for.
 */

#include "http/upload.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/text.h"
#include "http/connection.h"
#include "http/file_writer.h"
#include "http/multipart.h"
#include "http/request.h"
#include "http/server_impl.h"

#include <assert.h>
#include <microhttpd.h>
#include <string.h>

struct dv_http_upload {
    struct dv_http_request *request;
    struct dv_http_server *server;
    struct dv_multipart parser;

    struct dv_http_pair fields[DV_MULTIPART_PART_COUNT_MAX]; /* in the request's arena */
    size_t field_count;
    struct dv_buffer text; /* of the field that is coming in */
    size_t text_size;      /* of those before it */

    struct dv_http_file file;
    bool has_file; /* one came */
    bool is_open;  /* close_file() is due */
    bool is_ended; /* its last bytes and the fsync were handed over */
    char *blocks[2];
    unsigned filling; /* which of them */
    size_t fill;
    uint64_t handed_over; /* bytes */
    struct dv_file_work work;

    /* Under the server's lock. */
    bool is_writing;
    bool is_suspended;
    pthread_cond_t has_written;
    enum dv_status status; /* of the first write that failed */
};

static enum dv_http_progress refuse(struct dv_http_upload *upload, int code, const char *detail)
{
    dv_http_reply_problem(upload->request, code, detail, NULL);
    return DV_HTTP_PROGRESS_REFUSED;
}

/* --- The disk --------------------------------------------------------------------------------- */

/* On a thread of the writer's. The upload may be gone as soon as the lock is. */
static void note_written(struct dv_file_work *work, enum dv_status status)
{
    struct dv_http_upload *upload = work->user;
    struct dv_http_server *server = upload->server;

    pthread_mutex_lock(&server->lock);
    upload->is_writing = false;
    if (upload->status == DV_OK) {
        upload->status = status;
    }
    if (upload->is_suspended) {
        upload->is_suspended = false;
        MHD_resume_connection(upload->request->mhd);
        if (--server->waiting_count == 0) {
            pthread_cond_broadcast(&server->has_ended);
        }
    }
    pthread_cond_signal(&upload->has_written);
    pthread_mutex_unlock(&server->lock);
}

static void hand_over(struct dv_http_upload *upload, bool is_end)
{
    upload->work = (struct dv_file_work){.fd = upload->file.fd,
        .data = upload->blocks[upload->filling],
        .size = upload->fill,
        .offset = upload->handed_over,
        .is_sync = is_end,
        .done = note_written,
        .user = upload};
    upload->handed_over += upload->fill;
    upload->filling ^= 1;
    upload->fill = 0;
    upload->is_ended = is_end;
    upload->is_writing = true; /* nobody else looks at it before the next line */
    dv_file_writer_submit(upload->server->writer, &upload->work);
}

/* ON: the writer has nothing of this upload, and all that it had went well. */
static enum dv_http_progress await_disk(struct dv_http_upload *upload)
{
    struct dv_http_server *server = upload->server;
    enum dv_http_progress progress = DV_HTTP_PROGRESS_ON;

    dv_http_connection_set_phase(upload->request->connection, DV_HTTP_PHASE_WORKING);
    pthread_mutex_lock(&server->lock);
    enum dv_status status = upload->status;
    if (status == DV_OK && upload->is_writing) {
        progress = server->is_cutting ? DV_HTTP_PROGRESS_LOST : DV_HTTP_PROGRESS_WAITS;
        if (progress == DV_HTTP_PROGRESS_WAITS && !upload->is_suspended) {
            upload->is_suspended = true;
            server->waiting_count++;
            MHD_suspend_connection(upload->request->mhd);
        }
    }
    pthread_mutex_unlock(&server->lock);
    if (status == DV_NO_SPACE) {
        return refuse(upload, 507, "the disk is full");
    }
    if (status != DV_OK) {
        return refuse(upload, 500, "the file cannot be written");
    }
    if (progress == DV_HTTP_PROGRESS_ON) {
        dv_http_connection_set_phase(upload->request->connection, DV_HTTP_PHASE_BODY);
    }
    return progress;
}

/* --- Life ------------------------------------------------------------------------------------- */

struct dv_http_upload *dv_http_upload_create(struct dv_http_request *request)
{
    struct dv_http_server *server = request->server;
    const char *type = dv_http_request_header(request, "Content-Type");
    const char *problem = NULL;

    if (atomic_fetch_add(&server->upload_count, 1) >= server->options.limits.upload_count) {
        atomic_fetch_sub(&server->upload_count, 1);
        dv_http_reply_problem(request, 503, "too many uploads are under way", NULL);
        return NULL;
    }
    struct dv_http_upload *upload = dv_alloc(sizeof(*upload));
    upload->request = request;
    upload->server = server;
    upload->file.fd = -1;
    upload->text = (struct dv_buffer)DV_BUFFER_INIT(DV_MULTIPART_TEXT_SIZE_MAX);
    pthread_cond_init(&upload->has_written, NULL);
    if (!dv_multipart_init(&upload->parser, type, &problem)) {
        dv_http_reply_problem(request, 400, problem, NULL);
        return dv_http_upload_destroy(upload);
    }
    return upload;
}

static void close_file(struct dv_http_upload *upload, bool is_whole)
{
    upload->is_open = false;
    dv_file_closep(&upload->file.fd);
    upload->request->match.route->close_file(
        upload->request, &upload->file, is_whole, upload->server->options.user);
}

struct dv_http_upload *dv_http_upload_destroy(struct dv_http_upload *upload)
{
    if (!upload) {
        return NULL;
    }
    pthread_mutex_lock(&upload->server->lock);
    while (upload->is_writing) { /* one block: the client has gone in the middle of it */
        pthread_cond_wait(&upload->has_written, &upload->server->lock);
    }
    pthread_mutex_unlock(&upload->server->lock);
    if (upload->is_open) {
        close_file(upload, false);
    }
    dv_free(upload->blocks[0]);
    dv_free(upload->blocks[1]);
    dv_buffer_finish(&upload->text);
    dv_multipart_finish(&upload->parser);
    pthread_cond_destroy(&upload->has_written);
    atomic_fetch_sub(&upload->server->upload_count, 1);
    return dv_free(upload);
}

/* --- Parts ------------------------------------------------------------------------------------ */

static enum dv_http_progress open_file(struct dv_http_upload *upload)
{
    struct dv_http_request *request = upload->request;
    const struct dv_http_part part = {
        .name = upload->parser.part.name,
        .file_name = upload->parser.part.file_name,
        .type = upload->parser.part.has_type ? upload->parser.part.type : NULL,
    };

    for (size_t i = 0; i < DV_ARRAY_SIZE(upload->blocks); i++) {
        void *block;
        if (dv_try_alloc(DV_HTTP_BLOCK_SIZE, 1, &block, NULL) != DV_OK) {
            return refuse(upload, 503, "there is no memory for an upload now");
        }
        upload->blocks[i] = block;
    }
    upload->has_file = true;
    enum dv_status status = request->match.route->open_file(
        request, &part, &upload->file, upload->server->options.user);
    if (status != DV_OK) {
        assert(dv_http_request_is_replied(request));
        return DV_HTTP_PROGRESS_REFUSED;
    }
    assert(upload->file.fd >= 0);
    upload->is_open = true;
    return DV_HTTP_PROGRESS_ON;
}

static enum dv_http_progress begin_part(struct dv_http_upload *upload)
{
    const char *name = upload->parser.part.name;

    if (upload->has_file) {
        return refuse(upload, 400, "the file must be the last part, and there may be one");
    }
    if (upload->parser.part.has_file_name) {
        return open_file(upload);
    }
    if (dv_http_request_field(upload->request, name)) {
        return refuse(upload, 400, "a field is given twice");
    }
    upload->fields[upload->field_count].name = dv_arena_strdup(upload->request->arena, name);
    upload->fields[upload->field_count].value = "";
    return DV_HTTP_PROGRESS_ON;
}

static enum dv_http_progress end_part(struct dv_http_upload *upload)
{
    const char *text = dv_buffer_text(&upload->text);

    if (upload->has_file) {
        return DV_HTTP_PROGRESS_ON;
    }
    if (!dv_text_is_utf8(text, upload->text.size)) {
        return refuse(upload, 400, "a field is not UTF-8");
    }
    upload->fields[upload->field_count++].value = dv_arena_strdup(upload->request->arena, text);
    upload->text_size += upload->text.size;
    dv_buffer_consume(&upload->text, upload->text.size);
    return DV_HTTP_PROGRESS_ON;
}

static enum dv_http_progress take_bytes(
    struct dv_http_upload *upload, const char *bytes, size_t size)
{
    if (!upload->has_file) {
        if (size > DV_MULTIPART_TEXT_SIZE_MAX - upload->text_size - upload->text.size) {
            return refuse(upload, 413, "the fields are longer than 256 KiB");
        }
        dv_buffer_append(&upload->text, bytes, size);
        return DV_HTTP_PROGRESS_ON;
    }
    if (size > upload->file.size_max - upload->file.size) {
        return refuse(upload, 413, "the file is larger than is taken here");
    }
    memcpy(upload->blocks[upload->filling] + upload->fill, bytes, size);
    upload->fill += size;
    upload->file.size += size;
    return DV_HTTP_PROGRESS_ON;
}

static enum dv_http_progress take_event(
    struct dv_http_upload *upload, enum dv_multipart_event event, const char *bytes, size_t size)
{
    switch (event) {
    case DV_MULTIPART_PART:
        return begin_part(upload);
    case DV_MULTIPART_DATA:
        return take_bytes(upload, bytes, size);
    case DV_MULTIPART_PART_END:
        return end_part(upload);
    case DV_MULTIPART_BAD:
        return refuse(upload, 400, upload->parser.problem);
    case DV_MULTIPART_MORE:
    case DV_MULTIPART_END:
        return DV_HTTP_PROGRESS_ON;
    }
    return DV_HTTP_PROGRESS_ON;
}

/* --- The body --------------------------------------------------------------------------------- */

enum dv_http_progress dv_http_upload_feed(
    struct dv_http_upload *upload, const char *data, size_t *size)
{
    enum dv_http_progress progress = DV_HTTP_PROGRESS_ON;

    while (*size > 0 && progress == DV_HTTP_PROGRESS_ON) {
        const char *bytes = NULL;
        size_t byte_count = 0;
        if (upload->fill == DV_HTTP_BLOCK_SIZE) {
            progress = await_disk(upload);
            if (progress != DV_HTTP_PROGRESS_ON) {
                break;
            }
            hand_over(upload, false);
        }
        enum dv_multipart_event event = dv_multipart_next(
            &upload->parser, &data, size, DV_HTTP_BLOCK_SIZE - upload->fill, &bytes, &byte_count);
        progress = take_event(upload, event, bytes, byte_count);
    }
    return progress;
}

enum dv_http_progress dv_http_upload_end(struct dv_http_upload *upload)
{
    if (!dv_multipart_is_complete(&upload->parser)) {
        return refuse(upload, 400, "the body ends before its last boundary");
    }
    if (!upload->is_open) {
        return DV_HTTP_PROGRESS_ON;
    }
    enum dv_http_progress progress = await_disk(upload);
    if (progress == DV_HTTP_PROGRESS_ON && !upload->is_ended) {
        hand_over(upload, true);
        progress = await_disk(upload);
    }
    if (progress == DV_HTTP_PROGRESS_ON) {
        dv_http_connection_set_phase(upload->request->connection, DV_HTTP_PHASE_WORKING);
        close_file(upload, true);
    }
    return progress;
}

/* --- What came -------------------------------------------------------------------------------- */

bool dv_http_upload_field_at(const struct dv_http_upload *upload, size_t index,
    const char **ret_name, const char **ret_value)
{
    if (index >= upload->field_count) {
        return false;
    }
    *ret_name = upload->fields[index].name;
    *ret_value = upload->fields[index].value;
    return true;
}

const struct dv_http_file *dv_http_upload_file(const struct dv_http_upload *upload)
{
    return upload->has_file ? &upload->file : NULL;
}
