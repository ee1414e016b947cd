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
extern const char dv_schema_0001[], dv_schema_0002[];

static const char *const steps[] = {dv_schema_0001, dv_schema_0002};

#define SCHEMA_VERSION ((int64_t)DV_ARRAY_SIZE(steps))

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

static enum dv_status take_step(struct dv_sql *sql, int64_t version, struct dv_error *reterr)
{
    DV_CLEANUP(dv_freep) char *script = translate(sql, steps[version - 1]);
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_integer(version), dv_sql_text(now)};
    enum dv_status status = dv_sql_script(sql, script, reterr);
    if (status == DV_OK) {
        status = dv_sql_run(sql,
            "INSERT INTO schema_migrations (version, applied_at) VALUES ($1, $2)", values, 2, NULL,
            NULL, reterr);
    }
    return status;
}

/* One step in one transaction: two servers at once take it one after the other, the second for naught. */
static enum dv_status migrate_to(struct dv_sql *sql, int64_t version, struct dv_error *reterr)
{
    int64_t current;

    enum dv_status status = dv_sql_begin(sql, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_sql_lock_events(sql, reterr);
    if (status == DV_OK) {
        status = read_version(sql, &current, reterr);
    }
    if (status == DV_OK && current < version) {
        status = take_step(sql, version, reterr);
    }
    if (status == DV_OK) {
        status = dv_sql_commit(sql, reterr);
    }
    if (status != DV_OK) {
        dv_sql_rollback(sql);
        dv_error_prefix(reterr, "step %lld of the database's schema: ", (long long)version);
    }
    return status;
}

enum dv_status dv_migrate_check(struct dv_sql *sql, struct dv_error *reterr)
{
    int64_t current = 0;

    enum dv_status status = read_version(sql, &current, reterr);
    if (status != DV_OK) {
        return status;
    }
    return current == SCHEMA_VERSION
               ? DV_OK
               : dv_fail(reterr, DV_UNSUPPORTED,
                     "the database has schema %lld, this program has %lld: use the dv that serves "
                     "it, or serve it once with this one",
                     (long long)current, (long long)SCHEMA_VERSION);
}

enum dv_status dv_migrate(struct dv_sql *sql, struct dv_error *reterr)
{
    int64_t current = 0;

    DV_CLEANUP(dv_freep)
    char *table = translate(sql, "CREATE TABLE IF NOT EXISTS schema_migrations ("
                                 " version {BIGINT} PRIMARY KEY, applied_at {TIME} NOT NULL)");
    enum dv_status status = dv_sql_script(sql, table, reterr);
    if (status == DV_OK) {
        status = read_version(sql, &current, reterr);
    }
    if (status == DV_OK && current > SCHEMA_VERSION) {
        return dv_fail(reterr, DV_UNSUPPORTED,
            "the database has schema %lld, this program knows up to %lld: it is of a newer dv",
            (long long)current, (long long)SCHEMA_VERSION);
    }
    for (int64_t version = current + 1; status == DV_OK && version <= SCHEMA_VERSION; version++) {
        status = migrate_to(sql, version, reterr);
    }
    return status;
}
