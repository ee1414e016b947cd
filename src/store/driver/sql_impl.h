/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_DRIVER_SQL_IMPL_H
#define DV_STORE_DRIVER_SQL_IMPL_H

/*
 * For those who write a driver: a table of functions, each as its wrapper in sql.h says.
 *
 * Adding a driver: its table in a file of its own, a line in sql.c; the tests of the store run on
 * it when it is in their table of urls.
 */

#include "store/driver/sql.h"

struct dv_sql_driver {
    const char *kind;
    const char *prefix; /* of the urls that are its own */
    enum dv_status (*open)(
        const struct dv_sql_options *options, void **ret_connection, struct dv_error *reterr);
    void (*close)(void *connection);
    enum dv_status (*run)(void *connection, const char *text, const struct dv_sql_value *values,
        size_t count, struct dv_json **ret_rows, int64_t *ret_changes, struct dv_error *reterr);
    enum dv_status (*script)(void *connection, const char *text, struct dv_error *reterr);
    const char *begin; /* how a transaction that will write begins */
    /* NULL: a COMMIT that fails has not happened, whatever the reason. */
    enum dv_status (*commit)(void *connection, struct dv_error *reterr);
    const char *note_query;    /* a row with the number of the transaction under way, or null */
    const char *outcome_query; /* what has become of the transaction $1 */
    bool (*is_lost)(const void *connection);
    const char *(*word)(const char *word);
    const char *lock_events; /* NULL: a transaction that writes is alone anyway */
    /* Queries whose rows name damage, "ok" but for that; ends with NULL. NULL: there are none. */
    const char *const *damage_queries;
};

extern const struct dv_sql_driver dv_sql_sqlite;
extern const struct dv_sql_driver dv_sql_postgres;

#endif
