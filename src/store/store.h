/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DV_STORE_STORE_H
#define DV_STORE_STORE_H

/*
 * What the server knows, in a database: SQLite by default, PostgreSQL for servers. The same tables,
 * the same queries (one file an entity: store/datasets.h, models.h, jobs.h, ...), the same tests.
 *
 * A row is a JSON object, the caller's, whose members are the columns under the API's names; JSON
 * columns are values, times are RFC 3339 in UTC with milliseconds, ids are UUIDs in canonical text.
 *
 * What every write promises: when it returns DV_OK it survives kill -9 and power loss. Every
 * change of state is one compare-and-set and one row in `events` in the same transaction.
 *
 * Statuses everywhere: DV_NOT_FOUND no such row; DV_CONFLICT the state does not allow it;
 * DV_UNAVAILABLE the database is away and nothing was written (reconnect is tried with the next
 * call); DV_NO_SPACE its disk is full; DV_CORRUPT it is damaged; DV_INVALID a name already taken or
 * a bad cursor, as each function says.
 *
 * When the connection dies before a COMMIT is answered, another one is asked what became of it: a
 * write that has happened is DV_OK. Only where the database stays away for seconds does
 * DV_UNAVAILABLE leave it open, and its message says so.
 *
 * Life:    dv_store_open() (creates and migrates), calls, dv_store_close().
 * Threads: any number may call; writers wait for each other, readers use connections of their own.
 */

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct dv_json;
struct dv_store;

/*
 * `url` is "sqlite:PATH" or "postgresql://...". DV_UNSUPPORTED: another kind, or the schema was
 * written by a newer program. `instance` is this server's UUID, the owner of what it claims.
 */
DV_MUST_CHECK enum dv_status dv_store_open(const char *url, const char *instance,
    struct dv_store **ret_store, struct dv_error *reterr);

/*
 * The same to look only, beside a server that may be at work: nothing is migrated, and writing is
 * DV_DENIED. DV_UNSUPPORTED: the schema is not this program's.
 */
DV_MUST_CHECK enum dv_status dv_store_open_to_read(
    const char *url, struct dv_store **ret_store, struct dv_error *reterr);

struct dv_store *dv_store_close(struct dv_store *store);
void dv_store_closep(struct dv_store **store);

/* "sqlite" or "postgresql"; never with the password of the url. */
const char *dv_store_kind(const struct dv_store *store);

/* One trivial query, and whether the writer can write: for health. */
DV_MUST_CHECK enum dv_status dv_store_check(struct dv_store *store, struct dv_error *reterr);

/*
 * What the database says is wrong with itself, an array of sentences, the caller's: empty when it
 * is whole, or when this kind has no such question. Reads all of it.
 */
DV_MUST_CHECK enum dv_status dv_store_find_damage(
    struct dv_store *store, struct dv_json **ret_sentences, struct dv_error *reterr);

/*
 * Called after each commit that wrote events, with the highest event id, from the writing thread
 * without the store's locks held. Must be quick. Set once, before other threads call.
 */
void dv_store_on_commit(
    struct dv_store *store, void (*notify)(void *user, int64_t event_id), void *user);

/* A page of a list. `cursor` NULL: from the start; what it holds is the store's own affair. */
struct dv_page {
    int64_t limit;      /* 1..500 */
    const char *cursor; /* `next_cursor` of the page before, with the same filters and sort */
    const char *sort;   /* "created_at", "-created_at" (default), "name", "-name", "updated_at", ... */
};

/*
 * A list is {"items": [...], "next_cursor": "..." or null, "total": n}. Filters that are NULL do
 * not filter; `search` is a substring of name and description without regard to case.
 * DV_INVALID: a cursor or a sort that is none.
 */

#endif
