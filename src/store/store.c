/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read from dv_store_open(): one connection that writes, behind `write_lock`; a few that read, each
 * used by one thread at a time. A connection that is lost is closed and opened again by the next
 * call that wants it.
 */

#include "store/store_impl.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/migrate.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define READERS_MAX 4u
#define OUTCOME_SECONDS_MAX 5.0 /* to learn whether a COMMIT without an answer has happened */
#define OUTCOME_PAUSE_MS 50u

struct reader {
    struct dv_sql *sql; /* NULL: not open */
    bool is_used;
};

struct dv_store {
    char *url;
    char instance[DV_UUID_TEXT_SIZE];
    const char *kind;
    bool is_to_read; /* there is never a writer */

    pthread_mutex_t write_lock;
    struct dv_sql *writer; /* NULL: lost */
    int64_t last_event;    /* of the transaction under way; 0: none */
    bool has_event_lock;

    pthread_mutex_t read_lock;
    pthread_cond_t reader_is_free;
    struct reader readers[READERS_MAX];

    void (*notify)(void *user, int64_t event_id);
    void *notify_user;
};

/* --- Life ------------------------------------------------------------------------------------- */

static enum dv_status open_connection(const struct dv_store *store, bool is_reader,
    struct dv_sql **ret_sql, struct dv_error *reterr)
{
    const struct dv_sql_options options = {.url = store->url, .is_reader = is_reader};

    return dv_sql_open(&options, ret_sql, reterr);
}

static struct dv_store *create(const char *url)
{
    struct dv_store *store = dv_alloc(sizeof(*store));

    store->url = dv_strdup(url);
    (void)pthread_mutex_init(&store->write_lock, NULL);
    (void)pthread_mutex_init(&store->read_lock, NULL);
    (void)pthread_cond_init(&store->reader_is_free, NULL);
    return store;
}

enum dv_status dv_store_open(const char *url, const char *instance, struct dv_store **ret_store,
    struct dv_error *reterr)
{
    assert(url);
    assert(dv_uuid_is_valid(instance));
    assert(ret_store);

    struct dv_store *store = create(url);
    (void)dv_text_copy(store->instance, sizeof(store->instance), instance);
    enum dv_status status = open_connection(store, false, &store->writer, reterr);
    if (status == DV_OK) {
        status = dv_migrate(store->writer, reterr);
    }
    if (status != DV_OK) {
        (void)dv_store_close(store);
        return status;
    }
    store->kind = dv_sql_kind(store->writer);
    *ret_store = store;
    return DV_OK;
}

enum dv_status dv_store_open_to_read(
    const char *url, struct dv_store **ret_store, struct dv_error *reterr)
{
    assert(url);
    assert(ret_store);

    struct dv_store *store = create(url);
    struct dv_sql **reader = &store->readers[0].sql;
    store->is_to_read = true;
    enum dv_status status = open_connection(store, true, reader, reterr);
    if (status == DV_OK) {
        status = dv_migrate_check(*reader, reterr);
    }
    if (status != DV_OK) {
        (void)dv_store_close(store);
        return status;
    }
    store->kind = dv_sql_kind(*reader);
    *ret_store = store;
    return DV_OK;
}

struct dv_store *dv_store_close(struct dv_store *store)
{
    if (!store) {
        return NULL;
    }
    for (size_t i = 0; i < READERS_MAX; i++) {
        assert(!store->readers[i].is_used);
        store->readers[i].sql = dv_sql_close(store->readers[i].sql);
    }
    store->writer = dv_sql_close(store->writer); /* the last one: it checkpoints */
    (void)pthread_cond_destroy(&store->reader_is_free);
    (void)pthread_mutex_destroy(&store->read_lock);
    (void)pthread_mutex_destroy(&store->write_lock);
    dv_free(store->url);
    dv_free(store);
    return NULL;
}

void dv_store_closep(struct dv_store **store)
{
    *store = dv_store_close(*store);
}

const char *dv_store_kind(const struct dv_store *store)
{
    return store->kind;
}

