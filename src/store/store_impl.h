/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_STORE_IMPL_H
#define DV_STORE_STORE_IMPL_H

/*
 * What the entities' files share: reading on a connection of the pool, writing in a transaction
 * of the one connection that writes, an event beside each change, pages of lists.
 *
 *     enum dv_status status = dv_store_begin(store, reterr);
 *     if (status == DV_OK) {
 *         status = ... dv_store_write(), dv_store_event() ...;
 *         status = dv_store_end(store, status, reterr);
 *     }
 */

#include "base/json.h"
#include "base/status.h"
#include "store/driver/sql.h"
#include "store/store.h"

#include <stddef.h>

/* --- Reading ---------------------------------------------------------------------------------- */

/* Rows of a SELECT, an array, the caller's. */
DV_MUST_CHECK enum dv_status dv_store_read(struct dv_store *store, const char *text,
    const struct dv_sql_value *values, size_t count, struct dv_json **ret_rows,
    struct dv_error *reterr);

/* The only row. DV_NOT_FOUND with "there is no {noun} with this id" when there is none. */
DV_MUST_CHECK enum dv_status dv_store_read_one(struct dv_store *store, const char *noun,
    const char *text, const struct dv_sql_value *values, size_t count, struct dv_json **ret_row,
    struct dv_error *reterr);

/* --- Writing ---------------------------------------------------------------------------------- */

/* Become the writer and begin; only dv_store_end() lets go. */
DV_MUST_CHECK enum dv_status dv_store_begin(struct dv_store *store, struct dv_error *reterr);

/* Within: run a statement; `ret_rows`, `ret_changes` may be NULL. */
DV_MUST_CHECK enum dv_status dv_store_write(struct dv_store *store, const char *text,
    const struct dv_sql_value *values, size_t count, struct dv_json **ret_rows,
    int64_t *ret_changes, struct dv_error *reterr);

/* Within: one row, as dv_store_read_one(). */
DV_MUST_CHECK enum dv_status dv_store_write_one(struct dv_store *store, const char *noun,
    const char *text, const struct dv_sql_value *values, size_t count, struct dv_json **ret_row,
    struct dv_error *reterr);

/* Within: an event; takes `data` (NULL: an empty object). `ret_id` may be NULL. */
DV_MUST_CHECK enum dv_status dv_store_event(struct dv_store *store, const char *topic,
    const char *subject_id, const char *type, struct dv_json *data, int64_t *ret_id,
    struct dv_error *reterr);

/*
 * Commit when `status` is DV_OK, else roll back; let go; tell who listens. The status that the
 * whole had.
 */
DV_MUST_CHECK enum dv_status dv_store_end(
    struct dv_store *store, enum dv_status status, struct dv_error *reterr);

/* The same for one that has a row (taken) to give, which it gives only once it is committed. */
DV_MUST_CHECK enum dv_status dv_store_end_row(struct dv_store *store, enum dv_status status,
    struct dv_json *row, struct dv_json **ret_row, struct dv_error *reterr);

/* Within: note a path under DATA whose files are to go. */
DV_MUST_CHECK enum dv_status dv_store_discard(
    struct dv_store *store, const char *path, struct dv_error *reterr);

/* This server's id. */
const char *dv_store_instance(const struct dv_store *store);

/* --- Lists ------------------------------------------------------------------------------------ */

#define DV_LIST_VALUES_MAX 12

/* What a list may be sorted by: a column that is never null, and what its values are. */
enum dv_list_type { DV_LIST_TEXT, DV_LIST_TIME, DV_LIST_INTEGER };
struct dv_list_sort {
    const char *name; /* "created_at"; NULL at the end */
    enum dv_list_type type;
};

/* A query that grows: clauses are added, then it is run. */
struct dv_list {
    const char *columns; /* what is selected */
    const char *from;
    const struct dv_list_sort *sorts;
    const char *id; /* the column that breaks ties: a unique UUID; "id" */
    const char *default_sort;
    bool is_too_long; /* what is searched for */
    char where[1024];
    struct dv_sql_value values[DV_LIST_VALUES_MAX];
    size_t count;
};

/* AND `clause`, in which "$$" stands for `value`; does nothing when the value is null. */
void dv_list_add(struct dv_list *list, const char *clause, struct dv_sql_value value);

/*
 * AND the column `search` has the text in it, in any case, or where that is null the expression
 * `plain` does; NULL: does nothing. The pattern is the list's until it has run.
 */
#define DV_LIST_PATTERN_SIZE 2048u
void dv_list_add_search(struct dv_list *list, const char *plain, const char *text,
    char ret_pattern[static DV_LIST_PATTERN_SIZE]);

/* Within: set the column `search` of a row of `table` to what its name and description are. */
DV_MUST_CHECK enum dv_status dv_list_note_search(
    struct dv_store *store, const char *table, const struct dv_json *row, struct dv_error *reterr);

DV_MUST_CHECK enum dv_status dv_list_run(struct dv_store *store, const struct dv_list *list,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr);

/* --- Values ----------------------------------------------------------------------------------- */

/* JSON as its text, to be freed with dv_free(); NULL and null: NULL. */
char *dv_store_json_text(const struct dv_json *json);

/* A member that is a number, else null: as it is, and as an integer. */
struct dv_sql_value dv_store_number(const struct dv_json *object, const char *name);
struct dv_sql_value dv_store_count(const struct dv_json *object, const char *name);

#endif
