/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pages of a list, by key and not by number of rows: a page begins after the sort value and the id
 * of the last row of the page before, so that rows that come and go do not shift it. A cursor is
 * those two as JSON, in hexadecimal.
 */

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/fold.h"
#include "base/hash.h"
#include "base/text.h"
#include "store/store_impl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define QUERY_SIZE_MAX 8192u
#define CURSOR_SIZE_MAX 2000u

/* --- Clauses ---------------------------------------------------------------------------------- */

void dv_list_add(struct dv_list *list, const char *clause, struct dv_sql_value value)
{
    size_t used = strlen(list->where);

    if (value.type == DV_SQL_NULL) {
        return;
    }
    assert(list->count + 2 < DV_LIST_VALUES_MAX); /* the cursor's two come after */
    list->values[list->count++] = value;
    (void)dv_text_copy(list->where + used, sizeof(list->where) - used, " AND ");
    used += 5;
    for (const char *at = clause; *at; at++) {
        if (at[0] == '$' && at[1] == '$') {
            used += (size_t)snprintf(
                list->where + used, sizeof(list->where) - used, "$%zu", list->count);
            at++;
        } else {
            list->where[used++] = *at;
        }
        assert(used + 8 < sizeof(list->where));
    }
    list->where[used] = '\0';
}

/* With what LIKE takes as its own escaped; false: it does not fit. */
static bool write_pattern(const char *text, char ret_pattern[static DV_LIST_PATTERN_SIZE])
{
    size_t size = 0;

    ret_pattern[size++] = '%';
    for (; *text; text++) {
        if (size + 4 > DV_LIST_PATTERN_SIZE) {
            return false;
        }
        if (*text == '%' || *text == '_' || *text == '\\') {
            ret_pattern[size++] = '\\';
        }
        ret_pattern[size++] = *text;
    }
    ret_pattern[size++] = '%';
    ret_pattern[size] = '\0';
    return true;
}

void dv_list_add_search(struct dv_list *list, const char *plain, const char *text,
    char ret_pattern[static DV_LIST_PATTERN_SIZE])
{
    char clause[160];

    if (!text) {
        return;
    }
    DV_CLEANUP(dv_freep) char *folded = dv_text_fold(text);
    if (!write_pattern(folded, ret_pattern)) {
        list->is_too_long = true;
        return;
    }
    (void)snprintf(
        clause, sizeof(clause), "coalesce(search, lower(%s)) LIKE $$ ESCAPE '\\'", plain);
    dv_list_add(list, clause, dv_sql_text(ret_pattern));
}

enum dv_status dv_list_note_search(
    struct dv_store *store, const char *table, const struct dv_json *row, struct dv_error *reterr)
{
    /* No search can be for both at once: a line's end is in no pattern that a person types. */
    DV_CLEANUP(dv_freep)
    char *text = dv_strprintf("%s\n%s", dv_json_get_string(row, "name", ""),
        dv_json_get_string(row, "description", ""));
    DV_CLEANUP(dv_freep) char *folded = dv_text_fold(text);
    DV_CLEANUP(dv_freep)
    char *query = dv_strprintf("UPDATE %s SET search = $2 WHERE id = $1", table);
    const struct dv_sql_value values[] = {
        dv_sql_text(dv_json_get_string(row, "id", "")), dv_sql_text(folded)};

    return dv_store_write(store, query, values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

/* --- Cursors ---------------------------------------------------------------------------------- */

static char *write_cursor(const struct dv_json *row, const char *sort, const char *id)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *cursor = dv_json_array();

    dv_json_append(cursor, dv_json_string(sort));
    dv_json_append(cursor, dv_json_ref(dv_json_get(row, sort)));
    dv_json_append(cursor, dv_json_ref(dv_json_get(row, id)));
    DV_CLEANUP(dv_freep) char *text = dv_json_print(cursor);
    char *hex = dv_alloc(2 * strlen(text) + 1);
    dv_text_hex(text, strlen(text), hex);
    return hex;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* [sort, value, id], the caller's; NULL: it is no cursor of ours. */
static struct dv_json *read_cursor(const char *hex)
{
    size_t size = strlen(hex);
    struct dv_json *cursor = NULL;

    if (size % 2 != 0 || size > 2 * CURSOR_SIZE_MAX) {
        return NULL;
    }
    DV_CLEANUP(dv_freep) char *text = dv_alloc(size / 2 + 1);
    for (size_t i = 0; i < size / 2; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return NULL;
        }
        text[i] = (char)(high * 16 + low);
    }
    return dv_json_parse(text, size / 2, &cursor, NULL) == DV_OK ? cursor : NULL;
}

/* --- Running ---------------------------------------------------------------------------------- */

struct order {
    const struct dv_list_sort *sort;
    bool is_falling;
};

static enum dv_status choose_order(const struct dv_list *list, const char *wanted,
    struct order *ret_order, struct dv_error *reterr)
{
    const char *name = wanted ? wanted : list->default_sort;
    bool is_falling = name[0] == '-';

    for (const struct dv_list_sort *sort = list->sorts; sort->name; sort++) {
        if (dv_text_equal(sort->name, name + is_falling)) {
            *ret_order = (struct order){.sort = sort, .is_falling = is_falling};
            return DV_OK;
        }
    }
    return dv_fail(reterr, DV_INVALID, "sort '%.40s' is not known here: '%s' is, for one", wanted,
        list->default_sort);
}

/* "2026-01-31T23:59:59.999Z"; the database has the last word on the day. */
static bool is_time(const char *text)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";
    bool is_like = strlen(text) == strlen(shape);

