/* SPDX-License-Identifier: Apache-2.0 */
#include "store/migrate.h"

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "store/driver/sql.h"

#include <assert.h>
#include <string.h>

#define SCRIPT_SIZE_MAX (256u << 10)

/* src/store/schema/, each with a NUL behind it. */
extern const char dv_schema_0001[], dv_schema_0002[], dv_schema_0003[];

static const char *const own_steps[] = {dv_schema_0001, dv_schema_0002, dv_schema_0003};

const struct dv_schema dv_schema_own = {own_steps, DV_ARRAY_SIZE(own_steps)};

/* The driver's words in the place of those in braces. */
static char *translate(const struct dv_sql *sql, const char *text)
{
    struct dv_buffer script = DV_BUFFER_INIT(SCRIPT_SIZE_MAX);

    while (*text) {
        size_t plain = strcspn(text, "{");
        dv_buffer_append(&script, text, plain);
        text += plain;
        if (*text) {
            char word[32];
            size_t size = strcspn(text, "}") + 1;
            assert(size < sizeof(word));
            memcpy(word, text, size);
            word[size] = '\0';
            assert(dv_sql_word(sql, word));
            dv_buffer_append_text(&script, dv_sql_word(sql, word));
            text += size;
        }
    }
    assert(!script.is_over);
    return dv_buffer_take(&script);
}

static enum dv_status read_version(struct dv_sql *sql, int64_t *ret_version, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_sql_run(sql,
        "SELECT coalesce(max(version), 0) AS version FROM schema_migrations", NULL, 0, &rows, NULL,
        reterr);
    if (status == DV_OK) {
        *ret_version = dv_json_get_integer(dv_json_at(rows, 0), "version", 0);
    }
    return status;
}

static enum dv_status run_script(struct dv_sql *sql, const char *text, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *script = translate(sql, text);

    return dv_sql_script(sql, script, reterr);
}

static enum dv_status note_step(struct dv_sql *sql, int64_t version, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_integer(version), dv_sql_text(now)};
    return dv_sql_run(sql, "INSERT INTO schema_migrations (version, applied_at) VALUES ($1, $2)",
        values, 2, NULL, NULL, reterr);
}

/* Within: the step that comes next; *ret_version is what the database has then. */
static enum dv_status take_step(struct dv_sql *sql, const struct dv_schema *schema,
    int64_t *ret_version, struct dv_error *reterr)
{
    int64_t current = 0;

    enum dv_status status = run_script(sql,
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        " version {BIGINT} PRIMARY KEY, applied_at {TIME} NOT NULL)",
        reterr);
    if (status == DV_OK) {
        status = read_version(sql, &current, reterr);
    }
    if (status == DV_OK && current > (int64_t)schema->count) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "the database has schema %lld, this program knows up to %zu: it is of a newer dv",
            (long long)current, schema->count);
    }
    if (status == DV_OK && current < (int64_t)schema->count) {
        status = run_script(sql, schema->steps[current], reterr);
        current++;
        if (status == DV_OK) {
            status = note_step(sql, current, reterr);
        }
        if (status != DV_OK) {
            dv_error_prefix(reterr, "step %lld of the database's schema", (long long)current);
        }
    }
    *ret_version = current;
    return status;
}

/* One step in one transaction, and one server at a time: another finds it taken. */
static enum dv_status take_turn(struct dv_sql *sql, const struct dv_schema *schema,
    int64_t *ret_version, struct dv_error *reterr)
{
    enum dv_status status = dv_sql_begin(sql, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_sql_lock_events(sql, reterr);
    if (status == DV_OK) {
        status = take_step(sql, schema, ret_version, reterr);
    }
    if (status == DV_OK) {
        status = dv_sql_commit(sql, reterr);
    }
    if (status != DV_OK) {
        dv_sql_rollback(sql);
    }
    return status;
}

enum dv_status dv_migrate_with(
    struct dv_sql *sql, const struct dv_schema *schema, struct dv_error *reterr)
{
    enum dv_status status = DV_OK;
    int64_t version = -1;

    while (status == DV_OK && version < (int64_t)schema->count) {
        status = take_turn(sql, schema, &version, reterr);
    }
    return status;
}

enum dv_status dv_migrate(struct dv_sql *sql, struct dv_error *reterr)
{
    return dv_migrate_with(sql, &dv_schema_own, reterr);
}

enum dv_status dv_migrate_check(struct dv_sql *sql, struct dv_error *reterr)
{
    int64_t current = 0;

    enum dv_status status = read_version(sql, &current, reterr);
    if (status != DV_OK) {
        return status;
    }
    return current == (int64_t)dv_schema_own.count
               ? DV_OK
               : dv_fail(reterr, DV_UNSUPPORTED,
                     "the database has schema %lld, this program has %zu: use the dv that serves "
                     "it, or serve it once with this one",
                     (long long)current, dv_schema_own.count);
}
