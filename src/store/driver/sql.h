/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_DRIVER_SQL_H
#define DV_STORE_DRIVER_SQL_H

/*
 * One connection to a database, whichever it is. A query is written once, with parameters `$1` to
 * `$n`; its rows come as JSON objects named by column and typed by what the column was declared
 * as: booleans, integers, numbers, text, JSON values, times as RFC 3339 in UTC.
 *
 * Life:    dv_sql_open(), queries, dv_sql_close().
 * Threads: one at a time.
 * Limits:  all rows of a query are held at once: a query that can give many has a LIMIT.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dv_json;
struct dv_sql;

enum dv_sql_type { DV_SQL_NULL, DV_SQL_INTEGER, DV_SQL_REAL, DV_SQL_TEXT, DV_SQL_BOOL };

/* A parameter; text is borrowed for the call. */
struct dv_sql_value {
    enum dv_sql_type type;
    union {
        int64_t integer;
        double real;
        const char *text;
    };
};

struct dv_sql_value dv_sql_null(void);
struct dv_sql_value dv_sql_integer(int64_t value);
struct dv_sql_value dv_sql_real(double value);      /* not finite: null */
struct dv_sql_value dv_sql_text(const char *text);  /* NULL: null */
struct dv_sql_value dv_sql_bool(bool value);

struct dv_sql_options {
    const char *url; /* "sqlite:PATH", "postgresql://..." */
    bool is_reader;  /* never writes nor checkpoints */
};

/*
 * Statuses of everything below: DV_UNAVAILABLE the connection is lost or could not be made;
 * DV_NO_SPACE, DV_CORRUPT; DV_CONFLICT a constraint is in the way; DV_INVALID a value that the
 * database cannot hold; DV_IO anything else. DV_UNSUPPORTED: another kind of url.
 */
DV_MUST_CHECK enum dv_status dv_sql_open(
    const struct dv_sql_options *options, struct dv_sql **ret_sql, struct dv_error *reterr);
struct dv_sql *dv_sql_close(struct dv_sql *sql);

/* Run one statement. `ret_rows` (an array, the caller's) and `ret_changes` may be NULL. */
DV_MUST_CHECK enum dv_status dv_sql_run(struct dv_sql *sql, const char *text,
    const struct dv_sql_value *values, size_t count, struct dv_json **ret_rows,
    int64_t *ret_changes, struct dv_error *reterr);

/* Run statements without parameters, of a migration. */
DV_MUST_CHECK enum dv_status dv_sql_script(
    struct dv_sql *sql, const char *text, struct dv_error *reterr);

DV_MUST_CHECK enum dv_status dv_sql_begin(struct dv_sql *sql, struct dv_error *reterr);
DV_MUST_CHECK enum dv_status dv_sql_commit(struct dv_sql *sql, struct dv_error *reterr);
void dv_sql_rollback(struct dv_sql *sql);

/*
 * A connection may be lost while it is to say that it has committed. What to ask another one by:
 * the transaction's number, noted before the COMMIT; "" where there is nothing that could have been
 * committed unseen.
 */
#define DV_SQL_NOTE_SIZE 32
DV_MUST_CHECK enum dv_status dv_sql_note_transaction(
    struct dv_sql *sql, char ret_note[static DV_SQL_NOTE_SIZE], struct dv_error *reterr);

enum dv_sql_outcome { DV_SQL_UNKNOWN, DV_SQL_UNDER_WAY, DV_SQL_COMMITTED, DV_SQL_ABORTED };
DV_MUST_CHECK enum dv_status dv_sql_find_outcome(struct dv_sql *sql, const char *note,
    enum dv_sql_outcome *ret_outcome, struct dv_error *reterr);

/* "sqlite", "postgresql". */
const char *dv_sql_kind(const struct dv_sql *sql);

/* A connection that was lost is of no use any more: close it and open another. */
bool dv_sql_is_lost(const struct dv_sql *sql);

/*
 * What the words of a migration stand for in this database: "{UUID}", "{JSON}", "{TIME}",
 * "{BOOLEAN}", "{SERIAL}" (a key that counts up); NULL for another word.
 */
const char *dv_sql_word(const struct dv_sql *sql, const char *word);

/* Query `index` whose rows name damage in the database ("ok" is none); NULL: there are no more. */
const char *dv_sql_damage_query(const struct dv_sql *sql, size_t index);

/* Held until the transaction ends, by one connection of the whole database. */
DV_MUST_CHECK enum dv_status dv_sql_lock_events(struct dv_sql *sql, struct dv_error *reterr);

#endif
