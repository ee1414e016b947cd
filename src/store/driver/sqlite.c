/* SPDX-License-Identifier: Apache-2.0 */

/*
 * SQLite. Columns are declared with words that tell what their text is (uuid_text, json_text,
 * time_text) and give them SQLite's text affinity.
 *
 * The write-ahead log of 3.7.0 to 3.51.2 can be reset by two connections at once and damage the
 * database (sqlite.org/wal.html, "the WAL-reset bug"): only the connection that writes checkpoints,
 * readers never do, and nothing is mapped.
 */

#include "store/driver/sql_impl.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "sqlite:"
#define STATEMENTS_MAX 48u
#define BUSY_TIMEOUT_MS 2000 /* a server is alone with its file, but for who backs it up */

struct statement {
    char *text;
    sqlite3_stmt *compiled;
    uint64_t used_at;
};

struct connection {
    sqlite3 *db;
    struct statement statements[STATEMENTS_MAX];
    size_t statement_count;
    uint64_t run_count;
};

/* --- Failures --------------------------------------------------------------------------------- */

static enum dv_status fail(const struct connection *connection, int code, struct dv_error *reterr)
{
    const char *text = connection->db ? sqlite3_errmsg(connection->db) : sqlite3_errstr(code);

    switch (code & 0xff) {
    case SQLITE_FULL:
        return dv_fail(reterr, DV_NO_SPACE, "the disk of the database is full");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return dv_fail(reterr, DV_CORRUPT, "the database is damaged: %s", text);
    case SQLITE_CONSTRAINT:
        return dv_fail(reterr, DV_CONFLICT, "the database refuses: %s", text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return dv_fail(reterr, DV_UNAVAILABLE, "the database is busy");
    case SQLITE_TOOBIG:
        return dv_fail(reterr, DV_TOO_LARGE, "a value is too large for the database");
    case SQLITE_NOMEM:
        return dv_fail(reterr, DV_NOMEM, "the database has no memory left");
    case SQLITE_IOERR:
        /* A full disk shows itself as a failed write to the log's index too. */
        return dv_fail(reterr, code == SQLITE_IOERR_SHMSIZE ? DV_NO_SPACE : DV_IO,
            "the database cannot read or write its file: %s", text);
    default:
        return dv_fail(reterr, DV_IO, "the database failed: %s", text);
    }
}

/* --- Statements ------------------------------------------------------------------------------- */

static void drop_statement(struct statement *statement)
{
    (void)sqlite3_finalize(statement->compiled);
    dv_free(statement->text);
    *statement = (struct statement){0};
}

/* Compiled before, or now in the place of the one that was not used for longest. */
static enum dv_status prepare(struct connection *connection, const char *text,
    sqlite3_stmt **ret_compiled, struct dv_error *reterr)
{
    struct statement *oldest = &connection->statements[0];
    sqlite3_stmt *compiled = NULL;

    for (size_t i = 0; i < connection->statement_count; i++) {
        struct statement *statement = &connection->statements[i];
        if (strcmp(statement->text, text) == 0) {
            statement->used_at = ++connection->run_count;
            *ret_compiled = statement->compiled;
            return DV_OK;
        }
        oldest = statement->used_at < oldest->used_at ? statement : oldest;
    }
    int code = sqlite3_prepare_v3(
        connection->db, text, -1, SQLITE_PREPARE_PERSISTENT, &compiled, NULL);
    if (code != SQLITE_OK) {
        return fail(connection, code, reterr);
    }
    if (connection->statement_count < STATEMENTS_MAX) {
        oldest = &connection->statements[connection->statement_count++];
    } else {
        drop_statement(oldest);
    }
    *oldest = (struct statement){
        .text = dv_strdup(text), .compiled = compiled, .used_at = ++connection->run_count};
    *ret_compiled = compiled;
    return DV_OK;
}

static int bind_value(sqlite3_stmt *statement, int index, const struct dv_sql_value *value)
{
    switch (value->type) {
    case DV_SQL_NULL:
        return sqlite3_bind_null(statement, index);
    case DV_SQL_INTEGER:
    case DV_SQL_BOOL:
        return sqlite3_bind_int64(statement, index, value->integer);
    case DV_SQL_REAL:
        return sqlite3_bind_double(statement, index, value->real);
    case DV_SQL_TEXT:
        break;
    }
    return sqlite3_bind_text64(
        statement, index, value->text, strlen(value->text), SQLITE_STATIC, SQLITE_UTF8);
}

static enum dv_status bind(struct connection *connection, sqlite3_stmt *statement,
    const struct dv_sql_value *values, size_t count, struct dv_error *reterr)
{
    assert((size_t)sqlite3_bind_parameter_count(statement) <= count);
    for (size_t i = 0; i < count; i++) {
        char name[24];
        (void)snprintf(name, sizeof(name), "$%zu", i + 1);
        int index = sqlite3_bind_parameter_index(statement, name);
        int code = index > 0 ? bind_value(statement, index, &values[i]) : SQLITE_OK;
        if (code != SQLITE_OK) {
            return fail(connection, code, reterr);
        }
    }
    return DV_OK;
}

static struct dv_json *read_text(const char *type, const char *text, size_t size)
{
    struct dv_json *json;

    if (type && strcmp(type, "json_text") == 0 && dv_json_parse(text, size, &json, NULL) == DV_OK) {
        return json;
    }
    return dv_json_string(text);
}

static struct dv_json *read_column(sqlite3_stmt *statement, int column)
{
    const char *type = sqlite3_column_decltype(statement, column);

    switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
        return type && strcmp(type, "boolean_int") == 0
                   ? dv_json_bool(sqlite3_column_int64(statement, column) != 0)
                   : dv_json_integer(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
        return dv_json_number(sqlite3_column_double(statement, column));
    case SQLITE_TEXT:
        return read_text(type, (const char *)sqlite3_column_text(statement, column),
            (size_t)sqlite3_column_bytes(statement, column));
    default:
        return dv_json_null();
    }
}

static struct dv_json *read_row(sqlite3_stmt *statement)
{
    struct dv_json *row = dv_json_object();

    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        dv_json_set(row, sqlite3_column_name(statement, i), read_column(statement, i));
    }
    return row;
}

static enum dv_status step(struct connection *connection, sqlite3_stmt *statement,
    struct dv_json *rows, struct dv_error *reterr)
{
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (rows) {
            dv_json_append(rows, read_row(statement));
        }
    }
    return code == SQLITE_DONE ? DV_OK : fail(connection, code, reterr);
}

static enum dv_status sqlite_run(void *user, const char *text, const struct dv_sql_value *values,
    size_t count, struct dv_json **ret_rows, int64_t *ret_changes, struct dv_error *reterr)
{
    struct connection *connection = user;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = ret_rows ? dv_json_array() : NULL;
    sqlite3_stmt *statement = NULL;

    enum dv_status status = prepare(connection, text, &statement, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = bind(connection, statement, values, count, reterr);
    if (status == DV_OK) {
        status = step(connection, statement, rows, reterr);
    }
    (void)sqlite3_reset(statement); /* says again what step() said */
    (void)sqlite3_clear_bindings(statement);
    if (status != DV_OK) {
        return status;
    }
    if (ret_changes) {
        *ret_changes = sqlite3_changes64(connection->db);
    }
    if (ret_rows) {
        *ret_rows = rows;
        rows = NULL;
    }
    return DV_OK;
}

static enum dv_status sqlite_script(void *user, const char *text, struct dv_error *reterr)
{
    struct connection *connection = user;
    int code = sqlite3_exec(connection->db, text, NULL, NULL, NULL);

    return code == SQLITE_OK ? DV_OK : fail(connection, code, reterr);
}

/* --- Opening ---------------------------------------------------------------------------------- */

static void sqlite_close(void *user)
{
    struct connection *connection = user;

    for (size_t i = 0; i < connection->statement_count; i++) {
        drop_statement(&connection->statements[i]);
    }
    (void)sqlite3_close(connection->db);
    dv_free(connection);
}

static enum dv_status configure(
    struct connection *connection, bool is_reader, struct dv_error *reterr)
{
    (void)sqlite3_busy_timeout(connection->db, BUSY_TIMEOUT_MS);
    (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    (void)sqlite3_db_config(connection->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
    enum dv_status status = sqlite_script(connection,
        is_reader ? "PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0; PRAGMA query_only=1"
                  : "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=1; "
                    "PRAGMA mmap_size=0; PRAGMA journal_size_limit=16777216",
        reterr);
    if (status == DV_OK && is_reader) {
        (void)sqlite3_db_config(
            connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    }
    return status;
}

static enum dv_status sqlite_open(
    const struct dv_sql_options *options, void **ret_connection, struct dv_error *reterr)
{
    const char *path = options->url + strlen(PREFIX);
    struct connection *connection = dv_alloc(sizeof(*connection));

    int code = sqlite3_open_v2(path, &connection->db,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (options->is_reader ? 0 : SQLITE_OPEN_CREATE),
        NULL);
    enum dv_status status =
        code == SQLITE_OK ? DV_OK : dv_fail(reterr, DV_IO, "cannot open the database %s: %s", path,
                                        sqlite3_errmsg(connection->db));
    if (status == DV_OK) {
        status = configure(connection, options->is_reader, reterr);
    }
    if (status != DV_OK) {
        sqlite_close(connection);
        return status;
    }
    *ret_connection = connection;
    return DV_OK;
}

static bool sqlite_is_lost(const void *user)
{
    (void)user;
    return false;
}

static const char *sqlite_word(const char *word)
{
    static const char *const words[][2] = {{"{UUID}", "uuid_text"}, {"{JSON}", "json_text"},
        {"{TIME}", "time_text"}, {"{BOOLEAN}", "boolean_int"},
        {"{SERIAL}", "INTEGER PRIMARY KEY AUTOINCREMENT"}, {"{BIGINT}", "INTEGER"},
        {"{REAL}", "REAL"}};

    for (size_t i = 0; i < DV_ARRAY_SIZE(words); i++) {
        if (strcmp(words[i][0], word) == 0) {
            return words[i][1];
        }
    }
    return NULL;
}

/* SQLite's PRAGMA integrity_check and foreign_key_check, of which the second is not in the first. */
static const char *const damage_queries[] = {
    "SELECT integrity_check AS damage FROM pragma_integrity_check(20)",
    "SELECT \"table\" || ' has ' || count(*) || ' rows without their ' || parent AS damage "
    "FROM pragma_foreign_key_check GROUP BY \"table\", parent",
    NULL,
};

const struct dv_sql_driver dv_sql_sqlite = {
    .kind = "sqlite",
    .prefix = PREFIX,
    .open = sqlite_open,
    .close = sqlite_close,
    .run = sqlite_run,
    .script = sqlite_script,
    .begin = "BEGIN IMMEDIATE",
    .is_lost = sqlite_is_lost,
    .word = sqlite_word,
    .damage_queries = damage_queries,
};
