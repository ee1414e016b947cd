/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tokens.h"

#include "base/clock.h"
#include "base/json.h"
#include "store/store_impl.h"

#include <stdio.h>
#include <time.h>

/* --- Tokens ----------------------------------------------------------------------------------- */

enum dv_status dv_tokens_create(struct dv_store *store, const char *name, const char *role,
    const char *hash, struct dv_error *reterr)
{
    char id[DV_UUID_TEXT_SIZE], now[DV_TIME_TEXT_SIZE];

    dv_uuid_make(id);
    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(id), dv_sql_text(name), dv_sql_text(role),
        dv_sql_text(hash), dv_sql_text(now)};
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write(store,
        "INSERT INTO tokens (id, name, role, hash, created_at) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (hash) DO NOTHING",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
    return dv_store_end(store, status, reterr);
}

enum dv_status dv_tokens_find(
    struct dv_store *store, const char *hash, struct dv_json **ret_row, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(hash)};

    return dv_store_read_one(store, "token",
        "SELECT id, name, role FROM tokens WHERE hash = $1 AND revoked_at IS NULL", values, 1,
        ret_row, reterr);
}

/* --- Sessions --------------------------------------------------------------------------------- */

static void time_from_now(int64_t seconds, char ret_text[static DV_TIME_TEXT_SIZE])
{
    time_t then = time(NULL) + (time_t)seconds;
    struct tm parts;

    (void)gmtime_r(&then, &parts);
    (void)strftime(ret_text, DV_TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S.000Z", &parts);
}

/* Room for one more of this token's. */
static enum dv_status remove_sessions(
    struct dv_store *store, const char *token_id, const char *now, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {
        dv_sql_text(now), dv_sql_text(token_id), dv_sql_integer(DV_SESSIONS_MAX - 1)};

    return dv_store_write(store,
        "DELETE FROM sessions WHERE expires_at < $1 OR (token_id = $2 AND hash NOT IN "
        "(SELECT hash FROM sessions WHERE token_id = $2 ORDER BY created_at DESC, hash LIMIT $3))",
        values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
}

enum dv_status dv_sessions_create(struct dv_store *store, const char *token_id, const char *hash,
    int64_t lifetime_seconds, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE], end[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    time_from_now(lifetime_seconds, end);
    const struct dv_sql_value values[] = {
        dv_sql_text(hash), dv_sql_text(token_id), dv_sql_text(now), dv_sql_text(end)};
    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = remove_sessions(store, token_id, now, reterr);
    if (status == DV_OK) {
        status = dv_store_write(store,
            "INSERT INTO sessions (hash, token_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
            values, DV_ARRAY_SIZE(values), NULL, NULL, reterr);
    }
    return dv_store_end(store, status, reterr);
}

enum dv_status dv_sessions_find(
    struct dv_store *store, const char *hash, struct dv_json **ret_row, struct dv_error *reterr)
{
    char now[DV_TIME_TEXT_SIZE];

    dv_clock_now_text(now);
    const struct dv_sql_value values[] = {dv_sql_text(hash), dv_sql_text(now)};
    return dv_store_read_one(store, "session",
        "SELECT tokens.id, tokens.name, tokens.role FROM sessions "
        "JOIN tokens ON tokens.id = sessions.token_id "
        "WHERE sessions.hash = $1 AND sessions.expires_at > $2 AND tokens.revoked_at IS NULL",
        values, 2, ret_row, reterr);
}

enum dv_status dv_sessions_delete(struct dv_store *store, const char *hash, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(hash)};

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write(
        store, "DELETE FROM sessions WHERE hash = $1", values, 1, NULL, NULL, reterr);
    return dv_store_end(store, status, reterr);
}

/* --- Trash ------------------------------------------------------------------------------------ */

enum dv_status dv_trash_list(
    struct dv_store *store, struct dv_json **ret_paths, struct dv_error *reterr)
{
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status = dv_store_read(
        store, "SELECT path FROM trash ORDER BY created_at, path LIMIT 1000", NULL, 0, &rows, reterr);
    if (status != DV_OK) {
        return status;
    }
    struct dv_json *paths = dv_json_array();
    for (size_t i = 0; i < dv_json_count(rows); i++) {
        dv_json_append(paths, dv_json_ref(dv_json_get(dv_json_at(rows, i), "path")));
    }
    *ret_paths = paths;
    return DV_OK;
}

enum dv_status dv_trash_has(
    struct dv_store *store, const char *path, bool *ret_has, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(path)};
    DV_CLEANUP(dv_json_unrefp) struct dv_json *rows = NULL;

    enum dv_status status =
        dv_store_read(store, "SELECT path FROM trash WHERE path = $1", values, 1, &rows, reterr);
    if (status == DV_OK) {
        *ret_has = dv_json_count(rows) > 0;
    }
    return status;
}

enum dv_status dv_trash_remove(struct dv_store *store, const char *path, struct dv_error *reterr)
{
    const struct dv_sql_value values[] = {dv_sql_text(path)};

    enum dv_status status = dv_store_begin(store, reterr);
    if (status != DV_OK) {
        return status;
    }
    status = dv_store_write(
        store, "DELETE FROM trash WHERE path = $1", values, 1, NULL, NULL, reterr);
    return dv_store_end(store, status, reterr);
}