const char *dv_store_instance(const struct dv_store *store)
{
    return store->instance;
}

void dv_store_on_commit(
    struct dv_store *store, void (*notify)(void *user, int64_t event_id), void *user)
{
    store->notify = notify;
    store->notify_user = user;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static struct reader *find_free(struct dv_store *store)
{
    for (size_t i = 0; i < READERS_MAX; i++) {
        if (!store->readers[i].is_used) {
            return &store->readers[i];
        }
    }
    return NULL;
}

static struct reader *take_reader(struct dv_store *store)
{
    struct reader *reader;

    (void)pthread_mutex_lock(&store->read_lock);
    while (!(reader = find_free(store))) {
        (void)pthread_cond_wait(&store->reader_is_free, &store->read_lock);
    }
    reader->is_used = true;
    (void)pthread_mutex_unlock(&store->read_lock);
    return reader;
}

static void return_reader(struct dv_store *store, struct reader *reader)
{
    if (reader->sql && dv_sql_is_lost(reader->sql)) {
        reader->sql = dv_sql_close(reader->sql);
    }
    (void)pthread_mutex_lock(&store->read_lock);
    reader->is_used = false;
    (void)pthread_cond_signal(&store->reader_is_free);
    (void)pthread_mutex_unlock(&store->read_lock);
}

static enum dv_status read_once(struct dv_store *store, struct reader *reader, const char *text,
    const struct dv_sql_value *values, size_t count, struct dv_json **ret_rows,
    struct dv_error *reterr)
{
    enum dv_status status =
        reader->sql ? DV_OK : open_connection(store, true, &reader->sql, reterr);

    if (status == DV_OK) {
        status = dv_sql_run(reader->sql, text, values, count, ret_rows, NULL, reterr);
    }
    return status;
}

enum dv_status dv_store_read(struct dv_store *store, const char *text,
    const struct dv_sql_value *values, size_t count, struct dv_json **ret_rows,
    struct dv_error *reterr)
{
    struct reader *reader = take_reader(store);

    enum dv_status status = read_once(store, reader, text, values, count, ret_rows, reterr);
    if (status == DV_UNAVAILABLE && reader->sql && dv_sql_is_lost(reader->sql)) {
        /* It had been idle while the server restarted: reading again does no harm. */
        reader->sql = dv_sql_close(reader->sql);
        status = read_once(store, reader, text, values, count, ret_rows, reterr);
    }
    return_reader(store, reader);
    return status;
}

/* The rows of one of the queries that the connection has for this; NULL: no more of them. */
static enum dv_status ask_for_damage(struct dv_store *store, size_t index,
    struct dv_json **ret_rows, struct dv_error *reterr)
{
    struct reader *reader = take_reader(store);
    enum dv_status status =
        reader->sql ? DV_OK : open_connection(store, true, &reader->sql, reterr);
    const char *query = status == DV_OK ? dv_sql_damage_query(reader->sql, index) : NULL;

