/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Streams of server-sent events out of the table of events. A stream is a position in it: what was
 * sent last. It asks for what came after each time the store has committed something, so that
 * nothing is missed or sent twice, whatever it was interrupted by.
 */

#include "api/api_impl.h"
#include "base/alloc.h"
#include "base/fold.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/logs.h"

#include <string.h>

#define ROWS_MAX 100
#define TOPICS_MAX 3

static const char *const topics[] = {"jobs", "datasets", "models", NULL};
static const char *const levels[] = {"error", "warning", "info", "debug", NULL};

struct stream {
    struct dv_api *api;
    struct dv_api_caller *caller;
    int64_t last; /* id of the last event that was sent or passed over */
    char subject_id[DV_UUID_TEXT_SIZE]; /* "": all */
    const char *topics[TOPICS_MAX + 1]; /* of the constants above; none: all */
    bool is_logs;                       /* log lines only, filtered as below */
    size_t level;                       /* lines up to this index of `levels` */
    char *search;                       /* folded; NULL: none */
    bool is_open; /* the first answer has been given */
};

static void free_stream(void *data)
{
    struct stream *stream = data;

    dv_api_caller_destroy(stream->caller);
    dv_free(stream->search);
    dv_free(stream);
}

/* As the store searches a list of lines. */
static bool has_folded(const char *text, const char *folded_search)
{
    DV_CLEANUP(dv_freep) char *folded = dv_text_fold(text);

    return strstr(folded, folded_search) != NULL;
}

static bool is_wanted(const struct stream *stream, const struct dv_json *row)
{
    const struct dv_json *data = dv_json_get(row, "data");
    const char *level = dv_json_get_string(data, "level", "info");

    if (!stream->is_logs) {
        return true;
    }
    for (size_t i = 0; levels[i] && i <= stream->level; i++) {
        if (dv_text_equal(levels[i], level)) {
            const char *text = dv_json_get_string(data, "text", "");
            return !stream->search || has_folded(text, stream->search);
        }
    }
    return false;
}

static void send(struct dv_http_stream *out, const struct dv_json *row)
{
    struct dv_json *value = dv_json_object();

    dv_json_set(value, "id", dv_json_ref(dv_json_get(row, "id")));
    dv_json_set(value, "type", dv_json_ref(dv_json_get(row, "type")));
    dv_json_set(value, "topic", dv_json_ref(dv_json_get(row, "topic")));
    dv_json_set(value, "subject_id", dv_json_ref(dv_json_get(row, "subject_id")));
    dv_json_set(value, "at", dv_json_ref(dv_json_get(row, "at")));
    dv_json_set(value, "data", dv_json_ref(dv_json_get(row, "data")));
    dv_http_stream_event(out, dv_json_get_integer(row, "id", 0),
        dv_json_get_string(row, "type", "message"), value);
    dv_json_unref(value);
}

/* Nothing was kept of what this client saw last (its events are gone): it must look anew. */
static enum dv_status check_gap(struct stream *stream, struct dv_http_stream *out)
{
    int64_t lowest, highest;

    enum dv_status status =
        dv_events_range(stream->api->options.store, &lowest, &highest, NULL);
    if (status != DV_OK) {
        return status;
    }
    if (stream->last > highest || (stream->last > 0 && stream->last < lowest - 1)) {
        struct dv_json *value = dv_json_object();
        dv_json_set_integer(value, "id", highest);
        dv_http_stream_event(out, highest, "reset", value);
        dv_json_unref(value);
        stream->last = highest;
    }
    return DV_OK;
}

static enum dv_status next(struct dv_http_stream *out, void *data)
{
    struct stream *stream = data;
    const struct dv_event_filter filter = {
        .subject_id = stream->subject_id[0] ? stream->subject_id : NULL,
        .topics = stream->topics[0] ? stream->topics : NULL,
        .type = stream->is_logs ? "log" : NULL};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;
    int64_t last;

