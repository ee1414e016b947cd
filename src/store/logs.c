/* SPDX-License-Identifier: Apache-2.0 */
#include "store/logs.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fold.h"
#include "base/text.h"
#include "store/store_impl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const levels[] = {"error", "warning", "info", "debug"};

static const struct dv_list_sort log_sorts[] = {{"id", DV_LIST_INTEGER}, {0}};

/* --- Log lines -------------------------------------------------------------------------------- */

/* NULL for one that the database folds itself: they are many, and most are ASCII. */
static char *fold_line(const char *text)
{
    bool is_ascii = true;

    for (const char *at = text; *at; at++) {
        is_ascii = is_ascii && (unsigned char)*at < 0x80;
    }
    return is_ascii ? NULL : dv_text_fold(text);
}

static enum dv_status append_line(struct dv_store *store, const char *job_id,
    const struct dv_log_line *line, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *folded = fold_line(line->text);
    struct dv_json *data = dv_json_object();
    char now[DV_TIME_TEXT_SIZE];
    int64_t id = 0;

    dv_clock_now_text(now);
    dv_json_set_string(data, "level", line->level);
    dv_json_set_string(data, "source", line->source);
    dv_json_set_string(data, "text", line->text);
    enum dv_status status = dv_store_event(store, "jobs", job_id, "log", data, &id, reterr);
    const struct dv_sql_value values[] = {dv_sql_integer(id), dv_sql_text(job_id), dv_sql_text(now),
        dv_sql_text(line->level), dv_sql_text(line->source), dv_sql_text(line->text),
        dv_sql_text(folded)};
    if (status == DV_OK) {
        status = dv_store_write(store,
            "INSERT INTO training_logs (id, job_id, at, level, source, text, search) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7)",
            values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
    }
    return status;
}

enum dv_status dv_logs_append(struct dv_store *store, const char *job_id,
    const struct dv_log_line *lines, size_t count, struct dv_error *reterr)
{
    if (count == 0) {
        return DV_OK;
    }
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    for (size_t i = 0; status == DV_OK && i < count; i++) {
        status = append_line(store, job_id, &lines[i], reterr);
    }
    return dv_store_end(store, status, reterr);
}

/* "level IN (...)" for this level and graver ones; these words are our own. */
static void add_levels(struct dv_list *list, const char *level)
{
    char clause[120] = "$$ = $$ AND level IN (";

    for (size_t i = 0; i < DV_ARRAY_SIZE(levels); i++) {
        size_t used = strlen(clause);
        bool is_last = dv_text_equal(levels[i], level);
        (void)snprintf(clause + used, sizeof(clause) - used, "'%s'%s", levels[i], is_last ? ")" : ", ");
        if (is_last) {
            dv_list_add(list, clause, dv_sql_integer(1));
            return;
        }
    }
}

enum dv_status dv_logs_list(struct dv_store *store, const char *job_id,
    const struct dv_log_filter *filter, const struct dv_page *page, struct dv_json **ret_list,
    struct dv_error *reterr)
{
    struct dv_list list = {.columns = "id, job_id, at, level, source, text",
        .from = "training_logs",
        .sorts = log_sorts,
        .id = "job_id",
        .default_sort = "id"};
    char pattern[DV_LIST_PATTERN_SIZE];

    dv_list_add(&list, "job_id = $$", dv_sql_text(job_id));
    if (filter->level) {
        add_levels(&list, filter->level);
    }
    if (filter->after > 0) {
        dv_list_add(&list, "id > $$", dv_sql_integer(filter->after));
    }
    dv_list_add_search(&list, "text", filter->search, pattern);
    return dv_list_run(store, &list, page, ret_list, reterr);
}

/* --- Events ----------------------------------------------------------------------------------- */

enum dv_status dv_events_range(
    struct dv_store *store, int64_t *ret_lowest, int64_t *ret_highest, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_read(store,
        "SELECT coalesce(min(id), 0) AS lowest, coalesce(max(id), 0) AS highest FROM events", NULL,
        0, &rows, reterr);
    if (status == DV_OK) {
        *ret_lowest = dv_json_get_integer(dv_json_at(rows, 0), "lowest", 0);
        *ret_highest = dv_json_get_integer(dv_json_at(rows, 0), "highest", 0);
    }
    return status;
}

/* "topic IN ($n, ...)" and so on, with the values behind. */
static size_t add_filter(const struct dv_event_filter *filter, struct dv_sql_value *values,
    size_t count, char ret_where[static 300])
{
    size_t used = 0;

    ret_where[0] = '\0';
    if (filter->subject_id) {
        values[count++] = dv_sql_text(filter->subject_id);
        used += (size_t)snprintf(ret_where + used, 300 - used, " AND subject_id = $%zu", count);
    }
    if (filter->type) {
        values[count++] = dv_sql_text(filter->type);
        used += (size_t)snprintf(ret_where + used, 300 - used, " AND type = $%zu", count);
    }
    for (size_t i = 0; filter->topics && filter->topics[i] && i < 4; i++) {
        values[count++] = dv_sql_text(filter->topics[i]);
        used += (size_t)snprintf(ret_where + used, 300 - used, "%s$%zu%s",
            i == 0 ? " AND topic IN (" : ", ", count,
            filter->topics[i + 1] && i < 3 ? "" : ")");
    }
    return count;
}

enum dv_status dv_events_after(struct dv_store *store, const struct dv_event_filter *filter,
    int64_t after, int64_t count_max, struct dv_json **ret_rows, int64_t *ret_last,
    struct dv_error *reterr)
{
    struct dv_sql_value values[8] = {dv_sql_integer(after), dv_sql_integer(count_max)};
    struct dv_json *rows = NULL;
    char where[300];
    int64_t lowest, highest;

    assert(count_max > 0);
    size_t count = add_filter(filter, values, 2, where);
    DV_CLEANUP(dv_freep)
    char *query = dv_strprintf("SELECT id, at, topic, subject_id, type, data FROM events "
                               "WHERE id > $1%s ORDER BY id LIMIT $2",
        where);
    /* The highest first: what is committed after it is found by the next call. */
    enum dv_status status = dv_events_range(store, &lowest, &highest, reterr);
    if (status == DV_OK) {
        status = dv_store_read(store, query, values, count, &rows, reterr);
    }
    if (status != DV_OK) {
        return status;
    }
    size_t found = dv_json_count(rows);
    int64_t last = found > 0 ? dv_json_get_integer(dv_json_at(rows, found - 1), "id", after) : after;
    if (found < (size_t)count_max && highest > last) {
        last = highest;
    }
    *ret_rows = rows;
    *ret_last = last;
    return DV_OK;
}