    if (query) {
        status = dv_sql_run(reader->sql, query, NULL, 0, ret_rows, NULL, reterr);
    }
    return_reader(store, reader);
    return status;
}

enum dv_status dv_store_find_damage(
    struct dv_store *store, struct dv_json **ret_sentences, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *sentences = dv_json_array();

    for (size_t i = 0;; i++) {
        DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;
        enum dv_status status = ask_for_damage(store, i, &rows, reterr);
        if (status != DV_OK) {
            return status;
        }
        if (!rows) {
            break;
        }
        for (size_t r = 0; r < dv_json_count(rows); r++) {
            const char *text = dv_json_get_string(dv_json_at(rows, r), "damage", "a row that is no text");
            if (!dv_text_equal(text, "ok")) {
                dv_json_append(sentences, dv_json_text(text));
            }
        }
    }
    *ret_sentences = dv_json_ref(sentences);
    return DV_OK;
}

static enum dv_status take_only(
    const char *noun, const struct dv_json *rows, struct dv_json **ret_row, struct dv_error *reterr)
{
    if (dv_json_count(rows) == 0) {
        return dv_fail(reterr, DV_NOT_FOUND, "there is no %s with this id", noun);
    }
    *ret_row = dv_json_ref(dv_json_at(rows, 0));
    return DV_OK;
}

enum dv_status dv_store_read_one(struct dv_store *store, const char *noun, const char *text,
    const struct dv_sql_value *values, size_t count, struct dv_json **ret_row,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_read(store, text, values, count, &rows, reterr);
    return status == DV_OK ? take_only(noun, rows, ret_row, reterr) : status;
}

enum dv_status dv_store_check(struct dv_store *store, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_read(
        store, "SELECT max(version) AS version FROM schema_migrations", NULL, 0, &rows, reterr);
    if (status == DV_OK) {
        status = dv_store_begin(store, reterr);
    }
    return status == DV_OK ? dv_store_end(store, DV_OK, reterr) : status;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static enum dv_status begin_once(struct dv_store *store, struct dv_error *reterr)
{
    enum dv_status status =
        store->writer ? DV_OK : open_connection(store, false, &store->writer, reterr);

    return status == DV_OK ? dv_sql_begin(store->writer, reterr) : status;
}

static void drop_lost_writer(struct dv_store *store)
{
    if (store->writer && dv_sql_is_lost(store->writer)) {
        store->writer = dv_sql_close(store->writer);
    }
}

enum dv_status dv_store_begin(struct dv_store *store, struct dv_error *reterr)
{
    if (store->is_to_read) {
        return dv_fail(reterr, DV_DENIED, "the database was opened to read only");
    }
    (void)pthread_mutex_lock(&store->write_lock);
    store->last_event = 0;
    store->has_event_lock = false;
    enum dv_status status = begin_once(store, reterr);
    if (status == DV_UNAVAILABLE && store->writer && dv_sql_is_lost(store->writer)) {
        drop_lost_writer(store);
        status = begin_once(store, reterr);
    }
    if (status != DV_OK) {
        drop_lost_writer(store);
        (void)pthread_mutex_unlock(&store->write_lock);
    }
    return status;
}

enum dv_status dv_store_write(struct dv_store *store, const char *text,
    const struct dv_sql_value *values, size_t count, struct dv_json **ret_rows,
    int64_t *ret_changes, struct dv_error *reterr)
{
    return dv_sql_run(store->writer, text, values, count, ret_rows, ret_changes, reterr);
}

enum dv_status dv_store_write_one(struct dv_store *store, const char *noun, const char *text,
    const struct dv_sql_value *values, size_t count, struct dv_json **ret_row,
    struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_write(store, text, values, count, &rows, NULL, reterr);
    return status == DV_OK ? take_only(noun, rows, ret_row, reterr) : status;
}

enum dv_status dv_store_event(struct dv_store *store, const char *topic, const char *subject_id,
    const char *type, struct dv_json *data, int64_t *ret_id, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *owned = data ? data : dv_json_object();
    DV_CLEANUP(dv_freep) char *text = dv_json_print(owned);
    char now[DV_TIME_TEXT_SIZE];
    enum dv_status status = DV_OK;

    dv_clock_now_text(now);
    /* From the first event to the commit, so that ids come to be seen in their order. */
    if (!store->has_event_lock) {
        status = dv_sql_lock_events(store->writer, reterr);
        store->has_event_lock = status == DV_OK;
    }
    const struct dv_sql_value values[] = {dv_sql_text(now), dv_sql_text(topic),
        dv_sql_text(subject_id), dv_sql_text(type), dv_sql_text(text)};
    if (status == DV_OK) {
        status = dv_sql_run(store->writer,
            "INSERT INTO events (at, topic, subject_id, type, data) VALUES ($1, $2, $3, $4, $5) "
            "RETURNING id",
            values, DV_ARRAY_SIZE(values), &rows, NULL, reterr);
    }
    if (status == DV_OK) {
        store->last_event = dv_json_get_integer(dv_json_at(rows, 0), "id", 0);
        if (ret_id) {
            *ret_id = store->last_event;
        }
    }
    return status;
}

/* One question on a connection of its own, which stays the writer's. */
static enum dv_status ask_outcome(struct dv_store *store, const char *note,
    enum dv_sql_outcome *ret_outcome, struct dv_error *reterr)
{
    drop_lost_writer(store);
    enum dv_status status =
        store->writer ? DV_OK : open_connection(store, false, &store->writer, reterr);
    return status == DV_OK ? dv_sql_find_outcome(store->writer, note, ret_outcome, reterr) : status;
}

/*
 * The connection was lost between COMMIT and its answer: `status` would be the answer if it had not
 * happened. The transaction of a connection that is gone ends soon, one way or the other.
 */
static enum dv_status find_out(
    struct dv_store *store, const char *note, enum dv_status status, struct dv_error *reterr)
{
    uint64_t began_ns = dv_clock_monotonic_ns();
    enum dv_sql_outcome outcome = DV_SQL_UNDER_WAY;

    while (ask_outcome(store, note, &outcome, NULL) != DV_OK || outcome == DV_SQL_UNDER_WAY) {
        if (dv_clock_seconds_since(began_ns) > OUTCOME_SECONDS_MAX) {
            break;
        }
        (void)usleep(OUTCOME_PAUSE_MS * 1000u);
    }
    if (outcome == DV_SQL_COMMITTED) {
        return DV_OK;
    }
    return outcome == DV_SQL_ABORTED
               ? status
               : dv_fail(reterr, DV_UNAVAILABLE,
                     "the database went away before it said whether this was written: look first "
                     "before you try again");
}

static enum dv_status commit(struct dv_store *store, struct dv_error *reterr)
{
    char note[DV_SQL_NOTE_SIZE];

    enum dv_status status = dv_sql_note_transaction(store->writer, note, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_sql_commit(store->writer, reterr);
    if (status != DV_OK && note[0] && dv_sql_is_lost(store->writer)) {
        status = find_out(store, note, status, reterr);
    }
    return status;
}

enum dv_status dv_store_end(struct dv_store *store, enum dv_status status, struct dv_error *reterr)
{
    if (status == DV_OK) {
        status = commit(store, reterr);
    }
    if (status != DV_OK && store->writer) {
        dv_sql_rollback(store->writer);
    }
    int64_t event = status == DV_OK ? store->last_event : 0;
    drop_lost_writer(store);
    (void)pthread_mutex_unlock(&store->write_lock);
    if (event > 0 && store->notify) {
        store->notify(store->notify_user, event);
    }
    return status;
}

enum dv_status dv_store_end_row(struct dv_store *store, enum dv_status status, struct dv_json *row,
    struct dv_json **ret_row, struct dv_error *reterr)
{
    status = dv_store_end(store, status, reterr);
    if (status == DV_OK) {
        *ret_row = row;
    } else {
        dv_json_unref(row);
    }
    return status;
}

enum dv_status dv_store_discard(struct dv_store *store, const char *path, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(path), dv_sql_text(now)};
    return dv_store_write(store,
        "INSERT INTO trash (path, created_at) VALUES ($1, $2) ON CONFLICT (path) DO NOTHING",
        values, 2, NULL, NULL, reterr);
}

/* --- Values ----------------------------------------------------------------------------------- */

char *dv_store_json_text(const struct dv_json *json)
{
    return dv_json_is_null(json) ? NULL : dv_json_print(json);
}

struct dv_sql_value dv_store_number(const struct dv_json *object, const char *name)
{
    return dv_sql_real(dv_json_get_number(object, name, (double)NAN));
}

struct dv_sql_value dv_store_count(const struct dv_json *object, const char *name)
{
    const struct dv_json *value = dv_json_get(object, name);

    return dv_json_is_number(value) ? dv_sql_integer(dv_json_to_integer(value, 0)) : dv_sql_null();
}
