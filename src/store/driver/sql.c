/* SPDX-License-Identifier: Apache-2.0 */
#include "store/driver/sql_impl.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <math.h>

struct dv_sql {
    const struct dv_sql_driver *driver;
    void *connection;
};

static const struct dv_sql_driver *const drivers[] = {&dv_sql_sqlite, &dv_sql_postgres};

/* --- Values ----------------------------------------------------------------------------------- */

struct dv_sql_value dv_sql_null(void)
{
    return (struct dv_sql_value){.type = DV_SQL_NULL};
}

struct dv_sql_value dv_sql_integer(int64_t value)
{
    return (struct dv_sql_value){.type = DV_SQL_INTEGER, .integer = value};
}

struct dv_sql_value dv_sql_real(double value)
{
    return isfinite(value) ? (struct dv_sql_value){.type = DV_SQL_REAL, .real = value}
                           : dv_sql_null();
}

struct dv_sql_value dv_sql_text(const char *text)
{
    return text ? (struct dv_sql_value){.type = DV_SQL_TEXT, .text = text} : dv_sql_null();
}

struct dv_sql_value dv_sql_bool(bool value)
{
    return (struct dv_sql_value){.type = DV_SQL_BOOL, .integer = value};
}

/* --- Connections ------------------------------------------------------------------------------ */

enum dv_status dv_sql_open(
    const struct dv_sql_options *options, struct dv_sql **ret_sql, struct dv_error *reterr)
{
    void *connection;

    assert(options->url);
    assert(ret_sql);
    for (size_t i = 0; i < DV_ARRAY_SIZE(drivers); i++) {
        if (!dv_text_has_prefix(options->url, drivers[i]->prefix)) {
            continue;
        }
        enum dv_status status = drivers[i]->open(options, &connection, reterr);
        if (status != DV_OK) {
            return status;
        }
        struct dv_sql *sql = dv_alloc(sizeof(*sql));
        *sql = (struct dv_sql){.driver = drivers[i], .connection = connection};
        *ret_sql = sql;
        return DV_OK;
    }
    return dv_fail(reterr, DV_UNSUPPORTED,
        "a database is 'sqlite:PATH' or 'postgresql://USER@HOST/NAME'");
}

struct dv_sql *dv_sql_close(struct dv_sql *sql)
{
    if (sql) {
        sql->driver->close(sql->connection);
        dv_free(sql);
    }
    return NULL;
}

enum dv_status dv_sql_run(struct dv_sql *sql, const char *text, const struct dv_sql_value *values,
    size_t count, struct dv_json **ret_rows, int64_t *ret_changes, struct dv_error *reterr)
{
    return sql->driver->run(sql->connection, text, values, count, ret_rows, ret_changes, reterr);
}

enum dv_status dv_sql_script(struct dv_sql *sql, const char *text, struct dv_error *reterr)
{
    return sql->driver->script(sql->connection, text, reterr);
}

enum dv_status dv_sql_begin(struct dv_sql *sql, struct dv_error *reterr)
{
    return dv_sql_run(sql, sql->driver->begin, NULL, 0, NULL, NULL, reterr);
}

enum dv_status dv_sql_commit(struct dv_sql *sql, struct dv_error *reterr)
{
    return sql->driver->commit ? sql->driver->commit(sql->connection, reterr)
                               : dv_sql_run(sql, "COMMIT", NULL, 0, NULL, NULL, reterr);
}

enum dv_status dv_sql_note_transaction(
    struct dv_sql *sql, char ret_note[static DV_SQL_NOTE_SIZE], struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    ret_note[0] = '\0';
    if (!sql->driver->note_query) {
        return DV_OK;
    }
    enum dv_status status =
        dv_sql_run(sql, sql->driver->note_query, NULL, 0, &rows, NULL, reterr);
    const char *note = dv_json_get_string(dv_json_at(rows, 0), "note", "");
    if (status == DV_OK && !dv_text_copy(ret_note, DV_SQL_NOTE_SIZE, note)) {
        return dv_fail(reterr, DV_IO, "the database numbers its transactions in another way");
    }
    return status;
}

enum dv_status dv_sql_find_outcome(struct dv_sql *sql, const char *note,
    enum dv_sql_outcome *ret_outcome, struct dv_error *reterr)
{
    static const char *const words[] = {[DV_SQL_UNKNOWN] = "",
        [DV_SQL_UNDER_WAY] = "in progress",
        [DV_SQL_COMMITTED] = "committed",
        [DV_SQL_ABORTED] = "aborted"};
    const struct dv_sql_value values[] = {dv_sql_text(note)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    assert(sql->driver->outcome_query);
    enum dv_status status =
        dv_sql_run(sql, sql->driver->outcome_query, values, 1, &rows, NULL, reterr);
    if (status != DV_OK) {
        return status;
    }
    const char *word = dv_json_get_string(dv_json_at(rows, 0), "outcome", "");
    *ret_outcome = DV_SQL_UNKNOWN;
    for (size_t i = 0; i < DV_ARRAY_SIZE(words); i++) {
        if (dv_text_equal(words[i], word)) {
            *ret_outcome = (enum dv_sql_outcome)i;
        }
    }
    return DV_OK;
}

void dv_sql_rollback(struct dv_sql *sql)
{
    enum dv_status status = dv_sql_run(sql, "ROLLBACK", NULL, 0, NULL, NULL, NULL);

    (void)status; /* a connection that cannot even do that is lost, and its transaction with it */
}

const char *dv_sql_kind(const struct dv_sql *sql)
{
    return sql->driver->kind;
}

bool dv_sql_is_lost(const struct dv_sql *sql)
{
    return sql->driver->is_lost(sql->connection);
}

const char *dv_sql_word(const struct dv_sql *sql, const char *word)
{
    return sql->driver->word(word);
}

const char *dv_sql_damage_query(const struct dv_sql *sql, size_t index)
{
    const char *const *queries = sql->driver->damage_queries;

    return queries ? queries[index] : NULL;
}

enum dv_status dv_sql_lock_events(struct dv_sql *sql, struct dv_error *reterr)
{
    const char *text = sql->driver->lock_events;

    return text ? dv_sql_run(sql, text, NULL, 0, NULL, NULL, reterr) : DV_OK;
}
