/* SPDX-License-Identifier: Apache-2.0 */

/*
 * PostgreSQL through libpq, in text form: the server finds the type of each parameter from where
 * it stands. Results are told apart by the type's number (catalog pg_type).
 */

#include "store/driver/sql_impl.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 64u
#define NUMBER_SIZE 32u

/* Numbers of types, from PostgreSQL's catalog. */
enum { TYPE_BOOL = 16, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23, TYPE_JSON = 114,
    TYPE_FLOAT4 = 700, TYPE_FLOAT8 = 701, TYPE_TIMESTAMPTZ = 1184, TYPE_NUMERIC = 1700,
    TYPE_JSONB = 3802 };

struct connection {
    PGconn *pg;
    bool is_lost; /* whatever libpq thinks of it */
};

/* --- Failures --------------------------------------------------------------------------------- */

/* The first line of what the server says, without what libpq puts in front. */
static void first_line(const char *text, char ret_line[static 300])
{
    (void)snprintf(ret_line, 300, "%.*s", (int)strcspn(text, "\n"), text);
}

/* Classes of SQLSTATE (PostgreSQL's appendix A). */
static enum dv_status status_of_state(const char *state)
{
    static const struct {
        const char *prefix;
        enum dv_status status;
    } classes[] = {{"53100", DV_NO_SPACE}, {"53", DV_UNAVAILABLE}, {"57", DV_UNAVAILABLE},
        {"08", DV_UNAVAILABLE}, {"40", DV_UNAVAILABLE}, {"25006", DV_UNAVAILABLE},
        {"55P03", DV_UNAVAILABLE}, {"23", DV_CONFLICT}, {"22", DV_INVALID}, {"XX001", DV_CORRUPT},
        {"XX002", DV_CORRUPT}};

    for (size_t i = 0; i < DV_ARRAY_SIZE(classes); i++) {
        if (dv_text_has_prefix(state, classes[i].prefix)) {
            return classes[i].status;
        }
    }
    return DV_IO;
}

/*
 * The server's words before it closes (class 57P), or none of the server's at all: where a write
 * fails after a last notice was read, libpq 15 says so and calls the connection a good one still.
 */
static bool is_end(const struct connection *connection, const char *state)
{
    return PQstatus(connection->pg) != CONNECTION_OK || !state || dv_text_has_prefix(state, "57P");
}

static enum dv_status fail(
    struct connection *connection, const PGresult *result, struct dv_error *reterr)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    char line[300];

    if (is_end(connection, state)) {
        connection->is_lost = true;
        return dv_fail(reterr, DV_UNAVAILABLE, "the connection to the database is lost");
    }
    first_line(primary ? primary : PQerrorMessage(connection->pg), line);
    return dv_fail(reterr, status_of_state(state), "the database refuses: %s", line);
}

/* --- Results ---------------------------------------------------------------------------------- */

/* "2026-01-31 23:59:59.999+00", which is what DateStyle ISO in UTC gives, as RFC 3339. */
static struct dv_json *read_time(const char *text)
{
    char time[32];
    int ms = 0;

    if (strlen(text) < 19) {
        return dv_json_string(text);
    }
    if (text[19] == '.') {
        int scale = 100;
        for (const char *c = text + 20; *c >= '0' && *c <= '9' && scale > 0; c++, scale /= 10) {
            ms += (*c - '0') * scale;
        }
    }
    (void)snprintf(time, sizeof(time), "%.10sT%.8s.%03dZ", text, text + 11, ms);
    return dv_json_string(time);
}

static struct dv_json *read_value(Oid type, const char *text, size_t size)
{
    struct dv_json *json;
    int64_t integer;

    switch (type) {
    case TYPE_BOOL:
        return dv_json_bool(text[0] == 't');
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        return dv_text_to_int64(text, &integer) ? dv_json_integer(integer) : dv_json_null();
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
    case TYPE_NUMERIC:
        return dv_json_number(strtod(text, NULL));
    case TYPE_TIMESTAMPTZ:
        return read_time(text);
    case TYPE_JSON:
    case TYPE_JSONB:
        return dv_json_parse(text, size, &json, NULL) == DV_OK ? json : dv_json_string(text);
    default:
        return dv_json_string(text);
    }
}

static struct dv_json *read_rows(const PGresult *result)
{
    struct dv_json *rows = dv_json_array();

    for (int r = 0; r < PQntuples(result); r++) {
        struct dv_json *row = dv_json_object();
        for (int c = 0; c < PQnfields(result); c++) {
            struct dv_json *value =
                PQgetisnull(result, r, c)
                    ? dv_json_null()
                    : read_value(PQftype(result, c), PQgetvalue(result, r, c),
                          (size_t)PQgetlength(result, r, c));
            dv_json_set(row, PQfname(result, c), value);
        }
        dv_json_append(rows, row);
    }
    return rows;
}

/* --- Queries ---------------------------------------------------------------------------------- */

static const char *write_value(const struct dv_sql_value *value, char scratch[static NUMBER_SIZE])
{
    switch (value->type) {
    case DV_SQL_NULL:
        return NULL;
    case DV_SQL_INTEGER:
        (void)snprintf(scratch, NUMBER_SIZE, "%" PRId64, value->integer);
        return scratch;
    case DV_SQL_REAL:
        (void)snprintf(scratch, NUMBER_SIZE, "%.17g", value->real);
        return scratch;
    case DV_SQL_BOOL:
        return value->integer ? "t" : "f";
    case DV_SQL_TEXT:
        break;
    }
    return value->text;
}

static enum dv_status take_result(struct connection *connection, PGresult *result,
    struct dv_json **ret_rows, int64_t *ret_changes, struct dv_error *reterr)
{
    ExecStatusType outcome = PQresultStatus(result);
    enum dv_status status = DV_OK;