    if (!dv_api_caller_is_valid(stream->api, stream->caller)) {
        return DV_DENIED;
    }
    enum dv_status status = DV_OK;
    if (!stream->is_open) {
        status = check_gap(stream, out);
        stream->is_open = status == DV_OK;
    }
    if (status == DV_OK) {
        status = dv_events_after(
            stream->api->options.store, &filter, stream->last, ROWS_MAX, &rows, &last, NULL);
    }
    if (status == DV_UNAVAILABLE) {
        return DV_NOT_FOUND; /* the database is away for a moment: ask again at the next wake */
    }
    if (status != DV_OK) {
        return status;
    }
    for (size_t i = 0; i < dv_json_count(rows); i++) {
        if (is_wanted(stream, dv_json_at(rows, i))) {
            send(out, dv_json_at(rows, i));
        }
    }
    stream->last = last;
    return dv_json_count(rows) > 0 ? DV_OK : DV_NOT_FOUND;
}

/* --- Beginning one ---------------------------------------------------------------------------- */

/* Where to begin: after what the client saw last; false and a 422 when that is no number. */
static bool read_last(struct dv_http_request *request, int64_t *ret_last)
{
    const char *text = dv_http_request_header(request, "Last-Event-ID");

    if (!text) {
        text = dv_http_request_query(request, "last_event_id");
    }
    if (text && (!dv_text_to_int64(text, ret_last) || *ret_last < 0)) {
        dv_api_refuse(request, 422, "", "Last-Event-ID must be the id of an event: a number");
        return false;
    }
    return true;
}

static struct stream *create_stream(
    struct dv_api *api, struct dv_http_request *request, int64_t last, const char *subject_id)
{
    struct stream *stream = dv_alloc(sizeof(*stream));

    stream->api = api;
    stream->caller = dv_api_caller_copy(request);
    stream->last = last;
    stream->level = DV_ARRAY_SIZE(levels) - 2;
    (void)dv_text_copy(stream->subject_id, sizeof(stream->subject_id), subject_id);
    return stream;
}

static void reply(struct dv_http_request *request, struct stream *stream)
{
    const struct dv_http_stream_source source = {
        .data = stream, .next = next, .free_data = free_stream};

    dv_http_reply_stream(request, &source);
}

void dv_api_stream_subject(
    struct dv_api *api, struct dv_http_request *request, const char *subject_id)
{
    int64_t last = 0;

    if (read_last(request, &last)) {
        reply(request, create_stream(api, request, last, subject_id));
    }
}

void dv_api_stream_logs(struct dv_api *api, struct dv_http_request *request, const char *job_id,
    const struct dv_log_filter *filter)
{
    int64_t last = filter->after;

    if (!read_last(request, &last)) {
        return;
    }
    struct stream *stream = create_stream(api, request, last, job_id);
    stream->is_logs = true;
    for (size_t i = 0; filter->level && levels[i]; i++) {
        stream->level = dv_text_equal(levels[i], filter->level) ? i : stream->level;
    }
    stream->search = filter->search ? dv_text_fold(filter->search) : NULL;
    reply(request, stream);
}

/* "jobs,models" into pointers to our own constants; false and a 422 for a word that is none. */
static bool read_topics(
    struct dv_http_request *request, const char *ret_topics[static TOPICS_MAX + 1])
{
    const char *text = dv_http_request_query(request, "topics");
    size_t count = 0;

    while (text && *text) {
        size_t size = strcspn(text, ",");
        const char *found = NULL;
        for (size_t i = 0; topics[i]; i++) {
            found = strlen(topics[i]) == size && memcmp(topics[i], text, size) == 0 ? topics[i]
                                                                                    : found;
        }
        if (!found || count == TOPICS_MAX) {
            dv_api_refuse(request, 422, "/query/topics",
                "topics must be a list of jobs, datasets and models, with commas between");
            return false;
        }
        ret_topics[count++] = found;
        text += size + (text[size] == ',');
    }
    return true;
}

void dv_api_events_all(struct dv_http_request *request, void *user)
{
    struct dv_api *api = user;
    const char *wanted[TOPICS_MAX + 1] = {NULL};
    int64_t lowest, highest;
    int64_t last = -1;
    struct dv_error error;

    if (!read_topics(request, wanted) || !read_last(request, &last)) {
        return;
    }
    if (dv_events_range(api->options.store, &lowest, &highest, &error) != DV_OK) {
        dv_api_fail(request, &error);
        return;
    }
    /* Someone who begins to watch wants what happens, not all that ever did. */
    struct stream *stream = create_stream(api, request, last < 0 ? highest : last, "");
    memcpy(stream->topics, wanted, sizeof(wanted));
    reply(request, stream);
}
