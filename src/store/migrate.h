/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_MIGRATE_H
#define DV_STORE_MIGRATE_H

/*
 * Brings a database to this program's schema, one step after the other, each in a transaction of
 * its own with its row in schema_migrations.
 *
 * Adding a step: schema/NNNN.sql, its line in schema.S and in meson.build, its name at the end of
 * the table in migrate.c. Never change an old one.
 */

#include "base/status.h"

#include <stddef.h>

struct dv_sql;

/*
 * DV_UNSUPPORTED: the schema is of a newer program. Others may do the same at once: each step is
 * taken by one of them.
 */
DV_MUST_CHECK enum dv_status dv_migrate(struct dv_sql *sql, struct dv_error *reterr);

/* Change nothing. DV_UNSUPPORTED: the schema is of another program, newer or older. */
DV_MUST_CHECK enum dv_status dv_migrate_check(struct dv_sql *sql, struct dv_error *reterr);

/* Steps in order: scripts in which words in braces stand for what a database calls it. */
struct dv_schema {
    const char *const *steps;
    size_t count;
};
extern const struct dv_schema dv_schema_own; /* this program's */

/* The same with steps of one's own, for tests. */
DV_MUST_CHECK enum dv_status dv_migrate_with(
    struct dv_sql *sql, const struct dv_schema *schema, struct dv_error *reterr);

#endif