    if (outcome != PGRES_COMMAND_OK && outcome != PGRES_TUPLES_OK) {
        status = fail(connection, result, reterr);
    } else {
        if (ret_changes) {
            *ret_changes = strtoll(PQcmdTuples(result), NULL, 10);
        }
        if (ret_rows) {
            *ret_rows = read_rows(result);
        }
    }
    PQclear(result);
    return status;
}

static enum dv_status postgres_run(void *user, const char *text, const struct dv_sql_value *values,
    size_t count, struct dv_json **ret_rows, int64_t *ret_changes, struct dv_error *reterr)
{
    struct connection *connection = user;
    const char *texts[VALUES_MAX];
    char numbers[VALUES_MAX][NUMBER_SIZE];

    assert(count <= VALUES_MAX);
    for (size_t i = 0; i < count; i++) {
        texts[i] = write_value(&values[i], numbers[i]);
    }
    PGresult *result =
        PQexecParams(connection->pg, text, (int)count, NULL, texts, NULL, NULL, 0);
    return take_result(connection, result, ret_rows, ret_changes, reterr);
}

static enum dv_status postgres_script(void *user, const char *text, struct dv_error *reterr)
{
    struct connection *connection = user;

    return take_result(connection, PQexec(connection->pg, text), NULL, NULL, reterr);
}

/* The server answers a COMMIT of what has failed with OK, and the word for what it did. */
static enum dv_status postgres_commit(void *user, struct dv_error *reterr)
{
    struct connection *connection = user;
    PGresult *result = PQexec(connection->pg, "COMMIT");
    bool is_done = PQresultStatus(result) != PGRES_COMMAND_OK ||
                   strcmp(PQcmdStatus(result), "COMMIT") == 0;

    enum dv_status status = take_result(connection, result, NULL, NULL, reterr);
    return is_done ? status
                   : dv_fail(reterr, DV_IO, "the database has rolled back instead of committing");
}

/* --- Opening ---------------------------------------------------------------------------------- */

static void postgres_close(void *user)
{
    struct connection *connection = user;

    PQfinish(connection->pg);
    dv_free(connection);
}

/* Notices are for people at a terminal. */
static void ignore_notice(void *user, const PGresult *result)
{
    (void)user;
    (void)result;
}

static const char settings[] = "SET TIME ZONE 'UTC'; SET DateStyle = 'ISO, YMD';"
                               "SET extra_float_digits = 3; SET synchronous_commit = on;"
                               "SET statement_timeout = '30s'; SET lock_timeout = '10s';"
                               "SET idle_in_transaction_session_timeout = '60s';"
                               "SET standard_conforming_strings = on";

/* A server that is away is found out in seconds, not in hours. Url parameters of the same name win. */
static PGconn *connect_to(const char *url)
{
    static const char *const names[] = {"connect_timeout", "keepalives_idle",
        "keepalives_interval", "keepalives_count", "tcp_user_timeout", "application_name",
        "client_encoding", "dbname", NULL};
    const char *const values[] = {"2", "5", "2", "3", "10000", "dv", "UTF8", url, NULL};

    return PQconnectdbParams(names, values, 1);
}

static enum dv_status postgres_open(
    const struct dv_sql_options *options, void **ret_connection, struct dv_error *reterr)
{
    struct connection *connection = dv_alloc(sizeof(*connection));
    enum dv_status status = DV_OK;

    connection->pg = connect_to(options->url);
    if (PQstatus(connection->pg) != CONNECTION_OK) {
        char line[300]; /* never with the password: libpq names host, port, user and database */
        first_line(PQerrorMessage(connection->pg), line);
        status = dv_fail(reterr, DV_UNAVAILABLE, "cannot reach the database: %s", line);
    }
    if (status == DV_OK) {
        (void)PQsetNoticeReceiver(connection->pg, ignore_notice, NULL);
        status = postgres_script(connection, settings, reterr);
    }
    if (status == DV_OK && options->is_reader) {
        status = postgres_script(connection, "SET default_transaction_read_only = on", reterr);
    }
    if (status != DV_OK) {
        postgres_close(connection);
        return status;
    }
    *ret_connection = connection;
    return DV_OK;
}

static bool postgres_is_lost(const void *user)
{
    const struct connection *connection = user;

    return connection->is_lost || PQstatus(connection->pg) != CONNECTION_OK;
}

static const char *postgres_word(const char *word)
{
    static const char *const words[][2] = {{"{UUID}", "uuid"}, {"{JSON}", "jsonb"},
        {"{TIME}", "timestamptz"}, {"{BOOLEAN}", "boolean"},
        {"{SERIAL}", "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"}, {"{BIGINT}", "bigint"},
        {"{REAL}", "double precision"}};

    for (size_t i = 0; i < DV_ARRAY_SIZE(words); i++) {
        if (strcmp(words[i][0], word) == 0) {
            return words[i][1];
        }
    }
    return NULL;
}

const struct dv_sql_driver dv_sql_postgres = {
    .kind = "postgresql",
    .prefix = "postgresql://",
    .open = postgres_open,
    .close = postgres_close,
    .run = postgres_run,
    .script = postgres_script,
    .begin = "BEGIN",
    .commit = postgres_commit,
    .note_query = "SELECT pg_current_xact_id_if_assigned()::text AS note",
    .outcome_query = "SELECT pg_xact_status($1::xid8) AS outcome",
    .is_lost = postgres_is_lost,
    .word = postgres_word,
    .lock_events = "SELECT pg_advisory_xact_lock(7310579)", /* the number means nothing */
};