    for (size_t i = 0; is_like && shape[i]; i++) {
        is_like = shape[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == shape[i];
    }
    return is_like;
}

static bool is_of_type(const struct dv_json *value, enum dv_list_type type)
{
    switch (type) {
    case DV_LIST_INTEGER:
        return dv_json_is_integer(value);
    case DV_LIST_TIME:
        return is_time(dv_json_to_string(value, ""));
    default:
        return dv_json_is_string(value);
    }
}

/* WHERE and values of a page that begins after the cursor; `cursor` holds the texts. */
static enum dv_status add_cursor(struct dv_list *list, const struct order *order,
    const struct dv_json *cursor, struct dv_error *reterr)
{
    const struct dv_json *value = dv_json_at(cursor, 1);
    const struct dv_json *id = dv_json_at(cursor, 2);
    char clause[160];

    if (dv_json_count(cursor) != 3 || !is_of_type(value, order->sort->type) ||
        !dv_uuid_is_valid(dv_json_to_string(id, "")) ||
        !dv_text_equal(dv_json_to_string(dv_json_at(cursor, 0), ""), order->sort->name)) {
        return dv_fail(reterr, DV_INVALID,
            "the cursor is of no page of this list: take next_cursor as it was given");
    }
    list->values[list->count++] = order->sort->type == DV_LIST_INTEGER
                                      ? dv_sql_integer(dv_json_to_integer(value, 0))
                                      : dv_sql_text(dv_json_to_string(value, ""));
    list->values[list->count++] = dv_sql_text(dv_json_to_string(id, ""));
    (void)snprintf(clause, sizeof(clause), " AND (%s, %s) %c ($%zu, $%zu)", order->sort->name,
        list->id, order->is_falling ? '<' : '>', list->count - 1, list->count);
    size_t used = strlen(list->where);
    bool fits = dv_text_copy(list->where + used, sizeof(list->where) - used, clause);
    assert(fits);
    return DV_OK;
}

static enum dv_status count_all(struct dv_store *store, const struct dv_list *list,
    int64_t *ret_total, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;
    DV_CLEANUP(dv_freep)
    char *query = dv_strprintf(
        "SELECT count(*) AS total FROM %s WHERE 1 = 1%s", list->from, list->where);

    enum dv_status status = dv_store_read(store, query, list->values, list->count, &rows, reterr);
    if (status == DV_OK) {
        *ret_total = dv_json_get_integer(dv_json_at(rows, 0), "total", 0);
    }
    return status;
}

/* One row more than asked for tells whether there is another page. */
static enum dv_status read_page(struct dv_store *store, const struct dv_list *list,
    const struct order *order, int64_t limit, struct dv_json **ret_rows, struct dv_error *reterr)
{
    const char *direction = order->is_falling ? "DESC" : "ASC";
    DV_CLEANUP(dv_freep)
    char *query = dv_strprintf("SELECT %s FROM %s WHERE 1 = 1%s ORDER BY %s %s, %s %s LIMIT %lld",
        list->columns, list->from, list->where, order->sort->name, direction, list->id, direction,
        (long long)limit + 1);

    return dv_store_read(store, query, list->values, list->count, ret_rows, reterr);
}

static struct dv_json *make_page(const struct dv_json *rows, const struct dv_list *list,
    const struct order *order, int64_t limit, int64_t total)
{
    struct dv_json *page = dv_json_object();
    struct dv_json *items = dv_json_array();
    size_t count = dv_json_count(rows);
    size_t shown = count > (size_t)limit ? (size_t)limit : count;

    for (size_t i = 0; i < shown; i++) {
        dv_json_append(items, dv_json_ref(dv_json_at(rows, i)));
    }
    dv_json_set(page, "items", items);
    if (count > shown) {
        DV_CLEANUP(dv_freep)
        char *cursor = write_cursor(dv_json_at(rows, shown - 1), order->sort->name, list->id);
        dv_json_set_string(page, "next_cursor", cursor);
    } else {
        dv_json_set(page, "next_cursor", dv_json_null());
    }
    dv_json_set_integer(page, "total", total);
    return page;
}

enum dv_status dv_list_run(struct dv_store *store, const struct dv_list *list,
    const struct dv_page *page, struct dv_json **ret_list, struct dv_error *reterr)
{
    struct dv_list copy = *list;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *cursor = NULL;
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;
    struct order order = {0};
    int64_t total = 0;

    assert(page->limit >= 1);
    if (list->is_too_long) {
        return dv_fail(reterr, DV_INVALID, "search is too long: at most %u bytes are looked for",
            DV_LIST_PATTERN_SIZE / 2);
    }
    enum dv_status status = choose_order(list, page->sort, &order, reterr);
    if (status == DV_OK) {
        status = count_all(store, list, &total, reterr);
    }
    if (status == DV_OK && page->cursor) {
        cursor = read_cursor(page->cursor);
        status = add_cursor(&copy, &order, cursor, reterr);
    }
    if (status == DV_OK) {
        status = read_page(store, &copy, &order, page->limit, &rows, reterr);
    }
    if (status == DV_OK) {
        *ret_list = make_page(rows, list, &order, page->limit, total);
    }
    return status;
}
